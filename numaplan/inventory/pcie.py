"""The link of a PCI Express function, and how it can be reset (drivers/pci/pci-sysfs.c, drivers/pci/pci.c)."""

import re
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from numaplan.inventory.attribute import parse_integer, read_attribute
from numaplan.model.devices import PcieLink
from numaplan.sources.tree import HostTree

_FILES: Final = frozenset({"current_link_speed", "current_link_width", "max_link_speed", "max_link_width"})
_NOTHING: Final = PcieLink()
# "8.0 GT/s PCIe"; older kernels say "8 GT/s" and "Unknown speed".
_SPEED = re.compile(r"([0-9]{1,3})(?:\.([0-9]))? GT/s(?: PCIe)?", re.ASCII)
_UNKNOWN_SPEEDS: Final = frozenset({"Unknown", "Unknown speed"})
# PCI Express Base Specification, "Link Capabilities Register". 63, all bits set, is what a function reads as that does
# not answer; 255 is the kernel's word for a function without such a register.
_WIDTHS: Final = frozenset({0, 1, 2, 4, 8, 12, 16, 32})
_NO_REGISTER: Final = 255
_RESET = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_MOST_RESETS: Final = 16

_T = TypeVar("_T")


def read_pcie_link(tree: HostTree, folder: str, *, names: Collection[str]) -> PcieLink | None:
    """The link of the function at `folder`, whose entries are `names`; None for one that has no link.

    Only PCI Express functions have the files. Those integrated in the root complex have them too, but no link behind
    them, which their greatest width tells. A VF's registers are empty (PCI Express Base Specification, "SR-IOV
    Extended Capability"): its link is its PF's, so this is not to be asked for one.
    """
    max_width = _read(tree, folder, "max_link_width", parse=parse_link_width, names=names)
    if max_width == 0:
        return None
    link = PcieLink(
        speed_mtps=_read(tree, folder, "current_link_speed", parse=parse_link_speed, names=names),
        width=_read(tree, folder, "current_link_width", parse=parse_link_width, names=names) or None,
        max_speed_mtps=_read(tree, folder, "max_link_speed", parse=parse_link_speed, names=names),
        max_width=max_width,
    )
    return None if link == _NOTHING else link


def note_lacking_links(tree: HostTree, folders: Collection[str]) -> None:
    """A gap for each file of a link that one of the functions at `folders` lacks and another has.

    The kernel shows all of them or none (drivers/pci/pci-sysfs.c, "pcie_dev_attr_group"), and a capture may have a
    choice of them, but the same for each function.
    """
    shown = {folder: _FILES.intersection(tree.names(folder)) for folder in folders}
    offered = frozenset().union(*shown.values())
    for folder, own in shown.items():
        for name in sorted(offered - own if own else ()):
            tree.note(f"{folder}/{name}", "not there, but other functions have it")


def read_resets(tree: HostTree, folder: str, *, names: Collection[str]) -> tuple[str, ...]:
    """Ways to reset the function at `folder`, in the order in which the kernel tries them.

    Documentation/ABI/testing/sysfs-bus-pci, "reset_method": since Linux 5.15, and only for a function that has any.
    """
    return _read(tree, folder, "reset_method", parse=parse_resets, names=names) or ()


def parse_link_speed(text: str) -> int | None:
    """MT/s, None where the kernel does not know it; raises ValueError."""
    stripped = text.strip()
    if stripped in _UNKNOWN_SPEEDS:
        return None
    match = _SPEED.fullmatch(stripped)
    if match is None:
        raise ValueError("no speed of a PCI Express link")
    return int(match[1]) * 1000 + int(match[2] or 0) * 100


def parse_link_width(text: str) -> int:
    """Lanes, 0 where there is no link or it is down; raises ValueError."""
    width = parse_integer(text, highest=_NO_REGISTER)
    if width == _NO_REGISTER:
        return 0
    if width not in _WIDTHS:
        raise ValueError("no width of a PCI Express link")
    return width


def parse_resets(text: str) -> tuple[str, ...]:
    """Names with blanks between them, such as "flr bus"; raises ValueError, also for none at all.

    The file is empty where somebody took all ways away by hand, which is odd enough to be told.
    """
    names = tuple(text.split())
    if not 0 < len(names) <= _MOST_RESETS or not all(_RESET.fullmatch(name) for name in names):
        raise ValueError("no way to reset it")
    return names


def _read(tree: HostTree, folder: str, name: str, *, parse: Callable[[str], _T], names: Collection[str]) -> _T | None:
    """Captures of other tools have a choice of the files, so only one that is listed is expected."""
    return read_attribute(tree, f"{folder}/{name}", parse) if name in names else None
