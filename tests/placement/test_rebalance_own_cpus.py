"""Emulators and iothreads with a CPU of their own, of guests that nobody asks for: they keep it unless it is needed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from numaplan.model.guest import Guest, ResidentMemory, RunningGuest
from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind, MovesStatus
from tests.audit.audited import guest as there
from tests.hosts import GIB, Nic, host
from tests.placement.moves_checked import NODE0, SHAPE, moves_of, sentences, steps
from tests.requests import ask, guest, vfs


def runs(pins: Sequence[str], emulator: str, *iothreads: str, thread_policy: str | None = None) -> Guest:
    return there(
        "a",
        pins,
        memory=NODE0,
        memory_gib=1,
        running=True,
        emulator=emulator,
        iothreads=iothreads,
        thread_policy=thread_policy,
    )


@pytest.mark.parametrize(
    ("emulator", "iothreads", "said"),
    [
        ("3", [], "pin its emulator on CPUs 0,8, while it runs (virsh emulatorpin --live --config)"),
        ("0,8", ["3"], "pin its iothreads on CPUs 0,8, while it runs (virsh iothreadpin --live --config)"),
        (
            "3",
            ["11"],
            (
                "pin its emulator on CPUs 0,8, its iothreads on CPUs 0,8, while it runs"
                " (virsh emulatorpin, iothreadpin --live --config)"
            ),
        ),
    ],
    ids=["emulator", "iothread", "both"],
)
def test_a_thread_leaves_the_cpu_of_its_own_that_another_guest_needs(
    emulator: str, iothreads: list[str], said: str
) -> None:
    """`upf` needs core 3,11, the only one that is left beside the vCPUs of `a`, and `big` all of node 1."""
    snapshot = host(SHAPE, guests=[runs(["1", "9", "2", "10"], emulator, *iothreads)], nics=[Nic("ens1", 0, 2)])
    upf = guest("upf", 2, thread_policy="require", interfaces=[vfs("n3", "ens1")])
    asked = ask(upf, guest("big", 6), reserved="0,4,8,12")
    moves = moves_of(asked, snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("upf", MoveKind.START), ("big", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert sentences(moves)[0] == said
    assert moves_of(asked, snapshot, "a").status is MovesStatus.INFEASIBLE
    off = replace(snapshot, guests=tuple(replace(each, running=False) for each in snapshot.guests))
    moves = moves_of(asked, off)
    assert (steps(moves)[0], moves.cost, moves.status) == (("a", MoveKind.CONFIGURE), 0, MovesStatus.OPTIMAL)
    assert sentences(moves)[0] == (
        "write into its XML that it starts on CPUs 1-2,9-10 of node 0,"
        f" {said.partition(', while')[0].removeprefix('pin ')}; it is shut off, and stays so until the last step"
    )


def test_nobody_leaves_a_cpu_of_its_own_that_nobody_needs() -> None:
    moves = moves_of(ask(guest("n", 1), reserved="0"), host("1n:5c:1t", guests=[runs(["1"], "2", "3")]))
    assert (steps(moves), moves.cost) == ([("n", MoveKind.START)], 0)


def test_of_emulator_and_iothreads_only_one_leaves_where_one_cpu_is_enough() -> None:
    moves = moves_of(ask(guest("n", 2), reserved="0"), host("1n:5c:1t", guests=[runs(["1"], "2", "3")]))
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert sentences(moves)[0] in (
        "pin its emulator on CPU 0, while it runs (virsh emulatorpin --live --config)",
        "pin its iothreads on CPU 0, while it runs (virsh iothreadpin --live --config)",
    )


def test_an_emulator_keeps_a_cpu_of_its_own_where_a_move_to_another_one_costs_no_more() -> None:
    """Cores are 0,4, reserved, 1,5 with the vCPU of `a`, 2,6 with its emulator, and 3,7; CPU 5 is left at last."""
    snapshot = host("1n:4c:2t", guests=[runs(["1"], "2")])
    moves = moves_of(ask(guest("n", 4, thread_policy="require"), reserved="0,4"), snapshot)
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert {placement.vm: str(placement.emulator) for placement in moves.plan.placements}["a"] in ("1", "5")


def test_another_guest_moves_before_an_emulator_loses_its_cpu_where_that_costs_no_more() -> None:
    """`n` needs two whole cores of 2,6 with the emulator of `a`, 3,7 with `b`, and 4,9: CPU 6 is left for `b`."""
    b = there("b", ["3"], memory=NODE0, memory_gib=1, running=True, emulator="0")
    snapshot = host("1n:5c:2t", guests=[runs(["1", "6"], "2"), b])
    moves = moves_of(ask(guest("n", 4, thread_policy="require"), reserved="0,5"), snapshot)
    assert steps(moves) == [("b", MoveKind.REPIN), ("n", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)


def test_the_idle_sibling_goes_with_the_cpu_of_an_emulator_that_leaves() -> None:
    """Cores are 0,4, reserved, 1,5 with the vCPU of `a`, 2,6 with its emulator, and 3,7."""
    snapshot = host("1n:4c:2t", guests=[runs(["1"], "2", thread_policy="isolate")])
    moves = moves_of(ask(guest("n", 4), reserved="0,4"), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("n", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert sentences(moves)[0].startswith("pin its emulator on CPUs 0,4, while")
    assert moves_of(ask(guest("n", 5), reserved="0,4"), snapshot).status is MovesStatus.INFEASIBLE


def test_where_no_pool_is_named_the_thread_floats_on_what_nobody_holds() -> None:
    """`n` needs cores 0, 2 and 3 to itself, and leaves its emulator and that of `a` their siblings."""
    snapshot = host("1n:4c:2t", guests=[runs(["1", "5"], "2")])
    moves = moves_of(ask(guest("n", 3, thread_policy="isolate")), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("n", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert sentences(moves)[0] == "pin its emulator on CPUs 4,6-7, while it runs (virsh emulatorpin --live --config)"


def test_where_no_pool_is_named_a_new_emulator_may_float_on_a_cpu_that_one_has_alone() -> None:
    """One CPU is left for the vCPU of `n`, and none but CPU 2 for its emulator."""
    snapshot = host("1n:4c:1t", guests=[runs(["1"], "2")])
    moves = moves_of(ask(guest("n", 2)), snapshot)
    assert (steps(moves), moves.cost, moves.bound) == ([("n", MoveKind.START)], 0, 0)
    assert moves_of(ask(guest("n", 2, emulator="isolate")), snapshot).status is MovesStatus.INFEASIBLE


def test_an_emulator_that_leaves_its_cpu_mends_no_memory_that_is_elsewhere() -> None:
    """No XML binds the memory of `a`: it is found on node 1, where no CPUs are for guests."""
    a = replace(runs(["0"], "1"), memory=None, live=RunningGuest(memory=(ResidentMemory(NodeId(1), 4, GIB),)))
    moves = moves_of(ask(reserved="3-7"), host("2n:4c:1t", guests=[a]))
    assert steps(moves) == [("a", MoveKind.MOVE_PAGES)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 11, 11)
