"""The gate that host-supplied text passes, and the columns it stands in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numaplan.report.text import clean, count, gib, grid, wrap_list
from tests.records.samples import EVIL


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ens1f0", "ens1f0"),
        ("ConnectX\u00ae", "ConnectX\u00ae"),
        ("\x1b[31mred", "?[31mred"),
        ("a\r\nb\tc\u2028d", "a  b c d"),
        ("\x9b31m\x7f\x00", "?31m??"),
        ("\u202egnp.exe\u200b", "?gnp.exe?"),
        ("byte\udc80", "byte?"),
    ],
)
def test_what_a_terminal_obeys_is_replaced_and_the_rest_kept(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_gets_a_control_a_format_or_a_surrogate_through(text: str) -> None:
    shown = clean(text)
    assert len(shown) == len(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert clean(shown) == shown


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_every_evil_string_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = clean(text)
    assert len(f"{shown}x".splitlines()) == 1
    shown.encode()


@given(st.lists(st.integers(0, 9999), min_size=1), st.integers(1, 40))
def test_a_wrapped_list_loses_nothing_and_keeps_its_width_where_it_can(ids: list[int], width: int) -> None:
    text = ",".join(map(str, ids))
    lines = wrap_list(text, width).split("\n")
    assert "".join(lines) == text
    assert all(len(line) <= max(width, 5) for line in lines)


def test_numbers_and_sizes_read_as_words() -> None:
    assert (count(1, "error"), count(0, "error"), count(2, "guest")) == ("1 error", "0 errors", "2 guests")
    assert (gib(None), gib(0), gib(3 * 1024 * 1024 // 2)) == ("?", "0.0", "1.5")


def test_a_grid_has_a_heading_a_rule_and_flush_columns_without_trailing_blanks() -> None:
    shown = grid(["n", "list"], [["1", "a,\nb"], ["200", ""]], right=["n"])
    assert shown.split("\n") == ["  n  list", "---  ----", "  1  a,", "     b", "200"]


def test_a_cell_that_looks_like_a_number_keeps_its_digits() -> None:
    assert grid(["id"], [["00"], ["1e5"], ["3.10"]]).splitlines()[2:] == ["00", "1e5", "3.10"]


def test_a_name_that_is_absurdly_long_is_shortened() -> None:
    assert clean(f'guest "{"n" * 20_000}x" has no place') == f'guest "{"n" * 80}…{"n" * 19}x" has no place'
    assert clean("é" * 20_000) == "é" * 80 + "…" + "é" * 20


@pytest.mark.parametrize(
    "text",
    ["n" * 512, ",".join(map(str, range(0, 8192, 2))), "/".join(["folder" * 40] * 10), "word " * 2000],
    ids=["a long name", "a list", "a path", "a sentence"],
)
def test_what_is_long_for_a_reason_is_told_whole(text: str) -> None:
    assert clean(text) == text
