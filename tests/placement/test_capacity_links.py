"""What one more copy needs of the PFs' links, against every way to share them out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numaplan.model.request import GuestRequest
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.spec.synthetic import parse_synthetic
from tests.depth import draws
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs


@dataclass(frozen=True)
class Rated:
    """A vm with VFs that need so many Mbit/s each."""

    mbps: int
    count: int
    distinct: bool

    def called(self, name: str) -> GuestRequest:
        data = vfs("data", "", self.count, mbps=self.mbps, affinity="preferred", distinct_pfs=self.distinct)
        return guest(name, 1, interfaces=[replace(data, pf=None)])


VMS: Final = st.builds(Rated, st.integers(1, 9), st.integers(1, 2), st.booleans())


def carry(first: int, second: int, vms: Sequence[Rated]) -> bool:
    """Whether two links carry so much, tried in every way."""
    left = {(first, second)}
    for vm in vms:
        ways = [n for n in range(vm.count + 1) if not vm.distinct or max(n, vm.count - n) <= 1]
        less = {(a - n * vm.mbps, b - (vm.count - n) * vm.mbps) for a, b in left for n in ways}
        left = {(a, b) for a, b in less if a >= 0 and b >= 0}
    return bool(left)


@settings(max_examples=draws(10), deadline=None, derandomize=True)
@given(VMS, st.lists(VMS, max_size=3), st.integers(5, 20), st.integers(5, 20))
def test_what_one_more_needs_of_a_link_is_enough_and_no_less_is(
    copy: Rated, others: list[Rated], first: int, second: int
) -> None:
    snapshot = host("2n:44c:1t", nics=[Nic("ens0", 0, 48, first), Nic("ens1", 1, 48, second)], memory_gib=64)
    named = [other.called(f"g{i}") for i, other in enumerate(others)]
    found = count_copies(ask(copy.called("fw"), *named, reserved="0"), snapshot, "fw", together=False, apart=False)
    assert isinstance(found, Counted) == carry(first, second, others)
    assume(isinstance(found, Counted))
    assert isinstance(found, Counted)
    assert carry(first, second, [*others, *[copy] * found.capacity.fit])
    wanted = [*others, *[copy] * (found.capacity.fit + 1)]
    rows = found.capacity.next.short
    assert rows
    for less in (None, *rows):
        more = {row.resource: row.missing - (row is less) for row in rows}
        enough = carry(first + more.get("Mbit/s of ens0", 0), second + more.get("Mbit/s of ens1", 0), wanted)
        assert enough == (less is None), (rows, less)


def test_what_is_added_to_a_link_comes_to_a_sum_of_what_guests_take() -> None:
    """12 more Gbit/s are what is missing in all, but then all four links had to be full, which no sums are."""
    rates = [9000, 4000, 7000, 9000, 4000, 7000, 9000]
    others = [Rated(mbps, 2, distinct=True).called(f"g{i}") for i, mbps in enumerate(rates)]
    pfs = "; ".join(f"p{i}@{node}: 16 VFs 25Gbit/s" for i, node in enumerate([0, 1, 4, 5]))
    snapshot = parse_synthetic(f"2 packages, 8 nodes, 128 cores, 512GiB; {pfs}")
    fw = Rated(7000, 2, distinct=True).called("fw")
    found = count_copies(ask(fw, *others, reserved="0"), snapshot, "fw", together=False, apart=False)
    assert isinstance(found, Counted)
    assert found.capacity.next.sentence == (
        "one more fw needs 13000 more Mbit/s of the link of p0 on node 0 (have 0, need 13000)"
    )
