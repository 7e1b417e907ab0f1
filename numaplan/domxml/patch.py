"""Makes a guest's XML say what its placement says, and leaves every other byte as it is."""

from dataclasses import dataclass

from numaplan.domxml.assign import patch_devices
from numaplan.domxml.backing import memory_after, patch_backing, patch_limit
from numaplan.domxml.balloon import patch_memballoon
from numaplan.domxml.check import Permit, carry_out
from numaplan.domxml.cputune import patch_iothreads, patch_pins, patch_vcpus
from numaplan.domxml.edit import Edits
from numaplan.domxml.marks import patch_metadata
from numaplan.domxml.noticed import noticed_changes
from numaplan.domxml.numatune import patch_numatune
from numaplan.domxml.read import guest_of
from numaplan.domxml.remarks import add_remarks
from numaplan.domxml.sizes import patch_memory, patch_pages
from numaplan.domxml.task import Task
from numaplan.domxml.topology import cells_after, keeps_cells, patch_cpu
from numaplan.domxml.tree import parse
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from numaplan.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Patched:
    """The XML as it should be, and what else is to be said of it.

    `noticed` is what the guest itself will notice, `withheld` what stays as it is without --change-guest-topology.
    """

    data: bytes
    notes: tuple[str, ...] = ()
    noticed: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """All of it, a sentence each."""
        return (*self.notes, *self.withheld, *(f"the guest will notice: {what}" for what in self.noticed))


def patch_guest(
    data: bytes, file: str, *, request: GuestRequest, placement: Placement, host: Snapshot, change_topology: bool
) -> Patched:
    """The domain XML `data` with the placement of its guest on `host`; `file` is for messages.

    What says the right thing already is not touched, so patching the result again changes nothing. Raises InputError
    for XML that cannot be read or edited safely, for a topology or NUMA cells that do not fit the plan unless
    `change_topology`, and for wishes that libvirt would refuse beside what the XML has.
    """
    document = parse(data, file)
    task = Task(document, guest_of(document), request, placement, host, change_topology, Edits(document))
    _patch(task)
    new = carry_out(
        task.edits, Permit(frozenset(task.moved), task.takes_balloon, takes_vcpus=request.vcpus < task.guest.vcpus)
    )
    noticed = () if new == data else noticed_changes(document, parse(new, file))
    return Patched(new, tuple(task.notes), (*noticed, *task.noticed), tuple(task.withheld))


def _patch(task: Task) -> None:
    cells = cells_after(task)
    keeps = keeps_cells(task)
    # In the order in which libvirt prints them: that decides among neighbours that are new.
    patch_metadata(task)
    if not keeps:
        patch_memory(task, has_cells=bool(cells))
    patch_limit(task, memory_after(task, keeps_memory=keeps))
    patch_backing(task, patch_pages(task, cells), has_cells=bool(cells))
    patch_vcpus(task)
    iothreads = patch_iothreads(task)
    patch_pins(task, iothreads)
    patch_numatune(task, cells)
    patch_cpu(task)
    patch_devices(task)
    patch_memballoon(task)
    task.add_devices_element()
    add_remarks(task)
