"""Something like a libvirt, in memory: it rewrites what it is given, fails, hangs and lies."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar

from numaplan.apply.step import Kind, Step
from numaplan.errors import BackendError

ADDRESS: Final = "qemu:///fake"
REFUSES: Final = "refuses"
LIES: Final = "does it and says it failed"
HANGS_BEFORE: Final = "hangs until it is opened anew"
HANGS_AFTER: Final = "does it, then hangs until it is opened anew"
FAULTS: Final = (REFUSES, LIES, HANGS_BEFORE, HANGS_AFTER)
_T = TypeVar("_T")
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)


class Crash(BaseException):
    """The process dies here."""


def normal(data: bytes) -> bytes:
    """As libvirt keeps it: without comments, and with an address where there was none."""
    data = _COMMENT.sub(b"", data)
    return data if b"<address/>" in data else data.replace(b"</domain>", b"<address/></domain>")


def domain(guest: str, version: str) -> bytes:
    return f"<domain><!-- {version} --><name>{guest}</name><v>{version}</v></domain>".encode()


class FakeLibvirt:
    """`plan`: what happens at which call, counted from 1; `edits`: what somebody else does before a call."""

    def __init__(self, guests: tuple[str, ...] = ("a", "b", "c", "d")) -> None:
        self.domains = {guest: normal(domain(guest, "old")) for guest in guests}
        self.calls: list[str] = []
        self.plan: dict[int, str | BaseException] = {}
        self.edits: dict[int, Callable[[], None]] = {}
        self.refuses_from = 1 << 30
        self.hangs = False
        self.reopened = 0

    @property
    def address(self) -> str:
        return ADDRESS

    def steps(self) -> tuple[Step, ...]:
        return tuple(Step(guest, Kind.DEFINITION, data, domain(guest, "new")) for guest, data in self.domains.items())

    def standing(self) -> str:
        found = {
            {normal(domain(guest, "old")): "old", normal(domain(guest, "new")): "new"}.get(data, "TORN")
            for guest, data in self.domains.items()
        }
        return found.pop() if len(found) == 1 else f"MIXED {self.domains}"

    def healthy(self) -> "FakeLibvirt":
        self.plan, self.edits, self.refuses_from, self.hangs = {}, {}, 1 << 30, False
        return self

    def read(self, guest: str, _kind: Kind) -> bytes | None:
        return self._call(f"read {guest}", lambda: self.domains.get(guest))

    def write(self, guest: str, _kind: Kind, data: bytes) -> None:
        def define() -> None:
            self.domains[guest] = normal(data)

        self._call(f"write {guest}", define)

    def same(self, _kind: Kind, one: bytes, other: bytes) -> bool:
        return one == other

    def may_be(self, _kind: Kind, now: bytes, *, old: bytes, written: bytes) -> bool:
        return now in {old, normal(written)}

    def reopen(self) -> None:
        self.reopened += 1
        self.hangs = False
        self._call("reopen", lambda: None)

    def locked(self, *, timeout_s: float) -> AbstractContextManager[None]:
        del timeout_s
        return nullcontext()

    def file_of(self, guest: str) -> str | None:
        del guest
        return None

    def locate(self, files: Mapping[str, str]) -> None:
        assert files == {}

    def settle(self) -> None:
        self._call("settle", lambda: None)

    def _call(self, name: str, work: Callable[[], _T]) -> _T:
        self.calls.append(name)
        number = len(self.calls)
        if (edit := self.edits.get(number)) is not None:
            edit()
        fault = self.plan.get(number)
        if isinstance(fault, BaseException):
            raise fault
        if number >= self.refuses_from or self.hangs or fault in {REFUSES, HANGS_BEFORE}:
            self.hangs = self.hangs or fault == HANGS_BEFORE
            raise BackendError("no answer", ADDRESS)
        result = work()
        if fault in {LIES, HANGS_AFTER}:
            self.hangs = fault == HANGS_AFTER
            raise BackendError("no answer", ADDRESS)
        return result
