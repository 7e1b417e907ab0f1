"""What a PF's driver says of its VFs (rtnetlink, IFLA_VF_* of include/uapi/linux/if_link.h)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from numaplan.inventory.link_rows import SOURCE, parse_mac
from numaplan.inventory.pci import PCI_DEVICES, parse_pci_name
from numaplan.inventory.rows import Row, read_rows
from numaplan.model.devices import Link, PciAddress, PciDevice, VfSettings
from numaplan.sources.tree import HostTree

_VF_LINK = re.compile(r"virtfn(0|[1-9][0-9]{0,4})", re.ASCII)
# A driver that does not know leaves the -1 that the kernel put there before it asked.
_NOT_SAID: Final = 2**32 - 1
_LINK_STATES: Final = ("auto", "enable", "disable")
_MOST_VFS: Final = 65535
_LAST_VLAN: Final = 4095
_LAST_PRIORITY: Final = 7


def with_vf_settings(tree: HostTree, devices: Sequence[PciDevice], links: Sequence[Link]) -> tuple[PciDevice, ...]:
    """`devices`, each VF with what netlink says of it; `links` are the host's interfaces.

    A VF is known by its index, which sysfs tells by the name of the PF's link to it.
    """
    document = read_rows(tree, SOURCE)
    if document is None:
        return tuple(devices)
    owners = {link.name: link.pci for link in links if link.pci is not None}
    physical = {device.address: device for device in devices if device.sriov is not None and device.sriov.vfs}
    settings: dict[PciAddress, VfSettings] = {}
    for name, parent, rows in _interfaces(tree, document):
        owner = owners.get(name)
        pf = None if owner is None else physical.get(owner)
        if pf is None or parent not in {None, str(owner)}:
            tree.note(SOURCE, f"{name} has VFs, but the device behind it, as files tell, has none")
            continue
        vfs = _vfs_by_index(tree, pf)
        for row in rows:
            vf = _parse_or_note(tree, row)
            if vf is None:
                continue
            address = vfs.get(vf.index)
            if address is None:
                tree.note(SOURCE, f"{name} has a VF {vf.index}, {pf.address} has none in sysfs")
            else:
                settings.setdefault(address, vf)
    return tuple(
        replace(device, vf=settings[device.address]) if device.address in settings else device for device in devices
    )


def parse_vf(row: Row) -> VfSettings:
    """One VF; all zeros for a MAC is none, 0 for a VLAN or a rate too, as the kernel has it. Raises ValueError."""
    index = row.integer("vf", lowest=0, highest=_MOST_VFS)
    if index is None:
        raise ValueError(f"{row.where}: no VF with an index")
    mac = row.text("mac")
    try:
        address = None if mac is None else parse_mac(mac)
    except ValueError as error:
        raise ValueError(f"{row.where}.mac: {error}") from error
    state = row.integer("link_state", lowest=0, highest=len(_LINK_STATES) - 1)
    return VfSettings(
        index=index,
        mac=address,
        vlan=row.integer("vlan", lowest=0, highest=_LAST_VLAN),
        qos=row.integer("qos", lowest=0, highest=_LAST_PRIORITY),
        trust=_switch(row, "trust"),
        spoof_check=_switch(row, "spoofchk"),
        link_state=None if state is None else _LINK_STATES[state],
        min_rate_mbps=row.integer("min_tx_rate", lowest=0, highest=_NOT_SAID),
        max_rate_mbps=row.integer("max_tx_rate", lowest=0, highest=_NOT_SAID),
    )


def _switch(row: Row, key: str) -> bool | None:
    value = row.integer(key, lowest=0, highest=_NOT_SAID)
    if value in {None, _NOT_SAID}:
        return None
    return bool(value)


def _interfaces(tree: HostTree, document: Row) -> Iterator[tuple[str, str | None, tuple[Row, ...]]]:
    """Interfaces with VFs. What else is wrong with rows is noted where links are read."""
    try:
        interfaces = document.rows("links")
    except ValueError as error:
        tree.note(SOURCE, str(error))
        return
    for interface in interfaces:
        try:
            name, parent, rows = interface.text("name"), interface.text("parent"), interface.rows("vfs")
        except ValueError as error:
            tree.note(SOURCE, str(error))
            continue
        if name is not None and rows:
            yield name, parent, rows


def _vfs_by_index(tree: HostTree, pf: PciDevice) -> Mapping[int, PciAddress]:
    """`Sriov.vfs` leaves no room for a VF that is missing, so that its order is that of the indexes, but not these."""
    sriov = pf.sriov
    vfs = () if sriov is None else sriov.vfs
    folder = tree.resolve(f"{PCI_DEVICES}/{pf.address}")
    names = () if folder is None else tree.names(folder)
    indexes = sorted(int(match[1]) for name in names if (match := _VF_LINK.fullmatch(name)))
    if indexes == list(range(len(vfs))) or (
        folder is None and pf.sriov is not None and pf.sriov.configured == len(vfs)
    ):
        return dict(enumerate(vfs))
    found = {}
    for index in indexes:
        address = parse_pci_name(tree.link_name(f"{folder}/virtfn{index}") or "")
        if address in vfs and address is not None:
            found[index] = address
    return found


def _parse_or_note(tree: HostTree, row: Row) -> VfSettings | None:
    try:
        return parse_vf(row)
    except ValueError as error:
        tree.note(SOURCE, str(error))
        return None
