"""A smallest part of what is impossible."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def smallest(
    things: Sequence[Thing],
    impossible: Callable[[Sequence[Thing]], bool],
    is_needed: Callable[[Thing, Sequence[Thing]], bool] = lambda _thing, _needed: False,
) -> list[Thing]:
    """A part of `things`, which are impossible, that is so while each smaller one is not.

    Of several such parts the one of things that stand first: from the last on each is left out that can be, at once
    twice as many as before while that goes well. So `impossible` is asked once of each that is needed, but where it
    `is_needed` because others are, and seldom of the rest.
    """
    kept = list(things)
    end, step = len(kept), 1
    while end:
        start = max(0, end - step)
        fewer = kept[:start] + kept[end:]
        if end - start == 1 and is_needed(kept[start], kept[end:]):
            end, step = start, 1
        elif impossible(fewer):
            kept, end, step = fewer, start, 2 * step
        elif end - start == 1:
            end, step = start, 1
        else:
            step = 1
    return kept
