"""A smallest part of what is impossible."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def smallest(things: Sequence[Thing], impossible: Callable[[Sequence[Thing]], bool]) -> list[Thing]:
    """A part of `things`, which are impossible, that is so while each smaller one is not (QuickXplain, Junker 2004).

    Of several such parts the one of things that stand first; `impossible` is asked of few of all the parts.
    """

    def shrink(kept: list[Thing], rest: list[Thing], *, changed: bool) -> list[Thing]:
        if changed and impossible(kept):
            return []
        if len(rest) <= 1:
            return rest
        half = len(rest) // 2
        second = shrink(kept + rest[:half], rest[half:], changed=True)
        first = shrink(kept + second, rest[:half], changed=bool(second))
        return first + second

    return shrink([], list(things), changed=False)
