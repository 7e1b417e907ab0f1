"""PCI devices in words, as udev has them from its hardware database (hwdb(7))."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from numaplan.inventory.pci import parse_pci_name
from numaplan.inventory.rows import Row, read_rows
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.sources.tree import HostTree

_SOURCE: Final = "udev"
# The longest entries of the PCI ID list have some 140 characters; nobody reads that far in a table.
_LONGEST: Final = 120
_CUT: Final = "..."


def with_names(tree: HostTree, devices: Sequence[PciDevice]) -> tuple[PciDevice, ...]:
    """`devices` with vendor and model in words, where udev knows them."""
    document = read_rows(tree, _SOURCE)
    if document is None:
        return tuple(devices)
    names = _names(tree, document)
    return tuple(
        replace(device, name=names[device.address]) if device.address in names else device for device in devices
    )


def parse_name(row: Row) -> tuple[PciAddress, str | None]:
    """A device, and its vendor and model as one line; raises ValueError."""
    address = parse_pci_name(row.text("address") or "")
    if address is None:
        raise ValueError(f"{row.where}: no device with a PCI address")
    words = clean(" ".join(part for part in (row.text("vendor"), row.text("model")) if part))
    return address, words or None


def clean(text: str) -> str:
    """`text` on one line, its blanks single, without what a terminal cannot show, and not endless."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(shown.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - len(_CUT)].rstrip() + _CUT


def _names(tree: HostTree, document: Row) -> dict[PciAddress, str]:
    try:
        rows = document.rows("pci", required=True)
    except ValueError as error:
        tree.note(_SOURCE, str(error))
        return {}
    names: dict[PciAddress, str] = {}
    for row in rows:
        try:
            address, words = parse_name(row)
        except ValueError as error:
            tree.note(_SOURCE, str(error))
            continue
        if words is not None:
            names.setdefault(address, words)
    return names
