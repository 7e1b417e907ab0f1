"""NP401: one VF or device is given to two guests."""

from collections import defaultdict
from collections.abc import Iterator

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.wording import first, pci_at, quoted
from numaplan.model.devices import PciAddress
from numaplan.model.finding import Evidence, Finding, Severity


def check(facts: Facts) -> Iterator[Finding]:
    """A finding for each such device."""
    users: defaultdict[PciAddress, list[int]] = defaultdict(list)
    for index, view in enumerate(facts.guests):
        for address in dict.fromkeys(view.guest.pci_addresses):
            users[address].append(index)
    for address, guests in sorted(users.items()):
        if len(guests) > 1:
            yield _finding(facts, address, guests)


def _finding(facts: Facts, address: PciAddress, indexes: list[int]) -> Finding:
    guests = [facts.guests[index].guest for index in indexes]
    return Finding(
        rule="NP401",
        severity=Severity.ERROR,
        guest=guests[0].name,
        subject=str(address),
        message=f"device {address} is given to {len(guests)} guests: {quoted(facts.name, indexes)}",
        evidence=first(Evidence(f'device of "{guest.name}"', str(address), pci_at(guest, address)) for guest in guests),
        wanted="each device in one guest",
        fix="give the others a device of their own, or run `numaplan place` for them",
    )


RULE = Rule(
    id="NP401",
    name="device-twice",
    severity=Severity.ERROR,
    title="one VF or device is given to two guests",
    what="""The PCI addresses of all <hostdev> and <interface type='hostdev'>, of guests that run and of those that
do not.""",
    why="""vfio gives an IOMMU group to one process: the second guest does not start ("Device or resource busy", or
libvirt: "is in use by driver QEMU"). It is found when the host comes up again after a failure and all guests start.""",
    bad="""<!-- in guest a and in guest b -->
<interface type='hostdev' managed='yes'>
  <source><address type='pci' domain='0x0000' bus='0x61' slot='0x10' function='0x0'/></source>
</interface>""",
    good="""<!-- in guest b -->
<interface type='hostdev' managed='yes'>
  <source><address type='pci' domain='0x0000' bus='0x61' slot='0x10' function='0x1'/></source>
</interface>""",
    fix="""Give each guest a VF of its own; `numaplan place` chooses one that nobody has.""",
    check=check,
)
