import errno
import os

import pytest

from numaplan.inventory.addresses import parse_connected, parse_if_inet6, parse_local_addresses, read_addressed
from numaplan.inventory.link_files import (
    parse_device_type,
    parse_flags,
    parse_interface_names,
    parse_speed,
    parse_tun_flags,
    parse_vlan,
    parse_vlan_list,
)
from numaplan.inventory.link_rows import parse_mac, parse_operstate
from numaplan.inventory.links import read_links
from numaplan.model.devices import Link
from numaplan.model.host import Source
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, gaps, tree

Files = dict[str, str | To | None]
NET = "sys/class/net"
VIRTUAL = "sys/devices/virtual/net"
PF = "sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0"

INET6 = """\
fe80000000000000505400fffeaa0201 02 40 20 80     eth0
20010db8000000000000000000000001 03 40 00 80     eth1
00000000000000000000000000000001 01 80 10 80       lo
"""
ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth2\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
br0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
TRIE = """\
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.7
        /32 host LOCAL
"""
VLANS = """\
VLAN Dev name\t | VLAN ID
Name-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD
b              | 7  | a
a.4094         | 4094  | a
"""


def port(name: str, folder: str = VIRTUAL, **contents: str) -> Files:
    files: Files = {f"{NET}/{name}": To("../../" + f"{folder}/{name}".removeprefix("sys/"))}
    files[f"{folder}/{name}/uevent"] = f"INTERFACE={name}\nIFINDEX=3\n"
    files[f"{folder}/{name}/type"] = "1\n"
    return files | {f"{folder}/{name}/{key}": text for key, text in contents.items()}


def read(files: Files) -> dict[str, Link]:
    return {link.name: link for link in read_links(tree(files))}


def test_a_physical_port() -> None:
    files = port("ens1f0", f"{PF}/net", speed="25000\n")
    files[f"{PF}/net/ens1f0/device"] = To("../../../0000:3b:00.0")
    files[f"{PF}/net/ens1f0/master"] = To("../../../../../virtual/net/br0")
    link = read(files)["ens1f0"]
    assert (link.kind, str(link.pci), link.speed_mbps, link.master) == ("physical", "0000:3b:00.0", 25000, "br0")


def test_a_virtio_port_is_that_of_the_function_below_which_it_hangs() -> None:
    files = port("eth0", f"{PF}/virtio0/net")
    files[f"{PF}/virtio0/net/eth0/device"] = To("../../../virtio0")
    link = read(files)["eth0"]
    assert (link.kind, str(link.pci)) == ("physical", "0000:3b:00.0")


def test_a_captured_folder_in_the_place_of_a_link_keeps_its_device() -> None:
    link = read({f"{NET}/eth0/device": To("../../../devices/pci0000:3a/0000:3b:00.0"), f"{NET}/eth0/type": "1\n"})[
        "eth0"
    ]
    assert str(link.pci) == "0000:3b:00.0"


def test_a_bridge_and_its_ports() -> None:
    files = port("br0") | {f"{VIRTUAL}/br0/bridge": None, f"{VIRTUAL}/br0/brif/ens1f0": To("../../x")}
    files[f"{VIRTUAL}/br0/lower_vnet0"] = To("../vnet0")
    link = read(files)["br0"]
    assert (link.kind, link.lowers, link.pci) == ("bridge", ("ens1f0", "vnet0"), None)


def test_a_bond_and_its_members() -> None:
    files = port("bond0") | {f"{VIRTUAL}/bond0/bonding/slaves": "ens2f0 ens1f0\n", f"{NET}/bonding_masters": "bond0\n"}
    links = read(files)
    assert list(links) == ["bond0"]
    assert (links["bond0"].kind, links["bond0"].lowers) == ("bond", ("ens1f0", "ens2f0"))


def test_a_vlan_by_its_type_or_by_proc() -> None:
    files = (
        port("a.7", uevent="DEVTYPE=vlan\nINTERFACE=a.7\n")
        | port("b")
        | {"proc/net/vlan/b": "", "proc/net/vlan/config": ""}
    )
    files[f"{VIRTUAL}/a.7/lower_a"] = To("../a")
    links = read(files)
    assert [(link.kind, link.lowers) for link in links.values()] == [("vlan", ("a",)), ("vlan", ())]


def test_taps_tuns_and_the_loopback() -> None:
    files = (
        port("t", tun_flags="0x5002\n") | port("u", tun_flags="0x1001\n") | port("lo", type="772\n") | port("dummy0")
    )
    assert [link.kind for link in read(files).values()] == [None, "loopback", "tap", "tun"]


@pytest.mark.parametrize("text", ["-1\n", "0\n", "65535\n", "4294967295\n"])
def test_an_unknown_speed_is_no_gap(text: str) -> None:
    made = tree(port("a", speed=text))
    assert read_links(made)[0].speed_mbps is None
    assert not made.gaps


@pytest.mark.parametrize("text", ["x\n", "-2\n", "\0", "99999999\n", "99999999999999999999\n"])
def test_a_broken_speed_is_a_gap(text: str) -> None:
    made = tree(port("a", speed=text))
    assert read_links(made)[0].speed_mbps is None
    assert [what for what, _ in gaps(made)] == [f"{VIRTUAL}/a/speed"]


@pytest.mark.parametrize(("state", "noted"), [("down\n", False), ("up\n", True)])
def test_an_empty_speed_is_that_of_a_link_that_is_down(state: str, *, noted: bool) -> None:
    made = tree(port("a", speed="", operstate=state))
    assert read_links(made)[0].speed_mbps is None
    assert bool(made.gaps) is noted


def test_an_interface_that_leads_nowhere_is_a_gap() -> None:
    made = tree({f"{NET}/lo": To("../../devices/virtual/net/lo")})
    assert read_links(made) == ()
    assert gaps(made) == [(f"{NET}/lo", "the interface that it links to is not there")]


def test_a_host_without_interfaces_has_no_gap() -> None:
    made = tree({"sys": None})
    assert read_links(made) == ()
    assert not made.gaps


def test_addresses_are_unknown_without_proc() -> None:
    assert read(port("a"))["a"].addresses is None


def test_addresses_that_proc_tells() -> None:
    addressed = read_addressed(tree({"proc/net/if_inet6": INET6, "proc/net/route": ROUTE, "proc/net/fib_trie": TRIE}))
    assert [addressed.says(name) for name in ("eth1", "br0", "eth0", "eth2")] == [True, True, None, None]


def test_no_interface_bears_an_address_where_the_host_has_none() -> None:
    trie = TRIE.replace("192.0.2.7", "127.0.0.7")
    addressed = read_addressed(tree({"proc/net/if_inet6": INET6, "proc/net/fib_trie": trie}))
    assert [addressed.says(name) for name in ("eth1", "eth0")] == [True, False]


def test_an_address_of_link_scope_is_nobodys_doing() -> None:
    assert parse_if_inet6(INET6) == {"eth1"}


def test_a_route_by_a_gateway_is_no_proof() -> None:
    assert parse_connected(ROUTE) == {"br0"}


def test_local_addresses_without_the_loopbacks() -> None:
    assert parse_local_addresses(TRIE) == {"192.0.2.7"}


@pytest.mark.parametrize("path", ["proc/net/if_inet6", "proc/net/route"])
def test_broken_tables_are_gaps(path: str) -> None:
    made = tree({path: "garbage\ngarbage\n"})
    assert read_addressed(made).says("eth0") is None
    assert [what for what, _ in gaps(made)] == [path]


def test_device_types() -> None:
    assert parse_device_type("DEVTYPE=wlan\nINTERFACE=w\n") == "wlan"
    assert parse_device_type("") is None


@pytest.mark.parametrize("text", ["garbage", "A=b\n\0\n"])
def test_what_is_no_uevent_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="KEY=VALUE"):
        parse_device_type(text)


@pytest.mark.parametrize("text", ["a" * 16, "a/b", "a\x1b"])
def test_what_is_no_interface_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names"):
        parse_interface_names(text)


def test_flags_of_neither_kind_tell_nothing() -> None:
    assert parse_tun_flags("0x1000\n") is None
    with pytest.raises(ValueError, match="flags"):
        parse_tun_flags("2\n")


def test_speeds_are_megabits() -> None:
    assert parse_speed("100000\n") == 100000


@pytest.mark.parametrize(
    ("indexes", "paired"),
    [((5, 6, 6, 5), True), ((6, 5, 5, 6), True), ((5, 8, 8, 5), False), ((5, 6, 6, 9), False), ((5, 6, 6, 6), False)],
)
def test_files_tell_a_pair_by_both_ends(indexes: tuple[int, int, int, int], *, paired: bool) -> None:
    one, other, two, another = (f"{index}\n" for index in indexes)
    links = read(port("a", ifindex=one, iflink=other) | port("b", ifindex=two, iflink=another))
    assert [links[name].peer for name in "ab"] == (["b", "a"] if paired else [None, None])


def test_a_driver_without_a_state_works_once_it_is_switched_on() -> None:
    links = read(
        port("a", operstate="unknown\n", flags="0x1003\n") | port("b", operstate="unknown\n", flags="0x1002\n")
    )
    assert [link.up for link in links.values()] == [True, False]


def test_vlan_ids_come_from_one_file_or_from_the_interfaces_own() -> None:
    files = port("a.4094") | port("b") | port("c") | {"proc/net/vlan/config": VLANS}
    files |= {
        f"proc/net/vlan/{name}": "c  VID: 12\t REORDER_HDR: 1  dev->priv_flags: 1021\n" for name in ("a.4094", "b", "c")
    }
    made = tree(files)
    assert [link.vlan for link in read_links(made)] == [4094, 7, 12]
    assert "proc/net/vlan/b" not in made.opened
    assert not made.gaps


@pytest.mark.parametrize("name", ["address", "mtu", "operstate", "flags", "ifindex", "iflink"])
@pytest.mark.parametrize("fault", ["", "garbage\xff\n", "-1\n", errno.EACCES, errno.EIO, errno.EINVAL])
def test_a_fault_of_a_file_costs_one_fact_and_leaves_a_gap(name: str, fault: str | int) -> None:
    whole = {"address": "52:54:00:00:00:01\n", "mtu": "1400\n", "operstate": "unknown\n", "flags": "0x1003\n"}
    files = port("a", **whole, ifindex="5\n", iflink="6\n") | port("b", ifindex="6\n", iflink="5\n")
    path = f"{VIRTUAL}/a/{name}"
    sound = read(files)["a"]
    fact = {"address": "mac", "mtu": "mtu"}.get(name, "peer" if name.startswith("if") else "up")
    made = HostTree(Faulty(files, path, fault), Source.CAPTURE)
    broken = read_links(made)[0]
    assert getattr(sound, fact) is not None
    assert {key for key in Link.__slots__ if getattr(broken, key) != getattr(sound, key)} == {fact}
    assert getattr(broken, fact) is None
    assert path in [what for what, _ in gaps(made)]


class Faulty(MadeStore):
    def __init__(self, files: Files, path: str, fault: str | int) -> None:
        super().__init__(files | ({path: fault} if isinstance(fault, str) else {}))
        self.path, self.fault = path, fault

    def read(self, path: str) -> bytes:
        if path == self.path and isinstance(self.fault, int):
            raise OSError(self.fault, os.strerror(self.fault), path)
        return super().read(path)


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("52:54:00:AA:01:02\n", "52:54:00:aa:01:02"),
        ("00:00:00:00:00:00\n", None),
        ("\n", None),
        ("c0:00:02:01\n", None),
        (":".join(["80"] * 20) + "\n", None),
    ],
)
def test_only_an_address_of_ethernet_is_a_mac(text: str, mac: str | None) -> None:
    assert parse_mac(text) == mac


def test_what_is_no_state_no_vlan_and_no_flags_is_refused() -> None:
    with pytest.raises(ValueError, match="state"):
        parse_operstate("u")
    with pytest.raises(ValueError, match="VLAN"):
        parse_vlan("c  VID: 5000\t\n")
    for text in ("", "garbage\n", VLANS + "b | x | a\n", VLANS + "b | 4095 | a\n"):
        with pytest.raises(ValueError, match="VLAN"):
            parse_vlan_list(text)
    with pytest.raises(ValueError, match="flags"):
        parse_flags("1003\n")
