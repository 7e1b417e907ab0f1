"""What is to be said of a guest beside its patch: what libvirt has no words for, and what numaplan cannot know."""

from collections.abc import Iterable

from numaplan.cpuset import CPU_LIMIT, CpuSet, format_id_list
from numaplan.domxml.devices import device_elements
from numaplan.domxml.numbers import attribute, id_set
from numaplan.domxml.task import Task
from numaplan.model.guest import VcpuId
from numaplan.model.request import InterfaceType
from numaplan.model.snapshot import Snapshot


def add_remarks(task: Task) -> None:
    """Notes on what a patch leaves as it is though the plan may want another thing, and on what XML cannot say."""
    _note_current(task)
    _note_realtime(task)
    _note_shares(task)
    _note_networks(task)
    _note_trust(task)


def _note_current(task: Task) -> None:
    vcpu = task.root.child("vcpu")
    if vcpu is None or vcpu.get("current") is None:
        return
    current = attribute(task.document, vcpu, "current", least=0, most=CPU_LIMIT)
    count = task.request.vcpus
    if 0 < current < min(count, task.guest.vcpus):
        task.notes.append(
            f"current of <vcpu> on line {vcpu.line}: the guest starts with {current} of its {count} vCPUs,"
            " the CPUs of the others are kept for them"
        )


def _note_realtime(task: Task) -> None:
    realtime = task.request.realtime
    if realtime is not None and len(realtime.vcpus) == task.request.vcpus:
        task.notes.append("all its vCPUs are realtime: its own housekeeping needs one that is not")


def _note_shares(task: Task) -> None:
    """A share names a cache of the host, whoever runs there."""
    after = {int(vcpu): cpus for cell in task.placement.cells for vcpu, cpus in cell.vcpus}
    for element in task.cache_shares:
        vcpus = [vcpu for vcpu in sorted(id_set(task.document, element, "vcpus") or ()) if vcpu in after]
        names_one = any(child.get("id") is not None for child in element.children)
        before = _caches(task.host, (task.guest.vcpu_affinity(VcpuId(vcpu)) for vcpu in vcpus))
        if names_one and not _caches(task.host, (after[vcpu] for vcpu in vcpus)) <= before:
            many = "s" if len(vcpus) > 1 else ""
            task.notes.append(
                f"<{element.tag}> on line {element.line} stays as it is, and vCPU{many} {format_id_list(vcpus)}"
                " get CPUs at another last-level cache: give it the id of that"
            )


def _caches(host: Snapshot, affinities: Iterable[CpuSet | None]) -> frozenset[CpuSet]:
    """The CPUs of each last-level cache that these vCPUs may run at; None: anywhere."""
    return frozenset(llc.cpus for cpus in affinities for llc in host.llcs if cpus is None or cpus & llc.cpus)


def _note_networks(task: Task) -> None:
    for element in device_elements(task.document, "interface"):
        source = element.child("source")
        if element.get("type") == "network" and source is not None:
            task.notes.append(
                f'<interface> on line {element.line} takes what network "{source.get("network") or ""}" gives it at'
                " its start: which device that is, and on which node, numaplan cannot know"
            )


def _note_trust(task: Task) -> None:
    """A VF's trust is set on its PF: trustGuestRxFilters is for macvtap alone (libvirt, formatdomain)."""
    given = {interface.name: interface.vfs for interface in task.placement.interfaces}
    for interface in task.request.interfaces:
        if interface.type is InterfaceType.SRIOV and interface.trust and given.get(interface.name):
            vfs = ", ".join(str(vf) for vf in given[interface.name])
            task.notes.append(
                f'interface "{interface.name}": libvirt has no word for trust; set it on the PF of {vfs}:'
                " ip link set PF vf N trust on"
            )
