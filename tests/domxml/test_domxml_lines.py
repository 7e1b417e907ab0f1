"""The fewest lines that turn one text into another."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml import lines
from numaplan.domxml.lines import Change, changes

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


def common(old: list[bytes], new: list[bytes]) -> int:
    """How many lines the longest common subsequence has."""
    row = [0] * (len(new) + 1)
    for line in old:
        above, row = row, [0]
        for k, other in enumerate(new):
            row.append(above[k] + 1 if line == other else max(above[k + 1], row[k]))
    return row[-1]


@settings(max_examples=500, deadline=None)
@given(_LINES, _LINES)
def test_no_shorter_script_exists(old: list[bytes], new: list[bytes]) -> None:
    found = changes(old, new)
    assert rebuilt(old, new, found) == new
    assert sum(c.b - c.a + c.d - c.c for c in found) == len(old) + len(new) - 2 * common(old, new)
    assert all(first.b < second.a for first, second in pairwise(found))


def test_a_block_is_added_behind_its_like() -> None:
    old = [b"<a>", b"</a>", b"<b>", b"</b>", b"<c>"]
    new = [b"<a>", b"</a>", b"<a>", b"</a>", b"<c>"]
    assert changes(old[:2] + old[4:], new) == [Change(2, 2, 2, 4)]
    assert changes(new, old[:2] + old[4:]) == [Change(2, 4, 2, 2)]


def test_texts_that_have_nothing_in_common_are_one_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MOST_CHANGES", 3)
    old, new = [b"h", *[b"a"] * 9, b"t"], [b"h", *[b"b"] * 5, b"t"]
    assert changes(old, new) == [Change(1, 10, 1, 6)]


def test_many_equal_lines_take_no_long_time() -> None:
    old = [b"1", *[b"x", b"y"] * 40_000, b"2"]
    new = [b"3", *[b"x", b"y"] * 40_000, b"4"]
    start = time.process_time()
    assert changes(old, new) == [Change(0, 1, 0, 1), Change(80_001, 80_002, 80_001, 80_002)]
    assert time.process_time() - start < 5
