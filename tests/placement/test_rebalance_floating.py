"""Hosts that name no CPUs for emulators to share, where those of several guests are on one: nobody moves for that."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId, Guest, IothreadId, VcpuId
from numaplan.model.moves import MoveKind, MovesStatus
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import placement_violations
from tests.audit.audited import guest as there
from tests.depth import draws
from tests.hosts import host
from tests.placement.moves_checked import moves_of, steps
from tests.requests import ask, guest

SHAPES = ("1n:5c:1t", "1n:3c:2t", "2n:3c:1t", "2n:2c:2t")


def runs(name: str, pins: list[str], node: int, emulator: str) -> Guest:
    return there(name, pins, memory=("strict", [node]), memory_gib=1, running=True, emulator=emulator)


def test_a_pool_that_the_vcpus_of_others_hold_is_nobodys_to_float_on_while_they_stay() -> None:
    old = runs("old", ["0"], 0, "0")
    snapshot = host("2n:3c:1t", memory_gib=8, guests=[old])
    new = [guest(name, 1) for name in ("b", "c")]
    moves = moves_of(ask(*new, reserved="", shared="0"), snapshot)
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 0)
    # With one CPU less what is left is not proven: nobody looked at what would float there without it.
    moves = moves_of(ask(guest("b", 2), reserved="", shared="0"), host("1n:3c:1t", memory_gib=8, guests=[old]))
    assert moves.status is MovesStatus.UNKNOWN
    assert any("threads could float on CPUs 0 when their vCPUs move away" in note for note in moves.plan.notes)


def test_a_shared_vcpu_leaves_a_pool_of_one_cpu_to_the_threads_of_others() -> None:
    old = replace(runs("old", ["0"], 0, "0"), shared_vcpus=(VcpuId(0),))
    request = ask(guest("b", 1), reserved="", shared="0")
    moves = moves_of(request, host("1n:2c:1t", memory_gib=8, guests=[old]))
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL, 0)


def test_an_emulator_leaves_the_sibling_that_another_guest_is_to_keep_idle() -> None:
    """`b` goes to cores 2 and 3, and CPU 7, where the emulator of `a` is, is the sibling of CPU 3."""
    a = runs("a", ["5"], 0, "7")
    b = replace(runs("b", ["1", "4"], 1, "0"), running=False, thread_policy="isolate")
    c = runs("c", ["5", "7"], 0, "4")
    snapshot = host("2n:2c:2t", memory_gib=4, guests=[a, b, c])
    moves = moves_of(ask(reserved="0"), snapshot)
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 2, 2)
    assert {move.vm: move.sentence for move in moves.moves}["a"].startswith("pin its emulator on CPU 0")


def test_an_emulator_leaves_a_reserved_cpu_for_the_pool_so_that_another_guest_can_have_the_core() -> None:
    """Cores 0,3 and 1,4 and 2,5: `n` needs the siblings of both reserved CPUs, and `a` runs on the one."""
    snapshot = host("1n:3c:2t", guests=[runs("a", ["2"], 0, "0")])
    moves = moves_of(ask(guest("n", 2, thread_policy="isolate"), reserved="0-1"), snapshot)
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert moves.moves[0].sentence.startswith("pin its emulator on CPUs 0-1,")


def test_an_emulator_on_the_only_cpu_for_emulators_floats_there_already() -> None:
    snapshot = host("1n:2c:2t", guests=[runs("a", ["1", "3"], 0, "0")])
    moves = moves_of(ask(guest("n", 1, thread_policy="isolate"), reserved="0"), snapshot)
    assert (steps(moves), moves.cost, moves.bound) == ([("n", MoveKind.START)], 0, 0)


def test_an_emulator_leaves_before_a_guest_comes_beside_it_that_is_to_have_the_core() -> None:
    """`n` needs the core of `a` and `b`; for `b` there is but CPU 4, the sibling of CPU 0."""
    a, b = runs("a", ["2"], 0, "0"), replace(runs("b", ["6"], 0, "0-1"), thread_policy="isolate")
    snapshot = host("1n:4c:2t", guests=[b, a, runs("c", ["3"], 0, "1")])
    moves = moves_of(ask(guest("n", 2, thread_policy="require"), reserved="0-1"), snapshot, "c")
    assert (steps(moves), moves.cost) == ([("a", MoveKind.REPIN), ("b", MoveKind.REPIN), ("n", MoveKind.START)], 2)


def test_an_iothread_leaves_its_cpu_for_whoever_needs_the_sibling_that_is_idle_beside_it() -> None:
    """Cores 0,4 and 1,5 and 2,6 and 3,7, the first one reserved: `n` cannot do with core 3 alone."""
    a = there("a", ["1"], memory=("strict", [0]), memory_gib=1, running=True, emulator="0,4", iothreads=["2", "0,4"])
    snapshot = host("1n:4c:2t", guests=[replace(a, thread_policy="isolate")])
    moves = moves_of(ask(guest("n", 3), reserved="0,4"), snapshot)
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert moves.moves[0].sentence.startswith("pin iothread 1 on CPUs 0,4,")


def test_iothreads_are_pinned_by_the_ids_that_libvirt_gave_them() -> None:
    a = there("a", ["1"], memory=("strict", [0]), memory_gib=1, running=True, emulator="0,4", iothreads=["2", "0,4"])
    ids = (IothreadId(4), IothreadId(7))
    pins = tuple(replace(pin, iothread=iothread) for iothread, pin in zip(ids, a.iothread_pins, strict=True))
    numbered = replace(a, thread_policy="isolate", listed_iothreads=ids, iothread_pins=pins)
    moves = moves_of(ask(guest("n", 3), reserved="0,4"), host("1n:4c:2t", guests=[numbered]))
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 1, 1)
    assert moves.moves[0].sentence.startswith("pin iothread 4 on CPUs 0,4,")


def test_where_no_pool_is_named_a_sibling_stays_idle_beside_emulators_that_stay() -> None:
    """The emulators of `a` and `b` are on CPU 1, whose sibling 5 is idle, as `a` isolates: `n` has cores 2 and 3."""
    a, b = replace(runs("a", ["0"], 0, "1"), thread_policy="isolate"), runs("b", ["2"], 0, "1")
    snapshot = host("1n:4c:2t", guests=[a, b])
    for size, cost in ((3, 0), (4, 1)):
        moves = moves_of(ask(guest("n", size)), snapshot)
        assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, cost, cost)


@pytest.mark.parametrize("asked", [[], ["a"], ["b"], ["a", "b"]], ids=lambda names: "".join(names) or "nobody")
@pytest.mark.parametrize("emulator", ["share", "isolate"])
def test_a_new_emulator_floats_where_others_do_and_nobody_moves(asked: list[str], emulator: str) -> None:
    """CPU 4 is left for the vCPU of `n`, and CPU 5 for its emulator, if that wants one."""
    guests = [runs("a", ["1", "3"], 0, "0"), runs("b", ["2"], 0, "0")]
    snapshot = host("1n:6c:1t" if emulator == "isolate" else "1n:5c:1t", guests=guests)
    there_already = [guest(name, 2 if name == "a" else 1) for name in asked]
    moves = moves_of(ask(*there_already, guest("n", 1, emulator=emulator)), snapshot)
    assert steps(moves) == [("n", MoveKind.START)]
    assert (moves.status, moves.cost, moves.bound) == (MovesStatus.OPTIMAL, 0, 0)


def test_the_cpu_where_emulators_float_goes_to_nobody_while_there_is_no_other() -> None:
    snapshot = host("1n:5c:1t", guests=[runs("a", ["1"], 0, "0"), runs("b", ["2"], 0, "0")])
    moves = moves_of(ask(guest("a", 1), guest("n", 2, emulator="share")), snapshot)
    assert (steps(moves), moves.cost) == ([("n", MoveKind.START)], 0)
    moves = moves_of(ask(guest("a", 1), guest("n", 2, emulator="isolate")), snapshot)
    assert moves.status is MovesStatus.INFEASIBLE


@st.composite
def shared_emulators(draw: st.DrawFn) -> tuple[Request, Snapshot]:
    """Two or three guests, their emulators on one or two CPUs; some of them are asked for, and mostly a new one."""
    shape = draw(st.sampled_from(SHAPES))
    empty = host(shape, pages={"1GiB": [draw(st.sampled_from([0, 2])) for _ in range(int(shape[0]))]})
    node_of = {cpu: int(node.id) for node in empty.nodes for cpu in node.cpus}
    cpus = draw(st.permutations(list(empty.cpus.online)))
    count = draw(st.sampled_from([1, 1, 2]))
    emulators, left = cpus[:count], cpus[count:]
    guests = []
    for name in ("a", "b", "c")[: draw(st.sampled_from([2, 2, 3]))]:
        node = node_of[left[0]] if left else 0
        pins = [cpu for cpu in left if node_of[cpu] == node][: draw(st.sampled_from([1, 1, 2]))]
        left = [cpu for cpu in left if cpu not in pins]
        near = [cpu for cpu in emulators if node_of[cpu] == node] or emulators
        if pins:
            guests.append(runs(name, [str(cpu) for cpu in pins], node, str(draw(st.sampled_from(near)))))
    asked = [guest(each.name, each.vcpus) for each in guests if draw(st.booleans())]
    if draw(st.sampled_from([True, True, True, False])):
        size, emulator = draw(st.sampled_from(["4KiB", "1GiB"])), draw(st.sampled_from(["share", "isolate"]))
        asked.append(guest("n", draw(st.integers(1, 3)), page_size=size, emulator=emulator))
    return ask(*asked), replace(empty, guests=tuple(guests))


@settings(max_examples=draws(20), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(shared_emulators())
def test_nobody_moves_where_what_is_asked_for_fits_beside_all_as_they_are(case: tuple[Request, Snapshot]) -> None:
    request, snapshot = case
    assume(any(_fits(each, snapshot) for each in _with_others(request, snapshot)))
    moves = moves_of(request, snapshot)
    assert [move for move in moves.moves if move.kind is not MoveKind.START] == []
    assert (moves.status, moves.cost) == (MovesStatus.OPTIMAL if moves.moves else MovesStatus.NOTHING_TO_DO, 0)


def _with_others(request: Request, snapshot: Snapshot) -> Iterator[Request]:
    """The same and any of those that are there, asked for with an emulator that floats, as several are on its CPU."""
    names = {each.name for each in request.guests}
    on = Counter(_emulator(each) for each in snapshot.guests)
    others = [each for each in snapshot.guests if each.name not in names and on[_emulator(each)] > 1]
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            yield replace(request, guests=(*(guest(each.name, each.vcpus) for each in some), *request.guests))


def _fits(request: Request, snapshot: Snapshot) -> bool:
    """Whether the verifier accepts some place of a new guest, all that are there being asked for as they lie."""
    facts = Facts(request, snapshot)
    lies = {each.name: each for each in snapshot.guests}
    kept = tuple(_as_it_lies(facts, lies[each.name]) for each in request.guests if each.name in lies)
    new = next((each for each in request.guests if each.name not in lies), None)
    places = ((),) if new is None else ((place,) for place in _places(facts, new, kept))
    return any(not any(placement_violations(facts, (*kept, *place))) for place in places)


def _as_it_lies(facts: Facts, of: Guest) -> Placement:
    node = next(node.id for node in facts.snapshot.nodes if of.vcpu_pins[0].cpus <= node.cpus)
    pins = tuple((pin.vcpu, pin.cpus) for pin in of.vcpu_pins)
    return Placement(of.name, (CellPlacement(CellId(0), node, pins, node, of.memory_kib or 0, 4),), _emulator(of))


def _places(facts: Facts, new: GuestRequest, kept: tuple[Placement, ...]) -> Iterator[Placement]:
    cell = new.cells[0]
    held = CpuSet(cpu for each in kept for _, cpus in each.cells[0].vcpus for cpu in cpus)
    for node in facts.snapshot.nodes:
        free = (facts.allocatable - facts.taken - held) & node.cpus
        # Its own emulator is not to go where others float.
        floating = CpuSet(cpu for each in kept for cpu in each.emulator) if new.own_emulator_cpus else CpuSet()
        for cpus in combinations(free - floating, len(cell.vcpus)):
            vcpus = tuple((vcpu, CpuSet([cpu])) for vcpu, cpu in zip(cell.vcpus, cpus, strict=True))
            placed = CellPlacement(CellId(0), node.id, vcpus, node.id, cell.memory_kib, cell.page_size.size_kib or 0)
            for emulator in free - CpuSet(cpus) - floating:
                yield Placement(new.name, (placed,), CpuSet([emulator]))


def _emulator(of: Guest) -> CpuSet:
    assert of.emulator_pin is not None
    return of.emulator_pin.cpus
