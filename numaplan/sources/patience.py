"""Calls that may never come back, made in a thread of their own: a daemon that hangs costs the answer, not the run."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class HangError(Exception):
    """A call has not come back in time, so nobody knows what it did; or one before it has not."""


class Patient:
    """Makes calls one after the other in one thread, as a library wants it that knows its callers by thread.

    libvirt's keepalive would need an event loop, and would notice no daemon that hangs in a call; silence does.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._hangs = False
        threading.Thread(target=self._work, name="patient", daemon=True).start()

    def call(self, work: Callable[[], _T]) -> _T:
        """What `work` returns or raises; raises HangError after `patience_s` seconds of silence, and from then on."""
        if self._hangs:
            raise HangError
        answers: queue.SimpleQueue[_T | _Raised] = queue.SimpleQueue()

        def answer() -> None:
            try:
                answers.put(work())
            except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
                answers.put(_Raised(error))

        self._calls.put(answer)
        try:
            found = answers.get(timeout=self._patience_s)
        except queue.Empty:
            self._hangs = True
            raise HangError from None
        if isinstance(found, _Raised):
            raise found.error
        return found

    def _work(self) -> None:
        while True:
            self._calls.get()()


class _Raised:
    """What a call raised, on its way to the thread that wants to know."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
