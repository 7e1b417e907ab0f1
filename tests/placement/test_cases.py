"""The behavioural cases of the field (tests/cases), each a host, a vnf and what must come of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId
from numaplan.model.plan import CellPlacement, InterfacePlacement, Placement, Plan, Status
from numaplan.model.request import EmulatorPolicy, GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import placement_violations, verify
from numaplan.report.plan import plan_table
from tests.placement.case_files import HERE, Map, cases, load, request_of, snapshot_of
from tests.placement.why_bruteforce import afloat


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_the_plan_is_what_the_case_expects(path: Path) -> None:
    case = load(path)
    snapshot = snapshot_of(case)
    request = request_of(case, snapshot)
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    expect = case["expect"]
    if expect["status"] == "infeasible":
        assert plan.status is Status.INFEASIBLE
        said = plan_table(plan, snapshot)
        assert [word for word in expect["reason"] if word not in said] == []
        return
    assert plan.status is Status.OPTIMAL
    assert [placement.vm for placement in plan.placements] == [guest.name for guest in request.guests]
    values = {level.name: level.value for level in plan.levels}
    assert {name: values[name] for name in expect.get("levels", {})} == expect.get("levels", {})
    for name, wanted in expect.get("guests", {}).items():
        assert _difference(plan, snapshot, name, wanted=wanted) == {}


@pytest.mark.parametrize("path", [p for p in cases() if "witness" in load(p)], ids=lambda path: path.stem)
def test_the_witness_of_a_case_is_a_valid_plan_and_ours_is_no_worse(path: Path) -> None:
    case = load(path)
    snapshot = snapshot_of(case)
    request = request_of(case, snapshot)
    placements = _witness(request, snapshot, case["witness"])
    assert list(placement_violations(Facts(request, snapshot), placements)) == []
    assert solve(request, snapshot, budget=Budget()).status is Status.OPTIMAL


def test_a_case_is_known_by_its_title_and_origin() -> None:
    assert len(cases()) >= 30
    for path in cases():
        case = load(path)
        assert set(case) <= {"title", "origin", "host", "vnf", "expect", "witness"}
        assert case["title"]
        assert case["origin"]
    assert (HERE / "README.md").is_file()


def _difference(plan: Plan, snapshot: Snapshot, name: str, *, wanted: Map) -> dict[str, Any]:
    """What a guest has otherwise than wanted, key by key."""
    placement = plan.placement(name)
    assert placement is not None
    have = _seen(placement, snapshot)
    allowed = {
        key: value if isinstance(value, list) and "nodes" not in key else [value] for key, value in wanted.items()
    }
    return {key: have[key] for key, values in allowed.items() if have[key] not in values}


def _seen(placement: Placement, snapshot: Snapshot) -> dict[str, Any]:
    pf_of = {device.address: device.physfn for device in snapshot.pci}
    names = {device.address: device.netdevs[0] for device in snapshot.pci if device.netdevs}
    vfs = [vf for interface in placement.interfaces for vf in interface.vfs]
    return {
        "nodes": [cell.numa_node for cell in placement.cells],
        "memory_nodes": [cell.memory_node for cell in placement.cells],
        "cpus": str(CpuSet(cpu for cell in placement.cells for _, one in cell.vcpus for cpu in one)),
        "emulator": str(placement.emulator),
        "page": {4: "4KiB", 2048: "2MiB", 1048576: "1GiB"}[placement.cells[0].page_size_kib],
        "vfs": dict(Counter(names[pf] for vf in vfs if (pf := pf_of[vf]) is not None)),
    }


def _witness(request: Request, snapshot: Snapshot, said: Map) -> list[Placement]:
    """The placements that a witness gives; which VFs, and where threads float, is not for it to say."""
    facts = Facts(request, snapshot)
    free = {device.netdevs[0]: list(device.sriov.vfs) for device in snapshot.pci if device.sriov is not None}
    placements = []
    for guest in request.guests:
        cells = said[guest.name]["cells"]
        assert guest.emulator is EmulatorPolicy.SHARE
        vfs = [free[pf].pop(0) for pf, count in said[guest.name].get("vfs", {}).items() for _ in range(count)]
        interfaces = tuple(InterfacePlacement(entry.name, tuple(vfs)) for entry in guest.interfaces)
        placements.append(Placement(guest.name, _cells(guest, cells), CpuSet(), interfaces=interfaces))
    given = CpuSet(cpu for p in placements for cell in p.cells for _, one in cell.vcpus for cpu in one)
    return [afloat(facts, placement, facts.taken | given) for placement in placements]


def _cells(guest: GuestRequest, said: Sequence[Map]) -> tuple[CellPlacement, ...]:
    placed = []
    for i, (cell, where) in enumerate(zip(guest.cells, said, strict=True)):
        size = {"2MiB": 2048, "1GiB": 1048576}[where.get("page", "1GiB")]
        cpus = zip(cell.vcpus, where["cpus"], strict=True)
        vcpus = tuple((vcpu, CpuSet([cpu])) for vcpu, cpu in cpus)
        placed.append(CellPlacement(CellId(i), where["node"], vcpus, where["node"], cell.memory_kib, size))
    return tuple(placed)
