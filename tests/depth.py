"""How many cases a test draws, and of many machines how many it takes: few every day, more where there is time."""

import os

_DEPTH = int(os.environ.get("NUMAPLAN_TEST_DEPTH", "1"))


def draws(everyday: int) -> int:
    """So many every day, and ``NUMAPLAN_TEST_DEPTH`` times as many in a deeper run."""
    return everyday * _DEPTH


def step(everyday: int) -> int:
    """One in so many every day, and all in a deeper run."""
    return everyday if _DEPTH == 1 else 1
