"""One guest's patch while it is worked out: what is there, what is wanted, the edits and notes so far."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from numaplan.domxml.edit import Edits, Rank
from numaplan.domxml.element import New
from numaplan.domxml.tree import Document, Element
from numaplan.model.guest import Guest
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, MemoryPolicy

SMALL_PAGE_KIB: Final = 4

# The order in which libvirt prints the children of <domain> (virDomainDefFormatInternalSetRootName).
_ORDER: Final = (  # noqa: SIM905 - a list of 40 lines tells no more
    "name uuid hwuuid genid title description metadata maxMemory memory currentMemory blkiotune memtune memoryBacking"
    " vcpu vcpus iothreads iothreadids defaultiothread cputune numatune resource sysinfo bootloader bootloader_args os"
    " idmap throttlegroups features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel"
    " keywrap launchSecurity"
).split()


@dataclass(frozen=True, slots=True)
class Task:
    """`guest` is what `document` says now; `edits` and `notes` are collected."""

    document: Document
    guest: Guest
    request: GuestRequest
    placement: Placement
    change_topology: bool
    edits: Edits
    notes: list[str] = field(default_factory=list)

    @property
    def root(self) -> Element:
        """``<domain>``."""
        return self.document.root

    def memory_mode(self, cell: int) -> str:
        """The numatune mode of a planned cell, as its request has it."""
        cells = self.request.cells
        policy = cells[min(cell, len(cells) - 1)].memory_policy
        return "preferred" if policy is MemoryPolicy.PREFERRED else "strict"

    def add_to_domain(self, new: New) -> None:
        """Adds a child to ``<domain>`` where libvirt would print it."""
        self.edits.insert_ranked(self.root, new, rank=(_ORDER.index(new.name),), rank_of=by_name(_ORDER))


def by_name(order: list[str] | tuple[str, ...]) -> Callable[[Element], Rank | None]:
    """Ranks siblings by where their name stands in `order`."""

    def rank_of(element: Element) -> Rank | None:
        return (order.index(element.name),) if element.name in order else None

    return rank_of
