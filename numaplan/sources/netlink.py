"""The door to rtnetlink: the interfaces of this network namespace, their VFs, and which of them bear addresses.

Rows as plain as the kernel's attributes (rtnetlink(7), include/uapi/linux/if_link.h); what they mean is read elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from numaplan.sources.store import UnreadableError

# RTEXT_FILTER_VF asks for VFs; RTEXT_FILTER_SKIP_STATS spares the counters, without which the list of some hundred VFs
# outgrows the 64 KiB that one attribute can hold.
_EXT_MASK: Final = 1 | 8
# The kernel says so where an interface came or went while it listed them (NLM_F_DUMP_INTR).
_ATTEMPTS: Final = 5
LINK_LIMIT: Final = 50_000
# ARPHRD_ETHER and ARPHRD_LOOPBACK (include/uapi/linux/if_arp.h). pyroute2 makes six bytes of any address, those of a
# tunnel's end (4) and of InfiniBand (20) included.
_WITH_MAC: Final = (1, 772)

_TUN: Final = {"type": "IFLA_TUN_TYPE", "vnet_hdr": "IFLA_TUN_VNET_HDR", "multi_queue": "IFLA_TUN_MULTI_QUEUE"}
# Row's key: attribute of the VF, and its field.
_VF: Final = {
    "vf": ("IFLA_VF_MAC", "vf"),
    "mac": ("IFLA_VF_MAC", "mac"),
    "vlan": ("IFLA_VF_VLAN", "vlan"),
    "qos": ("IFLA_VF_VLAN", "qos"),
    "spoofchk": ("IFLA_VF_SPOOFCHK", "spoofchk"),
    "trust": ("IFLA_VF_TRUST", "trust"),
    "link_state": ("IFLA_VF_LINK_STATE", "link_state"),
    "min_tx_rate": ("IFLA_VF_RATE", "min_tx_rate"),
    "max_tx_rate": ("IFLA_VF_RATE", "max_tx_rate"),
}

_T = TypeVar("_T")


class Message(Protocol):
    """A message or nested attribute of pyroute2: fields by name, attributes by their names in the kernel's header."""

    def __getitem__(self, field: str) -> object:
        """A field of its header."""
        ...

    def get_attr(self, name: str) -> object:
        """The first attribute of that name, None where there is none."""
        ...

    def get_attrs(self, name: str) -> "Iterable[Message]":
        """All attributes of that name."""
        ...


def read_netlink() -> object:
    """`{"links": [...], "addresses": [...]}`; raises UnreadableError where the kernel does not answer.

    Addresses are given as no more than interface, family and scope, each once.
    """
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
    except ImportError as error:
        raise UnreadableError(f"pyroute2 cannot be loaded: {error}; install it beside numaplan") from error
    try:
        with IPRoute(groups=0) as route:  # else it subscribes to every change of the host's network
            links = _patiently(lambda: link_rows(route.link("dump", ext_mask=_EXT_MASK)), NetlinkDumpInterrupted)
            addresses = _patiently(lambda: address_rows(route.addr("dump")), NetlinkDumpInterrupted)
    except NetlinkDumpInterrupted as error:
        raise UnreadableError("network interfaces change faster than they can be listed; try again") from error
    except (NetlinkError, OSError) as error:
        raise UnreadableError(f"rtnetlink refuses to list network interfaces: {_words(error)}") from error
    return {"links": links, "addresses": addresses}


def link_rows(messages: Iterable[Message]) -> list[Mapping[str, object]]:
    """A row for each RTM_NEWLINK; raises UnreadableError above LINK_LIMIT."""
    rows: list[Mapping[str, object]] = []
    for message in messages:
        if len(rows) == LINK_LIMIT:
            raise UnreadableError(f"more than {LINK_LIMIT} network interfaces")
        rows.append(_link_row(message))
    return rows


def address_rows(messages: Iterable[Message]) -> list[Mapping[str, object]]:
    """A row for each interface, family (AF_INET is 2, AF_INET6 10) and scope (RT_SCOPE_*) of the RTM_NEWADDRs."""
    found = {(_number(message["index"]), _number(message["family"]), _number(message["scope"])) for message in messages}
    return [{"index": index, "family": family, "scope": scope} for index, family, scope in sorted(found)]


def _link_row(message: Message) -> Mapping[str, object]:
    info = message.get_attr("IFLA_LINKINFO")
    kind = _attribute(info, "IFLA_INFO_KIND")
    data = _attribute(info, "IFLA_INFO_DATA")
    ethernet = message["ifi_type"] in _WITH_MAC
    parented = message.get_attr("IFLA_PARENT_DEV_BUS_NAME") == "pci"
    return _said(
        {
            "index": message["index"],
            "name": message.get_attr("IFLA_IFNAME"),
            "flags": message["flags"],
            "kind": kind,
            "master": message.get_attr("IFLA_MASTER"),
            "link": message.get_attr("IFLA_LINK"),
            "link_netnsid": message.get_attr("IFLA_LINK_NETNSID"),
            "mac": message.get_attr("IFLA_ADDRESS") if ethernet else None,
            "permanent_mac": message.get_attr("IFLA_PERM_ADDRESS") if ethernet else None,
            "mtu": message.get_attr("IFLA_MTU"),
            "operstate": message.get_attr("IFLA_OPERSTATE"),
            "parent": message.get_attr("IFLA_PARENT_DEV_NAME") if parented else None,
            "vlan": _attribute(data, "IFLA_VLAN_ID") if kind == "vlan" else None,
            "mode": _attribute(data, f"IFLA_{kind.upper()}_MODE") if kind in ("macvlan", "macvtap") else None,
            "tun": _said({key: _attribute(data, name) for key, name in _TUN.items()}) if kind == "tun" else None,
            "num_vf": message.get_attr("IFLA_NUM_VF"),
            "vfs": _vf_rows(message.get_attr("IFLA_VFINFO_LIST")),
        }
    )


def _vf_rows(listed: object) -> list[Mapping[str, object]] | None:
    if listed is None:
        return None
    vfs = _nested(listed).get_attrs("IFLA_VF_INFO")
    return [_said({key: _field(vf, name, field) for key, (name, field) in _VF.items()}) for vf in vfs]


def _field(vf: Message, name: str, field: str) -> object:
    value = vf.get_attr(name)
    return None if value is None else _nested(value)[field]


def _attribute(node: object, name: str) -> object:
    """Nested attributes of a kind that pyroute2 does not know come as their bytes in hexadecimal."""
    return _nested(node).get_attr(name) if hasattr(node, "get_attr") else None


def _nested(node: object) -> Message:
    found: Message = node  # type: ignore[assignment]  # pyroute2 has no types: what it nests has all three methods
    return found


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _said(row: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in row.items() if value is not None}


def _patiently(action: Callable[[], _T], interrupted: type[Exception]) -> _T:
    for _ in range(_ATTEMPTS - 1):
        try:
            return action()
        except interrupted:
            continue
    return action()


def _words(error: Exception) -> str:
    text = error.args[-1] if error.args else type(error).__name__
    return str(text).lower()
