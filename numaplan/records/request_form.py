"""The request in a plan document as it is read: every key is there, whatever its value, so that none is guessed."""

from typing import Annotated

from pydantic import Field

from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    Affinity,
    CellRequest,
    Costs,
    CpuCache,
    CpuPolicy,
    DeviceLocality,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    HostPolicy,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    Memballoon,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    MemoryPolicy,
    PageSize,
    Realtime,
    Request,
    ThreadPolicy,
)
from numaplan.records.document import Form
from numaplan.records.fields import MAC_PATTERN, Address, Count, CpuList, Id, NumberList, Size, Text


class CellRequestForm(Form):
    """An entry of ``request.guests[].cells``."""

    vcpus: NumberList
    memory_kib: Size
    page_size: Annotated[PageSize, Field(strict=False)]
    memory_policy: Annotated[MemoryPolicy, Field(strict=False)]


class InterfaceRequestForm(Form):
    """An entry of ``request.guests[].interfaces``."""

    name: Text
    type: Annotated[InterfaceType, Field(strict=False)]
    physnet: Text | None
    pf: Text | None
    vf_indexes: NumberList | None
    vendor: Text | None
    device: Text | None
    count: Count
    affinity: Annotated[Affinity, Field(strict=False)]
    mbps: Size
    distinct_pfs: bool
    mac: Annotated[str, Field(pattern=MAC_PATTERN)] | None
    vlan: Id | None
    trust: bool | None
    bridge: Text | None
    queues: Id | None


class DeviceRequestForm(Form):
    """An entry of ``request.guests[].devices``."""

    name: Text
    vendor: Text | None
    device: Text | None
    address: Address | None
    affinity: Annotated[Affinity, Field(strict=False)]


class RealtimeForm(Form):
    """``request.guests[].realtime``."""

    vcpus: NumberList
    priority: Id


class MemoryBackingForm(Form):
    """``request.guests[].memory_backing``."""

    nosharepages: bool
    locked: bool
    hard_limit_kib: Size | None
    allocation: Annotated[MemoryAllocation, Field(strict=False)] | None
    access: Annotated[MemoryAccess, Field(strict=False)] | None


class GuestRequestForm(Form):
    """An entry of ``request.guests``."""

    name: Text
    vm: Text
    cells: list[CellRequestForm]
    required: bool
    priority: Id
    distinct_nodes: bool
    cpu_policy: Annotated[CpuPolicy, Field(strict=False)]
    dedicated_vcpus: NumberList
    thread_policy: Annotated[ThreadPolicy, Field(strict=False)]
    emulator: Annotated[EmulatorPolicy, Field(strict=False)]
    emulator_cpus: Count
    iothreads: Count
    iothread_policy: Annotated[IothreadPolicy, Field(strict=False)]
    interfaces: list[InterfaceRequestForm]
    devices: list[DeviceRequestForm]
    affinity: list[Text]
    anti_affinity: list[Text]
    realtime: RealtimeForm | None
    memory_backing: MemoryBackingForm
    cpu_cache: Annotated[CpuCache, Field(strict=False)] | None
    memballoon: Annotated[Memballoon, Field(strict=False)]
    device_locality: Annotated[DeviceLocality, Field(strict=False)]


class CostsForm(Form):
    """``request.host.costs``."""

    vf: Id
    cell: Id
    memory_gib: Id


class HostPolicyForm(Form):
    """``request.host``."""

    reserved_cpus: CpuList | None
    shared_cpus: CpuList | None
    shared_ratio: Id
    reserved_memory_kib: Size
    physnets: dict[Text, list[Text]]
    costs: CostsForm
    guest_overhead_kib: Size


class RequestForm(Form):
    """``request``."""

    host: HostPolicyForm
    guests: list[GuestRequestForm]


def to_request(form: RequestForm) -> Request:
    """The noun of ``request``."""
    host = form.host
    policy = HostPolicy(
        reserved_cpus=host.reserved_cpus,
        shared_cpus=host.shared_cpus,
        shared_ratio=host.shared_ratio,
        reserved_memory_kib=host.reserved_memory_kib,
        physnets=tuple((name, tuple(pfs)) for name, pfs in host.physnets.items()),
        costs=Costs(host.costs.vf, host.costs.cell, host.costs.memory_gib),
        guest_overhead_kib=host.guest_overhead_kib,
    )
    return Request(policy, tuple(_to_guest(guest) for guest in form.guests))


def _to_guest(form: GuestRequestForm) -> GuestRequest:
    return GuestRequest(
        name=form.name,
        vm=form.vm,
        cells=tuple(_to_cell(cell) for cell in form.cells),
        required=form.required,
        priority=form.priority,
        distinct_nodes=form.distinct_nodes,
        cpu_policy=form.cpu_policy,
        dedicated_vcpus=frozenset(VcpuId(vcpu) for vcpu in form.dedicated_vcpus),
        thread_policy=form.thread_policy,
        emulator=form.emulator,
        emulator_cpus=form.emulator_cpus,
        iothreads=form.iothreads,
        iothread_policy=form.iothread_policy,
        interfaces=tuple(_to_interface(interface) for interface in form.interfaces),
        devices=tuple(
            DeviceRequest(device.name, device.vendor, device.device, device.address, device.affinity)
            for device in form.devices
        ),
        affinity=tuple(form.affinity),
        anti_affinity=tuple(form.anti_affinity),
        realtime=None
        if form.realtime is None
        else Realtime(frozenset(VcpuId(vcpu) for vcpu in form.realtime.vcpus), form.realtime.priority),
        memory_backing=_to_backing(form.memory_backing),
        cpu_cache=form.cpu_cache,
        memballoon=form.memballoon,
        device_locality=form.device_locality,
    )


def _to_cell(form: CellRequestForm) -> CellRequest:
    return CellRequest(tuple(VcpuId(vcpu) for vcpu in form.vcpus), form.memory_kib, form.page_size, form.memory_policy)


def _to_backing(form: MemoryBackingForm) -> MemoryBackingRequest:
    return MemoryBackingRequest(
        nosharepages=form.nosharepages,
        locked=form.locked,
        hard_limit_kib=form.hard_limit_kib,
        allocation=form.allocation,
        access=form.access,
    )


def _to_interface(form: InterfaceRequestForm) -> InterfaceRequest:
    return InterfaceRequest(
        name=form.name,
        type=form.type,
        physnet=form.physnet,
        pf=form.pf,
        vf_indexes=None if form.vf_indexes is None else frozenset(int(index) for index in form.vf_indexes),
        vendor=form.vendor,
        device=form.device,
        count=form.count,
        affinity=form.affinity,
        mbps=form.mbps,
        distinct_pfs=form.distinct_pfs,
        mac=form.mac,
        vlan=form.vlan,
        trust=form.trust,
        bridge=form.bridge,
        queues=form.queues,
    )
