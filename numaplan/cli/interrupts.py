"""Signals while guests are being changed: the first asks to stop at the next safe place, the second leaves at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from numaplan.errors import ExitCode
from numaplan.sources.state import command

# A terminal that goes away (SIGHUP) is no reason to leave guests half changed.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR: Final = 2
_ASKED: Final = "numaplan: interrupted; this guest is finished, then everything is put back; once more leaves at once\n"
_LEFT: Final = "numaplan: left at once; the journal is kept: run {command}\n"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields whether SIGINT, SIGTERM or SIGHUP came; main thread only. Signals that are ignored stay so (nohup).

    The second one ends the process with exit code 130 and runs nothing else: to a transaction it is a crash, for which
    its journal is there. A thread that hangs in a library does not hold it up.
    """
    came = False
    left = _LEFT.format(command=command("recover"))

    def ask(_number: int, _frame: object) -> None:
        nonlocal came
        if came:
            _say(left)
            os._exit(ExitCode.INTERRUPTED)
        came = True
        _say(_ASKED)

    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, ask)) for number in heeded]
    try:
        yield lambda: came
    finally:
        for number, handler in before:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _say(text: str) -> None:
    """Past Python's buffers, which a handler may find in use."""
    try:
        os.write(_STDERR, text.encode("utf-8", "backslashreplace"))
    except OSError:
        # Nobody listens; what is to be done stays the same.
        return
