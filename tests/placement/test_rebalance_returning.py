"""Moves of guests that are asked for and are there already."""

from dataclasses import replace

import pytest

from numaplan.model.moves import MoveKind, MovesStatus
from numaplan.model.request import Request
from numaplan.placement.rebalance.moves import rebalance
from tests.audit.audited import guest as there
from tests.hosts import GIB, Nic, host
from tests.placement.moves_checked import NODE0, NODE1, POOLS, SHAPE, moves_of, runs, sentences, steps
from tests.requests import ask, guest, vfs


def test_a_guest_of_the_request_that_is_there_stays_where_it_satisfies_it() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0", "1"], memory_gib=1)])
    moves = moves_of(ask(guest("a", 2), guest("new", 6), shared=POOLS), snapshot)
    assert steps(moves) == [("new", MoveKind.START)]


def test_a_guest_of_the_request_that_wants_other_memory_restarts() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0", "1"], memory_gib=1)])
    moves = moves_of(ask(guest("a", 2, memory_gib=2), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.RESTART)]


def test_a_vf_that_the_request_does_not_name_stays_unless_another_guest_gets_it() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0"], vfs=["0000:11:00.0"], memory_gib=1)], nics=[Nic("ens1", 0, 2)])
    one_vf = replace(vfs("x", "ens1"), vf_indexes=frozenset({0}))
    assert moves_of(ask(guest("a", 1), shared=POOLS), snapshot).status is MovesStatus.NOTHING_TO_DO
    moves = moves_of(ask(guest("a", 1), guest("new", 1, interfaces=[vfs("x", "ens1")]), shared=POOLS), snapshot)
    assert steps(moves) == [("new", MoveKind.START)]
    moves = moves_of(ask(guest("a", 1), guest("new", 1, interfaces=[one_vf]), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.REPLUG), ("new", MoveKind.START)]
    assert sentences(moves)[0] == (
        "pin its emulator on CPUs 3,11 and detach 0000:11:00.0, while it runs"
        " (virsh emulatorpin, detach-device --live --config)"
    )


def test_a_guest_of_another_shape_is_said_to_be_asked_for_so() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["0"], memory_gib=1)])
    moves = moves_of(ask(guest("a", 2), shared=POOLS), snapshot)
    assert sentences(moves) == [
        "restart it on CPUs 0,8 of node 0: it is asked for with other vCPUs, cells or memory than it has"
    ]


def test_vfs_that_change_are_named_where_a_guest_starts_anew() -> None:
    crossed = there("a", ["0"], memory=NODE0, running=True, emulator="3", memory_gib=1, vfs=["0000:21:00.0"])
    snapshot = host(SHAPE, guests=[crossed], nics=[Nic("ens1", 0, 1), Nic("ens2", 1, 1)])
    near = ask(guest("a", 2, interfaces=[vfs("x", "ens1")]), shared=POOLS)
    assert sentences(moves_of(near, snapshot))[0] == (
        "restart it on CPUs 0,8 of node 0, with 0000:11:00.0 in place of 0000:21:00.0: it is asked for with other"
        " vCPUs, cells or memory than it has"
    )
    off = replace(snapshot, guests=(replace(crossed, running=False),))
    assert sentences(moves_of(near, off))[0] == (
        "write into its XML that it starts on CPUs 0,8 of node 0, with 0000:11:00.0 in place of 0000:21:00.0; it is"
        " shut off, and stays so until the last step"
    )
    rest = ask(guest("a", 2), guest("n", 1, interfaces=[vfs("x", "ens2")]), shared=POOLS)
    assert sentences(moves_of(rest, snapshot))[0].startswith("restart it on CPUs 0,8 of node 0, without 0000:21:00.0:")


def test_memory_that_may_be_anywhere_stays_where_it_is() -> None:
    a = runs("a", ["0", "1"], page_kib=GIB)
    snapshot = host("2n:4c:1t", guests=[a], pages={"1GiB": 8}, nics=[Nic("ens1", 0, 1)])
    new = guest("new", 3, interfaces=[vfs("x", "ens1")])
    kept = guest("a", 2, memory_gib=4, page_size="1GiB", memory_policy="preferred")
    moves = moves_of(ask(kept, new, reserved="3"), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("new", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    spot = moves.moves[0].after
    assert spot is not None
    assert [(cell.numa_nodes, cell.memory_node) for cell in spot.cells] == [((1,), 0)]


@pytest.mark.parametrize("page_size", ["large", "any"])
def test_a_guest_that_accepts_the_pages_that_it_has_keeps_them(page_size: str) -> None:
    asked = ask(guest("a", 1, memory_gib=4, page_size=page_size), shared=POOLS)
    there_already = host(SHAPE, guests=[runs("a", ["0"], page_kib=GIB)], pages={"1GiB": 0})
    assert moves_of(asked, there_already).status is MovesStatus.NOTHING_TO_DO
    moves = moves_of(asked, host(SHAPE, guests=[runs("a", ["4"], page_kib=GIB)], pages={"1GiB": 0}))
    assert (steps(moves), moves.cost, moves.bound) == ([("a", MoveKind.REPIN)], 1, 1)
    if page_size == "large":
        small = host(SHAPE, guests=[runs("a", ["0"])], pages={"1GiB": 4})
        assert steps(rebalance(asked, small)) == [("a", MoveKind.RESTART)]


def test_a_live_pin_takes_the_memory_of_qemu_itself_along() -> None:
    """Node 1 has no ordinary memory left: what `x` gives back there, `y` takes."""
    x, y = runs("x", ["4"], NODE0, page_kib=GIB, memory_gib=1), runs("y", ["0"], NODE0, page_kib=GIB, memory_gib=1)
    empty = host(SHAPE, guests=[x, y], memory_gib=0, pages={"1GiB": [0, 1]}, nics=[Nic("ens1", 1, 1)])
    first, second = empty.nodes
    snapshot = replace(empty, nodes=(replace(first, available_kib=GIB // 2), second))
    policy = replace(ask(shared=POOLS).policy, guest_overhead_kib=GIB // 2)
    asked = [guest("x", 1, page_size="1GiB"), guest("y", 1, page_size="1GiB", interfaces=[vfs("a", "ens1")])]
    moves = moves_of(Request(policy, tuple(asked)), snapshot)
    assert steps(moves) == [("x", MoveKind.REPIN), ("y", MoveKind.RESTART)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1_000_001, 1_000_001)


def test_nobody_comes_to_a_cpu_that_an_emulator_with_several_still_has() -> None:
    """On three CPUs of each node `a` and its emulator, and two more that are to be where the other is."""
    a = there("a", ["0"], memory=NODE1, page_kib=GIB, memory_gib=1, running=True, emulator="1-2")
    b = there("b", ["4", "5"], memory=NODE0, page_kib=GIB, running=True, emulator="3")
    asked = guest("a", 1, page_size="1GiB", emulator="set", emulator_cpus=2)
    snapshot = host("2n:4c:1t", guests=[a, b], pages={"1GiB": 0})
    moves = moves_of(ask(asked, shared="3,7"), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("b", MoveKind.REPIN), ("a", MoveKind.REPIN)]
    assert sentences(moves)[0] == (
        "pin its vCPUs and emulator to CPU 3 for the moment, while it runs (virsh vcpupin, emulatorpin --live)"
    )
    moves = moves_of(ask(asked, reserved="3,7"), snapshot)
    assert steps(moves) == [("a", MoveKind.STOP), ("b", MoveKind.REPIN), ("a", MoveKind.START)]


@pytest.mark.parametrize("page_size", ["large", "any"])
def test_a_guest_keeps_its_pages_where_it_may_though_there_are_larger_ones(page_size: str) -> None:
    asked = ask(guest("a", 1, memory_gib=4, page_size=page_size), shared=POOLS)
    there_already = host(SHAPE, guests=[runs("a", ["0"], page_kib=2048)], pages={"1GiB": 8, "2MiB": 0})
    assert moves_of(asked, there_already).status is MovesStatus.NOTHING_TO_DO
    away = host(SHAPE, guests=[runs("a", ["4"], page_kib=2048)], pages={"1GiB": 8, "2MiB": 0})
    moves = moves_of(asked, away)
    assert (steps(moves), moves.cost, moves.bound) == ([("a", MoveKind.REPIN)], 1, 1)


@pytest.mark.parametrize("page_size", ["large", "any"])
def test_a_guest_whose_pages_another_one_needs_pays_for_a_restart_with_others(page_size: str) -> None:
    asked = [guest("a", 1, memory_gib=4, page_size=page_size), guest("n", 1, memory_gib=4, page_size="1GiB")]
    snapshot = host(SHAPE, guests=[runs("a", ["0"], page_kib=GIB)], pages={"1GiB": 0, "2MiB": [2048, 0]})
    moves = moves_of(ask(*asked, shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.RESTART), ("n", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1_000_000)


def test_guests_that_would_do_with_each_others_pages_keep_their_own() -> None:
    asked = [guest(name, 1, memory_gib=4, page_size="large") for name in ("a", "b")]
    both = [runs("a", ["0"], page_kib=GIB), runs("b", ["1"], page_kib=2048)]
    moves = moves_of(ask(*asked, shared=POOLS), host(SHAPE, guests=both, pages={"1GiB": 0, "2MiB": 0}))
    assert moves.status is MovesStatus.NOTHING_TO_DO


def test_a_restart_is_paid_for_where_a_guest_changes_in_its_place() -> None:
    snapshot = host(SHAPE, guests=[runs("a", ["1"], memory_gib=1)])
    moves = moves_of(ask(guest("a", 1, memory_gib=2), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.RESTART)]
    assert moves.moves[0].after is not None
    assert str(moves.moves[0].after.cells[0].cpus) == "1"
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1_000_000, 1_000_000)


def test_an_emulator_that_is_to_float_keeps_its_cpu_while_there_are_others() -> None:
    snapshot = host("1n:6c:1t", guests=[there("a", ["1"], memory=NODE0, memory_gib=1, running=True, emulator="2")])
    asked = guest("a", 1)
    moves = moves_of(ask(asked, guest("new", 3), reserved="0"), snapshot)
    assert (steps(moves), moves.status) == ([("new", MoveKind.START)], MovesStatus.OPTIMAL)
    moves = moves_of(ask(asked, guest("new", 4), reserved="0"), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("new", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)


def test_the_core_of_an_emulator_that_keeps_its_cpu_is_nobody_elses_to_isolate() -> None:
    """Cores are 0+4, reserved, 1+5 with the vCPUs of `a`, 2+6 with its emulator, and 3+7."""
    a = there("a", ["1", "5"], memory=NODE0, memory_gib=1, running=True, emulator="2")
    snapshot = host("1n:4c:2t", guests=[a])
    new = [guest(name, 1, thread_policy="isolate") for name in ("m", "n")]
    moves = moves_of(ask(guest("a", 2), new[0], reserved="0,4"), snapshot)
    assert (steps(moves), moves.cost) == ([("m", MoveKind.START)], 0)
    moves = moves_of(ask(guest("a", 2), *new, reserved="0,4"), snapshot)
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)


@pytest.mark.parametrize("asks_for_one", [True, False])
def test_vfs_that_a_guest_does_not_name_go_last_and_are_paid_for(asks_for_one: bool) -> None:  # noqa: FBT001  # a case
    addresses = ["0000:11:00.0", "0000:11:00.1", "0000:11:00.2"]
    snapshot = host(SHAPE, guests=[runs("a", ["0"], memory_gib=1, vfs=addresses)], nics=[Nic("ens1", 0, 5)])
    a = guest("a", 1, interfaces=[vfs("x", "ens1")] if asks_for_one else [])
    moves = moves_of(ask(a, guest("new", 1, interfaces=[vfs("x", "ens1", 2)]), shared=POOLS), snapshot)
    assert (steps(moves), moves.status) == ([("new", MoveKind.START)], MovesStatus.OPTIMAL)
    moves = moves_of(ask(a, guest("new", 1, interfaces=[vfs("x", "ens1", 3)]), shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.REPLUG), ("new", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 10_000, 10_000)


def test_another_guest_gives_its_place_where_that_costs_less_than_a_vf() -> None:
    """`b` can go to the other node live; `new` must come near either PF, and `a` has the only VF of one of them."""
    a = runs("a", ["4"], NODE1, memory_gib=1, vfs=["0000:11:00.0"])
    b = runs("b", ["5", "6"], NODE1, page_kib=4, memory_gib=1)
    snapshot = host(SHAPE, guests=[a, b], nics=[Nic("ens1", 0, 1), Nic("ens2", 1, 1)])
    new = guest("new", 4, interfaces=[vfs("x", "net", physnet=True)])
    asked = ask(guest("a", 1), new, shared=POOLS, physnets={"net": ("ens1", "ens2")})
    moves = moves_of(asked, snapshot)
    assert steps(moves) == [("b", MoveKind.MOVE_PAGES), ("new", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 11)


def test_a_core_is_not_a_guests_own_while_another_one_stays_there() -> None:
    """The emulator of `b` is on CPU 0, the sibling of CPU 4: one of both has to move."""
    a = there("a", ["4"], memory=NODE0, memory_gib=1, running=True, emulator="7")
    b = there("b", ["1"], memory=NODE0, memory_gib=1, running=True, emulator="0")
    asked = ask(guest("a", 1, thread_policy="isolate"), reserved="0,3,7")
    moves = moves_of(asked, host("1n:4c:2t", guests=[a, b]))
    assert (moves.status, moves.cost, len(moves.moves)) == (MovesStatus.OPTIMAL, 1, 1)


def test_siblings_that_a_guest_need_not_keep_idle_any_more_are_there_for_others() -> None:
    """CPU 5, the sibling of CPU 1, and CPU 2 are left."""
    a = there("a", ["1"], memory=NODE0, memory_gib=1, running=True, emulator="0", thread_policy="isolate")
    b = there("b", ["3"], memory=NODE0, memory_gib=1, running=True, emulator="0")
    both = [guest("a", 1), guest("b", 2), guest("n", 2, thread_policy="require")]
    moves = moves_of(ask(*both, reserved="0,4,7"), host("1n:4c:2t", guests=[a, b]))
    assert steps(moves) == [("b", MoveKind.RESTART), ("n", MoveKind.START)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1_000_000)


def test_the_sibling_of_an_emulator_that_is_to_float_need_not_stay_idle() -> None:
    """On node 0 CPU 10 is left beside the emulator of `b`, and CPU 9, which `b` keeps idle."""
    b = there("b", ["1"], memory=NODE0, memory_gib=1, running=True, emulator="2", thread_policy="isolate")
    c = there("c", ["4"], memory=NODE0, memory_gib=1, running=True, page_kib=GIB, emulator="0")
    full = there("full", ["3", "11"], memory=NODE0, running=True, emulator="0")
    asked = [guest("b", 1, thread_policy="isolate"), guest("c", 1, page_size="1GiB")]
    snapshot = host(SHAPE, guests=[b, c, full], pages={"1GiB": 0})
    moves = moves_of(ask(*asked, reserved="0,8"), snapshot, "full")
    assert steps(moves) == [("c", MoveKind.REPIN)]
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 1)


def test_a_guest_pays_for_no_vf_that_it_keeps() -> None:
    """A core for `n` is free where `a` is on one core, or where `b` is on the other node."""
    a = runs("a", ["0", "2"], memory_gib=1, vfs=["0000:11:00.1"])
    b = runs("b", ["1", "9"], thread_policy="require")
    snapshot = host(SHAPE, guests=[a, b], nics=[Nic("ens1", 0, 3)])
    new = guest("n", 2, thread_policy="require", interfaces=[vfs("x", "ens1")])
    moves = moves_of(ask(guest("a", 2, interfaces=[vfs("x", "ens1")]), new, shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.REPIN), ("n", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)


def test_a_vf_that_would_not_do_any_more_is_replaced() -> None:
    a = there("a", ["0"], memory=NODE0, memory_gib=1, running=True, emulator="3", vfs=["0000:21:00.0"])
    snapshot = host(SHAPE, guests=[a], nics=[Nic("ens1", 0, 1), Nic("ens2", 1, 1)])
    asked = [guest("a", 1, interfaces=[vfs("x", "ens1")]), guest("n", 1, interfaces=[vfs("x", "ens2")])]
    moves = moves_of(ask(*asked, shared=POOLS), snapshot)
    assert steps(moves) == [("a", MoveKind.REPLUG), ("n", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 10_000, 10_000)


def test_a_cpu_is_not_kept_beside_a_guest_that_stays_on_it() -> None:
    """CPUs 2 and 6 are one core, so by count both have room there."""
    a = there("a", ["3", "2"], memory=NODE0, memory_gib=1, page_kib=GIB, running=False, emulator="0")
    b = there("b", ["2"], memory=NODE1, memory_gib=1, page_kib=GIB, running=True, emulator="0")
    snapshot = host("2n:2c:2t", guests=[a, b], pages={"1GiB": 2})
    moves = moves_of(ask(guest("b", 1, page_size="1GiB"), guest("n", 3), reserved="0"), snapshot)
    assert moves.status in (MovesStatus.OPTIMAL, MovesStatus.NOTHING_TO_DO)
    assert moves.cost == 0
