import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from numaplan.inventory.host import read_host
from numaplan.inventory.links import read_links
from numaplan.inventory.names import clean, with_names
from numaplan.inventory.pci import read_pci, read_pci_folders
from numaplan.inventory.vfs import with_vf_settings
from numaplan.model.devices import Link, PciAddress, PciDevice, VfSettings
from numaplan.model.host import Source
from numaplan.sources.live import LiveStore
from numaplan.sources.store import rows_path
from numaplan.sources.tree import HostTree
from tests.inventory.trees import To, fresh, gaps, tree

Files = dict[str, str | To | None]
ROOT = "sys/devices/pci0000:3a"
PF = "0000:3b:00.0"
UNSAID = 2**32 - 1


def function(address: str, **contents: str) -> Files:
    files: Files = {f"sys/bus/pci/devices/{address}": To(f"../../../devices/pci0000:3a/{address}")}
    facts = {"vendor": "0x8086\n", "device": "0x1572\n", "class": "0x020000\n", "numa_node": "-1\n"} | contents
    return files | {f"{ROOT}/{address}/{name}": text for name, text in facts.items()}


def pf(*indexes: int) -> Files:
    """A PF with interface ens1f0, and VFs of those indexes at 0000:3b:02.<index>."""
    files = function(PF, sriov_totalvfs="8\n", sriov_numvfs=f"{len(indexes)}\n")
    files["sys/class/net/ens1f0"] = To(f"../../devices/pci0000:3a/{PF}/net/ens1f0")
    files |= {f"{ROOT}/{PF}/net/ens1f0/type": "1\n", f"{ROOT}/{PF}/net/ens1f0/uevent": "INTERFACE=ens1f0\n"}
    files |= {f"{ROOT}/{PF}/net/ens1f0/device": To(f"../../../{PF}")}
    for index in indexes:
        files |= function(f"0000:3b:02.{index}") | {f"{ROOT}/{PF}/virtfn{index}": To(f"../0000:3b:02.{index}")}
    return files


def read(files: Files, rows: Mapping[str, object]) -> tuple[HostTree, dict[str, PciDevice]]:
    made = tree(files | {rows_path(name): json.dumps(document) for name, document in rows.items()})
    devices = with_vf_settings(made, read_pci(made, read_pci_folders(made), (), exposed=False), read_links(made))
    return made, {str(device.address): device for device in with_names(made, devices)}


def netlink(*vfs: object, **interface: object) -> dict[str, object]:
    row = {"index": 3, "name": "ens1f0", "parent": PF, "vfs": list(vfs)} | interface
    return {"netlink": {"links": [row]}}


def test_all_that_a_driver_says_of_a_vf() -> None:
    said = {"vf": 0, "mac": "52:54:00:bb:00:01", "vlan": 100, "qos": 3, "spoofchk": 1, "trust": 0}
    said |= {"link_state": 2, "min_tx_rate": 10, "max_tx_rate": 2000}
    made, devices = read(pf(0, 1), netlink(said))
    assert devices["0000:3b:02.0"].vf == VfSettings(
        index=0,
        mac="52:54:00:bb:00:01",
        vlan=100,
        qos=3,
        trust=False,
        spoof_check=True,
        link_state="disable",
        min_rate_mbps=10,
        max_rate_mbps=2000,
    )
    assert (devices["0000:3b:02.1"].vf, devices[PF].vf) == (None, None)
    assert not made.gaps


def test_what_a_driver_does_not_say_is_not_known() -> None:
    _, devices = read(pf(0), netlink({"vf": 0, "mac": "00:00:00:00:00:00", "spoofchk": UNSAID, "trust": UNSAID}))
    assert devices["0000:3b:02.0"].vf == VfSettings(index=0)


def test_settings_go_by_the_index_and_not_by_the_order_where_a_vf_is_missing() -> None:
    vfs = [{"vf": index, "vlan": 100 + index} for index in (5, 2, 0)]
    made, devices = read(pf(0, 2, 5), netlink(*vfs))
    settings = [device.vf for device in devices.values() if device.vf]
    assert [(vf.index, vf.vlan) for vf in settings] == [(0, 100), (2, 102), (5, 105)]
    assert not made.gaps


def test_a_vf_that_files_show_but_whose_device_is_gone_moves_no_other() -> None:
    files = {path: content for path, content in pf(0, 1, 2).items() if not path.startswith(f"{ROOT}/0000:3b:02.1/")}
    del files["sys/bus/pci/devices/0000:3b:02.1"]
    made, devices = read(files, netlink(*({"vf": index, "vlan": 100 + index} for index in range(3))))
    assert {name: device.vf.vlan for name, device in devices.items() if device.vf} == {
        "0000:3b:02.0": 100,
        "0000:3b:02.2": 102,
    }
    assert ("netlink", f"ens1f0 has a VF 1, {PF} has none in sysfs") in gaps(made)


@pytest.mark.parametrize("interface", [{"name": "ens2f0"}, {"parent": "0000:5e:00.0"}])
def test_vfs_of_an_interface_that_is_not_the_pfs_are_a_gap(interface: dict[str, object]) -> None:
    made, devices = read(pf(0), netlink({"vf": 0, "vlan": 7}, **interface))
    assert not any(device.vf for device in devices.values())
    assert any(what == "netlink" and "has VFs" in why for what, why in gaps(made))


@pytest.mark.parametrize(
    "row",
    [
        {"vlan": 7},
        {"vf": -1},
        {"vf": "0"},
        {"vf": 0, "mac": "\x1b"},
        {"vf": 0, "vlan": 4096},
        {"vf": 0, "qos": 8},
        {"vf": 0, "link_state": 3},
        {"vf": 0, "trust": "on"},
    ],
)
def test_a_bad_row_costs_that_vf(row: dict[str, object]) -> None:
    made, devices = read(pf(0, 1), netlink(row, {"vf": 1, "vlan": 7}))
    assert [device.vf and device.vf.vlan for name, device in devices.items() if name != PF] == [None, 7]
    assert any(what == "netlink" and "vfs[0]" in why for what, why in gaps(made))


@pytest.mark.parametrize("rows", [{"links": 3}, {"links": [{"index": 3, "name": "ens1f0", "vfs": [3]}]}, [], "x"])
def test_rows_of_another_form_are_a_gap(rows: object) -> None:
    made, devices = read(pf(0), {"netlink": rows})
    assert devices["0000:3b:02.0"].vf is None
    assert "netlink" in [what for what, _ in gaps(made)]


def lab_rows(links: list[dict[str, object]]) -> dict[str, object]:
    """Rows of what `ip -d -j link` said on the lab host, which is another reading of the same messages."""
    rows = []
    for link in links:
        vfs = link.get("vfinfo_list", [])
        assert isinstance(vfs, list)
        rows.append(
            {
                "index": link["ifindex"],
                "name": link["ifname"],
                "mac": link["address"],
                "mtu": link["mtu"],
                "operstate": link["operstate"],
                "flags": ("UP" in str(link["flags"])) + 8 * ("LOOPBACK" in str(link["flags"])),
                "parent": link.get("parentdev"),
                "vfs": [
                    {
                        "vf": vf["vf"],
                        "mac": vf["address"],
                        "vlan": vf["vlan_list"][0].get("vlan", 0),
                        "spoofchk": int(vf["spoofchk"]),
                        "trust": int(vf["trust"]),
                        "link_state": ["auto", "enable", "disable"].index(vf["link_state"]),
                    }
                    for vf in vfs
                ],
            }
        )
    return {"links": rows}


def settled(link: Link) -> Link:
    """Without what changed of VFs between the two looks: some came up, and the one that was given a MAC took it."""
    return link if link.pci is None or link.pci.slot == 0 else replace(link, up=None, mac=None)


@pytest.mark.parametrize("name", ["host-snc", "host-flat", "host-cxl"])
def test_the_lab_host_as_files_and_as_netlink_tell_it(name: str) -> None:
    captured = fresh(name)
    said = json.loads(captured.text("extra/ip-link.json") or "null")
    by_files = read_links(captured)

    both = HostTree(LiveStore(captured._store, {"netlink": lambda: lab_rows(said)}), Source.CAPTURE)
    links = read_links(both)
    assert [settled(link) for link in links] == [settled(link) for link in by_files]
    assert sum(link.up is True for link in links) > 1
    assert both.gaps == tuple(gap for gap in captured.gaps if gap.what != "netlink")
    host = read_host(fresh(name))
    vfs = [device.vf for device in with_vf_settings(both, host.pci, links) if device.vf]
    expected = [link for link in said if link.get("vfinfo_list")]
    assert len(vfs) == sum(len(link["vfinfo_list"]) for link in expected) > 1
    marked = VfSettings(0, "52:54:00:bb:00:01", 100, trust=False, spoof_check=True, link_state="auto")
    assert marked in vfs


def udev(*rows: object) -> dict[str, object]:
    return {"udev": {"pci": list(rows)}}


def test_vendor_and_model_are_a_devices_name() -> None:
    made, devices = read(
        pf(0),
        udev(
            {"address": PF, "vendor": "Intel Corporation", "model": "Ethernet Controller X710"},
            {"address": "0000:ff:00.0", "vendor": "of a device that has gone"},
        ),
    )
    assert devices[PF].name == "Intel Corporation Ethernet Controller X710"
    assert devices["0000:3b:02.0"].name is None
    assert not made.gaps


def test_a_name_is_one_short_line_that_can_be_shown() -> None:
    assert clean(" Mellanox \n Technologies\t\x1b[2JConnectX\u00ae\udcae ") == "Mellanox Technologies [2JConnectX\u00ae"
    assert clean("x" * 121) == "x" * 117 + "..."
    assert clean("x" * 120) == "x" * 120
    assert clean("\0\x07") == ""


@pytest.mark.parametrize("row", [{"vendor": "x"}, {"address": "x"}, {"address": PF, "vendor": 3}])
def test_a_bad_row_costs_that_name(row: dict[str, object]) -> None:
    made, devices = read(pf(0), udev(row, {"address": "0000:3b:02.0", "model": "VF"}))
    assert [device.name for device in devices.values()] == [None, "VF"]
    assert [what for what, _ in gaps(made)] == ["udev"]


@pytest.mark.parametrize("rows", [{"pci": 3}, {"pci": [3]}, [], "x"])
def test_names_of_another_form_are_a_gap(rows: object) -> None:
    made, devices = read(pf(0), {"udev": rows})
    assert devices[PF].name is None
    assert [what for what, _ in gaps(made)] == ["udev"]


def test_devices_without_words_keep_their_silence() -> None:
    made, devices = read(pf(0), udev({"address": PF, "vendor": "\x1b"}))
    assert devices[PF].name is None
    assert not made.gaps
    assert devices[PF].address == PciAddress.parse(PF)
