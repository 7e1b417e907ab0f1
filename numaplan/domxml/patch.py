"""Makes a guest's XML say what its placement says, and leaves every other byte as it is."""

from dataclasses import dataclass

from numaplan.domxml.assign import patch_devices
from numaplan.domxml.check import carry_out
from numaplan.domxml.cputune import patch_iothreads, patch_pins, patch_vcpus
from numaplan.domxml.edit import Edits
from numaplan.domxml.marks import patch_metadata
from numaplan.domxml.numatune import patch_numatune
from numaplan.domxml.read import guest_of
from numaplan.domxml.sizes import patch_memory, patch_pages
from numaplan.domxml.task import Task
from numaplan.domxml.topology import cells_after, keeps_cells, patch_cpu
from numaplan.domxml.tree import parse
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, InterfaceType


@dataclass(frozen=True, slots=True)
class Patched:
    """The XML as it should be, and what else is to be said of it."""

    data: bytes
    notes: tuple[str, ...] = ()


def patch_guest(
    data: bytes, file: str, *, request: GuestRequest, placement: Placement, change_topology: bool
) -> Patched:
    """The domain XML `data` with the placement of its guest; `file` is for messages.

    What says the right thing already is not touched, so patching the result again changes nothing. Raises InputError
    for XML that cannot be read or edited safely, and for a topology or NUMA cells that do not fit the plan unless
    `change_topology`.
    """
    document = parse(data, file)
    task = Task(document, guest_of(document), request, placement, change_topology, Edits(document))
    cells = cells_after(task)
    # In the order in which libvirt prints them: that decides among neighbours that are new.
    patch_metadata(task)
    if not keeps_cells(task):
        patch_memory(task, has_cells=bool(cells))
    patch_pages(task, cells)
    patch_vcpus(task)
    iothreads = patch_iothreads(task)
    patch_pins(task, iothreads)
    patch_numatune(task, cells)
    patch_cpu(task)
    patch_devices(task)
    _note_trust(task)
    return Patched(carry_out(task.edits), tuple(task.notes))


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
