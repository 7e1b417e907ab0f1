"""A plan with all that carrying it out takes."""

from dataclasses import replace

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import VcpuId
from numaplan.model.plan import Basis, GuestFacts, Plan
from numaplan.model.request import (
    CellRequest,
    Costs,
    CpuCache,
    CpuPolicy,
    DeviceRequest,
    GuestRequest,
    HostPolicy,
    InterfaceRequest,
    InterfaceType,
    MemoryAccess,
    MemoryBackingRequest,
    MemoryPolicy,
    PageSize,
    Realtime,
    Request,
)
from tests.hosts import GIB
from tests.records.samples import full_plan


def carried_plan() -> Plan:
    """A plan with something in every field."""
    return replace(full_plan(), request=full_request(), basis=full_basis(), change_topology=True)


def full_request() -> Request:
    """A request with something in every field."""
    cell = CellRequest((VcpuId(0), VcpuId(1)), 4 * GIB, PageSize.HUGE_1G, MemoryPolicy.PREFERRED)
    return Request(
        HostPolicy(
            reserved_cpus=CpuSet.parse("0,8"),
            shared_ratio=2,
            physnets=(("phys1", ("ens2f0",)), ("phys0", ("ens1f0", "ens1f1"))),
            costs=Costs(vf=3),
            guest_overhead_kib=1024,
        ),
        (
            GuestRequest(
                "fw1-1",
                "fw1",
                (cell, replace(cell, vcpus=(VcpuId(2),))),
                cpu_policy=CpuPolicy.MIXED,
                dedicated_vcpus=frozenset({VcpuId(0), VcpuId(1)}),
                interfaces=(
                    InterfaceRequest(
                        "data", InterfaceType.SRIOV, pf="ens1f0", vf_indexes=frozenset({0, 1, 5}), count=2, vlan=100
                    ),
                    InterfaceRequest("mgmt", InterfaceType.VIRTIO, mac="52:54:00:00:00:01", bridge="br0", queues=2),
                ),
                devices=(DeviceRequest("gpu", address=PciAddress(0x10000, 0x11, 0, 1)),),
                anti_affinity=("fw1-2",),
                realtime=Realtime(frozenset({VcpuId(1)}), 5),
                memory_backing=MemoryBackingRequest(locked=True, hard_limit_kib=GIB, access=MemoryAccess.SHARED),
                cpu_cache=CpuCache.PASSTHROUGH,
            ),
        ),
    )


def full_basis() -> Basis:
    """What that plan rests on."""
    facts = (("running", "yes"), ("vCPUs", "0 on 4, 1 on 5"))
    return Basis(
        (("hostname", "compute-7"), ("online CPUs", "0-15"), ("VFs of 0000:3b:00.0", "8 of 64")),
        (GuestFacts("db1", facts), GuestFacts("fw1", facts, (("@", "0123456789abcdef"), ("cputune", "ab")))),
    )
