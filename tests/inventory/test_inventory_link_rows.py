import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from numaplan.inventory.links import read_links
from numaplan.model.devices import Link
from numaplan.model.host import Source
from numaplan.sources.store import rows_path
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, gaps, tree

Files = dict[str, str | To | None]
NETLINK = rows_path("netlink")
NET = "sys/class/net"
VIRTUAL = "sys/devices/virtual/net"
PF = "sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0"

INET6 = """\
fe80000000000000505400fffeaa0201 02 40 20 80     eth0
20010db8000000000000000000000001 03 40 00 80     eth1
00000000000000000000000000000001 01 80 10 80       lo
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


def namespace() -> tuple[Files, dict[str, Any]]:
    """A network namespace of our own as sysfs and rtnetlink told it (Linux 6.18): veth pairs, one of them with its
    other end elsewhere, a bridge, macvlan, macvtap, vxlan, taps and a tun."""
    document = json.loads(Path(__file__).with_name("namespace.json").read_text())
    files = {
        path: To(content["to"]) if isinstance(content, dict) else content for path, content in document["files"].items()
    }
    return files, document["rows"]


def told(files: Files, rows: object) -> HostTree:
    return tree(files | {NETLINK: json.dumps(rows)})


def port(name: str, folder: str = VIRTUAL, **contents: str) -> Files:
    files: Files = {f"{NET}/{name}": To("../../" + f"{folder}/{name}".removeprefix("sys/"))}
    files[f"{folder}/{name}/uevent"] = f"INTERFACE={name}\nIFINDEX=3\n"
    files[f"{folder}/{name}/type"] = "1\n"
    return files | {f"{folder}/{name}/{key}": text for key, text in contents.items()}


def test_netlink_and_files_tell_the_same_of_a_real_namespace() -> None:
    files, rows = namespace()
    made = told(files, rows)
    links = {link.name: link for link in read_links(made)}
    assert not made.gaps
    assert {name: link.kind for name, link in links.items()} == {
        "br0": "bridge",
        "lo": "loopback",
        "mv0": "macvlan",
        "mvt0": "macvtap",
        "tap0": "tap",
        "tap1": "tap",
        "tun0": "tun",
        "veth0": "veth",
        "veth1": "veth",
        "vouter": "veth",
        "vx0": "vxlan",
    }
    assert {name: link.lowers for name, link in links.items() if link.lowers} == {
        "br0": ("tap0", "veth0"),
        "mv0": ("veth1",),
        "mvt0": ("veth1",),
        "vx0": ("veth1",),
    }
    assert {name for name, link in links.items() if link.up} == {"br0", "lo", "mvt0", "veth0", "veth1"}
    assert {name: link.master for name, link in links.items() if link.master} == {"tap0": "br0", "veth0": "br0"}
    assert {name: link.mtu for name, link in links.items() if link.mtu != 1500} == {
        "lo": 65536,
        "veth1": 9000,
        "vx0": 1450,
    }
    by_files = tree(files)
    silent = {"veth", "macvlan"}
    assert list(read_links(by_files)) == [
        replace(link, addresses=None, kind=None if link.kind in silent else link.kind) for link in links.values()
    ]
    assert not by_files.gaps


def test_a_peer_in_another_namespace_is_no_interface_of_this_one() -> None:
    files, rows = namespace()
    links = read_links(told(files, rows))
    assert {link.name: link.peer for link in links if link.peer} == {"veth0": "veth1", "veth1": "veth0"}
    # The peer's index there may be that of any interface here.
    far = next(row for row in rows["links"] if row["name"] == "vouter")
    far["link"] = next(row["index"] for row in rows["links"] if row["name"] == "veth0")
    [outer] = [link for link in read_links(told(files, rows)) if link.name == "vouter"]
    assert (outer.peer, outer.lowers) == (None, ())


def test_netlink_tells_which_interfaces_bear_addresses_and_which_do_not() -> None:
    files, rows = namespace()
    made = told(files | {"proc/net/fib_trie": TRIE}, rows)
    assert {link.name: link.addresses for link in read_links(made)} == {
        link["name"]: link["name"] in {"br0", "veth1"} for link in rows["links"]
    }
    assert "proc/net/fib_trie" not in made.opened


def test_netlink_spares_files_but_for_the_speed_of_what_is_switched_on() -> None:
    files, rows = namespace()
    store = MadeStore(files | {NETLINK: json.dumps(rows)})
    read_links(HostTree(store, Source.CAPTURE))
    assert sorted(path for path in store.reads if path.endswith("/speed")) == sorted(
        f"{VIRTUAL}/{row['name']}/speed" for row in rows["links"] if row["flags"] & 1
    )
    # An empty speed, as a capture has it of a link that is down, makes one look at the state.
    assert {path.rpartition("/")[2] for path in store.reads} == {"netlink.json", "speed", "operstate"}


def test_rows_without_addresses_leave_them_to_proc() -> None:
    links = read_links(told(port("eth1") | {"proc/net/if_inet6": INET6}, {"links": [{"index": 3, "name": "eth1"}]}))
    assert links[0].addresses is True


def test_an_address_row_that_makes_no_sense_costs_the_certainty_of_the_others() -> None:
    rows = {
        "links": [{"index": 3, "name": "a"}, {"index": 4, "name": "b"}],
        "addresses": [{"index": 3, "family": 2, "scope": 0}, {"index": 9, "family": 2, "scope": 0}],
    }
    made = told(port("a") | port("b"), rows)
    assert [link.addresses for link in read_links(made)] == [True, None]
    assert gaps(made) == [("netlink", "netlink.addresses[1]: an address of no interface that is listed")]


def test_interfaces_that_only_one_of_the_two_has_are_gaps() -> None:
    files = port("a", mtu="1400\n", operstate="up\n", address="52:54:00:00:00:01\n") | port("c")
    rows = {"links": [{"index": 3, "name": "b", "mtu": 9000}, {"index": 4, "name": "c", "kind": "veth"}]}
    made = told(files, rows)
    assert list(read_links(made)) == [
        Link("a", mtu=1400, up=True, mac="52:54:00:00:00:01"),
        Link("c", kind="veth"),
    ]
    assert gaps(made) == [
        ("netlink", "lacks interfaces that sys/class/net has: a"),
        ("sys/class/net", "lacks interfaces that netlink has: b"),
    ]


def test_what_proc_does_not_list_may_bear_an_address_where_sysfs_is_of_another_namespace() -> None:
    nothing: Files = {"proc/net/if_inet6": "", "proc/net/fib_trie": ""}
    assert read_links(tree(port("a") | nothing))[0].addresses is False
    made = told(port("a") | nothing, {"links": [{"index": 1, "name": "lo"}]})
    assert read_links(made)[0].addresses is None
    assert ("netlink", "lacks interfaces that sys/class/net has: a") in gaps(made)


def test_a_row_of_another_device_is_of_another_namespace() -> None:
    files = port("eth0", f"{PF}/net", mtu="1500\n") | {f"{PF}/net/eth0/device": To("../../../0000:3b:00.0")}
    made = told(files, {"links": [{"index": 3, "name": "eth0", "mtu": 9000, "parent": "0000:5e:00.0"}]})
    assert read_links(made)[0].mtu == 1500
    assert [what for what, _ in gaps(made)] == ["netlink"]
    made = told(
        port("br0", mtu="1500\n") | {f"{VIRTUAL}/br0/bridge": None},
        {"links": [{"index": 3, "name": "br0", "kind": "veth"}]},
    )
    assert (read_links(made)[0].kind, read_links(made)[0].mtu) == ("bridge", 1500)
    assert gaps(made) == [("netlink", "br0: files say that it is a bridge, netlink says veth; the files are taken")]


def test_a_master_and_a_lower_that_the_two_tell_differently_are_gaps() -> None:
    files = port("a") | port("br0") | port("m", lower_a="")
    files[f"{VIRTUAL}/a/master"] = To("../br0")
    rows = {"links": [{"index": 3, "name": "a"}, {"index": 4, "name": "br0"}, {"index": 5, "name": "m", "link": 4}]}
    made = told(files, rows)
    links = {link.name: link for link in read_links(made)}
    assert (links["a"].master, links["m"].lowers) == ("br0", ("a",))
    assert gaps(made) == [
        ("netlink", "a: files say that its master is br0, netlink says nobody; the files are taken"),
        ("netlink", "m: files say that below it is a, netlink says br0; the files are taken"),
    ]


def test_netlink_tells_the_lower_of_a_vlan_where_the_kernel_has_no_links_to_it() -> None:
    rows = {"links": [{"index": 3, "name": "a"}, {"index": 4, "name": "a.7", "kind": "vlan", "link": 3, "vlan": 7}]}
    link = read_links(told(port("a") | port("a.7"), rows))[1]
    assert (link.kind, link.lowers, link.vlan) == ("vlan", ("a",), 7)


@pytest.mark.parametrize(
    "row",
    [
        {"index": "3", "name": "a"},
        {"index": 0, "name": "a"},
        {"name": "a"},
        {"index": 3, "name": "a/b"},
        {"index": 3, "name": "a\x1b[2J"},
        {"index": 3, "name": "a", "kind": "\x1b"},
        {"index": 3, "name": "a", "mtu": -1},
        {"index": 3, "name": "a", "mtu": True},
        {"index": 3, "name": "a", "mac": "<b>"},
        {"index": 3, "name": "a", "operstate": "sideways"},
        {"index": 3, "name": "a", "vlan": 5000},
        {"index": 3, "name": "a", "tun": 2},
    ],
)
def test_a_bad_row_costs_that_row(row: dict[str, object]) -> None:
    files = port("a", mtu="1400\n") | port("b")
    made = told(files, {"links": [row, {"index": 4, "name": "b", "mtu": 9000}]})
    assert [link.mtu for link in read_links(made)] == [1400, 9000]
    assert any(what == "netlink" and "links[0]" in why for what, why in gaps(made))


@pytest.mark.parametrize("rows", [[], "x", {"links": 3}, {"links": [3]}, {"links": [{"index": 3, "name": "a"}] * 2}])
def test_rows_of_another_form_are_a_gap(rows: object) -> None:
    made = told(port("a", mtu="1400\n"), rows)
    assert [link.name for link in read_links(made)] == ["a"]
    assert "netlink" in [what for what, _ in gaps(made)]


def test_netlink_too_knows_drivers_without_a_state() -> None:
    rows = {"links": [{"index": 3, "name": "a", "operstate": "UNKNOWN", "flags": 0x1003}]}
    assert read_links(told(port("a"), rows))[0].up is True
