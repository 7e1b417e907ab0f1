"""What a wrong plan is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """A hard meaning that a plan breaks.

    `vm` is the guest's name, None for what the whole plan or the host breaks; `constraint` is a short, stable id;
    `sentence` names the thing, what it has and what it needs.
    """

    vm: str | None
    constraint: str
    sentence: str
