"""One guest's patch while it is worked out: what is there, what is wanted, the edits and notes so far."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from numaplan.domxml.check import SHARES
from numaplan.domxml.edit import Edits, Rank
from numaplan.domxml.element import New
from numaplan.domxml.tree import Document, Element
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import Guest
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, Memballoon, MemoryPolicy
from numaplan.model.snapshot import Snapshot

SMALL_PAGE_KIB: Final = 4
FLAG: Final = "--change-guest-topology changes it"

# The order in which libvirt prints the children of <domain> (virDomainDefFormatInternalSetRootName).
_ORDER: Final = (  # noqa: SIM905 - a list of 40 lines tells no more
    "name uuid hwuuid genid title description metadata maxMemory memory currentMemory blkiotune memtune memoryBacking"
    " vcpu vcpus iothreads iothreadids defaultiothread cputune numatune resource sysinfo bootloader bootloader_args os"
    " idmap throttlegroups features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel"
    " keywrap launchSecurity"
).split()


# Likewise those of <devices>.
_DEVICE_ORDER: Final = (  # noqa: SIM905 - a list of 30 lines tells no more
    "emulator disk controller lease filesystem interface smartcard serial parallel console channel input tpm graphics"
    " sound audio video hostdev redirdev redirfilter hub watchdog memballoon rng nvram panic shmem memory iommu vsock"
    " crypto pstore"
).split()

# The types of domain that QEMU runs.
_HYPERVISORS: Final = frozenset({"kvm", "qemu", "hvf"})


@dataclass(frozen=True, slots=True)
class Task:
    """`guest` is what `document` says now, `host` where the plan puts it; `edits` and `notes` are collected.

    `withheld` is what stays as it is because the guest would see it change, `noticed` what it will see of its devices.
    `new_devices` are those of a domain that has no ``<devices>``, `moved` those that the guest sees elsewhere.
    """

    document: Document
    guest: Guest
    request: GuestRequest
    placement: Placement
    host: Snapshot
    change_topology: bool
    edits: Edits
    notes: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)
    new_devices: list[New] = field(default_factory=list)
    moved: set[Element] = field(default_factory=set)

    @property
    def cache_shares(self) -> list[Element]:
        """``<cachetune>`` and ``<memorytune>``: shares of a cache of the host, and of what flows into it (resctrl)."""
        cputune = self.root.child("cputune")
        return [] if cputune is None else [share for name in SHARES for share in cputune.all(name)]

    @property
    def root(self) -> Element:
        """``<domain>``."""
        return self.document.root

    @property
    def takes_balloon(self) -> bool:
        """Whether the guest is to have no balloon, and is one that QEMU gives balloons to."""
        asked = self.request.memballoon
        is_wanted = asked is Memballoon.NONE or (asked is Memballoon.AUTO and self.has_huge_pages)
        return is_wanted and (self.root.get("type") or "") in _HYPERVISORS

    @property
    def has_huge_pages(self) -> bool:
        """Whether the plan gives any of its cells huge pages."""
        return any(cell.page_size_kib != SMALL_PAGE_KIB for cell in self.placement.cells)

    @property
    def has_small_pages(self) -> bool:
        """Whether the plan gives any of its cells ordinary pages."""
        return any(cell.page_size_kib == SMALL_PAGE_KIB for cell in self.placement.cells)

    def device(self, address: PciAddress) -> PciDevice | None:
        """The host's PCI function of that address; None where the host shows none."""
        return next((device for device in self.host.pci if device.address == address), None)

    def memory_mode(self, cell: int) -> str:
        """The numatune mode of a planned cell, as its request has it."""
        cells = self.request.cells
        policy = cells[min(cell, len(cells) - 1)].memory_policy
        return "preferred" if policy is MemoryPolicy.PREFERRED else "strict"

    def add_to_domain(self, new: New) -> None:
        """Adds a child to ``<domain>`` where libvirt would print it."""
        self.edits.insert_ranked(self.root, new, rank=(_ORDER.index(new.name),), rank_of=by_name(_ORDER))

    def add_device(self, new: New) -> None:
        """Adds a device where libvirt would print it."""
        groups = self.root.all("devices")
        if not groups:
            self.new_devices.append(new)
            return
        parent = next((group for group in reversed(groups) if group.all(new.name)), groups[-1])
        rank = (_DEVICE_ORDER.index(new.name),)
        self.edits.insert_ranked(parent, new, rank=rank, rank_of=by_name(_DEVICE_ORDER))

    def add_devices_element(self) -> None:
        """Adds the ``<devices>`` that a domain has not, with what is to stand in it."""
        if self.new_devices:
            children = sorted(self.new_devices, key=lambda new: _DEVICE_ORDER.index(new.name))
            self.add_to_domain(New("devices", children=tuple(children)))


def by_name(order: list[str] | tuple[str, ...]) -> Callable[[Element], Rank | None]:
    """Ranks siblings by where their name stands in `order`."""

    def rank_of(element: Element) -> Rank | None:
        return (order.index(element.name),) if element.name in order else None

    return rank_of
