"""The host's network interfaces, from what files and what rtnetlink say of them.

Files decide which interfaces there are and how they hang together. What only an opened file tells (kind, MAC, MTU,
state, VLAN, peer) is netlink's to say where it has a row that agrees, and the file's where it has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from numaplan.inventory.addresses import Addressed, read_addressed
from numaplan.inventory.link_files import (
    NET_ROOT,
    VLAN_ROOT,
    Interface,
    read_interface,
    read_kind,
    read_lowers,
    read_mac,
    read_master,
    read_mtu,
    read_pair,
    read_speed,
    read_tun_kind,
    read_up,
    read_vlan,
)
from numaplan.inventory.link_rows import SOURCE, LinkRow, LinkRows, read_link_rows
from numaplan.model.devices import Link
from numaplan.sources.tree import HostTree

_NAMED = 5
_ALWAYS = ("address", "mtu", "operstate")


def read_links(tree: HostTree) -> tuple[Link, ...]:
    """Every network interface, by name."""
    vlans = frozenset(tree.names(VLAN_ROOT))
    entries = [read_interface(tree, name, vlans=vlans) for name in tree.names(NET_ROOT)]
    interfaces = [interface for interface in entries if interface is not None]
    rows = read_link_rows(tree)
    if rows is None:
        return _links_of_files(tree, interfaces)
    agreed = _agreed(tree, interfaces, rows)
    told = [
        _told(tree, interface, agreed[interface.name], rows) for interface in interfaces if interface.name in agreed
    ]
    untold = [interface for interface in interfaces if interface.name not in agreed]
    if rows.addressed is None:
        addressed = read_addressed(tree)
        told = [replace(link, addresses=addressed.says(link.name)) for link in told]
    # /proc/net is of netlink's namespace: of interfaces of another one it does not tell that they bear no address.
    alone = [replace(link, addresses=link.addresses or None) for link in _links_of_files(tree, untold)]
    return tuple(sorted([*told, *alone], key=lambda link: link.name))


def _links_of_files(tree: HostTree, interfaces: Sequence[Interface]) -> tuple[Link, ...]:
    if not interfaces:
        return ()
    _note_lacking(tree, interfaces)
    addressed = read_addressed(tree)
    links = [_read_link(tree, interface, addressed) for interface in interfaces]
    peers = _peers(tree, interfaces, links)
    return tuple(replace(link, peer=peers.get(link.name)) for link in links)


def _note_lacking(tree: HostTree, interfaces: Sequence[Interface]) -> None:
    """The kernel shows these files for each interface; a capture may lack some, but the same for each."""
    for name in _ALWAYS:
        lacking = [interface for interface in interfaces if name not in interface.names]
        for interface in lacking if len(lacking) < len(interfaces) else ():
            tree.note(f"{interface.folder}/{name}", "not there, but other interfaces have it")


def _read_link(tree: HostTree, interface: Interface, addressed: Addressed) -> Link:
    return Link(
        name=interface.name,
        kind=read_kind(tree, interface),
        pci=interface.pci,
        speed_mbps=read_speed(tree, interface),
        master=read_master(tree, interface),
        lowers=read_lowers(tree, interface),
        addresses=addressed.says(interface.name),
        mac=read_mac(tree, interface),
        mtu=read_mtu(tree, interface),
        up=read_up(tree, interface),
        vlan=read_vlan(tree, interface),
    )


def _peers(tree: HostTree, interfaces: Sequence[Interface], links: Sequence[Link]) -> Mapping[str, str]:
    """Peers as far as files tell: both ends name each other, and their indexes are neighbours.

    iflink does not say of which network namespace it is, so that two ends of two pairs may seem to be one pair. The
    kernel numbers the ends of a pair one after the other; that two such numbers met by chance as well is out of reach.
    """
    names: dict[int, str] = {}
    pairs: dict[str, tuple[int, int]] = {}
    for interface, link in zip(interfaces, links, strict=True):
        pair = None if link.kind is not None or link.lowers else read_pair(tree, interface)
        if pair is not None:
            names[pair[0]] = link.name
            pairs[link.name] = pair
    found = {}
    for name, (index, other) in pairs.items():
        peer = names.get(other)
        if peer is not None and pairs[peer] == (other, index) and abs(index - other) == 1:
            found[name] = peer
    return found


def _told(tree: HostTree, interface: Interface, row: LinkRow, rows: LinkRows) -> Link:
    """Of an interface that is switched off nobody knows the speed: its file would answer EINVAL."""
    return Link(
        name=interface.name,
        kind=_kind(tree, interface, row),
        pci=interface.pci,
        speed_mbps=None if row.admin_up is False else read_speed(tree, interface),
        master=_master(tree, interface, row, rows),
        lowers=_lowers(tree, interface, row, rows),
        addresses=rows.bears_address(row),
        mac=row.mac,
        mtu=row.mtu,
        up=row.up,
        vlan=row.vlan,
        peer=rows.peer_of(row),
    )


def _kind(tree: HostTree, interface: Interface, row: LinkRow) -> str | None:
    if interface.mark is not None:
        return interface.mark
    if row.kind == "tun" and not row.tun_told and "tun_flags" in interface.names:  # Linux before 4.18
        return read_tun_kind(tree, interface)
    if row.loopback:
        return "loopback"
    return row.kind or ("physical" if "device" in interface.names else None)


def _master(tree: HostTree, interface: Interface, row: LinkRow, rows: LinkRows) -> str | None:
    master, said = read_master(tree, interface), rows.master_of(row)
    if master != said:
        _contradiction(tree, interface, f"its master is {master or 'nobody'}", said or "nobody")
    return master


def _lowers(tree: HostTree, interface: Interface, row: LinkRow, rows: LinkRows) -> tuple[str, ...]:
    """Captures of old kernels lack the links to interfaces below."""
    lowers, said = read_lowers(tree, interface), rows.lower_of(row)
    if said is None or said in lowers:
        return lowers
    if lowers:
        _contradiction(tree, interface, f"below it is {', '.join(lowers[:_NAMED])}", said)
        return lowers
    return (said,)


def _agreed(tree: HostTree, interfaces: Sequence[Interface], rows: LinkRows) -> Mapping[str, LinkRow]:
    """Rows of the interfaces that files show: one of another kind or device is of another network namespace."""
    names = {interface.name for interface in interfaces}
    for what, lacking in (
        (SOURCE, sorted(names - rows.by_name.keys())),
        (NET_ROOT, sorted(rows.by_name.keys() - names)),
    ):
        if lacking:
            other = NET_ROOT if what == SOURCE else SOURCE
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            tree.note(what, f"lacks interfaces that {other} has: {', '.join(lacking[:_NAMED])}{more}")
    agreed = {}
    for interface in interfaces:
        row = rows.by_name.get(interface.name)
        if row is not None and _is_same(tree, interface, row):
            agreed[interface.name] = row
    return agreed


def _is_same(tree: HostTree, interface: Interface, row: LinkRow) -> bool:
    if row.parent is not None and row.parent != str(interface.pci):
        _contradiction(tree, interface, f"its device is {interface.pci or 'none on PCI'}", row.parent)
        return False
    if interface.mark is not None and row.kind is not None and row.kind != interface.mark:
        _contradiction(tree, interface, f"it is a {interface.mark}", row.kind)
        return False
    return True


def _contradiction(tree: HostTree, interface: Interface, files: str, said: str) -> None:
    tree.note(SOURCE, f"{interface.name}: files say that {files}, netlink says {said}; the files are taken")
