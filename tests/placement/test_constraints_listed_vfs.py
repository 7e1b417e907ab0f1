"""VFs of which only the PF says that they are its: some sources know no more."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress, Sriov
from numaplan.model.plan import Plan, Status
from numaplan.model.request import Affinity, DeviceRequest, HostPolicy, InterfaceRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.hosts import Nic, host
from tests.placement.verify_cases import guest, sriov

POLICY = HostPolicy(
    reserved_cpus=CpuSet.parse("0"), reserved_memory_kib=0, physnets=(("red", ("ens0",)), ("blue", ("ens1",)))
)
TOLD = host("2n:4c:1t", nics=[Nic("ens0", 0, 2), Nic("ens1", 1, 2)])


def listed_only(snapshot: Snapshot, physfn: PciAddress | None = None) -> Snapshot:
    """The host whose VFs name no PF, or all the same one."""
    pci = (device if device.physfn is None else replace(device, physfn=physfn) for device in snapshot.pci)
    return replace(snapshot, pci=tuple(pci))


def planned(snapshot: Snapshot, *interfaces: InterfaceRequest) -> Plan:
    request = Request(POLICY, (guest("a", 2, interfaces=interfaces),))
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    return plan


@pytest.mark.parametrize("named", [None, TOLD.pci[0].address])
@pytest.mark.parametrize(
    "wanted",
    [
        sriov(physnet="blue", affinity=Affinity.REQUIRED),
        sriov(pf="ens1", count=2, affinity=Affinity.SOCKET),
        sriov(pf="ens1", vf_indexes=frozenset({1})),
        sriov(count=2, distinct_pfs=True),
    ],
)
def test_a_vf_that_a_pf_lists_is_that_pfs_whatever_it_says_itself(
    wanted: InterfaceRequest, named: PciAddress | None
) -> None:
    plan = planned(listed_only(TOLD, named), wanted)
    assert plan.status is Status.OPTIMAL
    assert (plan.placements, plan.levels) == (planned(TOLD, wanted).placements, planned(TOLD, wanted).levels)


def test_its_pf_s_link_carries_it() -> None:
    assert planned(listed_only(TOLD), sriov(pf="ens1", count=2, mbps=4000)).status is Status.OPTIMAL
    speeds = tuple(replace(link, speed_mbps=7000) for link in TOLD.links)
    slow = listed_only(replace(TOLD, links=speeds))
    assert planned(slow, sriov(pf="ens1", count=2, mbps=4000)).status is Status.INFEASIBLE


@pytest.mark.parametrize("sriov", [Sriov(2, 1, ()), Sriov(2, 0, TOLD.pci[0].sriov.vfs if TOLD.pci[0].sriov else ())])
def test_a_pf_that_lists_vfs_or_says_that_it_has_some_is_no_device_for_a_guest(sriov: Sriov) -> None:
    pf = TOLD.pci[0]
    snapshot = replace(TOLD, pci=(replace(pf, sriov=sriov), *TOLD.pci[1:]))
    asked = guest("a", 2, devices=(DeviceRequest("pf", address=pf.address, affinity=Affinity.PREFERRED),))
    request = Request(POLICY, (asked,))
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    assert plan.status is Status.INFEASIBLE
    assert "is a PF with configured VFs" in plan.unplaced[0].reason
