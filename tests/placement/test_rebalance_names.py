"""Which of equal cores is which: the same as if all pairs of them were sorted, without looking at all pairs."""

from collections import defaultdict
from itertools import islice
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.cpuset import CpuId
from numaplan.model.guest import VcpuId
from numaplan.placement.rebalance import names
from numaplan.placement.rebalance.names import Core, Thread, matched, worth
from tests.depth import draws

Pins = dict[CpuId, Thread]


def cores_of(count: int, threads: int) -> list[Core]:
    return [tuple(CpuId(core * threads + thread) for thread in range(threads)) for core in range(count)]


def holders(before: dict[Thread, CpuId]) -> dict[CpuId, set[str]]:
    now: dict[CpuId, set[str]] = defaultdict(set)
    for (name, _), cpu in before.items():
        now[cpu].add(name)
    return now


def by_all_pairs(
    cores: list[Core], before: dict[Thread, CpuId], after: Pins, now: dict[CpuId, set[str]]
) -> dict[CpuId, CpuId]:
    ranked = sorted(
        (not any(cpu in after for cpu in old), -worth(old, new, before, after, now), i != j, i, j)
        for i, old in enumerate(cores)
        for j, new in enumerate(cores)
    )
    found: dict[int, int] = {}
    for *_, i, j in ranked:
        if i not in found and j not in found.values():
            found[i] = j
    return {old: new for i, j in found.items() for old, new in zip(cores[i], cores[j], strict=True)}


@settings(max_examples=draws(25), deadline=None, derandomize=True)
@given(st.integers(1, 7), st.integers(1, 2), st.data())
def test_the_best_pairs_come_first(count: int, threads: int, data: st.DataObject) -> None:
    cores = cores_of(count, threads)
    cpus = [cpu for core in cores for cpu in core]
    elsewhere = [*cpus, CpuId(1000)]
    known = [(name, VcpuId(vcpu)) for name in "abc" for vcpu in range(4)]
    after = dict(zip(data.draw(st.permutations(cpus)), islice(known, data.draw(st.integers(0, 12))), strict=False))
    before = data.draw(st.dictionaries(st.sampled_from(known), st.sampled_from(elsewhere)))
    now = holders(before)
    for name, cpu in data.draw(st.dictionaries(st.sampled_from("abc"), st.sampled_from(elsewhere))).items():
        now[cpu].add(name)
    assert matched(cores, before, after, now) == by_all_pairs(cores, before, after, now)


def test_thousands_of_cores_are_not_looked_at_pair_by_pair() -> None:
    cores = cores_of(2000, 2)
    after = {cores[i][0]: ("a" if i < 1000 else f"g{i}", VcpuId(i)) for i in range(1500)}
    before = {thread: cores[1999 - i][0] for i, thread in enumerate(after.values())}
    with patch.object(names, "worth", wraps=worth) as looked_at:
        found = matched(cores, before, after, holders(before))
    assert all(found[cpu] == before[thread] for cpu, thread in after.items())
    assert looked_at.call_count < 20 * len(cores)


def test_who_moves_comes_to_a_cpu_of_its_own_rather_than_to_a_free_one() -> None:
    """So another guest that comes to the free one need not wait."""
    cores = cores_of(2, 1)
    free, own = CpuId(0), CpuId(1)
    after = {free: ("b", VcpuId(1)), own: ("c", VcpuId(0))}
    before = {("b", VcpuId(0)): own, ("b", VcpuId(1)): CpuId(2), ("c", VcpuId(0)): CpuId(3)}
    assert matched(cores, before, after, holders(before)) == {free: own, own: free}
