"""Moves of guests whose memory was seen elsewhere than their XML or their vCPUs have it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from numaplan.audit.audit import audit
from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest, ResidentMemory, RunningGuest, VcpuPin
from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind, MovesStatus
from numaplan.model.plan import Status
from numaplan.model.snapshot import Snapshot
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.audit.audited import guest as there
from tests.hosts import GIB, Nic, host
from tests.placement.moves_checked import NODE0, NODE1, moves_of, sentences, steps
from tests.requests import ask, guest, vfs


def seen(one: Guest, *parts: tuple[int, int], page_kib: int = 4) -> Guest:
    """A guest that runs with (node, GiB) of memory."""
    memory = tuple(ResidentMemory(NodeId(node), page_kib, gib * GIB) for node, gib in parts)
    return replace(one, running=True, live=RunningGuest(memory=memory))


def on(*guests: Guest, free: Sequence[int] = (8, 8), shape: str = "2n:4c:1t", nic: int | None = None) -> Snapshot:
    """A host with so many GiB of ordinary memory free on each node, and a NIC on one."""
    snapshot = host(
        shape, guests=guests, memory_gib=8, pages={"1GiB": 4}, nics=[] if nic is None else [Nic("ens1", nic, 2)]
    )
    nodes = (replace(node, available_kib=gib * GIB) for node, gib in zip(snapshot.nodes, free, strict=True))
    return replace(snapshot, nodes=tuple(nodes))


def a_there(pins: Sequence[str] = ("1",), gib: int = 4, **more: object) -> Guest:
    return there("a", pins, memory_gib=gib, emulator="0", **{"memory": NODE0, **more})  # type: ignore[arg-type]  # passed on


def test_memory_of_a_guest_that_is_asked_for_moves_before_another_gets_its_room() -> None:
    snapshot = on(seen(a_there(), (1, 4)), free=(4, 0), nic=1)
    asked = ask(guest("a", 1, memory_gib=4), guest("n", 3, memory_gib=4, interfaces=[vfs("x", "ens1")]), reserved="0,4")
    moves = moves_of(asked, snapshot)
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("n", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 14)
    assert "move its memory to node 0" in sentences(moves)[0]
    plan = solve(asked, snapshot, budget=Budget())
    assert verify(asked, snapshot, plan) == ()
    assert plan.status is Status.OPTIMAL
    assert {level.name: level.value for level in plan.levels}["moves"] == 0
    assert [note for note in plan.notes if note.startswith("a: memory of it was seen on node 1")]


def test_memory_that_cannot_move_live_is_restarted_before_another_gets_its_room() -> None:
    snapshot = on(seen(a_there(vhost_user=1), (1, 4)), free=(4, 0), nic=1)
    asked = ask(guest("a", 1, memory_gib=4), guest("n", 3, memory_gib=4, interfaces=[vfs("x", "ens1")]), reserved="0,4")
    assert steps(moves_of(asked, snapshot)) == [("a", MoveKind.RESTART), ("n", MoveKind.START)]


@pytest.mark.parametrize("asked", [True, False])
def test_memory_on_two_nodes_moves_to_one(asked: bool) -> None:  # noqa: FBT001  # a case
    snapshot = on(seen(a_there(["5"], 2, memory=NODE1), (0, 1), (1, 1)), free=(1, 1))
    there_too = [guest("a", 1, memory_gib=2)] if asked else []
    moves = moves_of(ask(*there_too, guest("n", 3, memory_gib=2), reserved="0,4"), snapshot)
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("n", MoveKind.START)]
    assert moves.moves[0].before is not None
    assert moves.moves[0].before.cells[0].memory_nodes == (0, 1)
    assert (moves.status, moves.plan.notes) == (MovesStatus.OPTIMAL, ())


def test_memory_on_two_nodes_is_mended() -> None:
    moves = moves_of(ask(reserved="0,4"), on(seen(a_there(["1", "2"]), (0, 1), (1, 3))))
    assert [kind for _, kind in steps(moves)] == [MoveKind.MOVE_PAGES]
    wish = moves_of(ask(reserved="0,4"), on(seen(a_there(["1"], memory=("preferred", [0])), (0, 1), (1, 3))))
    assert wish.status is MovesStatus.NOTHING_TO_DO


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (((0, 1), (1, 1)), []),
        # What is not the cells' is QEMU's own.
        (((0, 2), (1, 1)), []),
        (((0, 2),), [MoveKind.RESTART]),
        (((1, 1), (2, 1)), [MoveKind.REPIN]),
    ],
)
def test_memory_of_several_cells_lies_where_it_adds_up(
    parts: tuple[tuple[int, int], ...], expected: list[MoveKind]
) -> None:
    pages = [8, 8, 8]
    one = there("a", ["1", "3"], cells=[[0], [1]], memory_gib=2, emulator="0")
    # The other node has no CPU for a cell but where memory is expected.
    reserved = "0,4,5" if expected == [MoveKind.RESTART] else "0"
    snapshot = on(seen(one, *parts), free=pages, shape="3n:2c:1t")
    moves = moves_of(ask(reserved=reserved), snapshot)
    assert [kind for _, kind in steps(moves)] == expected


def test_who_is_pinned_beside_its_memory_is_bound_to_it() -> None:
    one = seen(a_there(["1", "2"]), (1, 4))
    moves = moves_of(ask(reserved="0,4"), on(one))
    assert steps(moves) == [("a", MoveKind.REPIN)]
    (said,) = sentences(moves)
    assert said == (
        "pin it on CPUs 5-6 of node 1, its emulator on CPU 4 and bind its memory to node 1, where it lies, "
        "while it runs (virsh vcpupin, emulatorpin --live --config; virsh numatune --live --config --nodeset)"
    )
    pins = tuple(VcpuPin(pin.vcpu, CpuSet.parse(cpu), 1) for pin, cpu in zip(one.vcpu_pins, "56", strict=True))
    bound = replace(one, vcpu_pins=pins, memory=replace(one.memory, nodes=(NodeId(1),)) if one.memory else None)
    assert [finding.rule for finding in audit(on(bound)).findings if finding.rule == "NP102"] == []


@pytest.mark.parametrize(
    ("binding", "command"),
    [
        ({"memory": NODE0}, "virsh numatune --live --config --nodeset"),
        ({"memory": ("interleave", [0])}, "virsh numatune --config --nodeset"),
        ({"memory": NODE0, "cells": [[0, 1]], "memnodes": {0: NODE0}}, "virsh edit"),
    ],
)
def test_who_stays_beside_its_memory_is_bound_to_it_and_not_pinned(binding: dict[str, object], command: str) -> None:
    one = replace(seen(a_there(["5", "6"], **binding), (1, 4)), emulator_pin=None)  # type: ignore[arg-type]  # what there() takes
    one = replace(one, vcpu_cpuset=CpuSet.parse("4"))
    moves = moves_of(ask(guest("a", 2, memory_gib=4), reserved="0,4"), on(one))
    assert sentences(moves) == [f"bind its memory to node 1, where it lies, while it runs ({command})"]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1)


def test_huge_pages_that_were_seen_do_not_move_live() -> None:
    one = seen(a_there(gib=1), (0, 1), page_kib=GIB)
    moves = moves_of(ask(guest("n", 3, interfaces=[vfs("x", "ens1")]), reserved="0,4"), on(one, nic=0))
    assert steps(moves) == [("a", MoveKind.RESTART), ("n", MoveKind.START)]
    assert "with pages of 1 GiB" in sentences(moves)[0]


def test_a_vf_in_a_hostdev_gives_way_to_another_of_its_pf() -> None:
    one = there("a", ["1"], memory_gib=1, memory=NODE0, emulator="0", running=True, hostdevs=["0000:11:00.0"])
    new = replace(vfs("x", "ens1"), vf_indexes=frozenset({0}))
    moves = moves_of(ask(guest("n", 1, interfaces=[new]), reserved="0,4"), on(one, nic=0))
    assert steps(moves) == [("a", MoveKind.REPLUG), ("n", MoveKind.START)]


def test_a_transient_guest_moves_only_while_it_runs() -> None:
    room = ask(guest("n", 3, interfaces=[vfs("x", "ens1")]), reserved="0,4")
    small = replace(a_there(["1", "2"], 1, running=True), persistent=False)
    moves = moves_of(room, on(small, nic=0))
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES), ("n", MoveKind.START)]
    assert "--config" not in sentences(moves)[0]
    huge = replace(a_there(["1", "2"], 1, running=True, page_kib=GIB), persistent=False)
    moves = moves_of(room, on(huge, nic=0))
    assert moves.status is MovesStatus.INFEASIBLE
    assert moves.plan.notes == ("no moves were looked at that stop a: a transient guest is gone then",)
    # The same guest moves where it can be started again.
    assert moves_of(room, on(replace(huge, persistent=True), nic=0)).cost == 1_000_000


def test_transient_guests_that_are_in_each_others_place_are_not_stopped() -> None:
    """No CPU is free to wait on."""
    pair = [
        replace(there(name, [cpu], memory_gib=1, memory=memory, emulator="0", running=True), persistent=persistent)
        for name, cpu, memory, persistent in (("a", "1", NODE1, False), ("b", "3", NODE0, True))
    ]
    moves = moves_of(ask(reserved="0,2"), on(*pair, shape="2n:2c:1t"))
    assert ("a", MoveKind.STOP) not in steps(moves)
    assert moves.status is MovesStatus.FEASIBLE
    both = [replace(one, persistent=False) for one in pair]
    assert moves_of(ask(reserved="0,2"), on(*both, shape="2n:2c:1t")).status is MovesStatus.UNKNOWN


def test_a_saved_image_is_not_told_other_cpus() -> None:
    one = replace(a_there(["1", "2"], 1, running=False), managed_save=True)
    room = ask(guest("n", 3, interfaces=[vfs("x", "ens1")]), reserved="0,4")
    moves = moves_of(room, on(one, nic=0))
    assert moves.status is MovesStatus.INFEASIBLE
    assert [(each.vm, "resumes a saved image" in each.reason) for each in moves.unmovable] == [("a", True)]
    asked = ask(guest("a", 2, memory_gib=1, interfaces=[vfs("x", "ens1")]), reserved="0,4")
    assert "virsh managedsave-remove" in sentences(moves_of(asked, on(one, nic=0)))[0]
