"""What a transaction writes down of itself before it changes a guest, so that it can be undone after a crash."""

from dataclasses import dataclass
from enum import StrEnum


class StepState(StrEnum):
    """How far a step is: not begun, perhaps begun, or done and read back."""

    PLANNED = "planned"
    WRITING = "writing"
    WRITTEN = "written"


@dataclass(frozen=True, slots=True)
class JournalStep:
    """One guest's step; `old`, `new` and `written` (what was read back) are SHA-256 of the files beside the journal.

    `kind`: "definition" or "pins"; `file`: the plain name of the guest's file where the target is a directory.
    """

    guest: str
    kind: str
    file: str | None
    state: StepState
    old: str
    new: str
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Journal:
    """One transaction: where its guests are defined, its steps in order, and the transaction that it takes back."""

    id: str
    target: str
    undoes: str | None
    steps: tuple[JournalStep, ...]
