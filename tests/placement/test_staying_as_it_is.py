"""Who is there already and may lie as it does is not moved, whatever else of it changes."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.plan import Placement, Plan, Status
from numaplan.model.request import DeviceRequest, GuestRequest
from numaplan.placement.facts import host_facts
from numaplan.placement.levels import Budget
from numaplan.placement.options import build_problem
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from numaplan.placement.why.places import explain_places
from tests.audit.audited import guest as there
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

# The last core of each of two nodes; a plan that is free to choose takes the first ones.
LAST = ("3", "11")
LAST_OF_ALL = ("7", "15")
VFS = [f"0000:11:00.{function}" for function in range(4)]
SPEED = 10_000


def placed(asked: GuestRequest, **has: object) -> tuple[Plan, Placement]:
    existing = there("a", running=True, **has)  # type: ignore[arg-type]  # what there() takes
    nics = (Nic("e0", 0, 4), Nic("e1", 1, 4))
    snapshot = host("2n:4c:2t", nics=nics, guests=[existing])
    request = ask(asked, reserved="0,8,4,12")
    plan = replace(solve(request, snapshot, budget=Budget()), change_topology=True)
    assert plan.status is Status.OPTIMAL
    assert verify(request, snapshot, plan) == ()
    return plan, plan.placements[0]


def moves(plan: Plan) -> int:
    return next(level.value for level in plan.levels if level.name == "moves")


def cpus(placement: Placement) -> list[CpuSet]:
    return [cpus for cell in placement.cells for _, cpus in cell.vcpus]


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        (guest("a", [2, 2]), {"pins": [*LAST, *LAST_OF_ALL]}),
        (guest("a", [2, 2]), {"pins": [*LAST, *LAST_OF_ALL], "cells": [[0], [1, 2, 3]]}),
        (guest("a", 2), {"pins": [*LAST, "1", "9"]}),
        (guest("a", 2), {"pins": LAST, "cells": [[0], [1]]}),
        (guest("a", 2), {"pins": LAST_OF_ALL, "memory": ("strict", [1]), "page_kib": None}),
    ],
    ids=["two cells for none", "other cells", "fewer vCPUs", "one cell for two", "huge pages of the host's size"],
)
def test_who_gets_other_cells_or_vcpus_keeps_its_cpus(asked: GuestRequest, has: dict[str, object]) -> None:
    plan, placement = placed(asked, **has)
    assert moves(plan) == 0
    pins = [CpuSet.parse(pin) for pin in (has["pins"] if isinstance(has["pins"], list | tuple) else ())]
    assert cpus(placement) == pins[: len(cpus(placement))]


def numbered(pf: str, indexes: set[int], name: str = "x") -> GuestRequest:
    return guest("a", 2, interfaces=[replace(vfs(name, pf), vf_indexes=frozenset(indexes))])


def given(placement: Placement) -> dict[str, tuple[str, ...]]:
    return {interface.name: tuple(map(str, interface.vfs)) for interface in placement.interfaces}


def test_a_vf_that_serves_nothing_there_serves_an_interface_that_the_first_cannot() -> None:
    plan, placement = placed(numbered("e0", {2, 3}), pins=LAST, vfs=[VFS[0], VFS[3]])
    assert moves(plan) == 0
    assert given(placement) == {"x": (VFS[3],)}


def test_vfs_are_exchanged_where_each_will_do_for_the_other_interface_alone() -> None:
    x, y = (replace(vfs(name, "e0"), vf_indexes=frozenset(some)) for name, some in (("x", {0, 1}), ("y", {2, 3})))
    plan, placement = placed(guest("a", 2, interfaces=[x, y]), pins=LAST, vfs=[VFS[3], VFS[0]])
    assert moves(plan) == 0
    assert given(placement) == {"x": (VFS[0],), "y": (VFS[3],)}


def test_vfs_are_not_exchanged_for_nothing() -> None:
    plan, placement = placed(guest("a", 2, interfaces=[vfs("x", "e0"), vfs("y", "e0")]), pins=LAST, vfs=VFS[3:1:-1])
    assert moves(plan) == 0
    assert given(placement) == {"x": (VFS[3],), "y": (VFS[2],)}


@pytest.mark.parametrize(("address", "moved"), [(VFS[2], 0), (VFS[1], 1)])
def test_a_vf_that_is_asked_for_as_a_device_is_kept_as_one_of_an_interface(address: str, moved: int) -> None:
    asked = replace(guest("a", 2), devices=(DeviceRequest("nic", address=PciAddress.parse(address)),))
    plan, placement = placed(asked, pins=LAST, vfs=[VFS[2]])
    assert moves(plan) == moved
    assert placement.devices[0].address == PciAddress.parse(address)


def test_a_guest_keeps_its_vf_of_those_that_would_do_as_a_device() -> None:
    asked = replace(guest("a", 2), devices=(DeviceRequest("nic", vendor="8086", device="154c"),))
    plan, placement = placed(asked, pins=LAST, vfs=[VFS[2]])
    assert moves(plan) == 0
    assert placement.devices[0].address == PciAddress.parse(VFS[2])


def test_of_more_vfs_than_are_asked_for_those_that_cost_least_are_kept() -> None:
    far, near = "0000:21:00.1", VFS[1]
    either = vfs("x", "any", physnet=True, affinity="preferred")
    asked = guest("a", 2, interfaces=[either])
    existing = there("a", LAST, vfs=[far, near], running=True)
    snapshot = host("2n:4c:2t", nics=(Nic("e0", 0, 4), Nic("e1", 1, 4)), guests=[existing])
    request = ask(asked, reserved="0,8,4,12", physnets={"any": ("e0", "e1")})
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    assert [level.value for level in plan.levels if level.name in {"cross_node_cost", "moves"}] == [0, 0]
    assert plan.placements[0].interfaces[0].vfs == (PciAddress.parse(near),)


def test_the_bandwidth_of_a_link_decides_which_vf_an_interface_keeps() -> None:
    """Two that are there share the fast link of one and the slow link of the other as their needs allow."""
    fast, slow = "0000:21:00.0", VFS[0]
    wide = vfs("wide", "any", physnet=True, affinity="preferred", mbps=SPEED + 1)
    thin = vfs("thin", "any", physnet=True, affinity="preferred", mbps=1)
    existing = there("a", LAST, vfs=[slow, fast], running=True)
    nics = (Nic("e0", 0, 4, speed_mbps=SPEED), Nic("e1", 0, 4, speed_mbps=2 * SPEED))
    snapshot = host("2n:4c:2t", nics=nics, guests=[existing])
    request = ask(guest("a", 2, interfaces=[wide, thin]), reserved="0,8,4,12", physnets={"any": ("e0", "e1")})
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    assert moves(plan) == 0
    assert given(plan.placements[0]) == {"wide": (fast,), "thin": (slow,)}


@pytest.mark.parametrize("number", [20, 102])
def test_many_functions_are_shared_out_in_every_way(number: int) -> None:
    """Only the last interface cannot have what it has, and the others have as much of each PF as it."""
    fast = [f"0000:11:{i // 8:02x}.{i % 8}" for i in range(number // 2)]
    slow = [f"0000:21:{i // 8:02x}.{i % 8}" for i in range(number // 2)]
    wide = vfs("wide", "any", physnet=True, affinity="preferred", mbps=SPEED + 1)
    thin = [vfs(f"thin{i}", "any", physnet=True, affinity="preferred") for i in range(number - 1)]
    existing = there("a", LAST, vfs=[*fast, *slow], running=True)
    nics = (Nic("e0", 0, number // 2, speed_mbps=2 * SPEED), Nic("e1", 0, number // 2, speed_mbps=SPEED))
    snapshot = host("2n:4c:2t", nics=nics, guests=[existing])
    request = ask(guest("a", 2, interfaces=[*thin, wide]), reserved="0,8,4,12", physnets={"any": ("e0", "e1")})
    (guests,) = build_problem(request, host_facts(request, snapshot)).classes
    served = [given(option.keep.placement)["wide"] for option in guests.options if option.keep is not None]
    assert any(vf in fast for (vf,) in served)
    assert not guests.partial


def test_more_ways_to_keep_functions_than_are_looked_at_are_said_to_be_more() -> None:
    """Half of fourteen functions, each of a PF of its own: 3,432 ways that differ."""
    nics = [Nic(f"e{i}", 0, 1) for i in range(14)]
    own = [f"0000:{16 * i + 17:02x}:00.0" for i in range(14)]
    snapshot = host("2n:4c:2t", nics=nics, guests=[there("a", LAST, vfs=own, running=True)])
    some = [vfs(f"x{i}", "any", physnet=True, affinity="preferred") for i in range(7)]
    request = ask(
        guest("a", 2, interfaces=some), reserved="0,8,4,12", physnets={"any": tuple(nic.name for nic in nics)}
    )
    (guests,) = build_problem(request, host_facts(request, snapshot)).classes
    assert guests.partial


def test_nothing_is_proven_where_two_guests_name_a_vf_and_one_has_another() -> None:
    asked = [replace(numbered("e0", {0, 1}), name=name, vm=name) for name in "ab"]
    snapshot = host(
        "2n:4c:2t",
        nics=(Nic("e0", 0, 2),),
        guests=[there("a", LAST, vfs=VFS[:2]), there("b", ("2", "10"), vfs=VFS[:1])],
    )
    request = ask(*asked, reserved="0,8,4,12")
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    assert (moves(plan), plan.status) in [(0, Status.OPTIMAL), (1, Status.FEASIBLE)]


@pytest.mark.parametrize(("pin", "others"), [("5", 4), ("2", 3)])
def test_who_is_on_a_core_that_another_has_to_itself_stays_where_that_leaves_more(pin: str, others: int) -> None:
    """Guest a can lie anywhere, and beside the isolated one it leaves a CPU more to others."""
    alone = there("iso", ["1"], thread_policy="isolate", running=True)
    snapshot = host("1n:4c:2t", guests=[alone, there("a", [pin], running=True)])
    request = ask(guest("a", 1), *(guest(f"b{i}", 1, required=False) for i in range(4)), reserved="0,4")
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    assert plan.status is Status.OPTIMAL
    assert len(plan.placements) == 1 + others
    assert cpus(plan.placements[0]) == [CpuSet.parse(pin)]


@pytest.mark.parametrize("more", [0, 1])
def test_who_has_no_other_place_stays_beside_an_isolated_guest(more: int) -> None:
    """With one guest more there is none; who is in the way is not to blame for it alone."""
    others = [there("iso", ["3"], thread_policy="isolate", running=True), there("d", ["2"], running=True)]
    snapshot = host("1n:2c:2t", guests=[*others, there("a", ["1"], running=True)])
    request = ask(guest("a", 1), *(guest("b", 1) for _ in range(more)), reserved="0")
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    if more:
        assert plan.status is Status.INFEASIBLE
        assert {reason.vm: "no node can take it" in reason.reason for reason in plan.unplaced} == {
            "a": False,
            "b": True,
        }
    else:
        assert plan.status is Status.OPTIMAL
        assert (cpus(plan.placements[0]), moves(plan)) == ([CpuSet([1])], 0)


@pytest.mark.parametrize("pins", [("1", "9", "7"), ("1", "5", "7")])
def test_whole_cores_may_have_their_odd_cpu_beside_an_isolated_guest(pins: tuple[str, ...]) -> None:
    """Cores are 0+8 to 7+15; the odd one is on a core of its own that is shared, or two are apart and it must move."""
    alone = there("iso", ["15"], thread_policy="isolate", running=True)
    snapshot = host("1n:8c:2t", guests=[alone, there("a", pins, running=True)])
    request = ask(guest("a", 3, thread_policy="require"), reserved="0,8")
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    assert plan.status is Status.OPTIMAL
    assert moves(plan) == (pins[1] != "9")


def test_why_says_that_staying_beside_an_isolated_guest_was_not_looked_at() -> None:
    """Guest a goes to one core of the other node, where it touches one cache and not two."""
    alone = there("iso", ["5"], emulator="0", thread_policy="isolate", running=True)
    snapshot = host("2n:2c:2t", llcs_per_node=2, guests=[alone, there("a", ["1", "4"], emulator="0", running=True)])
    request = ask(guest("a", 2), reserved="0")
    plan = solve(request, snapshot, budget=Budget())
    (why,) = explain_places(request, host_facts(request, snapshot), plan.placements)
    assert cpus(plan.placements[0]) == [CpuSet([2]), CpuSet([6])]
    assert "it could stay beside a guest that has its core to itself: that was not looked at" in why.reasons
    assert why.runner_up is None
