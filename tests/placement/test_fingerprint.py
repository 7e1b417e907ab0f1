"""What a plan rests on: short, whole where the plan uses it, and the same wherever nothing changed."""

import json
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings

from numaplan.cpuset import CpuSet
from numaplan.model.devices import IommuGroupId
from numaplan.model.guest import Guest, HugepageRequest, VcpuId, VcpuPin
from numaplan.model.plan import Basis, InterfacePlacement, Limit, Placement, Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.fingerprint import basis_of, fingerprint
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from tests.hosts import Nic, host
from tests.records.nouns import any_host
from tests.requests import ask, guest, vfs

NOTHING = Request(ask().policy, ())


def planned(request: Request, snapshot: Snapshot) -> tuple[Plan, Basis]:
    plan = replace(solve(request, snapshot, budget=Budget()), request=request)
    assert plan.placements
    return plan, basis_of(snapshot, {}, plan)


@cache
def small() -> Snapshot:
    nics = (Nic("ens1f0", 0, 4), Nic("ens2f0", 1, 4))
    staying = Guest("db1", "db1.xml", 2, 1 << 20, hugepages=(HugepageRequest(None, None, 3),))
    return host("2n:4c:2t", nics=nics, guests=(staying,), pages={"1GiB": 4})


def test_a_vf_of_the_plan_is_told_in_full_and_the_others_of_its_pf_in_one_fact() -> None:
    _, basis = planned(ask(guest("fw1", 2, interfaces=(vfs("data", "ens1f0"),))), small())
    facts = dict(basis.host)
    assert {what: value for what, value in facts.items() if what.endswith("0000:11:00.0")} == {
        "PF of 0000:11:00.0": "0000:10:00.0, VF 0",
        "vendor and device of 0000:11:00.0": "8086:154c",
        "driver of 0000:11:00.0": "iavf",
        "NUMA node of 0000:11:00.0": "0",
        "IOMMU group of 0000:11:00.0": "1001",
        "use by the host of 0000:11:00.0": "none",
    }
    assert facts["VFs of 0000:10:00.0"] == facts["VFs of 0000:20:00.0"] == "4 of 64"
    assert facts["unused VFs of 0000:10:00.0"].startswith("3 VFs, sha256 ")
    assert facts["unused VFs of 0000:20:00.0"].startswith("4 VFs, sha256 ")
    assert not any("0000:11:00.1" in part for pair in basis.host for part in pair)


def test_who_shares_an_iommu_group_is_told() -> None:
    snapshot = host("2n:4c:2t", nics=(Nic("ens1f0", 0, 4, per_group=2),))
    request = ask(guest("fw1", 2, interfaces=(vfs("data", "ens1f0"),)))
    basis = basis_of(snapshot, {}, replace(planned_by_hand(request, snapshot), request=request))
    assert dict(basis.host)["IOMMU group of 0000:11:00.0"] == "1001, with 0000:11:00.1"


def test_of_guests_that_stay_the_xml_does_not_count() -> None:
    snapshot = small()
    plan, _ = planned(ask(guest("db1", 2)), snapshot)
    digests = {"db1": (("@", "1"),), "other": (("@", "2"),)}
    assert [each.xml for each in basis_of(snapshot, digests, plan).guests] == [(("@", "1"),)]
    elsewhere, _ = planned(ask(guest("fw1", 2)), snapshot)
    assert [each.xml for each in basis_of(snapshot, digests, elsewhere).guests] == [()]


def test_a_guest_without_pins_may_run_on_any_cpu_before_and_after_its_start() -> None:
    snapshot = small()
    plan, before = planned(ask(guest("fw1", 2)), snapshot)
    pinned = replace(snapshot.guests[0], vcpu_cpuset=snapshot.cpus.online)
    assert dict(before.guests[0].facts)["vCPUs"] == "0-1 on any CPU"
    assert basis_of(replace(snapshot, guests=(pinned,)), {}, plan) == before


def test_many_pins_are_folded_and_the_cpus_that_they_take_are_told_all_the_same() -> None:
    many = replace(small(), guests=(pinned_guest(200),), cpus=replace(small().cpus, online=CpuSet(range(256))))
    plan, _ = planned(ask(guest("fw1", 2)), small())
    facts = dict(basis_of(many, {}, plan).guests[0].facts)
    assert facts["CPUs of its own"] == "0-199"
    assert facts["vCPUs"].startswith("200 CPU sets, sha256 ")
    moved = replace(many, guests=(pinned_guest(200, first=1),))
    assert dict(basis_of(moved, {}, plan).guests[0].facts)["vCPUs"] != facts["vCPUs"]


def pinned_guest(vcpus: int, *, first: int = 0) -> Guest:
    pins = tuple(VcpuPin(VcpuId(vcpu), CpuSet([(vcpu + first) % 256]), 1) for vcpu in range(vcpus))
    return Guest("big", "big.xml", vcpus, 1 << 20, vcpu_pins=pins)


def test_the_basis_of_a_large_host_stays_small() -> None:
    """1,024 CPUs, 2,048 VFs, 60 guests with 120 VFs."""
    nics = [Nic(f"ens{i}f0", i % 16, 64) for i in range(32)]
    large = host("16n:32c:2t", nics=nics, llcs_per_node=4)
    guests = [guest(f"g{i}", 4, interfaces=(vfs("data", f"ens{i % 32}f0", 2),)) for i in range(60)]
    request = ask(*guests)
    plan = replace(planned_by_hand(request, large), request=request)
    basis = basis_of(large, {}, plan)
    facts = dict(basis.host)
    assert sum(what.startswith("PF of ") for what in facts) == 120
    assert len(json.dumps(facts)) < 64 * 1024
    assert max(len(value) for value in facts.values()) <= 240


def planned_by_hand(request: Request, snapshot: Snapshot) -> Plan:
    """VFs alone matter here: the search would take seconds."""
    free = {pf.netdevs[0]: list(pf.sriov.vfs) for pf in snapshot.pci if pf.sriov is not None}
    placements = []
    for asked in request.guests:
        pf = asked.interfaces[0].pf or ""
        taken = tuple(free[pf].pop(0) for _ in range(asked.interfaces[0].count))
        placements.append(Placement(asked.name, (), CpuSet(), interfaces=(InterfacePlacement("data", taken),)))
    return Plan(Status.FEASIBLE, Limit.WORK, None, "", placements=tuple(placements))


def test_a_fingerprint_has_the_host_and_its_guests_in_it_and_no_plan() -> None:
    snapshot = small()
    plan, _ = planned(ask(guest("fw1", 2, interfaces=(vfs("data", "ens1f0"),))), snapshot)
    assert plan.fingerprint == fingerprint(snapshot)
    assert fingerprint(replace(snapshot, guests=())) != plan.fingerprint
    other = tuple(replace(device, iommu_group=IommuGroupId(7)) for device in snapshot.pci)
    assert fingerprint(replace(snapshot, pci=other)) != plan.fingerprint


def test_free_memory_is_in_no_fingerprint() -> None:
    snapshot = small()
    used = tuple(
        replace(node, free_kib=0, available_kib=0, hugepages=tuple(replace(pool, free=0) for pool in node.hugepages))
        for node in snapshot.nodes
    )
    assert fingerprint(replace(snapshot, nodes=used)) == fingerprint(snapshot)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_host())
def test_any_host_has_the_same_fingerprint_as_its_document(snapshot: Snapshot) -> None:
    again = read_inventory(inventory_json(snapshot), "host.json")
    assert fingerprint(again) == fingerprint(snapshot)
    plan = Plan(Status.OPTIMAL, Limit.NONE, None, "", request=NOTHING)
    assert basis_of(again, {}, plan) == basis_of(snapshot, {}, plan)


@pytest.mark.parametrize("what", ["host", "guests"])
def test_facts_are_named_once(what: str) -> None:
    _, basis = planned(ask(guest("fw1", 2, interfaces=(vfs("data", "ens1f0"),))), small())
    named = [basis.host] if what == "host" else [each.facts for each in basis.guests]
    assert all(len(dict(facts)) == len(facts) for facts in named)
