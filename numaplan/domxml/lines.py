"""Which lines change between two texts: difflib's answer, brought to the form in which people expect it."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Change:
    """Old lines `a` to `b` become new lines `c` to `d`."""

    a: int
    b: int
    c: int
    d: int


def changes(old: Sequence[bytes], new: Sequence[bytes]) -> list[Change]:
    """What changes, in order; what is equal at both ends is cut off first, as that is nearly everything."""
    most = min(len(old), len(new))
    head = next((k for k in range(most) if old[k] != new[k]), most)
    tail = next((k for k in range(most - head) if old[-1 - k] != new[-1 - k]), most - head)
    # In long texts difflib passes over lines that are everywhere: without that it takes minutes for a hostile one.
    matcher = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail])
    found = [
        Change(head + a, head + b, head + c, head + d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"
    ]
    # One equal line at least stays between two changes.
    ends = [*(change.a - 1 for change in found[1:]), len(old)]
    return [_lowered(change, old, new, end=end) for change, end in zip(found, ends, strict=False)]


def _lowered(change: Change, old: Sequence[bytes], new: Sequence[bytes], *, end: int) -> Change:
    """The change as far down as it means the same, as git has it: a block is added behind its like, not within it."""
    if change.a != change.b and change.c != change.d:
        return change
    moved, first = (new, change.c) if change.a == change.b else (old, change.a)
    steps = 0
    while change.b + steps < end and moved[first + steps] == old[change.b + steps]:
        steps += 1
    return Change(change.a + steps, change.b + steps, change.c + steps, change.d + steps)
