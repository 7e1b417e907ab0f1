"""What the XML of a host says once a plan was carried out there, without going through XML."""

from collections.abc import Iterator

from numaplan.model.guest import (
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestHostdev,
    GuestInterface,
    HugepageRequest,
    IothreadPin,
    MemoryBinding,
    VcpuPin,
)
from numaplan.model.plan import Placement, Plan
from numaplan.model.request import Affinity, GuestRequest, MemoryPolicy, Request

SMALL_KIB = 4


def guests_of(plan: Plan, request: Request) -> tuple[Guest, ...]:
    """The planned guests, as the domain XML would have them, numaplan's metadata included."""
    asked = {guest.name: guest for guest in request.guests}
    return tuple(_guest(placement, asked[placement.vm]) for placement in plan.placements)


def _guest(placement: Placement, request: GuestRequest) -> Guest:
    vcpus = [(vcpu, cpus) for cell in placement.cells for vcpu, cpus in cell.vcpus]
    return Guest(
        name=placement.vm,
        file=f"{placement.vm}.xml",
        vcpus=len(vcpus),
        memory_kib=request.memory_kib,
        cells=tuple(
            GuestCell(cell.id, tuple(vcpu for vcpu, _ in cell.vcpus), cell.memory_kib, 1) for cell in placement.cells
        ),
        vcpu_pins=tuple(VcpuPin(vcpu, cpus, 1) for vcpu, cpus in vcpus),
        emulator_pin=EmulatorPin(placement.emulator, 1),
        iothreads=len(placement.iothreads),
        iothread_pins=tuple(IothreadPin(iothread, cpus, 1) for iothread, cpus in placement.iothreads),
        memnodes=tuple(
            MemoryBinding(cell.id, _mode(request, index), (cell.memory_node,), 1)
            for index, cell in enumerate(placement.cells)
        ),
        hugepages=tuple(
            HugepageRequest(cell.page_size_kib, (CellId(cell.id),), 1)
            for cell in placement.cells
            if cell.page_size_kib != SMALL_KIB
        ),
        interfaces=tuple(
            GuestInterface("hostdev", 1, pci=vf) for interface in placement.interfaces for vf in interface.vfs
        ),
        hostdevs=tuple(GuestHostdev(device.address, 1) for device in placement.devices),
        thread_policy=request.thread_policy.value,
        shared_vcpus=tuple(vcpu for vcpu, _ in vcpus if vcpu not in request.dedicated_vcpus),
        loose_devices=tuple(
            vf
            for interface, given in zip(_sriov(request), placement.interfaces, strict=True)
            if interface is not Affinity.REQUIRED
            for vf in given.vfs
        ),
    )


def _mode(request: GuestRequest, cell: int) -> str:
    return "preferred" if request.cells[cell].memory_policy is MemoryPolicy.PREFERRED else "strict"


def _sriov(request: GuestRequest) -> Iterator[Affinity]:
    return (interface.affinity for interface in request.interfaces if interface.type == "sriov")
