"""Which interface or hostdev element gets which PCI function."""

from collections.abc import Mapping, Sequence

import pytest

from numaplan.domxml.patch import Patched
from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.model.request import DeviceRequest, InterfaceRequest
from tests.domxml.plans import TWO_VCPUS, domain, patched, placed, sriov
from tests.requests import guest

MAC = "52:54:00:00:00:01"
FORM = {"type": "hostdev", "managed": "yes"}


def vf(number: int) -> str:
    return f"0000:3b:02.{number}"


def nic(number: int, *, mac: str | None = None, alias: str | None = None, vlan: int | None = None) -> str:
    """An interface of type hostdev with VF `number`."""
    parts = [f"<mac address='{mac}'/>"] if mac else []
    parts += [f"<source><address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x{number}'/></source>"]
    parts += [f"<vlan><tag id='{vlan}'/></vlan>"] if vlan is not None else []
    parts += [f"<alias name='ua-{alias}'/>"] if alias else []
    return f"<interface type='hostdev' managed='yes'>{''.join(parts)}</interface>"


def hostdev(number: int, *, alias: str | None = None) -> str:
    own = f"<alias name='ua-{alias}'/>" if alias else ""
    address = f"<address domain='0x0000' bus='0x3b' slot='0x02' function='0x{number}'/>"
    return f"<hostdev mode='subsystem' type='pci' managed='yes'><source>{address}</source>{own}</hostdev>"


def given(
    there: Sequence[str],
    interfaces: Sequence[InterfaceRequest],
    vfs: Mapping[str, Sequence[int]],
    devices: Mapping[str, int] | None = None,
) -> Patched:
    plan = placed(
        ["4", "5"],
        vfs={name: [vf(number) for number in own] for name, own in vfs.items()},
        devices={name: vf(number) for name, number in (devices or {}).items()},
    )
    request = guest("fw1", 2, interfaces=interfaces)
    return patched(domain(*TWO_VCPUS, devices=there), plan, request)


def devices_of(result: Patched) -> list[str]:
    """The devices, each in one line."""
    text = "".join(line.strip() for line in result.data.decode().splitlines())
    inside = text[text.index("<devices>") + 9 : text.index("</devices>")]
    return inside.replace("</interface>", "</interface>\n").replace("</hostdev>", "</hostdev>\n").strip().split("\n")


def test_without_anything_there_interfaces_are_added_with_an_alias_to_find_them_by() -> None:
    asked = (sriov("data", 2, vlan=7), sriov("mgmt", mac=MAC.upper()))
    result = given(["<memballoon model='none'/>"], asked, {"data": [0, 1], "mgmt": [2]})
    assert devices_of(result) == [
        "<memballoon model='none'/>" + nic(0, vlan=7, alias="data-1"),
        nic(1, vlan=7, alias="data-2"),
        nic(2, mac=MAC, alias="mgmt"),
    ]
    assert result.notes == ()


def test_a_domain_without_devices_gets_them() -> None:
    data = b"<domain>\n  <name>a</name>\n  <memory>1048576</memory>\n  <vcpu>2</vcpu>\n</domain>\n"
    plan = placed(["4", "5"], vfs={"data": [vf(0)]})
    result = patched(data, plan, guest("a", 2, interfaces=(sriov("data"),)))
    assert devices_of(result) == [nic(0, alias="data")]


def test_new_interfaces_stand_behind_the_last_one() -> None:
    bridge = "<interface type='bridge'><source bridge='br0'/></interface>"
    result = given([bridge, "<input type='tablet'/>"], (sriov("data"),), {"data": [0]})
    assert devices_of(result) == [bridge, nic(0, alias="data"), "<input type='tablet'/>"]


def test_the_mac_address_goes_before_the_alias_and_the_alias_before_the_order() -> None:
    there = [nic(0), nic(1, alias="a"), nic(2, mac=MAC)]
    result = given(there, (sriov("b"), sriov("a"), sriov("c", mac=MAC)), {"b": [5], "a": [6], "c": [7]})
    assert devices_of(result) == [nic(5), nic(6, alias="a"), nic(7, mac=MAC)]


def test_by_order_the_rest_are_matched_in_the_order_of_vnf_yaml() -> None:
    result = given([nic(0, mac="52:54:00:00:00:0a"), nic(1)], (sriov("a"), sriov("b")), {"a": [1], "b": [0]})
    assert devices_of(result) == [nic(1, mac="52:54:00:00:00:0a"), nic(0)]


def test_a_matched_interface_keeps_all_but_its_source_and_a_note_says_so() -> None:
    there = [nic(0, mac=MAC, vlan=42, alias="data")]
    result = given(there, (sriov("data", mac="52:54:00:00:00:09", vlan=7),), {"data": [3]})
    assert devices_of(result) == [nic(3, mac=MAC, vlan=42, alias="data")]
    assert result.notes == (
        f'interface "data" (line 6) keeps its MAC address {MAC}',
        'interface "data" (line 6) keeps what it has, VLAN 42; vnf.yaml says 7',
    )


@pytest.mark.parametrize(
    "source",
    [
        "<address type='pci' domain='0' bus='59' slot='2' function='0'/>",
        "<address type='pci' bus='0x3B' slot='02' function='00'/>",
    ],
)
def test_an_address_is_compared_by_what_it_means(source: str) -> None:
    there = f"<interface type='hostdev'><source>{source}</source></interface>"
    assert devices_of(given([there], (sriov("data"),), {"data": [0]})) == [there]
    changed = devices_of(given([there], (sriov("data"),), {"data": [5]}))[0]
    assert changed == there.replace("function='0'", "function='0x5'").replace("function='00'", "function='0x5'")


@pytest.mark.parametrize("source", ["", "<source/>", "<source></source>"])
def test_an_interface_without_an_address_gets_one(source: str) -> None:
    there = f"<interface type='hostdev' managed='yes'>{source}</interface>"
    assert devices_of(given([there], (sriov("data"),), {"data": [0]})) == [nic(0)]


def test_two_interfaces_swap_their_functions() -> None:
    there = [nic(0, alias="a"), nic(1, alias="b")]
    assert devices_of(given(there, (sriov("a"), sriov("b")), {"a": [1], "b": [0]})) == [
        nic(1, alias="a"),
        nic(0, alias="b"),
    ]


def test_an_interface_that_vnf_yaml_does_not_name_stays_with_a_note() -> None:
    result = given([nic(0, alias="a"), nic(1)], (sriov("a"),), {"a": [3]})
    assert devices_of(result) == [nic(3, alias="a"), nic(1)]
    assert result.notes == ("<interface> on line 7 (0000:3b:02.1) is not in vnf.yaml: it stays",)


def test_it_gives_up_a_function_that_the_plan_needs_for_the_one_that_is_free_then() -> None:
    result = given([nic(0, mac=MAC), nic(1)], (sriov("a", mac=MAC),), {"a": [1]})
    assert devices_of(result) == [nic(1, mac=MAC), nic(0)]
    (note,) = result.notes
    assert note == (
        "<interface> on line 7 is not in vnf.yaml and has 0000:3b:02.1, which the plan gives to another of this guest:"
        " it gets 0000:3b:02.0 for it"
    )


def test_a_function_that_a_hostdev_hands_through_already_is_left_to_it() -> None:
    result = given([hostdev(1), nic(5)], (sriov("a"), sriov("b")), {"a": [2], "b": [1]})
    assert devices_of(result) == [hostdev(1), nic(2)]


def test_a_hostdev_is_found_by_alias_for_an_interface_too() -> None:
    assert devices_of(given([hostdev(1, alias="a")], (sriov("a"),), {"a": [4]})) == [hostdev(4, alias="a")]


def test_aliases_follow_a_changed_count() -> None:
    grown = given([nic(0, alias="a"), nic(5, alias="b")], (sriov("b"), sriov("a", 2)), {"b": [6], "a": [1, 2]})
    assert devices_of(grown) == [nic(1, alias="a"), nic(6, alias="b"), nic(2, alias="a-2")]
    shrunk = given([nic(0, alias="a-2"), nic(5, alias="a-1")], (sriov("a"),), {"a": [1]})
    assert devices_of(shrunk) == [nic(0, alias="a-2"), nic(1, alias="a-1")]


def test_names_that_libvirt_would_not_take_for_an_alias_are_written_otherwise() -> None:
    result = given(
        [], (sriov("a.b"), sriov("a_b"), sriov("c", 2), sriov("c-1")), {"a.b": [0], "a_b": [1], "c": [2, 3], "c-1": [4]}
    )
    assert [i.alias for i in read_guest(result.data, "f").interfaces] == ["a_b", "a_b_", "c-1", "c-2", "c-1_"]


def test_an_alias_of_another_device_is_not_given_twice() -> None:
    disk = "<disk><alias name='ua-data'/></disk>"
    result = given([disk], (sriov("data"),), {"data": [0]})
    assert devices_of(result) == [disk + nic(0)]
    assert result.notes == ('"data" gets no alias: another device of the guest is ua-data',)


@pytest.mark.parametrize("own", [f"<mac address='{MAC}'/>", "<alias name='ua-data'/>"])
def test_an_interface_of_another_type_is_not_turned_into_a_vf(own: str) -> None:
    there = f"<interface type='bridge'>{own}<source bridge='br0'/></interface>"
    with pytest.raises(InputError, match="is of type sriov, the XML has it with type 'bridge'"):
        given([there], (sriov("data", mac=MAC),), {"data": [0]})


def test_devices_are_found_by_alias_then_by_address_else_added() -> None:
    there = [hostdev(0), hostdev(1, alias="qat"), hostdev(2, alias="nic")]
    result = given(there, (), {}, {"gpu": 0, "qat": 5, "fpga": 6})
    assert devices_of(result) == [
        hostdev(0),
        hostdev(5, alias="qat"),
        hostdev(2, alias="nic"),
        hostdev(6, alias="fpga"),
    ]
    assert result.notes == ("<hostdev> on line 8 (0000:3b:02.2) is not in vnf.yaml: it stays",)


def test_an_alias_goes_before_a_function_that_another_has() -> None:
    result = given([hostdev(0), hostdev(2, alias="gpu")], (), {}, {"gpu": 0})
    assert devices_of(result) == [hostdev(2), hostdev(0, alias="gpu")]


def test_a_device_that_an_interface_hands_through_already_is_left_to_it() -> None:
    assert devices_of(given([nic(0)], (), {}, {"qat": 0})) == [nic(0)]


def test_other_hostdevs_are_left_alone() -> None:
    usb = "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>"
    mdev = "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c'/></source></hostdev>"
    result = given([usb, mdev], (), {}, {"qat": 0})
    assert devices_of(result) == [usb, mdev, hostdev(0, alias="qat")]
    assert result.notes == ()


def test_trust_is_not_libvirts_to_give() -> None:
    result = given([], (sriov("data", trust=True),), {"data": [0]})
    (note,) = result.notes
    assert note == (
        'interface "data": libvirt has no word for trust; set it on the PF of 0000:3b:02.0:'
        " ip link set PF vf N trust on"
    )
    assert devices_of(result) == [nic(0, alias="data")]


def test_loose_devices_are_named_in_the_metadata() -> None:
    plan = placed(["4", "5"], vfs={"a": [vf(0)], "b": [vf(1)]}, devices={"qat": vf(2)})
    loose = InterfaceRequest("b", sriov("b").type, pf="ens1f0", affinity="preferred")  # type: ignore[arg-type]
    request = guest("fw1", 2, interfaces=(sriov("a"), loose))
    result = patched(domain(*TWO_VCPUS), plan, request)
    assert [str(address) for address in read_guest(result.data, "f").loose_devices] == [vf(1)]
    assert DeviceRequest("qat").affinity == "required"
