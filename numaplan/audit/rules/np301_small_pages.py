"""NP301: a guest with a VF, a passed-through device or a vhost-user interface has its memory on 4 KiB pages."""

from collections.abc import Iterator

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import GuestView
from numaplan.audit.wording import at, counted, first, listed
from numaplan.model.finding import Evidence, Finding, Severity
from numaplan.model.guest import Guest, GuestHostdev, GuestInterface
from numaplan.units import format_size

_SMALL_KIB = 4
_VHOST_USER = "vhostuser"


def check(facts: Facts) -> Iterator[Finding]:
    """A finding for each such guest."""
    for view in facts.guests:
        users = _users(view.guest)
        small = [cell for cell in view.cells if cell.page_kib == _SMALL_KIB]
        if users and small:
            yield _finding(view, users, sum(cell.memory_kib for cell in small), cells=len(small))


def _users(guest: Guest) -> list[GuestInterface | GuestHostdev]:
    """Its interfaces and devices that reach into its memory past QEMU."""
    interfaces = [each for each in guest.interfaces if each.pci is not None or each.type == _VHOST_USER]
    return [*interfaces, *guest.hostdevs]


def _finding(view: GuestView, users: list[GuestInterface | GuestHostdev], small_kib: int, *, cells: int) -> Finding:
    guest = view.guest
    some = "" if cells == len(view.cells) else f" ({cells} of {len(view.cells)} cells)"
    pages = small_kib // _SMALL_KIB
    vhost = sum(user.pci is None for user in users)
    kinds = [
        counted(count, noun)
        for count, noun in ((len(users) - vhost, "passed-through device"), (vhost, "vhost-user interface"))
        if count
    ]
    line = min((page.line for page in guest.hugepages), default=0)
    backing = Evidence("hugepages", "for some cells" if guest.hugepages else "none", at(guest, line))
    return Finding(
        rule="NP301",
        severity=Severity.INFO if view.planned else Severity.WARNING,
        guest=guest.name,
        subject="memory",
        message=f"{format_size(small_kib)} of memory{some} are {pages} pages of 4 KiB, used by "
        + listed(kinds, noun="device")
        + (", as the plan has it" if view.planned else ""),
        evidence=first([backing, *(_evidence(guest, user) for user in users)]),
        wanted="hugepages of 2 MiB or 1 GiB",
        fix="add <memoryBacking><hugepages/></memoryBacking>, or set page_size in vnf.yaml and run `numaplan place`",
    )


def _evidence(guest: Guest, user: GuestInterface | GuestHostdev) -> Evidence:
    what = "vhost-user interface" if user.pci is None else f"device {user.pci}"
    return Evidence(what, "reaches into guest memory", at(guest, user.line))


RULE = Rule(
    id="NP301",
    name="small-pages",
    severity=Severity.WARNING,
    title="a guest with a VF, a passed-through device or a vhost-user interface is on 4 KiB pages",
    what="""Guests with a <hostdev>, an <interface type='hostdev'> or type='vhostuser' of which at least one cell is
not on hugepages (<memoryBacking><hugepages>). Memory of <source type='memfd'/> or file without hugepages is on 4
KiB pages too, even where it is shared, as vhost-user needs it. Info where the guest bears numaplan's metadata: its
page size was then asked for.""",
    why="""Each 4 KiB page needs an entry of its own in the IOMMU and in the page tables of the CPU: 4,194,304 for a
guest of 16 GiB, and 16 on pages of 1 GiB. The IOTLB of the device and the TLB of the CPU hold some thousands at
best, and each miss walks two levels of tables, guest's and host's. vfio also pins all the memory, so ordinary pages
save nothing. The guides of Open vSwitch and VPP set hugepages for vhost-user guests.""",
    bad="""<memory unit='GiB'>16</memory>
<devices>
  <interface type='hostdev' managed='yes'>
    <source><address type='pci' domain='0x0000' bus='0x61' slot='0x10' function='0x0'/></source>
  </interface>
</devices>""",
    good="""<memory unit='GiB'>16</memory>
<memoryBacking>
  <hugepages><page size='1' unit='GiB'/></hugepages>
</memoryBacking>
<devices>
  <interface type='hostdev' managed='yes'>
    <source><address type='pci' domain='0x0000' bus='0x61' slot='0x10' function='0x0'/></source>
  </interface>
</devices>""",
    fix="""Reserve hugepages on the guest's node at boot (hugepagesz=1G hugepages=0:16,1:16) and name them in
<memoryBacking>, or say page_size: 1GiB in vnf.yaml.""",
    check=check,
)
