"""What rtnetlink said of the network interfaces (rtnetlink(7)), checked row by row.

Rows may come from a capture: one that makes no sense is left out, with a gap.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from numaplan.inventory.attribute import INT_LIMIT
from numaplan.inventory.rows import Row, read_rows
from numaplan.sources.tree import HostTree

SOURCE: Final = "netlink"

# include/uapi/linux/if.h: IFF_UP, IFF_LOOPBACK; if_tun.h: IFF_TUN, IFF_TAP.
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_TUN_TYPES: Final = {1: "tun", 2: "tap"}
# Kinds whose IFLA_LINK is the other end of a pair; any other's is the interface below.
_PAIRS: Final = frozenset({"veth", "netkit", "vxcan"})
_LAST_VLAN: Final = 4094
_OPERSTATES: Final = {
    "up": True,
    "down": False,
    "lowerlayerdown": False,
    "notpresent": False,
    "dormant": False,
    "testing": False,
    "unknown": None,
}
_AF_INET, _AF_INET6 = 2, 10
# RT_SCOPE_UNIVERSE and RT_SCOPE_SITE (include/uapi/linux/rtnetlink.h): an interface that is up has an IPv6 address of
# link scope without anybody's doing. IPv4 of host scope is 127.0.0.0/8.
_SCOPES: Final = {_AF_INET: frozenset(range(254)), _AF_INET6: frozenset({0, 200})}
# IFNAMSIZ is 16, with the NUL behind the name.
_NAME = re.compile(r"[^\s/\0]{1,15}")
_KIND = re.compile(r"[a-z0-9_.-]{1,32}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)
# An interface's address is up to MAX_ADDR_LEN bytes, a tunnel's that of its end, a tun's none at all.
_ADDRESS = re.compile(r"(?:[0-9a-f]{2}(?::[0-9a-f]{2}){0,31})?", re.ASCII)
_NO_MAC: Final = "00:00:00:00:00:00"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LinkRow:
    """An interface; `link` is the index of the one below it or of its peer, in another network namespace if `foreign`.

    `parent` is the PCI function's address as text; `tun_told`: the row tells a tun from a tap.
    """

    index: int
    name: str
    loopback: bool = False
    kind: str | None = None
    tun_told: bool = False
    master: int | None = None
    link: int | None = None
    foreign: bool = False
    mac: str | None = None
    mtu: int | None = None
    admin_up: bool | None = None
    up: bool | None = None
    vlan: int | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class LinkRows:
    """All interfaces. `addressed` are the indexes of those with an IP address, None where addresses are not told."""

    by_name: Mapping[str, LinkRow]
    by_index: Mapping[int, LinkRow]
    addressed: frozenset[int] | None
    complete: bool

    def bears_address(self, row: LinkRow) -> bool | None:
        """Whether that interface bears an IP address; None where a row of another may have been about it."""
        if self.addressed is None:
            return None
        return True if row.index in self.addressed else (False if self.complete else None)

    def master_of(self, row: LinkRow) -> str | None:
        """The name of the interface that it belongs to."""
        return self._name_of(row.master)

    def lower_of(self, row: LinkRow) -> str | None:
        """The name of the interface below it, if it is in the same network namespace."""
        if row.foreign or row.kind in _PAIRS or row.link == row.index:
            return None
        return self._name_of(row.link)

    def peer_of(self, row: LinkRow) -> str | None:
        """The name of the other end, if it is in the same network namespace: both ends must say so."""
        if row.foreign or row.kind not in _PAIRS or row.link is None:
            return None
        peer = self.by_index.get(row.link)
        if peer is None or peer.foreign or peer.link != row.index or peer.kind != row.kind:
            return None
        return peer.name

    def _name_of(self, index: int | None) -> str | None:
        row = None if index is None else self.by_index.get(index)
        return None if row is None else row.name


def read_link_rows(tree: HostTree) -> LinkRows | None:
    """The rows of the source "netlink"; None where it said nothing or nothing that makes sense."""
    document = read_rows(tree, SOURCE)
    if document is None:
        return None
    by_name: dict[str, LinkRow] = {}
    by_index: dict[int, LinkRow] = {}
    for said in _rows(tree, document, "links"):
        row = _parse_or_note(tree, said, parse_link_row)
        if row is None:
            continue
        if row.name in by_name or row.index in by_index:
            tree.note(SOURCE, f"{said.where}: a second interface of that name or index")
            continue
        by_name[row.name] = by_index[row.index] = row
    if not by_name:
        return None
    addressed, complete = _addressed(tree, document, by_index)
    return LinkRows(by_name, by_index, addressed, complete)


def parse_link_row(row: Row) -> LinkRow:
    """One interface; raises ValueError."""
    index, name = row.integer("index", lowest=1, highest=INT_LIMIT), row.text("name")
    if index is None or name is None or not is_interface_name(name):
        raise ValueError(f"{row.where}: no interface with an index and a name")
    kind = row.text("kind")
    if kind is not None and not _KIND.fullmatch(kind):
        raise ValueError(f"{row.where}.kind: no kind of an interface")
    tun = row.row("tun")
    tun_kind = None if kind != "tun" or tun is None else _TUN_TYPES.get(tun.integer("type") or 0)
    flags = row.integer("flags", lowest=0, highest=2**32 - 1)
    mac, state = row.text("mac"), row.text("operstate")
    if mac is not None and _ADDRESS.fullmatch(mac) is None:
        raise ValueError(f"{row.where}.mac: no hardware address")
    if state is not None and state.lower() not in _OPERSTATES:
        raise ValueError(f"{row.where}.operstate: no operational state")
    return LinkRow(
        index=index,
        name=name,
        loopback=bool((flags or 0) & _IFF_LOOPBACK),
        kind=tun_kind or kind,
        tun_told=tun_kind is not None,
        master=row.integer("master", lowest=0, highest=INT_LIMIT),
        link=row.integer("link", lowest=0, highest=INT_LIMIT) or None,
        foreign=row.integer("link_netnsid") is not None,
        mac=None if mac is None else parse_mac(mac),
        mtu=row.integer("mtu", lowest=0, highest=INT_LIMIT),
        admin_up=None if flags is None else bool(flags & _IFF_UP),
        up=None if state is None else can_carry(parse_operstate(state), flags),
        vlan=row.integer("vlan", lowest=0, highest=_LAST_VLAN),
        parent=row.text("parent"),
    )


def parse_mac(text: str) -> str | None:
    """An Ethernet address in lower case, None for none (all zeros) and for another kind of address; ValueError."""
    mac = text.strip().lower()
    if not text or _ADDRESS.fullmatch(mac) is None:
        raise ValueError("no hardware address")
    return mac if _MAC.fullmatch(mac) and mac != _NO_MAC else None


def parse_operstate(text: str) -> str:
    """The operational state in lower case (Documentation/networking/operstates.rst); raises ValueError."""
    state = text.strip().lower()
    if state not in _OPERSTATES:
        raise ValueError("no operational state")
    return state


def can_carry(state: str, flags: int | None) -> bool | None:
    """Whether it can carry traffic; a driver without a state ("unknown") is to be used once it is switched on."""
    known = _OPERSTATES[state]
    return known if known is not None or flags is None else bool(flags & _IFF_UP)


def parse_address(row: Row) -> tuple[int, bool]:
    """An interface's index, and whether that address is somebody's doing; raises ValueError."""
    index = row.integer("index", lowest=1, highest=INT_LIMIT)
    family, scope = row.integer("family", lowest=0), row.integer("scope", lowest=0, highest=255)
    if index is None or family is None or scope is None:
        raise ValueError(f"{row.where}: no address with an interface, a family and a scope")
    return index, scope in _SCOPES.get(family, frozenset())


def is_interface_name(name: str) -> bool:
    """Whether the kernel lets an interface be named so, and a terminal can show it."""
    return _NAME.fullmatch(name) is not None and name.isprintable() and name not in {".", ".."}


def _rows(tree: HostTree, document: Row, key: str) -> tuple[Row, ...]:
    try:
        return document.rows(key, required=key == "links")
    except ValueError as error:
        tree.note(SOURCE, str(error))
        return ()


def _addressed(tree: HostTree, document: Row, known: Mapping[int, LinkRow]) -> tuple[frozenset[int] | None, bool]:
    """Not told where no address is listed at all: a loopback that is up has one."""
    rows = _rows(tree, document, "addresses")
    found = set()
    complete = True
    for row in rows:
        address = _parse_or_note(tree, row, parse_address)
        if address is None or address[0] not in known:
            if address is not None:
                tree.note(SOURCE, f"{row.where}: an address of no interface that is listed")
            complete = False
        elif address[1]:
            found.add(address[0])
    return (frozenset(found), complete) if rows else (None, False)


def _parse_or_note(tree: HostTree, row: Row, parse: Callable[[Row], _T]) -> _T | None:
    try:
        return parse(row)
    except ValueError as error:
        tree.note(SOURCE, str(error))
        return None
