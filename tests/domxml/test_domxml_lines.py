"""Which lines change between two texts."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml.lines import Change, changes
from tests.depth import draws

_LINES = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=12)


def rebuilt(old: list[bytes], new: list[bytes], found: list[Change]) -> list[bytes]:
    result: list[bytes] = []
    position = 0
    for change in found:
        result += old[position : change.a]
        assert len(result) == change.c
        result += new[change.c : change.d]
        position = change.b
    return result + old[position:]


@settings(max_examples=draws(250), deadline=None)
@given(_LINES, _LINES)
def test_the_changes_lead_from_one_text_to_the_other(old: list[bytes], new: list[bytes]) -> None:
    found = changes(old, new)
    assert rebuilt(old, new, found) == new
    assert all(first.b < second.a for first, second in pairwise(found))


def test_a_block_is_added_behind_its_like() -> None:
    old = [b"<a>", b"</a>", b"<b>", b"</b>", b"<c>"]
    new = [b"<a>", b"</a>", b"<a>", b"</a>", b"<c>"]
    assert changes(old[:2] + old[4:], new) == [Change(2, 2, 2, 4)]
    assert changes(new, old[:2] + old[4:]) == [Change(2, 4, 2, 2)]


@pytest.mark.timeout(20)
def test_many_equal_lines_are_no_trouble() -> None:
    old = [b"1", *[b"x", b"y"] * 40_000, b"2"]
    new = [b"3", *[b"x", b"y"] * 40_000, b"4"]
    assert rebuilt(old, new, changes(old, new)) == new
