import pytest
from hypothesis import given
from hypothesis import strategies as st

from numaplan.cpuset import format_id_list
from numaplan.inventory.attribute import (
    cpus_of,
    excerpt,
    ids_of,
    is_cut_short,
    note_absent,
    parse_cpu_bits,
    parse_id,
    parse_integer,
    parse_mask_bits,
    read_attribute,
    read_each,
)
from tests.inventory.trees import gaps, tree


@given(st.frozensets(st.integers(0, 8191), max_size=40))
def test_a_list_reads_back_as_the_ids_it_was_written_from(ids: frozenset[int]) -> None:
    assert ids_of(parse_cpu_bits(format_id_list(ids) + "\n")) == tuple(sorted(ids))


@given(st.frozensets(st.integers(0, 1023), max_size=40))
def test_a_mask_reads_back_as_the_ids_it_was_written_from(ids: frozenset[int]) -> None:
    digits = f"{sum(1 << i for i in ids):0256x}"
    text = ",".join(digits[i : i + 8] for i in range(0, 256, 8))
    assert ids_of(parse_mask_bits(text + "\n")) == tuple(sorted(ids))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1\n",
        "5,3-1,7\n",
        "3,1\n",
        "0-3,2\n",
        "0-4294967295\n",
        "0-8192\n",
        "8192\n",
        "0-\n",
        "1,\n",
        "a\n",
        "1 2\n",
        "0\0\n",
    ],
)
def test_what_is_no_list_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"id|empty"):
        parse_cpu_bits(text)


def test_an_empty_list_is_a_line_end_and_not_an_empty_file() -> None:
    assert parse_cpu_bits("\n") == 0


def test_a_huge_list_is_refused_before_it_is_taken_apart() -> None:
    with pytest.raises(ValueError, match="no list"):
        parse_cpu_bits("0-8191," * 20_000)


@pytest.mark.parametrize("text", ["", "\n", "xyz\n", "-1\n", "f,ff\n", ",f\n", "1" + ",00000000" * 256])
def test_what_is_no_mask_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="id"):
        parse_mask_bits(text)


@pytest.mark.parametrize(
    "text", ["", "\n", "0x10\n", "1.5\n", "1 2\n", "2147483647\n", "99999999999999999999\n", "-2\n", "\0"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no number|not within"):
        parse_id(text)


def test_an_id_may_be_unknown() -> None:
    assert parse_id("-1\n") == -1


def test_a_number_out_of_bounds_names_the_bounds() -> None:
    with pytest.raises(ValueError, match="not within 0 to 1"):
        parse_integer("2", highest=1)


def test_nuls_that_tar_padded_a_file_with_are_not_part_of_it() -> None:
    made = tree({"sys/x": "0-3\n\0\0\0"})
    assert read_attribute(made, "sys/x", parse_cpu_bits) == 0b1111
    assert not made.gaps


def test_an_absent_file_is_no_gap() -> None:
    made = tree({"sys/x": "1\n"})
    assert read_attribute(made, "sys/y", parse_id) is None
    assert not made.gaps


def test_a_refused_file_is_a_gap_with_the_offending_text() -> None:
    made = tree({"sys/x": "\x1b[2J" + "y" * 100})
    assert read_attribute(made, "sys/x", parse_id) is None
    assert gaps(made) == [("sys/x", "no number: '\\x1b[2J" + "y" * 36 + "'...")]


def test_an_excerpt_stays_on_one_line() -> None:
    assert excerpt("a\nb") == "'a\\nb'"


@pytest.mark.parametrize(("text", "cut"), [("1\n", False), ("1", True), ("", False), ("1\n\0", False), ("1\0", True)])
def test_a_file_without_its_last_line_end_is_cut_short(text: str, *, cut: bool) -> None:
    assert is_cut_short(text) is cut


def test_bits_become_a_set_of_cpus() -> None:
    assert str(cpus_of(0b1011)) == "0-1,3"


def test_one_gap_names_all_files_of_a_kind_that_are_absent() -> None:
    made = tree({"a0/x": "1\n", "a1": None, "a2": None, "a3/x": "2\n", "a7": None})
    note_absent(made, "a{}/x", [0, 1, 2, 3, 7])
    assert gaps(made) == [("a{1-2,7}/x", "not there")]


def test_a_single_file_that_is_absent_is_named_as_it_is() -> None:
    made = tree({"a0/x": "1\n", "a1": None})
    note_absent(made, "a{}/x", [0, 1])
    assert gaps(made) == [("a1/x", "not there")]


def test_files_refused_for_one_reason_share_a_gap_and_others_do_not() -> None:
    made = tree({"a0/x": "", "a1/x": "7\n", "a2/x": "", "a3/x": "b\n"})
    assert read_each(made, "a{}/x", range(5), parse_integer) == {1: 7}
    assert gaps(made) == [("a3/x", "no number: 'b\\n'"), ("a{0,2}/x", "no number: ''")]
