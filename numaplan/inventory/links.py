"""Network interfaces (/sys/class/net, Documentation/ABI/testing/sysfs-class-net)."""

import re
from collections.abc import Sequence
from typing import Final

from numaplan.inventory.addresses import Addressed, read_addressed
from numaplan.inventory.attribute import parse_integer, parse_or_note, read_attribute
from numaplan.inventory.pci import parse_pci_name
from numaplan.model.devices import Link, PciAddress
from numaplan.sources.tree import HostTree

NET_ROOT: Final = "sys/class/net"

# include/uapi/linux/if_arp.h, if_tun.h and ethtool.h; speed was 16 bits wide, then 32, before it had a sign.
_LOOPBACK_TYPE: Final = 772
_TUN, _TAP, _TUN_MASK = 1, 2, 3
_UNKNOWN_SPEEDS: Final = frozenset({-1, 0, 65535, 2**32 - 1})
_FASTEST_MBPS: Final = 10_000_000

_FLAGS = re.compile(r"0x([0-9a-f]{1,8})", re.ASCII)
_DEVICE_TYPE = re.compile(r"^DEVTYPE=([a-z0-9_.-]{1,32})$", re.ASCII | re.MULTILINE)


def read_links(tree: HostTree) -> tuple[Link, ...]:
    """Every network interface, by name."""
    vlans = frozenset(tree.names("proc/net/vlan"))
    addressed = read_addressed(tree)
    links = []
    for name in tree.names(NET_ROOT):
        folder = tree.resolve(f"{NET_ROOT}/{name}")
        if folder is None:
            tree.note(f"{NET_ROOT}/{name}", "the interface that it links to is not there")
            continue
        names = tree.names(folder)
        if names:  # bonding_masters is a file among the interfaces
            links.append(_read_link(tree, folder, name=name, names=names, vlans=vlans, addressed=addressed))
    return tuple(links)


def parse_speed(text: str) -> int | None:
    """Mb/s, None where the kernel does not know it; raises ValueError."""
    speed = parse_integer(text, lowest=-1, highest=2**32 - 1)
    if speed in _UNKNOWN_SPEEDS:
        return None
    if speed > _FASTEST_MBPS:
        raise ValueError("no link is that fast")
    return speed


def parse_tun_flags(text: str) -> str | None:
    """What the low bits say, "tun" or "tap"; raises ValueError."""
    match = _FLAGS.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("no flags")
    return {_TUN: "tun", _TAP: "tap"}.get(int(match[1], 16) & _TUN_MASK)


def parse_device_type(text: str) -> str | None:
    """DEVTYPE of a uevent file, None where there is none, as for a plain port; raises ValueError for other text."""
    if any("=" not in line for line in text.splitlines()):
        raise ValueError("no KEY=VALUE lines")
    match = _DEVICE_TYPE.search(text)
    return None if match is None else match[1]


def parse_interface_names(text: str) -> tuple[str, ...]:
    """Names with blanks between them, sorted; raises ValueError for what cannot be names."""
    names = text.split()
    # IFNAMSIZ is 16, with the NUL behind the name.
    if any(len(name) > 15 or "/" in name or not name.isprintable() for name in names):  # noqa: PLR2004 - said above
        raise ValueError("no interface names")
    return tuple(sorted(names))


def parse_arp_type(text: str) -> int:
    """The ARP hardware type; raises ValueError."""
    return parse_integer(text, highest=65535)


def _read_link(
    tree: HostTree,
    folder: str,
    *,
    name: str,
    names: Sequence[str],
    vlans: frozenset[str],
    addressed: Addressed,
) -> Link:
    return Link(
        name=name,
        kind=_read_kind(tree, folder, name=name, names=names, vlans=vlans),
        pci=_read_pci_address(tree, folder, names=names),
        speed_mbps=_read_speed(tree, folder) if "speed" in names else None,
        master=tree.link_name(f"{folder}/master") if "master" in names else None,
        lowers=_read_lowers(tree, folder, names=names),
        addresses=addressed.says(name),
    )


def _read_kind(tree: HostTree, folder: str, *, name: str, names: Sequence[str], vlans: frozenset[str]) -> str | None:
    """What the folder holds tells more than DEVTYPE does, which few drivers set."""
    marks = (("bridge", "bridge" in names), ("bond", "bonding" in names), ("vlan", name in vlans))
    kind = next((kind for kind, marked in marks if marked), None)
    if kind is not None:
        return kind
    if "tun_flags" in names:
        return read_attribute(tree, f"{folder}/tun_flags", parse_tun_flags)
    if read_attribute(tree, f"{folder}/type", parse_arp_type) == _LOOPBACK_TYPE:
        return "loopback"
    said = read_attribute(tree, f"{folder}/uevent", parse_device_type)
    return said or ("physical" if "device" in names else None)


def _read_pci_address(tree: HostTree, folder: str, *, names: Sequence[str]) -> PciAddress | None:
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


def _read_speed(tree: HostTree, folder: str) -> int | None:
    """A link that is down answers EINVAL, which a capture may hold as an empty file."""
    path = f"{folder}/speed"
    text = tree.text(path, optional=True)
    if text is None:
        return None
    if not text.strip() and (tree.text(f"{folder}/operstate") or "").strip() != "up":
        return None
    return parse_or_note(tree, path, text=text, parse=parse_speed)


def _read_lowers(tree: HostTree, folder: str, *, names: Sequence[str]) -> tuple[str, ...]:
    lowers = {name.removeprefix("lower_") for name in names if name.startswith("lower_")}
    if "brif" in names:
        lowers.update(tree.names(f"{folder}/brif"))
    if "bonding" in names:
        lowers.update(read_attribute(tree, f"{folder}/bonding/slaves", parse_interface_names) or ())
    return tuple(sorted(lowers))
