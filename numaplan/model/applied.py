"""A plan that was carried out, or would be: what changes of each guest, and what became of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a plan wants of a guest, and what `source` (libvirt, the definition, the kernel) says of it."""

    guest: str
    what: str
    planned: str
    found: str
    source: str

    @property
    def holds(self) -> bool:
        """Whether the two are one and the same."""
        return self.planned == self.found


@dataclass(frozen=True, slots=True)
class GuestChange:
    """What changes of one guest.

    `diff` is that of its XML with secrets masked, "" where its definition stays; `pins` says which threads are pinned
    anew while it runs, a sentence each; `effect` when it holds.
    """

    guest: str
    diff: str
    pins: tuple[str, ...]
    effect: str


@dataclass(frozen=True, slots=True)
class Application:
    """A plan carried out, or shown only (`transaction` None); `checks` are what was read back afterwards."""

    changes: tuple[GuestChange, ...]
    transaction: str | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differences(self) -> tuple[Check, ...]:
        """What did not become as planned."""
        return tuple(check for check in self.checks if not check.holds)
