from hypothesis import given
from hypothesis import strategies as st

from numaplan.inventory.siblings import group_siblings, vote

CLAIMS = st.dictionaries(st.integers(0, 9), st.integers(1, 1023))


def test_cpus_that_agree_are_a_group() -> None:
    grouping = group_siblings(0b1111, {0: 0b0101, 2: 0b0101, 1: 0b1010, 3: 0b1010}, {})
    assert grouping.groups == (0b0101, 0b1010)
    assert not grouping.disputed
    assert not grouping.alone


def test_a_cpu_without_a_word_of_its_own_goes_where_others_put_it() -> None:
    grouping = group_siblings(0b11, {0: 0b11}, {})
    assert grouping.groups == (0b11,)
    assert not grouping.disputed


def test_siblings_stay_together_where_one_of_two_denies_it() -> None:
    grouping = group_siblings(0b11, {0: 0b01, 1: 0b11}, {})
    assert grouping.groups == (0b11,)
    assert grouping.disputed == 0b11


def test_one_cpu_that_claims_the_whole_host_does_not_get_it() -> None:
    claims = {cpu: 1 << cpu for cpu in range(8)} | {3: 0b1111_1111}
    grouping = group_siblings(0b1111_1111, claims, {})
    assert grouping.groups == tuple(1 << cpu for cpu in range(8))
    assert grouping.disputed == 1 << 3


def test_keys_group_cpus_that_have_no_masks() -> None:
    grouping = group_siblings(0b1111, {}, {0: "a", 1: "b", 2: "a", 3: "b"})
    assert grouping.groups == (0b0101, 0b1010)


def test_a_cpu_joins_the_group_of_its_key_when_no_mask_names_it() -> None:
    grouping = group_siblings(0b111, {0: 0b011, 1: 0b011}, {0: "a", 1: "a", 2: "a"})
    assert grouping.groups == (0b111,)


def test_cpus_with_neither_mask_nor_key_stand_alone() -> None:
    grouping = group_siblings(0b11, {}, {})
    assert grouping.groups == (0b01, 0b10)
    assert grouping.alone == 0b11


@given(CLAIMS, st.integers(1, 1023), st.dictionaries(st.integers(0, 9), st.integers(0, 3)))
def test_groups_cover_every_cpu_once(claims: dict[int, int], cpus: int, keys: dict[int, int]) -> None:
    own = {cpu: (mask | 1 << cpu) & cpus for cpu, mask in claims.items() if cpus >> cpu & 1}
    groups = group_siblings(cpus, own, keys).groups
    assert sum(groups) == cpus
    assert all(first & second == 0 for i, first in enumerate(groups) for second in groups[:i])


@given(CLAIMS, st.integers(1, 1023))
def test_a_group_that_differs_from_a_word_in_it_is_disputed(claims: dict[int, int], cpus: int) -> None:
    own = {cpu: (mask | 1 << cpu) & cpus for cpu, mask in claims.items() if cpus >> cpu & 1}
    grouping = group_siblings(cpus, own, {})
    for cpu, mask in own.items():
        group = next(group for group in grouping.groups if group >> cpu & 1)
        assert group == mask or grouping.disputed >> cpu & 1


def test_the_value_of_most_wins_and_the_others_are_named() -> None:
    result = vote({0: 7, 1: 9, 2: 7})
    assert (result.value, result.dissenters) == (7, (1,))


def test_a_tie_goes_to_the_lowest_cpu_and_all_are_named() -> None:
    result = vote({4: 1, 2: 9})
    assert (result.value, result.dissenters) == (9, (2, 4))


def test_nobody_says_anything() -> None:
    assert vote({}).value is None
