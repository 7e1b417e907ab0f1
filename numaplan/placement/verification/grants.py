"""The CPUs that a placement gives away for good: one to a dedicated vCPU, emulator or dedicated iothread."""

from collections.abc import Iterable
from dataclasses import dataclass

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.guest import CellId, VcpuId
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import CpuPolicy, EmulatorPolicy, GuestRequest, IothreadPolicy

FIRST_CELL = CellId(0)


@dataclass(frozen=True, slots=True)
class Grant:
    """`cpu` is given to `thread` ("vCPU 3", "emulator", "iothread 1") of guest `vm` and counts in its cell `cell`."""

    vm: str
    cell: CellId
    thread: str
    cpu: CpuId
    is_vcpu: bool

    def __str__(self) -> str:
        return f'guest "{self.vm}" {self.thread}'


def is_dedicated(guest: GuestRequest, vcpu: VcpuId) -> bool:
    """Whether that vCPU gets a CPU of its own."""
    if guest.cpu_policy is CpuPolicy.MIXED:
        return vcpu in guest.dedicated_vcpus
    return guest.cpu_policy is CpuPolicy.DEDICATED


def grants(guest: GuestRequest, placement: Placement) -> tuple[Grant, ...]:
    """Cell by cell, vCPUs first; the guest's own emulator and iothread CPUs count in cell 0."""
    given = [
        Grant(guest.name, cell.id, f"vCPU {vcpu}", cpu, is_vcpu=True)
        for cell in placement.cells
        for vcpu, cpus in cell.vcpus
        if is_dedicated(guest, vcpu)
        for cpu in cpus
    ]
    if guest.emulator is not EmulatorPolicy.SHARE:
        given += [Grant(guest.name, FIRST_CELL, "emulator", cpu, is_vcpu=False) for cpu in placement.emulator]
    if guest.iothread_policy is IothreadPolicy.DEDICATED:
        given += [
            Grant(guest.name, FIRST_CELL, f"iothread {iothread}", cpu, is_vcpu=False)
            for iothread, cpus in placement.iothreads
            for cpu in cpus
        ]
    return tuple(given)


def cell_grants(given: Iterable[Grant], cell: CellPlacement) -> tuple[Grant, ...]:
    """The grants of one cell of one guest: its cell set."""
    return tuple(grant for grant in given if grant.cell == cell.id)


def cpus_of(given: Iterable[Grant]) -> CpuSet:
    """All CPUs of those grants."""
    return CpuSet(grant.cpu for grant in given)
