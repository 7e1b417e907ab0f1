"""The CPUs that guests hold: those that their threads cannot leave, and those that they keep to themselves."""

from collections.abc import Sequence

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.guest import Guest, VcpuId
from numaplan.model.request import ThreadPolicy
from numaplan.model.snapshot import Snapshot


def vcpu_affinities(guest: Guest, online: CpuSet) -> list[CpuSet]:
    """Where each vCPU may run now."""
    return [guest.effective_vcpu_affinity(VcpuId(vcpu)) or online for vcpu in range(guest.vcpus)]


def taken_by(guest: Guest, online: CpuSet) -> list[CpuId]:
    """The CPUs that its threads cannot leave; on what is offline none can be."""
    affinities = [guest.effective_emulator_affinity()]
    affinities += [guest.effective_iothread_affinity(iothread) for iothread in guest.iothread_ids]
    return [*taken_by_vcpus(guest, online), *_single(affinities, online)]


def taken_by_vcpus(guest: Guest, online: CpuSet) -> list[CpuId]:
    """Those that its vCPUs cannot leave."""
    return _single([guest.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(guest.vcpus)], online)


def dedicated_to_vcpus(guest: Guest, online: CpuSet) -> CpuSet:
    """Those of them on which no vCPU floats: a pool of one CPU is all that a shared vCPU may run on."""
    own = (VcpuId(vcpu) for vcpu in range(guest.vcpus) if vcpu not in guest.shared_vcpus)
    return CpuSet(_single([guest.effective_vcpu_affinity(vcpu) for vcpu in own], online))


def floating_on(guest: Guest, node: CpuSet, online: CpuSet) -> int:
    """How many of its vCPUs float on CPUs of one `node` alone: they count against the shared pool there."""
    wide = (cpus & online for cpus in vcpu_affinities(guest, online))
    return sum(len(cpus) > 1 and cpus <= node for cpus in wide)


def kept_idle(staying: list[Guest], snapshot: Snapshot, *, allocatable: CpuSet, shared: CpuSet) -> CpuSet:
    """The cores of guests that stay with policy isolate: also where somebody else is on one, nobody else joins them.

    An emulator or iothread on CPUs for all isolates nothing.
    """
    isolated, online = [guest for guest in staying if guest.thread_policy == ThreadPolicy.ISOLATE], snapshot.cpus.online
    alone = CpuSet(cpu for guest in isolated for cpu in taken_by_vcpus(guest, online)) - shared
    alone |= CpuSet(cpu for guest in isolated for cpu in taken_by(guest, online)) & allocatable
    return CpuSet(cpu for core in snapshot.cores if core.cpus & alone for cpu in core.cpus) if alone else alone


def only_cpu(affinity: CpuSet | None, online: CpuSet) -> CpuSet:
    """The one CPU that a thread can run on; none where it can on several, or nowhere."""
    cpus = EMPTY if affinity is None else affinity & online
    return cpus if len(cpus) == 1 else EMPTY


def _single(affinities: Sequence[CpuSet | None], online: CpuSet) -> list[CpuId]:
    return [cpu for affinity in affinities for cpu in only_cpu(affinity, online)]
