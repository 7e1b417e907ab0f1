"""What `place --why` says of the next best place, as far as it can be told without a search."""

from dataclasses import replace

import pytest

from numaplan.model.host import NodeId
from numaplan.model.plan import Placement, RunnerUp, Status, Why
from numaplan.model.request import Affinity, GuestRequest, MemoryPolicy, Request
from numaplan.placement.verify import Violation, verify
from tests.hosts import Nic, host
from tests.placement.verify_cases import POLICY, cell, guest, placed, plan, sriov

HOST = host("2n:4c:2t", nics=[Nic("ens0", 0, 4)])
PLAIN = guest("a", 1), placed("a", cell(0, "2"))
WIDE = guest("a", 1, cells=2), placed("a", cell(0, "2"), cell(1, "6", id_=1, first=1), emulator="1,5,9,13")
NEAR_ITS_VF = guest("a", 1, interfaces=(sriov(),)), placed("a", cell(0, "2"), vfs=["0000:11:00.0"])
AT_ITS_VF = guest("a", 1, interfaces=(sriov(affinity=Affinity.REQUIRED),)), NEAR_ITS_VF[1]
ANYWHERE = guest("a", 1, memory_policy=MemoryPolicy.PREFERRED), placed("a", cell(0, "2"))


def refused(asked: tuple[GuestRequest, Placement], *nodes: int, cost: int, proven: bool = True) -> list[str]:
    """What is wrong with a why that has the guest next best on `nodes`."""
    request = Request(POLICY, (asked[0],))
    runner_up = RunnerUp(tuple(NodeId(node) for node in nodes), cost, "as may be")
    made = replace(plan(request, HOST, asked[1]), whys=(Why("a", ("as may be",), runner_up),))
    if not proven:
        levels = tuple(replace(level, proven=False) for level in made.levels)
        made = replace(made, levels=levels, status=Status.FEASIBLE)
    found = verify(request, HOST, made)
    assert all((violation.vm, violation.constraint) == ("a", "why") for violation in found)
    return [violation.sentence.removeprefix('guest "a" runner_up ') for violation in found]


@pytest.mark.parametrize(
    ("asked", "nodes", "cost"),
    [(PLAIN, (1,), 0), (WIDE, (1, 0), 0), (NEAR_ITS_VF, (1,), 110), (ANYWHERE, (1,), 0), (ANYWHERE, (1,), 11)],
    ids=["plain", "two cells", "VF", "memory", "memory that stays"],
)
def test_what_can_be_so_is_valid(asked: tuple[GuestRequest, Placement], nodes: tuple[int, ...], cost: int) -> None:
    assert refused(asked, *nodes, cost=cost) == []


@pytest.mark.parametrize(
    ("asked", "nodes", "cost", "told"),
    [
        (PLAIN, (7,), 0, "has node 7, which the host does not have"),
        (PLAIN, (), 0, "has 0 nodes; the guest has 1 cell"),
        (WIDE, (1,), 0, "has 1 node; the guest has 2 cells"),
        (PLAIN, (0,), 0, "has the nodes on which the guest lies"),
        (WIDE, (0, 1), 0, "has the nodes on which the guest lies"),
        (PLAIN, (1,), 7, "says extra_cost 7; the distances make it 0"),
        (WIDE, (1, 0), -3, "says extra_cost -3; the distances make it 0"),
        (
            WIDE,
            (1, 1),
            0,
            'has nodes that break distinct_nodes: guest "a" has 2 cells on 1 node; it needs a node for each',
        ),
        (AT_ITS_VF, (1,), 110, 'has nodes that are not near what interface "data" needs with affinity required'),
        (
            NEAR_ITS_VF,
            (1,),
            -1,
            "says extra_cost -1; cross_node_cost is proven, so that nothing can be cheaper",
        ),
    ],
)
def test_what_cannot_be_so_is_told(
    asked: tuple[GuestRequest, Placement], nodes: tuple[int, ...], cost: int, told: str
) -> None:
    assert refused(asked, *nodes, cost=cost) == [told]


def test_a_place_may_be_cheaper_where_the_cost_is_not_proven() -> None:
    assert refused(NEAR_ITS_VF, 1, cost=-1, proven=False) == []


def test_a_why_of_a_guest_that_is_misshapen_or_unknown_is_not_looked_at() -> None:
    request = Request(POLICY, (PLAIN[0],))
    made = plan(request, HOST, placed("a", cell(0, "2"), cell(0, "3", id_=1)))
    made = replace(made, whys=tuple(Why(vm, (), RunnerUp((), 7, "")) for vm in ("a", "b")))
    found = verify(request, HOST, made)
    assert [violation.constraint for violation in found] == ["cells"]
    assert isinstance(found[0], Violation)
