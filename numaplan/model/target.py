"""A plan in the words of another tool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rendered:
    """What to give to the tool, as text that it takes, and what of the plan it has no words for, a sentence each."""

    text: str
    cannot: tuple[str, ...] = ()
