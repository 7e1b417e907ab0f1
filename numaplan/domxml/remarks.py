"""What is to be said of a guest beside its patch: what libvirt has no words for, and what numaplan cannot know."""

from numaplan.cpuset import CPU_LIMIT
from numaplan.domxml.devices import device_elements
from numaplan.domxml.numbers import attribute
from numaplan.domxml.task import Task
from numaplan.model.request import InterfaceType


def add_remarks(task: Task) -> None:
    """Notes on trust, on vCPUs that are not there from the start, and on devices that a network deals out."""
    _note_current(task)
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
