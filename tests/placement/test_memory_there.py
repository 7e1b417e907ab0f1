"""Memory of guests that run: where it was seen to lie, where the XML has it, and where nobody knows."""

from dataclasses import replace

import pytest

from numaplan.model.guest import Guest, ResidentMemory, RunningGuest
from numaplan.model.host import NodeId
from numaplan.model.kernel import Kernel
from numaplan.model.moves import MoveKind, MovesStatus
from numaplan.model.plan import Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.audit.audited import guest as there
from tests.hosts import GIB, host
from tests.placement.moves_checked import moves_of, steps
from tests.requests import ask, guest

NOBODY = {"1GiB": 0, "2MiB": 0}


def seen(one: Guest, *parts: tuple[int, int, int]) -> Guest:
    """A guest that runs with (node, page size in KiB, GiB) of memory."""
    memory = tuple(ResidentMemory(NodeId(node), page, gib * GIB) for node, page, gib in parts)
    return replace(one, running=True, live=RunningGuest(memory=memory))


def full(*guests: Guest) -> Snapshot:
    """Two nodes of 4 CPUs without a free page of any size."""
    snapshot = host("2n:4c:1t", memory_gib=2, pages=NOBODY, guests=guests)
    return replace(snapshot, kernel=Kernel(default_hugepage_kib=2048))


def planned(request: Request, snapshot: Snapshot) -> Plan:
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    return plan


@pytest.mark.parametrize(
    ("has", "pages", "page_kib"),
    [
        ({}, "4KiB", 4),
        ({}, "4KiB", 64),
        ({"page_kib": GIB}, "1GiB", GIB),
        ({"page_kib": None}, "2MiB", 2048),
        ({"memory": ("strict", [1])}, "4KiB", 4),
    ],
    ids=["ordinary", "ordinary, of 64 KiB", "huge", "huge, of the default size", "bound elsewhere since"],
)
def test_a_guest_gives_back_its_memory_where_it_was_seen(has: dict[str, object], pages: str, page_kib: int) -> None:
    snapshot = full(seen(there("a", ["1"], **has), (0, page_kib, 4)))  # type: ignore[arg-type]  # what there() takes
    asked = guest("a", 1, memory_gib=4, page_size=pages)
    plan = planned(ask(asked, reserved="0"), snapshot)
    assert [cell.memory_node for cell in plan.placements[0].cells] == [0]
    alike = [replace(asked, name=name, vm=name) for name in "bc"]
    assert planned(ask(*alike, reserved="0"), snapshot).status is Status.INFEASIBLE


def test_huge_pages_without_a_size_are_of_the_hosts_default_one() -> None:
    one = there("a", ["1"], memory=("strict", [0]), page_kib=None, running=True)
    assert planned(ask(guest("a", 1, memory_gib=4, page_size="2MiB"), reserved="0"), full(one)).status is Status.OPTIMAL
    asked = ask(guest("a", 1, memory_gib=4, page_size="1GiB"), reserved="0")
    assert planned(asked, full(one)).status is Status.INFEASIBLE


def test_copies_that_are_there_are_counted_with_their_memory() -> None:
    copies = [seen(there(f"v-{i}", [str(i)]), (0, 4, 4)) for i in (1, 2)]
    found = count_copies(
        ask(guest("v", 1, memory_gib=4), reserved="0"), full(*copies), "v", together=False, apart=False
    )
    assert isinstance(found, Counted)
    assert (found.capacity.fit, found.capacity.proven) == (2, True)


def test_who_shares_a_cpu_is_pinned_elsewhere_on_a_node_that_its_memory_fills() -> None:
    two = [seen(there(name, ["1"]), (0, 4, 4)) for name in "ab"]
    moves = moves_of(ask(reserved="0"), full(*two))
    assert [kind for _, kind in steps(moves)] == [MoveKind.REPIN]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1)


def test_a_guest_goes_to_its_memory_where_that_was_seen() -> None:
    well = seen(there("a", ["1"], memory=("strict", [1])), (0, 4, 4))
    assert moves_of(ask(reserved="0"), full(well)).status is MovesStatus.NOTHING_TO_DO
    badly = seen(there("a", ["5"], memory=("strict", [1])), (0, 4, 4))
    assert steps(moves_of(ask(reserved="0"), full(badly))) == [("a", MoveKind.REPIN)]


@pytest.mark.parametrize("running", [True, None])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_rests_on_memory_that_nobody_saw_is_not_proven(*, running: bool | None, elsewhere: bool) -> None:
    """Two guests on one CPU of a full node: a pin is enough if memory is there."""
    two = [there(name, ["1"], running=running) for name in "ab"]
    first, second = host("2n:4c:1t", memory_gib=2).nodes
    roomy = replace(second, available_kib=8 * GIB) if elsewhere else second
    snapshot = replace(host("2n:4c:1t", memory_gib=2, guests=two), nodes=(first, roomy))
    moves = moves_of(ask(reserved="0"), snapshot)
    assert moves.status is (MovesStatus.FEASIBLE if elsewhere else MovesStatus.UNKNOWN)
    assert moves.bound <= 1
    assert any(note.startswith("memory of a, b counts as needed anew") for note in moves.plan.notes)


def test_moves_that_are_no_dearer_than_if_all_memory_were_there_are_proven() -> None:
    two = [there(name, ["1"], running=True) for name in "ab"]
    moves = moves_of(ask(reserved="0"), host("2n:4c:1t", memory_gib=8, guests=two))
    assert [kind for _, kind in steps(moves)] == [MoveKind.REPIN]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert not any("counts as needed anew" in note for note in moves.plan.notes)


@pytest.mark.parametrize(("running", "bound", "noted"), [(None, True, True), (True, False, True), (True, True, False)])
def test_memory_that_counts_twice_is_noted_where_it_is_in_the_way(
    *, running: bool | None, bound: bool, noted: bool
) -> None:
    one = there("a", ["1"], memory=("strict", [0]) if bound else None, running=running)
    plan = planned(ask(guest("a", 1, memory_gib=4), guest("b", 1, memory_gib=4), reserved="0"), full(one))
    assert plan.status is Status.INFEASIBLE
    assert any(note.startswith("memory of a counts as needed anew") for note in plan.notes) == noted
    plan = planned(ask(guest("a", 9, memory_gib=1), reserved="0"), full(one))
    assert plan.status is Status.INFEASIBLE
    assert not any("counts as needed anew" in note for note in plan.notes)


def test_memory_of_qemu_itself_may_be_there_too_where_it_is_not_known_whether_a_guest_runs() -> None:
    one = there("a", ["1"], memory=("strict", [0]), running=None)
    first, second = host("2n:4c:1t", memory_gib=2).nodes
    snapshot = replace(host("2n:4c:1t", guests=[one]), nodes=(replace(first, available_kib=0), second))
    asked = ask(guest("a", 1, memory_gib=4), reserved="0")
    asked = replace(asked, policy=replace(asked.policy, guest_overhead_kib=GIB))
    moves = moves_of(asked, snapshot)
    assert moves.status is MovesStatus.UNKNOWN
    assert any(note.startswith("memory of a counts as needed anew") for note in moves.plan.notes)
