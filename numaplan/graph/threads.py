"""Where a guest's threads may run: as they do in fact where that is known, else as its XML confines them."""

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest, ThreadKind, VcpuId


def vcpu_cpus(guest: Guest) -> CpuSet | None:
    """The CPUs of all its vCPUs; None where one of them may run anywhere."""
    live = live_cpus(guest, ThreadKind.VCPU)
    if live is not None:
        return live
    pins = {pin.vcpu: pin.cpus for pin in reversed(guest.vcpu_pins)}
    cpus: set[int] = set()
    for vcpu in range(guest.vcpus):
        affinity = pins.get(VcpuId(vcpu), guest.vcpu_cpuset)
        if affinity is None:
            return None
        cpus.update(affinity)
    return CpuSet(cpus)


def live_cpus(guest: Guest, kind: ThreadKind) -> CpuSet | None:
    """The CPUs of its threads of that kind; None where none is known to run."""
    found = [] if guest.live is None else [thread.affinity for thread in guest.live.threads if thread.kind is kind]
    return CpuSet(cpu for affinity in found for cpu in affinity) if found else None
