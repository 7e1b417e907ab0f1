"""Orders of changes: circles, and memory that must be free before it is taken."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

from numaplan.cpuset import CpuSet
from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind
from numaplan.placement.rebalance.changes import PRICES, Action, Change, Footprint, Step, World
from numaplan.placement.rebalance.order import order

NODE0, NODE1 = NodeId(0), NodeId(1)
SMALL = 4


def change(
    vm: str, kind: MoveKind, cpus: tuple[str, str], memory: tuple[Mapping[int, int], Mapping[int, int]] = ({}, {})
) -> Change:
    """`cpus` and `memory` (node: KiB) before and after."""
    places = [
        Footprint(CpuSet.parse(held), memory=tuple(((NodeId(node), SMALL), size) for node, size in sizes.items()))
        for held, sizes in zip(cpus, memory, strict=True)
    ]
    return Change(vm, kind, PRICES[kind], places[0], places[1], ((NODE0, len(places[0].cpus)),))


def world(free: Mapping[int, int] | None = None, cpus: str = "0-7", shared: str = "") -> World:
    return World(
        (),
        {(NodeId(node), SMALL): size for node, size in (free or {}).items()},
        {NODE0: 4 * len(CpuSet.parse(shared))},
        {NODE0: CpuSet.parse(cpus)},
        {NODE0: CpuSet.parse(shared)},
    )


def said(changes: list[Change], around: World) -> list[str]:
    return [f"{step.action} {step.vm}" for step in ordered(changes, around)]


def ordered(changes: list[Change], around: World) -> tuple[Step, ...]:
    steps = order(changes, around)
    assert steps is not None
    return steps


def test_who_is_in_the_way_moves_first() -> None:
    chain = [change(vm, MoveKind.REPIN, (str(n), str(n + 1))) for n, vm in enumerate("abcd")]
    assert said(chain, world()) == ["do d", "do c", "do b", "do a"]


def test_a_circle_goes_over_a_free_cpu() -> None:
    circle = [change(vm, MoveKind.REPIN, (str(n), str((n + 1) % 3))) for n, vm in enumerate("abc")]
    steps = ordered(circle, world(cpus="0-3"))
    assert [f"{step.action} {step.vm}" for step in steps] == ["park a", "do c", "do b", "do a"]
    assert [str(cpus) for cpus in steps[0].parked] == ["3"]


def test_who_waits_stays_on_the_cpus_that_nobody_waits_for() -> None:
    circle = [change("a", MoveKind.REPIN, ("0-1", "2,4")), change("b", MoveKind.REPLUG, ("2", "0"))]
    steps = ordered(circle, world(cpus="0-3"))
    assert [f"{step.action} {step.vm}" for step in steps] == ["park a", "do b", "do a"]
    assert [str(cpus) for cpus in steps[0].parked] == ["1,3"]


def test_a_circle_goes_over_the_shared_pool_where_no_cpu_is_free() -> None:
    circle = [change("a", MoveKind.REPIN, ("0", "1")), change("b", MoveKind.REPIN, ("1", "0"))]
    steps = ordered(circle, world(cpus="0-1", shared="2-3"))
    assert [str(cpus) for cpus in steps[0].parked] == ["2-3"]
    assert said(circle, world(cpus="0-1", shared="2-3")) == ["park a", "do b", "do a"]


def test_a_circle_without_room_is_broken_where_it_costs_least() -> None:
    circle = [change("a", MoveKind.REPIN, ("0", "1")), change("b", MoveKind.REPLUG, ("1", "0"))]
    assert said(circle, world(cpus="0-1")) == ["stop b", "do a", "start b"]


def test_a_restart_in_a_circle_stops_early_and_costs_no_more() -> None:
    circle = [change("a", MoveKind.REPIN, ("0", "1")), change("b", MoveKind.RESTART, ("1", "0"))]
    steps = ordered(circle, world())
    assert [f"{step.action} {step.vm}" for step in steps] == ["stop b", "do a", "start b"]
    assert sum(step.cost for step in steps) == 1_000_001


def test_pages_wait_until_their_new_place_is_free() -> None:
    away = change("a", MoveKind.MOVE_PAGES, ("0", "1"), ({0: 10}, {1: 10}))
    into = change("b", MoveKind.MOVE_PAGES, ("2", "3"), ({2: 10}, {0: 10}))
    assert said([into, away], world({0: 0, 1: 10})) == ["do a", "do b"]


def test_room_that_two_want_goes_to_the_one_whose_leaving_helps() -> None:
    first = change("a", MoveKind.MOVE_PAGES, ("0", "10"), ({3: 4}, {1: 4}))
    second = change("b", MoveKind.MOVE_PAGES, ("1", "11"), ({2: 4}, {1: 4}))
    third = change("c", MoveKind.MOVE_PAGES, ("2", "12"), ({1: 4}, {2: 4}))
    assert said([first, second, third], world({1: 4, 2: 0, 3: 0})) == ["do b", "do c", "do a"]


def test_memory_that_swaps_without_room_takes_a_stop() -> None:
    a = change("a", MoveKind.MOVE_PAGES, ("0", "10"), ({0: 8}, {1: 8}))
    b = change("b", MoveKind.MOVE_PAGES, ("1", "11"), ({1: 8}, {0: 8}))
    assert said([a, b], world({0: 0, 1: 0})) == ["stop a", "do b", "start a"]


def test_a_restart_gives_its_memory_back_before_it_takes_some() -> None:
    assert said([change("a", MoveKind.RESTART, ("0", "1"), ({0: 8}, {0: 9}))], world({0: 1})) == ["do a"]


def test_many_that_wait_for_each_other_are_brought_to_an_end() -> None:
    circle = [change(f"g{n:02}", MoveKind.REPLUG, (str(n), str((n + 1) % 40))) for n in range(40)]
    steps = ordered(circle, world(cpus="0-39"))
    assert [step.action for step in steps].count(Action.STOP) == 1
    assert len(steps) == 41


def test_room_in_a_pool_that_two_want_goes_to_the_one_whose_leaving_helps() -> None:
    first = replace(change("a", MoveKind.REPIN, ("", "")), after=Footprint(pool=((NODE0, 1),)), parking=())
    second = replace(change("b", MoveKind.REPIN, ("1", "")), after=Footprint(pool=((NODE0, 1),)), parking=())
    third = replace(change("c", MoveKind.REPIN, ("", "1")), before=Footprint(pool=((NODE0, 1),)), parking=())
    around = replace(world(shared="7"), pool_room={NODE0: 2})
    for changes in permutations([first, second, third]):
        assert said(list(changes), around) == ["do b", "do c", "do a"]


def test_who_waits_takes_the_pool_where_its_nearest_place_is_waited_for() -> None:
    waiting = replace(change("a", MoveKind.REPIN, ("4-5", "0-1")), parking=())
    steps = ordered([waiting, change("b", MoveKind.REPIN, ("1", "5"))], world(cpus="0-1,4-5", shared="7"))
    assert [f"{step.action} {step.vm}" for step in steps] == ["park b", "do a", "do b"]
    assert [str(cpus) for cpus in steps[0].parked] == ["7"]


def test_of_many_circles_one_guest_each_is_stopped() -> None:
    """Far more sets of guests can be stopped than there is work for."""
    circles = [
        change(f"g{circle}{n}", MoveKind.REPIN, (str(8 * circle + n), str(8 * circle + (n + 1) % 8)))
        for circle in range(8)
        for n in range(8)
    ]
    steps = ordered(circles, world(cpus="0-63"))
    assert [step.vm[:2] for step in steps if step.action is Action.STOP] == [f"g{circle}" for circle in range(8)]
    assert len(steps) == 64 + 8


def test_who_may_not_stop_is_not_stopped() -> None:
    circle = [change("a", MoveKind.REPIN, ("0", "1")), change("b", MoveKind.REPLUG, ("1", "0"))]
    stays = replace(circle[1], may_stop=False)
    assert said([circle[0], stays], world(cpus="0-1")) == ["stop a", "do b", "start a"]
    assert order([replace(circle[0], may_stop=False), stays], world(cpus="0-1")) is None


def test_who_waits_on_another_node_takes_memory_of_qemu_itself_there() -> None:
    circle = [
        replace(change("a", MoveKind.REPIN, ("0", "1"), ({0: 3}, {0: 3})), resident=(((NODE0, SMALL), 2),)),
        replace(change("b", MoveKind.REPIN, ("1", "0"), ({0: 3}, {0: 3})), resident=(((NODE0, SMALL), 2),)),
    ]
    for free, first in ((1, "park a"), (0, "stop a")):
        around = world({0: 0, 1: free}, cpus="0-1")
        cpus, shared = {NODE0: CpuSet.parse("0-1"), NODE1: CpuSet.parse("2")}, {NODE0: CpuSet(), NODE1: CpuSet()}
        around = replace(around, cpus=cpus, shared=shared, overhead_kib=1)
        assert said(circle, around)[0] == first
