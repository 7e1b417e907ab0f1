import gc
import json
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Self

import pytest
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from numaplan.sources.netlink import Message, address_rows, link_rows, read_netlink
from numaplan.sources.store import UnreadableError

RTM_NEWLINK = 16
RTM_NEWADDR = 20
NLA_NESTED = 1 << 15
# include/uapi/linux/if_link.h
ADDRESS, IFNAME, MTU, LINK, MASTER, OPERSTATE, LINKINFO, NUM_VF, VFINFO_LIST, NETNSID = (
    1,
    3,
    4,
    5,
    10,
    16,
    18,
    21,
    22,
    37,
)
PARENT_DEV_NAME, PARENT_DEV_BUS_NAME = 56, 57
INFO_KIND, INFO_DATA = 1, 2
VF_MAC, VF_VLAN, VF_SPOOFCHK, VF_LINK_STATE, VF_RATE, VF_TRUST = 1, 2, 4, 5, 6, 9
UNSAID = 2**32 - 1


def attribute(kind: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def message(kind: int, header: bytes, *attributes: bytes) -> bytes:
    data = header + b"".join(attributes)
    return struct.pack("=IHHII", len(data) + 16, kind, 0, 1, 0) + data


def newlink(index: int, name: str, *attributes: bytes, arp_type: int = 1) -> bytes:
    header = struct.pack("=BBHiII", 0, 0, arp_type, index, 0x1003, 0)
    return message(RTM_NEWLINK, header, attribute(IFNAME, name.encode() + b"\0"), *attributes)


def newaddr(index: int, *, family: int, scope: int, last: int) -> bytes:
    address = bytes([192, 0, 2, last]) if family == 2 else bytes(15) + bytes([last])
    return message(RTM_NEWADDR, struct.pack("=BBBBi", family, 24, 0, scope, index), attribute(1, address))


def decoded(*messages: bytes) -> Iterator[Message]:
    """As pyroute2 makes them of the kernel's bytes."""
    return iter(MarshalRtnl().parse(b"".join(messages)))


def vf(number: int, mac: bytes, *, spoof: int = 1, trust: int = 0) -> bytes:
    return attribute(
        1 | NLA_NESTED,
        attribute(VF_MAC, struct.pack("=I32s", number, mac)),
        attribute(VF_VLAN, struct.pack("=III", number, 100, 3)),
        attribute(VF_RATE, struct.pack("=III", number, 10, 2000)),
        attribute(VF_SPOOFCHK, struct.pack("=II", number, spoof)),
        attribute(VF_LINK_STATE, struct.pack("=II", number, 2)),
        attribute(VF_TRUST, struct.pack("=II", number, trust)),
    )


def test_the_machine_at_hand_has_a_loopback() -> None:
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    threads = threading.active_count()
    rows = json.loads(json.dumps(read_netlink()))
    gc.collect()  # a loop or a socket that was left open would warn here, and a warning is an error
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before
    assert threading.active_count() == threads
    [loopback] = [link for link in rows["links"] if link["flags"] & 0x8]
    assert (loopback["name"], loopback["index"], loopback["mac"]) == ("lo", 1, "00:00:00:00:00:00")
    assert loopback["mtu"] > 0
    assert all(set(row) == {"index", "family", "scope"} for row in rows["addresses"])


def test_a_pf_and_its_vfs() -> None:
    mac = bytes.fromhex("525400bb0001")
    [row] = link_rows(
        decoded(
            newlink(
                2,
                "ens1f0",
                attribute(ADDRESS, bytes.fromhex("525400aa0201")),
                attribute(MTU, struct.pack("=I", 9000)),
                attribute(OPERSTATE, b"\6"),
                attribute(MASTER, struct.pack("=I", 7)),
                attribute(NUM_VF, struct.pack("=I", 2)),
                attribute(VFINFO_LIST | NLA_NESTED, vf(0, mac), vf(5, bytes(6), spoof=UNSAID, trust=UNSAID)),
                attribute(PARENT_DEV_NAME, b"0000:3b:00.0\0"),
                attribute(PARENT_DEV_BUS_NAME, b"pci\0"),
            )
        )
    )
    said = {"vlan": 100, "qos": 3, "link_state": 2, "min_tx_rate": 10, "max_tx_rate": 2000}
    assert row == {
        "index": 2,
        "name": "ens1f0",
        "flags": 0x1003,
        "mac": "52:54:00:aa:02:01",
        "mtu": 9000,
        "operstate": "UP",
        "master": 7,
        "parent": "0000:3b:00.0",
        "num_vf": 2,
        "vfs": [
            said | {"vf": 0, "mac": "52:54:00:bb:00:01", "spoofchk": 1, "trust": 0},
            said | {"vf": 5, "mac": "00:00:00:00:00:00", "spoofchk": UNSAID, "trust": UNSAID},
        ],
    }


def test_kinds_and_what_only_they_have() -> None:
    def info(kind: str, *data: bytes) -> bytes:
        return attribute(
            LINKINFO | NLA_NESTED, attribute(INFO_KIND, kind.encode() + b"\0"), attribute(INFO_DATA | NLA_NESTED, *data)
        )

    link = attribute(LINK, struct.pack("=I", 2))
    rows = link_rows(
        decoded(
            newlink(3, "a.7", link, info("vlan", attribute(1, struct.pack("=H", 7)))),
            newlink(4, "t", info("tun", attribute(3, b"\2"), attribute(5, b"\1"), attribute(7, b"\1"))),
            newlink(5, "m", link, info("macvtap", attribute(1, struct.pack("=I", 4)))),
            newlink(6, "v", link, attribute(NETNSID, struct.pack("=i", 0)), info("veth")),
            newlink(7, "new", info("kind-of-tomorrow", attribute(1, b"\1\2\3\4"))),
        )
    )
    kept = [{key: value for key, value in row.items() if key not in {"index", "flags"}} for row in rows]
    assert kept == [
        {"name": "a.7", "kind": "vlan", "link": 2, "vlan": 7},
        {"name": "t", "kind": "tun", "tun": {"type": 2, "vnet_hdr": 1, "multi_queue": 1}},
        {"name": "m", "kind": "macvtap", "link": 2, "mode": "bridge"},
        {"name": "v", "kind": "veth", "link": 2, "link_netnsid": 0},
        {"name": "new", "kind": "kind-of-tomorrow"},
    ]


def test_an_address_of_a_tunnel_is_no_mac_and_a_parent_off_pci_is_none() -> None:
    virtio = [attribute(PARENT_DEV_NAME, b"virtio0\0"), attribute(PARENT_DEV_BUS_NAME, b"virtio\0")]
    address = attribute(ADDRESS, bytes([192, 0, 2, 1]))
    [row] = link_rows(decoded(newlink(3, "gre1", address, *virtio, arp_type=778)))
    assert row == {"index": 3, "name": "gre1", "flags": 0x1003}


def test_addresses_are_told_once_for_each_scope_and_without_their_text() -> None:
    messages = [newaddr(2, family=2, scope=0, last=last) for last in (1, 2)] + [
        newaddr(1, family=10, scope=254, last=1)
    ]
    assert address_rows(decoded(*messages)) == [
        {"index": 1, "family": 10, "scope": 254},
        {"index": 2, "family": 2, "scope": 0},
    ]


def test_more_interfaces_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numaplan.sources.netlink.LINK_LIMIT", 2)
    messages = [newlink(index, f"a{index}") for index in (3, 4, 5)]
    assert len(link_rows(decoded(*messages[:2]))) == 2
    with pytest.raises(UnreadableError, match="more than 2 network interfaces"):
        link_rows(decoded(*messages))


class Route:
    """IPRoute with faults: each dump of links takes the next of them."""

    faults: list[Exception]
    closed: int

    def __init__(self, **options: object) -> None:
        assert options == {"groups": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        type(self).closed += 1

    def link(self, command: str, *, ext_mask: int) -> Iterator[Message]:
        assert (command, ext_mask & 1) == ("dump", 1)
        if self.faults:
            raise self.faults.pop(0)
        return decoded(newlink(3, "a"))

    def addr(self, command: str) -> Iterator[Message]:
        assert command == "dump"
        return decoded()


@pytest.fixture
def route(monkeypatch: pytest.MonkeyPatch) -> type[Route]:
    Route.faults, Route.closed = [], 0
    monkeypatch.setattr("pyroute2.IPRoute", Route)
    return Route


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (NetlinkError(1), "operation not permitted"),
        (NetlinkError(90), "message too long"),
        (PermissionError(13, "Permission denied"), "permission denied"),
        (OSError(93, "Protocol not supported"), "protocol not supported"),
    ],
)
def test_a_refusal_is_told_in_plain_words_and_the_socket_closed(route: type[Route], fault: Exception, why: str) -> None:
    route.faults = [fault]
    with pytest.raises(UnreadableError) as refused:
        read_netlink()
    assert refused.value.why == f"rtnetlink refuses to list network interfaces: {why}"
    assert route.closed == 1


def test_a_list_that_changed_meanwhile_is_asked_for_again(route: type[Route]) -> None:
    route.faults = [NetlinkDumpInterrupted(), NetlinkDumpInterrupted()]
    assert read_netlink() == {"links": [{"index": 3, "name": "a", "flags": 0x1003}], "addresses": []}


def test_a_list_that_never_holds_still_is_given_up(route: type[Route]) -> None:
    route.faults = [NetlinkDumpInterrupted() for _ in range(9)]
    with pytest.raises(UnreadableError, match="faster than they can be listed"):
        read_netlink()
    assert len(route.faults) == 4


def test_a_host_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", ModuleType("pyroute2"))
    with pytest.raises(UnreadableError, match=r"pyroute2 cannot be loaded: .*; install it"):
        read_netlink()
