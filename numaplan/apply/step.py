"""What a transaction is made of: steps, each of which gives one guest a new state, and where they are taken."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What of a guest a step changes: its definition (the XML of its next start), or its pins while it runs."""

    DEFINITION = "definition"
    PINS = "pins"


@dataclass(frozen=True, slots=True)
class Step:
    """One guest's state before and after, as bytes: the XML with its secrets, or pins as JSON (`apply/pins.py`)."""

    guest: str
    kind: Kind
    old: bytes
    new: bytes


class Target(Protocol):
    """Where guests are defined: a directory of files, or a libvirt.

    Every method raises BackendError where the system refuses or does not answer. A write is all or nothing for its
    guest; where it fails nobody knows which, so whoever asks must read again.
    """

    @property
    def address(self) -> str:
        """What a journal calls it, and opens it by: ``file:///absolute/directory`` or a libvirt URI."""
        ...

    def read(self, guest: str, kind: Kind) -> bytes | None:
        """The state of a guest now, with its secrets; None where there is no such guest."""
        ...

    def write(self, guest: str, kind: Kind, data: bytes) -> None:
        """Gives the guest that state."""
        ...

    def same(self, kind: Kind, one: bytes, other: bytes) -> bool:
        """Whether two states that were read mean the same, so that nobody has changed it between the two."""
        ...

    def may_be(self, kind: Kind, now: bytes, *, old: bytes, written: bytes) -> bool:
        """Whether `now` can be what `write(written)` made of `old`, though nobody read it right afterwards."""
        ...

    def reopen(self) -> None:
        """Connects anew, after a failure; nothing for files."""
        ...

    def locked(self, *, timeout_s: float) -> AbstractContextManager[None]:
        """Keeps other runs of numaplan out, those too that have another state directory; nothing for a libvirt."""
        ...

    def file_of(self, guest: str) -> str | None:
        """The plain name of the file that a guest stands in, for the journal; None for a libvirt."""
        ...

    def locate(self, files: Mapping[str, str]) -> None:
        """Says, out of a journal, which file each guest stands in; nothing for a libvirt."""
        ...

    def settle(self) -> None:
        """Removes what writing has left beside the guests; nothing for a libvirt. Writing works all the same later."""
        ...
