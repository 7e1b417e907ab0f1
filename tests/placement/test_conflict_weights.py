"""Weights that are found for cells prove only what is so, and what counting one thing at a time does not show."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.model.host import NodeId
from numaplan.placement.conflict import judge
from numaplan.placement.conflict.judge import Judge, Patience
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.filling import covering
from numaplan.placement.filling.fillings import Filling, Load, Lump
from numaplan.placement.filling.needs import Needs
from numaplan.placement.filling.weighing import Scales
from numaplan.placement.levels import Budget
from numaplan.placement.lp import LinearProgram
from numaplan.placement.options import build_problem
from tests.depth import draws
from tests.hosts import host
from tests.requests import ask, guest

DRAWS: Final = draws(30)
NO_SEARCH: Final = Patience(Budget(scale=0.00001), few=0, many=0)
# (how many, vCPUs, GiB) of the guests beside the copies.
OTHERS: Final = ((15, 2, 20), (9, 4, 16), (14, 6, 32), (4, 8, 16), (6, 8, 32), (3, 10, 4), (5, 4, 24), (5, 4, 8))
NODES: Final = tuple(map(NodeId, range(3)))

needs = st.tuples(st.integers(0, 6), st.integers(0, 2))
lumps = st.builds(
    lambda needs, nodes, floats, apart: Lump(needs, tuple(sorted(nodes)), floats and apart == 1, apart),
    needs,
    st.sets(st.sampled_from(NODES), min_size=2),
    st.booleans(),
    st.sampled_from([1, 1, 2]),
)


def loads(room: Mapping[NodeId, Needs]) -> st.SearchStrategy[Load]:
    """Two to six lumps, of which some are alike."""
    counted = st.dictionaries(lumps, st.integers(1, 3), min_size=1, max_size=3)
    return counted.map(lambda wanted: Load({lump: count * lump.apart for lump, count in wanted.items()}, room))


same_host = st.tuples(st.integers(7, 10), st.integers(1, 4)).flatmap(
    lambda room: st.lists(loads(dict.fromkeys(NODES, room)), min_size=1, max_size=4)
)


def ways(load: Load) -> Iterator[Sequence[tuple[Lump, NodeId]]]:
    """Every way to lay each lump on one of its nodes."""
    single = list(Counter(load.wanted).elements())
    for nodes in product(*(lump.nodes for lump in single)):
        yield list(zip(single, nodes, strict=True))


def has_place(load: Load) -> bool:
    """Whether any way keeps to the room of each node, of which what floats takes one of the last thing, once."""

    def keeps(way: Sequence[tuple[Lump, NodeId]]) -> bool:
        laid = {node: [lump for lump, on in way if on == node] for node in load.room}
        # Those of a guest lie apart if no node has more of them than there are guests.
        apart = all(laid[node].count(lump) * lump.apart <= load.wanted[lump] for node in laid for lump in laid[node])
        return apart and all(
            sum(lump.needs[i] for lump in laid[node]) + (i == last and any(lump.floats for lump in laid[node])) <= have
            for node, room in load.room.items()
            for i, have in enumerate(room)
            for last in [len(room) - 1]
        )

    return any(keeps(way) for way in ways(load))


def keeps_to_room(load: Load, filling: Filling) -> bool:
    """Whether a filling has slots for all, and no node more than its room, where one thing may float for all."""
    slots: dict[NodeId, dict[Lump, int]] = {node: {} for node in load.room}
    for (node, lump), count in filling.slots.items():
        assert count == 0 or node in lump.nodes
        assert count * lump.apart <= load.wanted[lump] + lump.apart - 1
        slots[node][lump] = count
    covered = all(
        sum(there.get(lump, 0) for there in slots.values()) >= count
        for lump, count in load.wanted.items()
        if any(lump.needs)
    )
    for node, room in load.room.items():
        used = [sum(count * lump.needs[i] for lump, count in slots[node].items()) for i in range(len(room))]
        used[-1] += any(count and lump.floats for lump, count in slots[node].items())
        covered = covered and all(taken <= have for taken, have in zip(used, room, strict=True))
    return covered


@settings(max_examples=DRAWS, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(7, 10), st.integers(1, 4)), min_size=3, max_size=3), st.data(), st.integers(1, 2))
def test_a_filling_keeps_to_the_room_of_each_node_and_has_slots_for_all(
    rooms: list[Needs], data: st.DataObject, last: int
) -> None:
    load = data.draw(loads(dict(zip(NODES, rooms, strict=True))))
    # Nodes are filled one by one by ways, but for the last, however few there are.
    with patch.object(covering, "LAST", last):
        filling = Scales().fill(load)
    if filling.slots:
        assert keeps_to_room(load, filling)
    elif filling.outcome is Outcome.INFEASIBLE:
        assert not has_place(load)


@pytest.mark.parametrize("seed", range(8))
def test_what_was_cut_from_whole_nodes_is_put_together_again(seed: int) -> None:
    """No CPU is left over on any of 16 nodes, and few pages; a greedy way to fill them would soon waste one."""
    dice = random.Random(seed)  # noqa: S311  # a test, no secret
    nodes = tuple(map(NodeId, range(16)))
    pieces: Counter[Lump] = Counter()
    for _ in nodes:
        cpus, pages = 61, 200
        while cpus:
            size = min(cpus, dice.choice((4, 6, 8, 10, 12, 5, 9)))
            of_pages = min(pages, size * dice.choice((2, 4)))
            pieces[Lump((size, of_pages), nodes)] += 1
            cpus, pages = cpus - size, pages - of_pages
    load = Load(pieces, dict.fromkeys(nodes, (61, 208)))
    filling = Scales().fill(load)
    assert filling.slots
    assert keeps_to_room(load, filling)


@settings(max_examples=DRAWS, deadline=None, derandomize=True, database=None)
@given(same_host)
def test_what_weights_refuse_has_no_place_also_where_they_were_found_for_something_else(same: list[Load]) -> None:
    scales = Scales()
    for load in same:
        refused = scales.refuses(load)
        filling = scales.fill(load)
        if refused or filling.outcome is Outcome.INFEASIBLE:
            assert not has_place(load)
        if filling.slots:
            assert keeps_to_room(load, filling)


def test_odd_ones_that_must_lie_apart_waste_a_cpu_of_each_node() -> None:
    # Beside an odd one 61 CPUs are left of 62, and even ones take 60 of these at most, whatever their sizes.
    anywhere = tuple(map(NodeId, range(8)))
    room = dict.fromkeys(anywhere, (62, 1))
    odd = {Lump((1, 1), anywhere): 8}
    even = {Lump((size, 0), anywhere): 12 for size in (4, 6, 8, 10, 12)}
    full = Load({**odd, **even, Lump((2, 0), anywhere): 0}, room)
    pair = Lump((2, 0), anywhere)
    assert sum(lump.needs[0] * count for lump, count in full.wanted.items()) == 8 * 62 - 8
    scales = Scales()
    assert scales.fill(full).outcome is not Outcome.INFEASIBLE
    more = Load({**full.wanted, pair: 1}, room)
    assert not scales.refuses(more)
    assert scales.fill(more).outcome is Outcome.INFEASIBLE
    assert scales.refuses(more)
    assert not scales.refuses(full)


def test_a_lump_that_needs_less_is_weighed_once_more_as_the_one_that_was_known() -> None:
    anywhere = tuple(map(NodeId, range(2)))
    room = dict.fromkeys(anywhere, (7, 9))
    scales = Scales()
    assert scales.fill(Load({Lump((4, 3), anywhere): 3}, room)).outcome is Outcome.INFEASIBLE
    assert scales.refuses(Load({Lump((4, 0), anywhere): 3}, room))
    assert not scales.refuses(Load({Lump((3, 0), anywhere): 3}, room))
    assert not scales.refuses(Load({Lump((4, 3), anywhere): 2, Lump((0, 0), anywhere): 4}, room))
    assert not scales.refuses(Load({Lump((4, 3), anywhere): 3}, dict.fromkeys(anywhere, (8, 9))))


def test_what_was_weighed_on_one_host_says_nothing_of_one_that_has_more_to_give() -> None:
    """As where a fix names a pool, and a node need keep no CPU for what floats, or adds pages of another size."""
    anywhere = tuple(map(NodeId, range(2)))
    scales = Scales()
    assert scales.fill(Load({Lump((4, 3), anywhere): 3}, dict.fromkeys(anywhere, (7, 9)))).outcome is Outcome.INFEASIBLE
    assert not scales.refuses(Load({Lump((4,), anywhere): 3}, dict.fromkeys(anywhere, (7,))))
    assert not scales.refuses(Load({Lump((4, 3, 4), anywhere): 3}, dict.fromkeys(anywhere, (7, 9, 7))))


def test_copies_that_fill_many_nodes_are_refused_by_cpus_and_pages_together_without_a_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 62 CPUs of a node are free, and copies take an even number of them. Pages keep 12 odd guests apart, of which three
    # find another odd one to lie with; so of 992 CPUs 9 are nobody's, and the others hold 331.
    others = [
        [guest(f"odd{i}", 1, memory_gib=4, page_size="2MiB") for i in range(12)],
        [guest("single", 1, memory_gib=1, page_size="1GiB")],
        [guest(f"nine{i}", 9, memory_gib=6, page_size="1GiB") for i in range(2)],
        *(
            [guest(f"s{n}-{i}", size, memory_gib=gib, page_size="1GiB") for i in range(count)]
            for n, (count, size, gib) in enumerate(OTHERS)
        ),
    ]
    snapshot = host("16n:32c:2t", pages={"1GiB": 200, "2MiB": 3 * 1024})
    room = 16 * 62 - sum(len(each.dedicated_vcpus) for each in chain(*others))
    assert room == 992 - 331
    policy = ",".join(f"{32 * node},{512 + 32 * node}" for node in range(16))

    def can(copies: int, *, scattered: bool = False) -> bool | None:
        same = [guest(f"c{i}", 6, memory_gib=6, page_size="1GiB", thread_policy="require") for i in range(copies)]
        request = ask(*chain(*others), *same, reserved=policy)
        problem = build_problem(request, host_facts(request, snapshot))
        return Judge(NO_SEARCH).can(replace(problem, scattered=scattered))

    monkeypatch.setattr(judge, "GLANCE", NO_SEARCH.step)
    assert can(109) is False
    assert can(108) is not False
    # Where some ways to use cores were left out, what they can hold is not known.
    assert can(109, scattered=True) is None
    monkeypatch.setattr(Scales, "fill", lambda _scales, _load: Filling(Outcome.UNKNOWN))
    assert can(109) is None


def test_even_ones_waste_a_cpu_of_each_node_that_keeps_one_for_what_floats() -> None:
    # No pool is named, so 31 of 32 CPUs of a node may be held, and even ones hold 30 of these.
    snapshot = host("8n:16c:2t")

    def load(*more: int, emulator: str = "share") -> Load:
        sizes = [size for size in (2, 4, 6, 8, 10) for _ in range(8)]
        request = ask(*(guest(f"g{i}", n, emulator=emulator, emulator_cpus=0) for i, n in enumerate((*sizes, *more))))
        return Load.of(build_problem(request, host_facts(request, snapshot)))

    assert Scales().fill(load()).outcome is not Outcome.INFEASIBLE
    assert Scales().fill(load(2)).outcome is Outcome.INFEASIBLE
    assert Scales().fill(load(2, emulator="set")).outcome is not Outcome.INFEASIBLE


def test_prices_are_what_the_least_cost_grows_by() -> None:
    program = LinearProgram()
    much, little = program.row(low=4), program.row(low=1)
    program.column(3, {much: 2, little: 1})
    program.column(1, {little: 1})
    solved = program.solve()
    assert solved is not None
    assert (solved.cost, solved.prices) == (6, (1.5, 0))


def test_a_program_without_a_solution_has_no_prices() -> None:
    program = LinearProgram()
    program.column(1, {program.row(low=1, high=0): 1})
    assert program.solve() is None
