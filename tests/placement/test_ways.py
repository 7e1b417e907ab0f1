"""The ways of cells on nodes: none is begun that cannot be ended, so the only one of many cells is soon found."""

from itertools import pairwise, permutations

import pytest

from numaplan.model.host import NodeId
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.placement.options import build_problem
from tests.hosts import host
from tests.requests import ask, guest

NODES = 40
MOST_LOOKED_AT = 200_000


@pytest.mark.parametrize("distinct", [True, False])
def test_the_only_way_of_many_cells_that_are_alike_is_soon_found(
    monkeypatch: pytest.MonkeyPatch, *, distinct: bool
) -> None:
    """One cell fills one node. To try what cannot be ended would take a step for each set of nodes."""
    looked_at = 0

    def distance(_facts: HostFacts, one: NodeId, other: NodeId) -> int:
        nonlocal looked_at
        looked_at += 1
        assert looked_at < MOST_LOOKED_AT
        return 0 if one == other else 11

    monkeypatch.setattr(HostFacts, "distance", distance)
    request = ask(guest("a", [1] * NODES, distinct_nodes=distinct))
    problem = build_problem(request, host_facts(request, host(f"{NODES}n:1c:1t")))
    (guests,) = problem.classes
    assert [option.nodes for option in guests.options] == [tuple(range(NODES))]
    assert not guests.partial


@pytest.mark.parametrize("sizes", [[1, 1, 2, 2], [1, 2, 1, 2], [2, 2, 1, 1], [1, 1, 1], [2, 2, 2], [1, 1, 2]])
def test_no_way_that_can_be_ended_is_left_out(sizes: list[int]) -> None:
    """Nodes 1 and 3 have one CPU left, the others two; of equal neighbours the first gets the lower node."""
    request = ask(guest("a", sizes), reserved="2,6")
    (guests,) = build_problem(request, host_facts(request, host("5n:2c:1t"))).classes
    room = {0: 2, 1: 1, 2: 2, 3: 1, 4: 2}
    assert {option.nodes for option in guests.options} == {
        nodes
        for nodes in permutations(room, len(sizes))
        if all(size <= room[node] for size, node in zip(sizes, nodes, strict=True))
        and all(a[0] != b[0] or a[1] < b[1] for a, b in pairwise(zip(sizes, nodes, strict=True)))
    }
