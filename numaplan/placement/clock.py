"""What is left of a wall-clock limit, for answers that are given up where it ends."""

from collections.abc import Callable
from typing import Final

# Seconds; None: there is no limit.
Remaining = Callable[[], float | None]

UNLIMITED: Final[Remaining] = lambda: None  # noqa: E731  # a value that is passed on


def is_over(remaining: Remaining) -> bool:
    """Whether nothing more should be begun."""
    seconds = remaining()
    return seconds is not None and seconds <= 0
