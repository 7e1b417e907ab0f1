"""What /sys/class/net and /proc/net/vlan say of one interface (Documentation/ABI/testing/sysfs-class-net)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from numaplan.inventory.attribute import INT_LIMIT, parse_integer, parse_or_note, read_attribute
from numaplan.inventory.link_rows import can_carry, is_interface_name, parse_mac, parse_operstate
from numaplan.inventory.pci import parse_pci_name
from numaplan.model.devices import PciAddress
from numaplan.sources.tree import HostTree

NET_ROOT: Final = "sys/class/net"
VLAN_ROOT: Final = "proc/net/vlan"
# A file among the interfaces of /proc/net/vlan that lists them all.
VLAN_LIST: Final = "config"

# include/uapi/linux/if_arp.h, if_tun.h and ethtool.h; speed was 16 bits wide, then 32, before it had a sign.
_LOOPBACK_TYPE: Final = 772
_TUN, _TAP, _TUN_MASK = 1, 2, 3
_UNKNOWN_SPEEDS: Final = frozenset({-1, 0, 65535, 2**32 - 1})
_FASTEST_MBPS: Final = 10_000_000
_LAST_VLAN: Final = 4094
# Folders that only interfaces of that kind have.
_MARKS: Final = {"bridge": "bridge", "bonding": "bond", "macvtap": "macvtap", "ipvtap": "ipvtap", "phy80211": "wlan"}

_FLAGS = re.compile(r"0x([0-9a-f]{1,8})", re.ASCII)
_DEVICE_TYPE = re.compile(r"^DEVTYPE=([a-z0-9_.-]{1,32})$", re.ASCII | re.MULTILINE)
_VLAN_LINE = re.compile(r"(\S+)\s*\|\s*([0-9]{1,4})\s*\|\s*\S+", re.ASCII)
_VLAN_HEADS: Final = ("VLAN Dev name", "Name-Type:")
_VLAN_ID = re.compile(r"\S+\s+VID: ([0-9]{1,4})\s", re.ASCII)


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface's folder, once links are followed, and what that tells without opening a file.

    `mark` is the kind, where the folder's entries or /proc/net/vlan's tell it.
    """

    name: str
    folder: str
    names: frozenset[str]
    pci: PciAddress | None
    mark: str | None


def read_interface(tree: HostTree, name: str, *, vlans: frozenset[str]) -> Interface | None:
    """An entry of /sys/class/net; `vlans` are those of /proc/net/vlan. None for bonding_masters, a file among them."""
    folder = tree.resolve(f"{NET_ROOT}/{name}")
    if folder is None:
        tree.note(f"{NET_ROOT}/{name}", "the interface that it links to is not there")
        return None
    names = frozenset(tree.names(folder))
    if not names:
        return None
    mark = next((kind for entry, kind in _MARKS.items() if entry in names), "vlan" if name in vlans else None)
    return Interface(name, folder, names, _read_pci_address(tree, folder, names=names), mark)


def read_kind(tree: HostTree, interface: Interface) -> str | None:
    """What the folder holds tells more than DEVTYPE does, which few drivers set."""
    folder, names = interface.folder, interface.names
    if interface.mark is not None:
        return interface.mark
    if "tun_flags" in names:
        return read_tun_kind(tree, interface)
    if read_attribute(tree, f"{folder}/type", parse_arp_type, expected=True) == _LOOPBACK_TYPE:
        return "loopback"
    said = read_attribute(tree, f"{folder}/uevent", parse_device_type, expected=True)
    return said or ("physical" if "device" in names else None)


def read_tun_kind(tree: HostTree, interface: Interface) -> str | None:
    """tun_flags: "tun" or "tap"."""
    return read_attribute(tree, f"{interface.folder}/tun_flags", parse_tun_flags)


def read_speed(tree: HostTree, interface: Interface) -> int | None:
    """Mb/s of the file `speed`; a link that is down answers EINVAL, which a capture may hold as an empty file."""
    path = f"{interface.folder}/speed"
    text = tree.text(path, optional=True) if "speed" in interface.names else None
    if text is None:
        return None
    if not text.strip() and (tree.text(f"{interface.folder}/operstate") or "").strip() != "up":
        return None
    return parse_or_note(tree, path, text=text, parse=parse_speed)


def read_lowers(tree: HostTree, interface: Interface) -> tuple[str, ...]:
    """The kernel's own links to the interfaces below, and what bridges and bonds tell beside them."""
    lowers = {name.removeprefix("lower_") for name in interface.names if name.startswith("lower_")}
    if "brif" in interface.names:
        lowers.update(tree.names(f"{interface.folder}/brif"))
    if "bonding" in interface.names:
        lowers.update(read_attribute(tree, f"{interface.folder}/bonding/slaves", parse_interface_names) or ())
    return tuple(sorted(lowers))


def read_master(tree: HostTree, interface: Interface) -> str | None:
    """The name behind the link `master`."""
    return tree.link_name(f"{interface.folder}/master") if "master" in interface.names else None


def read_mac(tree: HostTree, interface: Interface) -> str | None:
    """The file `address`."""
    return read_attribute(tree, f"{interface.folder}/address", parse_mac) if "address" in interface.names else None


def read_mtu(tree: HostTree, interface: Interface) -> int | None:
    """The file `mtu`, in bytes."""
    return read_attribute(tree, f"{interface.folder}/mtu", parse_mtu) if "mtu" in interface.names else None


def read_up(tree: HostTree, interface: Interface) -> bool | None:
    """The file `operstate`, and `flags` where that says "unknown"."""
    if "operstate" not in interface.names:
        return None
    state = read_attribute(tree, f"{interface.folder}/operstate", parse_operstate)
    if state is None:
        return None
    if state != "unknown":
        return can_carry(state, 0)
    return can_carry(state, read_attribute(tree, f"{interface.folder}/flags", parse_flags, expected=True))


def read_vlan(tree: HostTree, interface: Interface) -> int | None:
    """/proc/net/vlan/config, one file for all, or where a capture lacks that, the interface's own beside it."""
    if interface.mark != "vlan":
        return None
    listed = read_attribute(tree, f"{VLAN_ROOT}/{VLAN_LIST}", parse_vlan_list) or {}
    if interface.name in listed:
        return listed[interface.name]
    return read_attribute(tree, f"{VLAN_ROOT}/{interface.name}", parse_vlan)


def read_pair(tree: HostTree, interface: Interface) -> tuple[int, int] | None:
    """The numbers in ifindex and iflink, the latter that of the interface below or of a peer; None for one without."""
    if not {"ifindex", "iflink"} <= interface.names or "device" in interface.names:
        return None
    index = read_attribute(tree, f"{interface.folder}/ifindex", parse_index)
    link = read_attribute(tree, f"{interface.folder}/iflink", parse_index)
    return None if index is None or not link or index == link else (index, link)


def parse_speed(text: str) -> int | None:
    """Mb/s, None where the kernel does not know it; raises ValueError."""
    speed = parse_integer(text, lowest=-1, highest=2**32 - 1)
    if speed in _UNKNOWN_SPEEDS:
        return None
    if speed > _FASTEST_MBPS:
        raise ValueError("no link is that fast")
    return speed


def parse_flags(text: str) -> int:
    """Flags in hexadecimal, such as "0x1003"; raises ValueError."""
    match = _FLAGS.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("no flags")
    return int(match[1], 16)


def parse_tun_flags(text: str) -> str | None:
    """What the low bits say, "tun" or "tap"; raises ValueError."""
    return {_TUN: "tun", _TAP: "tap"}.get(parse_flags(text) & _TUN_MASK)


def parse_device_type(text: str) -> str | None:
    """DEVTYPE of a uevent file, None where there is none, as for a plain port; raises ValueError for other text."""
    if any("=" not in line for line in text.splitlines()):
        raise ValueError("no KEY=VALUE lines")
    match = _DEVICE_TYPE.search(text)
    return None if match is None else match[1]


def parse_interface_names(text: str) -> tuple[str, ...]:
    """Names with blanks between them, sorted; raises ValueError for what cannot be names."""
    names = text.split()
    if not all(is_interface_name(name) for name in names):
        raise ValueError("no interface names")
    return tuple(sorted(names))


def parse_arp_type(text: str) -> int:
    """The ARP hardware type; raises ValueError."""
    return parse_integer(text, highest=65535)


def parse_mtu(text: str) -> int:
    """Bytes; raises ValueError."""
    return parse_integer(text, highest=INT_LIMIT)


def parse_index(text: str) -> int:
    """An interface's index, 0 for none; raises ValueError."""
    return parse_integer(text, highest=INT_LIMIT)


def parse_vlan(text: str) -> int:
    """The VID of /proc/net/vlan/X; raises ValueError."""
    match = _VLAN_ID.match(text)
    return _vlan_id(None if match is None else match[1])


@lru_cache(maxsize=4)
def parse_vlan_list(text: str) -> Mapping[str, int]:
    """VLAN ids by interface of /proc/net/vlan/config ("eth0.7 | 7 | eth0"); raises ValueError."""
    found = {}
    lines = [line for line in text.splitlines() if not line.startswith(_VLAN_HEADS)]
    if len(lines) == len(text.splitlines()):
        raise ValueError("no list of VLANs")
    for line in lines:
        match = _VLAN_LINE.fullmatch(line.strip())
        found["" if match is None else match[1]] = _vlan_id(None if match is None else match[2])
    return found


def _vlan_id(digits: str | None) -> int:
    if digits is None or int(digits) > _LAST_VLAN:
        raise ValueError("no VLAN id")
    return int(digits)


def _read_pci_address(tree: HostTree, folder: str, *, names: frozenset[str]) -> PciAddress | None:
    """The nearest PCI function above the interface: its device, or the one below which its virtio device hangs."""
    places = [folder]
    if "device" in names:
        places.insert(0, tree.resolve(f"{folder}/device") or tree.link_name(f"{folder}/device") or "")
    for place in places:
        for part in reversed(place.split("/")):
            address = parse_pci_name(part)
            if address is not None:
                return address
    return None
