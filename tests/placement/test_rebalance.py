"""Moves on hosts where one can see what must come out."""

from dataclasses import replace

import pytest

from numaplan.audit.audit import audit
from numaplan.cpuset import CpuSet
from numaplan.model.finding import Severity
from numaplan.model.guest import EmulatorPin, Guest, IothreadId, IothreadPin
from numaplan.model.moves import MoveKind, MovesStatus
from numaplan.model.request import PageSize, Request
from numaplan.placement.rebalance.moves import rebalance
from tests.audit.audited import guest as there
from tests.hosts import GIB, Nic, host
from tests.placement.moves_checked import NODE0, NODE1, POOLS, SHAPE, moves_of, runs, sentences, steps
from tests.requests import ask, guest, vfs


def test_nobody_moves_where_there_is_room() -> None:
    moves = moves_of(ask(guest("new", 6), shared=POOLS), host(SHAPE, guests=[runs("a", ["0"])]))
    assert steps(moves) == [("new", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 0)


def test_nothing_is_to_be_done_on_a_host_where_nobody_lies_badly() -> None:
    moves = moves_of(ask(shared=POOLS), host(SHAPE, guests=[runs("a", ["0", "8"])]))
    assert (moves.status, moves.moves) == (MovesStatus.NOTHING_TO_DO, ())


def test_a_guest_makes_room_on_its_node_by_a_live_pin_where_whole_cores_are_missing() -> None:
    snapshot = host("1n:4c:2t", guests=[runs("a", ["0"]), runs("b", ["1"])])
    moves = moves_of(ask(guest("new", 4, thread_policy="require"), shared="3,7"), snapshot)
    assert [kind for _, kind in steps(moves)] == [MoveKind.REPIN, MoveKind.START]
    assert moves.cost == 1


def test_ordinary_memory_moves_live_with_its_vcpus_and_costs_by_the_gib() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0"]), runs("b", ["4"], NODE1, memory_gib=7)], nics=[Nic("ens1", 0, 2)])
    moves = moves_of(ask(guest("new", 6, interfaces=[vfs("x", "ens1")]), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("new", MoveKind.START)]
    assert moves.cost == 10 + 4


def test_memory_elsewhere_is_mended_unless_that_was_chosen_or_cannot_be_helped() -> None:
    def moved(mode: str, memory_gib: int = 8) -> list[str]:
        found = there("a", ["0"], memory=(mode, [1]), running=True, emulator="3")
        snapshot = host(SHAPE, guests=[found])
        first, second = snapshot.nodes
        snapshot = replace(snapshot, nodes=(replace(first, memory_kib=memory_gib * GIB), second))
        assert any(f.severity is not Severity.INFO for f in audit(snapshot).findings if f.rule == "NP102") == (
            (mode, memory_gib) == ("strict", 8)
        )
        return [move.vm for move in moves_of(ask(shared=POOLS), snapshot).moves]

    assert (moved("strict"), moved("preferred"), moved("strict", 0)) == (["a"], [], [])


@pytest.mark.parametrize(
    "twist",
    [
        {"page_kib": GIB},
        {"vhost_user": 1},
        {"memnodes": {0: ("strict", [0])}, "cells": [[0]]},
        {"memory": ("preferred", [0])},
    ],
    ids=["huge pages", "vhost-user", "memnode", "mode preferred"],
)
def test_memory_that_cannot_move_live_takes_a_restart(twist: dict[str, object]) -> None:
    found = there("a", ["0"], **({"memory": NODE0, "running": True, "emulator": "3"} | twist))  # type: ignore[arg-type]  # passed on
    snapshot = host(SHAPE, guests=[found], pages={"1GiB": 8}, nics=[Nic("ens1", 0, 2)])
    moves = moves_of(ask(guest("new", 6, interfaces=[vfs("x", "ens1")]), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.RESTART), ("new", MoveKind.START)]


def test_a_guest_gives_up_a_vf_that_a_new_one_names_and_keeps_running() -> None:
    wanted = replace(vfs("x", "ens1"), vf_indexes=frozenset({0}))
    snapshot = host(SHAPE, guests=[runs("a", ["0"], vfs=["0000:11:00.0"])], nics=[Nic("ens1", 0, 2)])
    moves = moves_of(ask(guest("new", 1, interfaces=[wanted]), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.REPLUG), ("new", MoveKind.START)]
    (before, after) = (moves.moves[0].before, moves.moves[0].after)
    assert before is not None
    assert after is not None
    assert [str(address) for address in (*before.devices, *after.devices)] == ["0000:11:00.0", "0000:11:00.1"]


def test_a_guest_that_is_shut_off_moves_for_nothing_and_first() -> None:
    off = there("b", ["1"], memory=NODE0, running=False, emulator="3")
    snapshot = host(SHAPE, guests=[runs("a", ["0"]), off], nics=[Nic("ens1", 0, 2)])
    moves = moves_of(ask(guest("new", 5, interfaces=[vfs("x", "ens1")]), shared=POOLS), snapshot)
    assert steps(moves) == [("b", MoveKind.CONFIGURE), ("new", MoveKind.START)]
    assert moves.cost == 0


def test_guests_that_lie_in_each_others_place_swap_over_free_cpus() -> None:
    a, b = runs("a", ["0", "8"], NODE1, page_kib=GIB), runs("b", ["4", "12"], NODE0, page_kib=GIB)
    full = [runs("c", ["1", "2", "9", "10"]), runs("d", ["5", "13"], NODE1)]
    moves = moves_of(ask(shared=POOLS), host(SHAPE, guests=[a, b, *full], pages={"1GiB": 0}), "c", "d")
    assert len(moves.moves) == 2
    assert moves.cost == 2
    tight = runs("d", ["5", "6", "13", "14"], NODE1)
    moves = moves_of(ask(shared=POOLS), host(SHAPE, guests=[a, b, full[0], tight], pages={"1GiB": 0}), "c", "d")
    assert steps(moves) == [("a", MoveKind.REPIN), ("b", MoveKind.REPIN), ("a", MoveKind.REPIN)]
    assert moves.moves[0].after is not None
    assert moves.moves[0].after.cells[0].cpus <= CpuSet.parse(POOLS)
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.FEASIBLE, 3, 2)


def test_a_circle_without_room_to_wait_is_broken_by_a_stop() -> None:
    a, b = runs("a", ["0", "8"], NODE1, page_kib=GIB), runs("b", ["4", "12"], NODE0, page_kib=GIB)
    full = [runs("c", ["1", "2", "9", "10"]), runs("d", ["5", "6", "13", "14"], NODE1)]
    snapshot = host(SHAPE, guests=[a, b, *full], pages={"1GiB": 0})
    moves = moves_of(ask(reserved=POOLS), snapshot, "c", "d")
    assert steps(moves) == [("a", MoveKind.STOP), ("b", MoveKind.REPIN), ("a", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.FEASIBLE, 1_000_001, 2)


def test_an_emulator_on_reserved_cpus_needs_no_place_to_wait() -> None:
    """Of three nodes with two CPUs each, CPU 4 alone is free; emulators run on CPU 3."""
    a, b = runs("a", ["0"], NODE1, page_kib=GIB), runs("b", ["2"], NODE0, page_kib=GIB)
    full = [runs("c", ["1"]), runs("d", ["5"], ("strict", [2]))]
    snapshot = host("3n:2c:1t", guests=[a, b, *full], pages={"1GiB": 0})
    moves = moves_of(ask(reserved="3"), snapshot, "c", "d")
    assert steps(moves) == [("a", MoveKind.REPIN), ("b", MoveKind.REPIN), ("a", MoveKind.REPIN)]
    assert moves.moves[0].after is not None
    assert str(moves.moves[0].after.cells[0].cpus) == "4"


def test_guests_on_one_cpu_are_parted() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0", "1"]), runs("b", ["1", "2"])])
    moves = moves_of(ask(shared=POOLS), snapshot)
    assert (moves.cost, len(moves.moves)) == (1, 1)


def test_who_is_kept_does_not_move_even_where_it_lies_badly() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0", "1"]), runs("b", ["1", "2"]), runs("c", ["4"])])
    moves = moves_of(ask(shared=POOLS), snapshot, "a", "c")
    assert steps(moves) == [("b", MoveKind.REPIN)]
    assert [each.vm for each in moves.unmovable] == ["a", "c"]


def test_siblings_that_an_isolated_guest_keeps_idle_stay_idle_when_others_move() -> None:
    snapshot = host("1n:3c:2t", guests=[runs("a", ["0"], thread_policy="isolate"), runs("b", ["1"])])
    moves = moves_of(ask(guest("new", 2), reserved="2,5"), snapshot)
    assert moves.status is MovesStatus.INFEASIBLE
    moves = moves_of(ask(guest("new", 1), reserved="2,5"), snapshot)
    assert [str(cell.cpus) for move in moves.moves if move.after for cell in move.after.cells] == ["4"]


def test_the_place_beside_an_isolated_guest_goes_to_nobody_when_who_is_there_moves() -> None:
    isolated, beside = runs("a", ["0"], thread_policy="isolate"), runs("b", ["8"])
    snapshot = host(SHAPE, guests=[isolated, beside], nics=[Nic("ens1", 0, 2)])
    new = guest("new", 1, interfaces=[vfs("x", "ens1")])
    asked = ask(new, reserved="1-3,9-11")
    assert steps(moves_of(asked, snapshot)) == [("a", MoveKind.MOVE_PAGES), ("new", MoveKind.START)]
    assert moves_of(asked, snapshot, "a").status is MovesStatus.INFEASIBLE


@pytest.mark.parametrize("keep", [(), ("a",)])
def test_who_is_beside_an_isolated_guest_already_may_stay(keep: tuple[str, ...]) -> None:
    beside = runs("b", ["8"], memory_gib=1)
    snapshot = host(SHAPE, guests=[runs("a", ["0"], thread_policy="isolate"), beside])
    moves = moves_of(ask(guest("b", 1), guest("new", 1), reserved="1,3,9,11"), snapshot, *keep)
    assert (steps(moves), moves.cost) == ([("new", MoveKind.START)], 0)


def test_who_can_run_on_one_cpu_that_is_online_holds_that_and_no_room_in_the_pool() -> None:
    snapshot = host("1n:6c:1t", guests=[runs("a", ["4-5"], memory_gib=1)], offline="5")
    shared = guest("new", 2, cpu_policy="shared")
    moves = moves_of(ask(shared, reserved="0,3", shared="1", shared_ratio=2), snapshot)
    assert (steps(moves), moves.cost) == ([("new", MoveKind.START)], 0)
    moves = moves_of(ask(guest("new", 2), reserved="0,3", shared="1", shared_ratio=2), snapshot)
    assert moves.status is MovesStatus.INFEASIBLE


def test_a_new_guest_keeps_away_from_one_that_is_there_by_moving_it() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0"])], nics=[Nic("ens1", 0, 2)])
    new = guest("new", 2, interfaces=[vfs("x", "ens1")], anti_affinity=["a"])
    moves = moves_of(ask(new, shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("new", MoveKind.START)]


def test_no_moves_help_where_all_together_need_more_than_there_is() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0", "1"]), runs("b", ["4"], NODE1)])
    moves = moves_of(ask(guest("new", [6, 5]), shared=POOLS), snapshot)
    assert moves.status is MovesStatus.INFEASIBLE
    assert [each.vm for each in moves.plan.unplaced] == ["new"]
    assert moves.plan.conflict is not None
    assert [(member.vm, member.sentence) for member in moves.plan.conflict.members] == [
        ("new", "is to be placed; needs 11 dedicated vCPUs, cells 0-1: 1 GiB each in 4 KiB pages"),
        ("a", "is there, and has to stay on the host; needs 2 dedicated vCPUs, 4 GiB in 4 KiB pages"),
    ]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (["large", "large"], "cells 0-1: 1 GiB each in huge pages"),
        (["2MiB", "2MiB"], "cells 0-1: 1 GiB each in 2 MiB pages"),
        (["2MiB", "any"], "cell 0: 1 GiB in 2 MiB pages, cell 1: 1 GiB in pages of any size"),
    ],
)
def test_memory_of_who_has_no_place_is_told_by_cell_and_pages(sizes: list[str], said: str) -> None:
    new = guest("new", [6, 5])
    cells = (replace(cell, page_size=PageSize(size)) for cell, size in zip(new.cells, sizes, strict=True))
    snapshot = host(SHAPE, guests=[runs("a", ["0", "1"]), runs("b", ["4"], NODE1)], pages={"2MiB": 1024})
    moves = moves_of(ask(replace(new, cells=tuple(cells)), shared=POOLS), snapshot)
    assert moves.plan.conflict is not None
    assert moves.plan.conflict.members[0].sentence == f"is to be placed; needs 11 dedicated vCPUs, {said}"


def test_a_guest_that_lies_badly_and_cannot_be_moved_is_named() -> None:
    odd = there("odd", ["0", "4"], memory=NODE0, running=True, page_kib=16384)
    moves = moves_of(ask(shared=POOLS), host(SHAPE, guests=[odd]))
    assert moves.plan.conflict is not None
    (member,) = moves.plan.conflict.members
    assert member.sentence == (
        "cell 0 has vCPUs on nodes 0, 1, and it cannot be moved: it has pages of 16384 KiB, which no request can ask"
        " for; --keep odd leaves it as it is"
    )
    assert moves_of(ask(shared=POOLS), host(SHAPE, guests=[odd]), "odd").status is MovesStatus.NOTHING_TO_DO


def test_floating_vcpus_move_to_another_pool_to_make_room_in_theirs() -> None:
    floating = there("a", ["3,11", "3,11"], memory=NODE0, running=True, emulator="3", shared_vcpus=[0, 1])
    new = guest("new", 8, cpu_policy="shared", interfaces=[vfs("x", "ens1")])
    snapshot = host(SHAPE, guests=[floating], nics=[Nic("ens1", 0, 2)])
    moves = moves_of(ask(new, shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("new", MoveKind.START)]


def test_emulators_leave_the_cpu_that_a_new_guest_takes() -> None:
    both = [
        replace(runs(name, [cpu]), emulator_pin=EmulatorPin(CpuSet([1]), 50)) for name, cpu in (("a", "2"), ("b", "3"))
    ]
    moves = moves_of(ask(guest("new", 2), reserved="0"), host("1n:5c:1t", guests=both))
    assert steps(moves) == [("a", MoveKind.REPIN), ("b", MoveKind.REPIN), ("new", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 2)
    assert sentences(moves)[0] == "pin its emulator on CPU 0, while it runs (virsh emulatorpin --live --config)"


def test_an_emulator_leaves_the_cpu_of_a_vcpu() -> None:
    a, b = replace(runs("a", ["2"]), emulator_pin=EmulatorPin(CpuSet([3]), 50)), runs("b", ["3"])
    moves = moves_of(ask(reserved="0-1"), host("1n:4c:1t", guests=[a, b]))
    assert steps(moves) == [("a", MoveKind.REPIN)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1)


def test_iothreads_and_emulator_are_named_where_they_move() -> None:
    pins = tuple(IothreadPin(IothreadId(thread), CpuSet([3]), 60) for thread in (1, 2))
    busy = replace(runs("a", ["2"]), emulator_pin=EmulatorPin(CpuSet([3]), 50), iothreads=2, iothread_pins=pins)
    snapshot = host("1n:6c:1t", guests=[busy])
    assert moves_of(ask(guest("new", 4), reserved="0-1"), snapshot).status is MovesStatus.INFEASIBLE
    moves = moves_of(ask(guest("new", 3), reserved="0-1"), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("new", MoveKind.START)]
    assert sentences(moves)[0] == (
        "pin its emulator on CPUs 0-1, its iothreads on CPUs 0-1, while it runs"
        " (virsh emulatorpin, iothreadpin --live --config)"
    )


@pytest.mark.parametrize("pins", [["0", "4"], ["0", "1"]], ids=["both away", "one away"])
def test_equal_cells_go_to_their_memory_in_whatever_order_it_lies(pins: list[str]) -> None:
    memnodes = {0: NODE1, 1: NODE0}
    crossed = runs("a", pins, cells=[[0], [1]], memnodes=memnodes, page_kib=GIB)
    moves = moves_of(ask(shared=POOLS), host(SHAPE, guests=[crossed], pages={"1GiB": 0}))
    assert steps(moves) == [("a", MoveKind.REPIN)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1)
    assert moves.moves[0].after is not None
    assert [cell.numa_nodes for cell in moves.moves[0].after.cells] == [(1,), (0,)]
    assert sentences(moves)[0].startswith("pin cell 0 on CPU ")


@pytest.mark.parametrize("memnodes", [{0: NODE0, 1: NODE1}, {0: NODE1, 1: NODE0}], ids=["in order", "crossed"])
def test_equal_cells_stay_with_their_memory_in_whatever_order_they_lie(
    memnodes: dict[int, tuple[str, list[int]]],
) -> None:
    """The whole core that `new` wants near its VF is the one where a cell of `a` lies well."""
    pins = {0: "1", 1: "3"}
    there_ = runs(
        "a", [pins[nodes[0]] for _, nodes in memnodes.values()], cells=[[0], [1]], memnodes=memnodes, page_kib=GIB
    )
    snapshot = host("2n:2c:2t", guests=[there_], pages={"1GiB": 0}, nics=[Nic("ens1", 0, 2)])
    new = guest("new", 2, thread_policy="require", interfaces=[vfs("x", "ens1")])
    moves = moves_of(ask(new, reserved="0"), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("new", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1)


def test_cpus_of_emulator_and_iothreads_are_told_of_who_has_no_place() -> None:
    """Of `a` the vCPU alone counts: its emulator would float where that helped."""
    busy = replace(runs("a", ["1"]), emulator_pin=EmulatorPin(CpuSet([2]), 50))
    asked = guest("new", 2, emulator="isolate", iothreads=1, iothread_policy="dedicated")
    moves = moves_of(ask(asked, reserved="0"), host("1n:5c:1t", guests=[busy]))
    assert moves.plan.conflict is not None
    assert [member.sentence.split("; ")[1] for member in moves.plan.conflict.members] == [
        "needs 2 dedicated vCPUs, 1 CPU for its emulator, 1 CPU for its iothreads, 1 GiB in 4 KiB pages",
        "needs 1 dedicated vCPU, 4 GiB in 4 KiB pages",
    ]


def test_of_guests_that_have_no_place_together_none_is_said_to_have_none_alone() -> None:
    """Either of the new ones finds room where the other guest goes away with its memory."""
    there_already = runs("x", ["4", "12"], NODE1, page_kib=GIB)
    snapshot = host(SHAPE, guests=[there_already], pages={"1GiB": [4, 0]})
    wide = [guest(name, 4, memory_gib=4, page_size="1GiB") for name in ("m", "n")]
    assert moves_of(ask(wide[0], shared=POOLS), snapshot).status is MovesStatus.OPTIMAL
    moves = moves_of(ask(*wide, shared=POOLS), snapshot)
    assert moves.plan.conflict is not None
    assert {member.vm for member in moves.plan.conflict.members} == {"m", "n", "x"}
    assert all("has no place even" not in member.sentence for member in moves.plan.conflict.members)


def test_pages_that_move_need_no_second_room_for_qemu_itself() -> None:
    a = there("a", ["1"], memory=NODE1, memory_gib=1, running=True, emulator="0")
    z = there("z", ["3", "4", "5"], memory=NODE1, page_kib=GIB, running=True, emulator="0")
    snapshot = host("2n:3c:1t", guests=[a, z], memory_gib=1, pages={"1GiB": 0})
    policy = replace(ask(reserved="0").policy, guest_overhead_kib=GIB // 2)
    moves = rebalance(Request(policy, ()), snapshot, keep=["z"])
    assert (steps(moves), moves.cost, moves.bound) == ([("a", MoveKind.MOVE_PAGES)], 11, 11)
    assert sentences(moves) == [
        "move its memory to node 0, while it runs (virsh numatune --live --config --nodeset, then migratepages)"
    ]


def test_an_emulator_on_a_cpu_of_its_own_waits_and_goes_with_its_vcpus() -> None:
    def placed(name: str, pins: list[str], emulator: str, memory: tuple[str, list[int]]) -> Guest:
        return there(name, pins, memory=memory, page_kib=GIB, running=True, emulator=emulator)

    crossed = [placed("a", ["0"], "8", NODE1), placed("b", ["4"], "12", NODE0)]
    full = [runs("c", ["1", "2", "9", "10"]), runs("d", ["5", "6", "13", "14"], NODE1)]
    snapshot = host(SHAPE, guests=[*crossed, *full], pages={"1GiB": 0})
    moves = moves_of(ask(shared=POOLS), snapshot, "c", "d")
    assert steps(moves) == [("a", MoveKind.REPIN), ("b", MoveKind.REPIN), ("a", MoveKind.REPIN)]
    first, _, last = sentences(moves)
    assert first.startswith("pin its vCPUs and emulator to CPUs ")
    assert first.endswith("(virsh vcpupin, emulatorpin --live)")
    assert "its emulator on CPU " in last


def test_emulators_on_a_reserved_cpu_are_in_nobodys_way_who_isolates_its_sibling() -> None:
    """CPU 6 is the sibling of CPU 0, and all but that and CPU 7, the sibling of `c`, is taken on node 0."""
    a = there("a", ["10"], memory=NODE1, memory_gib=1, running=True, emulator="0", thread_policy="isolate")
    b, c = (there(name, [cpu], running=True, memory=NODE0, emulator="0") for name, cpu in (("b", "8"), ("c", "1")))
    new = guest("n", 5, page_size="1GiB")
    snapshot = host("2n:3c:2t", guests=[a, b, c], pages={"1GiB": [0, 1]})
    moves = moves_of(ask(guest("b", 1, memory_gib=4), guest("c", 1, memory_gib=4), new, reserved="0,3"), snapshot)
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("n", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 11)


def test_where_two_guests_share_a_cpu_and_neither_can_go_it_is_told_which() -> None:
    snapshot = host("1n:2c:1t", guests=[there("a", ["1"], emulator="0"), there("b", ["1"], emulator="0")])
    one_stays = moves_of(ask(reserved="0"), snapshot, "b").plan.conflict
    assert one_stays is not None
    assert [(member.vm, member.sentence) for member in one_stays.members] == [
        (
            "a",
            (
                'is there and lies badly: it has CPU 1 together with "b";'
                " it has no other place: no node can take it: node 0: 0 free CPUs, needs 1"
            ),
        )
    ]
    both_may_go = moves_of(ask(reserved="0"), snapshot).plan.conflict
    assert both_may_go is not None
    assert [(member.vm, member.sentence.partition(";")[0]) for member in both_may_go.members] == [
        ("a", 'is there and lies badly: it has CPU 1 together with "b"'),
        ("b", 'is there and lies badly: it has CPU 1 together with "a"'),
    ]


@pytest.mark.parametrize("others", [[], [there("c", ["2"], emulator="0")]])
def test_two_guests_on_one_cpu_that_cannot_be_moved_are_the_conflict(others: list[Guest]) -> None:
    a, b = (there(name, ["1"], memory=NODE0, emulator="0", page_kib=16384) for name in "ab")
    snapshot = host("1n:4c:1t", guests=[a, b, *others])
    reason = "it has pages of 16384 KiB, which no request can ask for; --keep a --keep b leaves both as they are"
    conflict = moves_of(ask(reserved="0"), snapshot).plan.conflict
    assert conflict is not None
    assert [(member.vm, member.sentence) for member in conflict.members] == [
        ("a", f'it has CPU 1 together with "b", and it cannot be moved: {reason}'),
        ("b", f'it has CPU 1 together with "a", and it cannot be moved: {reason}'),
    ]
    assert moves_of(ask(reserved="0"), snapshot, "a", "b").status is MovesStatus.NOTHING_TO_DO
    movable = replace(snapshot, guests=(a, there("b", ["1"], emulator="0"), *others))
    kept = moves_of(ask(reserved="0"), movable, "b").plan.conflict
    assert kept is not None
    assert ["it is to be kept as it is;" in member.sentence for member in kept.members] == [False, True]


def test_memory_moves_where_pins_alone_would_be_cheaper_but_for_a_stop() -> None:
    """Each guest has its memory on the other's node, and there is no CPU on which one could wait."""
    a = there("a", ["1"], memory=NODE1, memory_gib=1, running=True, emulator="0")
    b = there("b", ["2"], memory=NODE0, memory_gib=1, running=True, emulator="0")
    moves = moves_of(ask(reserved="0,3"), host("2n:2c:1t", guests=[a, b]))
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("b", MoveKind.MOVE_PAGES)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.FEASIBLE, 22, 2)


def test_siblings_that_several_guests_keep_idle_are_left_once() -> None:
    """On cores of four threads `a` and `b` keep CPUs 5 and 7 idle both, and CPUs 2, 4 and 6 are left."""
    pins = (("a", "1"), ("b", "3"))
    guests = [there(name, [cpu], memory=NODE0, emulator="0", thread_policy="isolate") for name, cpu in pins]
    moves = moves_of(ask(guest("n", 3), reserved="0"), host("1n:2c:4t", guests=guests))
    assert steps(moves) == [("n", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 0)
