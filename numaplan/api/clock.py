"""A wall-clock limit for one answer, from its start to its end."""

import time
from collections.abc import Callable
from typing import Final


class Clock:
    """Counts down from `limit_s` seconds, None: without a limit; `now` gives the time in seconds."""

    def __init__(self, limit_s: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = None if limit_s is None else now() + limit_s

    def remaining(self) -> float | None:
        """The seconds that are left, less than 0 where it is over; None without a limit."""
        return None if self._end is None else self._end - self._now()

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        left = self.remaining()
        return left is not None and left <= 0


ENDLESS: Final = Clock(None)
