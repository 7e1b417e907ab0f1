"""Passed-through devices on PCI buses of the guest that belong to the cell that they are near."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from numaplan.domxml.patch import Patched, patch_guest
from numaplan.errors import InputError
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import NodeId
from numaplan.model.request import DeviceLocality, GuestRequest
from numaplan.model.snapshot import Snapshot
from tests.depth import draws
from tests.domxml.plans import domain, patched, placed, sriov
from tests.hosts import Nic, host
from tests.requests import guest

# More examples, once in a while: how many.
EXAMPLES = draws(25)
PAIRS = [[10, 12, 32, 32], [12, 10, 32, 32], [32, 32, 10, 12], [32, 32, 12, 10]]
HOST = host("4n:4c:1t", nics=[Nic(f"ens{n}", n if n < 4 else None, 12) for n in range(5)], distances=PAIRS)
CELLS = (
    "<memory unit='GiB'>2</memory>",
    "<vcpu>2</vcpu>",
    "<os><type arch='x86_64' machine='{}'>hvm</type></os>",
    "<cpu><numa><cell id='0' cpus='0' memory='1' unit='GiB'><distances><sibling id='1' value='{}'/></distances></cell>",
    "<cell id='1' cpus='1' memory='1' unit='GiB'/></numa></cpu>",
)


def vf(nic: int, number: int = 0) -> str:
    return str(PciAddress(0, 0x11 + 0x10 * nic, number // 8, number % 8))


def handed(address: str, at: str = "", *, name: str = "interface") -> str:
    """An element that hands a function through, at an address of the guest's own."""
    pci = PciAddress.parse(address)
    parts = f"domain='0x0000' bus='{pci.bus:#04x}' slot='{pci.slot:#04x}' function='{pci.function:#x}'"
    if name == "hostdev":
        return f"<hostdev mode='subsystem' type='pci'><source><address {parts}/></source>{at}</hostdev>"
    return f"<interface type='hostdev'><source><address type='pci' {parts}/></source>{at}</interface>"


def at(bus: int, slot: int = 0, function: int = 0, *, more: str = "") -> str:
    return f"<address type='pci' domain='0x0000' bus='{bus:#04x}' slot='{slot:#04x}' function='{function:#x}'{more}/>"


def port(index: int, bus: int, slot: int = 0) -> str:
    return f"<controller type='pci' index='{index}' model='pcie-root-port'>{at(bus, slot)}</controller>"


def expander(index: int, cell: int | None, number: int | None = None) -> str:
    node = "" if cell is None else f"<node>{cell}</node>"
    own = "" if number is None else f" busNr='{number}'"
    return f"<controller type='pci' index='{index}' model='pcie-expander-bus'><target{own}>{node}</target></controller>"


def shown(
    devices: Sequence[str],
    vfs: Sequence[str],
    *,
    nodes: tuple[int, int] = (0, 2),
    machine: str = "pc-q35-9.0",
    change_topology: bool = True,
    request: GuestRequest | None = None,
    on: Snapshot = HOST,
) -> Patched:
    """Two cells on those nodes, and these functions for them."""
    plan = placed(["4"], ["5"], nodes=nodes, vfs={"d": vfs})
    asked = request or guest("fw1", [1, 1], interfaces=(sriov("d", len(vfs)),))
    parts = [part.format(machine if "machine" in part else PAIRS[nodes[0]][nodes[1]]) for part in CELLS]
    return patched(domain(*parts, devices=devices), plan, asked, change_topology=change_topology, on=on)


def controllers(result: Patched) -> list[str]:
    """The PCI controllers, each in one line."""
    found = etree.fromstring(result.data).iterfind("devices/controller")
    return ["".join(etree.tostring(one, encoding="unicode").split("\n")).replace("  ", "").strip() for one in found]


def seen_at(result: Patched) -> list[str | None]:
    """The guest's bus of each function, in the order of the file; None where libvirt chooses."""
    root = etree.fromstring(result.data)
    found = []
    for element in root.iterfind("devices/*"):
        if element.tag in {"interface", "hostdev"}:
            address = element.find("address")
            found.append(None if address is None else str(address.get("bus")))
    return found


def test_a_device_gets_a_root_port_below_a_bus_of_the_nearest_cell() -> None:
    result = shown([handed(vf(1), at(1)), handed(vf(2), at(2))], [vf(1), vf(2)])
    assert controllers(result) == [
        expander_written(3, 1, 248), port_written(4, 3), expander_written(5, 0, 240), port_written(6, 5),
    ]  # fmt: skip
    assert seen_at(result) == ["0x06", "0x04"]
    assert result.noticed[-2:] == ('"d-1" moves to its PCI bus 0x06', '"d-2" moves to its PCI bus 0x04')


def test_the_guest_finds_its_network_interfaces_in_their_order_where_that_can_be() -> None:
    there = [port(1, 0, 2), port(2, 0, 3), handed(vf(2), at(1)), handed(vf(1), at(2))]
    kept = shown(there, [vf(2), vf(1)])
    assert not any("another order" in what for what in kept.noticed)
    mixed = [
        port(1, 0, 2),
        port(2, 0, 3),
        port(3, 0, 4),
        handed(vf(2), at(1)),
        handed(vf(1), at(2)),
        handed(vf(3), at(3)),
    ]
    result = shown(mixed, [vf(2), vf(1), vf(3)])
    assert "its network interfaces in another order: those on line 12, line 14, line 13" in result.noticed


def expander_written(index: int, cell: int, number: int) -> str:
    return expander(index, cell, number).replace("'", '"')


def port_written(index: int, bus: int, slot: int = 0) -> str:
    return port(index, bus, slot).replace("'", '"')


def test_a_tie_goes_to_the_lower_cell_and_an_unknown_node_to_none() -> None:
    result = shown([], [vf(2), vf(4)], nodes=(0, 1))
    assert controllers(result) == [expander_written(1, 0, 248), port_written(2, 1)]
    assert seen_at(result) == ["0x02", None]


def test_a_vf_is_where_its_pf_is_known_to_be() -> None:
    silent = replace(HOST, pci=tuple(replace(d, numa_node=None) if d.physfn is not None else d for d in HOST.pci))
    assert seen_at(shown([], [vf(2)], on=silent)) == ["0x02"]


def test_buses_of_the_cell_that_are_there_are_used_with_their_free_ports() -> None:
    there = [expander(1, 1, 250), port(2, 1), port(3, 1, 4), port(4, 1, 1), handed(vf(2), at(3))]
    result = shown(there, [vf(2), vf(2, 1), vf(3), vf(3, 1)])
    assert seen_at(result) == ["0x03", "0x02", "0x04", "0x05"]
    assert controllers(result)[4:] == [port_written(5, 1, 2)]


def test_a_bus_without_room_is_left_for_another() -> None:
    there = [expander(1, 1, 254), port(2, 1), handed(vf(2), at(2))]
    result = shown(there, [vf(2), vf(2, 1)])
    assert controllers(result)[2:] == [expander_written(3, 1, 246), port_written(4, 3)]


@pytest.mark.parametrize("bus", [expander(1, 0, 250), expander(1, None, 250), expander(1, 1)])
def test_a_bus_of_another_cell_of_none_or_of_no_number_is_not_used(bus: str) -> None:
    result = shown([bus], [vf(2)])
    assert len(controllers(result)) == 3
    assert seen_at(result) == ["0x03"]


def test_a_device_below_a_switch_of_the_cell_stays() -> None:
    switch = [
        "<controller type='pci' index='3' model='pcie-switch-upstream-port'>" + at(2) + "</controller>",
        "<controller type='pci' index='4' model='pcie-switch-downstream-port'>" + at(3) + "</controller>",
    ]
    there = [expander(1, 1, 250), port(2, 1), *switch, handed(vf(2), at(4))]
    assert controllers(shown(there, [vf(2)]))[4:] == []


def test_without_leave_it_is_said_what_stays() -> None:
    result = shown([handed(vf(1), at(1))], [vf(1), vf(2)], change_topology=False)
    assert controllers(result) == []
    assert seen_at(result) == ["0x01", None]
    assert result.withheld == (
        'the guest does not see which of its cells "d-1", "d-2" is near: --change-guest-topology changes it',
    )


def test_another_machine_cannot_show_it() -> None:
    result = shown([handed(vf(1), at(0, 5))], [vf(1)], machine="pc-i440fx-9.0")
    assert controllers(result) == []
    assert result.notes == ('the guest cannot see which of its cells "d" is near: that takes machine type q35',)


def test_where_nobody_wants_it_and_with_one_cell_nothing_is_added() -> None:
    never = replace(guest("fw1", [1, 1], interfaces=(sriov("d"),)), device_locality=DeviceLocality.NEVER)
    assert controllers(shown([], [vf(1)], request=never)) == []
    one = patched(
        domain("<vcpu>1</vcpu>", CELLS[2].format("q35")),
        placed(["4"], vfs={"d": [vf(1)]}),
        guest("fw1", 1, interfaces=(sriov("d"),)),
        change_topology=True,
        on=HOST,
    )
    assert controllers(one) == []
    assert one.notes == one.withheld == ()


def test_a_function_of_several_in_one_slot_stays_with_a_note() -> None:
    there = [handed(vf(2), at(1, 0, 0, more=" multifunction='on'")), handed(vf(2, 1), at(1, 0, 1))]
    result = shown(there, [vf(2)])
    assert seen_at(result) == ["0x01", "0x01"]
    assert any("shares PCI slot 01:00 of the guest with others" in note for note in result.notes)


def test_a_device_that_moves_alone_is_of_several_functions_no_longer() -> None:
    result = shown([handed(vf(2), at(1, 0, 0, more=" multifunction='on'"))], [vf(2)])
    assert b"multifunction" not in result.data


def test_a_device_that_the_guest_is_not_to_see_stays_unassigned() -> None:
    result = shown([handed(vf(2), "<address type='unassigned'/>", name="hostdev")], [vf(2)])
    assert b"<address type='unassigned'/>" in result.data
    assert controllers(result) == []


def test_bus_numbers_that_are_used_up_are_said() -> None:
    result = shown([expander(1, 0, 3), handed(vf(2), at(2))], [vf(2)])
    assert result.notes[-1] == ('the guest does not see which of its cells "d" is near: it has no PCI bus number left')
    assert seen_at(result) == ["0x02"]


def test_what_is_no_vf_is_handed_over_as_a_hostdev_alone() -> None:
    pf = "0000:10:00.0"
    with pytest.raises(InputError, match="which is no VF; libvirt takes VFs alone there: make it a <hostdev>"):
        shown([handed(pf)], [pf])
    new = shown([], [pf], request=guest("fw1", [1, 1], interfaces=(sriov("d", mac="52:54:00:00:00:01", vlan=7),)))
    assert b"<hostdev mode='subsystem'" in new.data
    assert (
        'interface "d" is a <hostdev> (new), which sets no MAC address 52:54:00:00:00:01 and no VLAN 7:'
        " set it on the PF of 0000:10:00.0"
    ) in new.notes


def test_a_hostdev_sets_no_mac_address() -> None:
    request = guest("fw1", [1, 1], interfaces=(sriov("d", mac="52:54:00:00:00:01"),))
    result = shown([handed(vf(2), name="hostdev")], [vf(2)], request=request)
    (note,) = result.notes
    assert note == (
        'interface "d" is a <hostdev> (line 9), which sets no MAC address 52:54:00:00:00:01:'
        " set it on the PF of 0000:31:00.0"
    )


def test_another_model_and_another_address_are_noticed() -> None:
    other = PciDevice(
        PciAddress.parse("0000:77:00.0"), "1af4", "1041", "020000", NodeId(0), physfn=PciAddress(0, 1, 0, 0)
    )
    on = replace(HOST, pci=(*HOST.pci, other))
    mac = "<mac address='52:54:00:00:00:01'/>"
    there = [handed("0000:77:00.0").replace("<source>", f"{mac}<source>"), handed(vf(0))]
    result = shown(there, [vf(0, 1), vf(0, 2)], on=on)
    assert result.noticed[0] == "<interface> on line 9 is a device of another model, 0000:11:00.1 (8086:154c)"
    assert result.noticed[1] == "<interface> on line 10 is another device, 0000:11:00.2"


@st.composite
def guests(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """A guest with buses of all kinds, devices anywhere on them, and the functions that it is to have."""
    lines: list[str] = []
    free: list[int] = []
    numbers = draw(st.lists(st.integers(40, 255), unique=True, max_size=3))
    index = 1
    for number in sorted(numbers, reverse=True):
        lines.append(expander(index, draw(st.sampled_from([0, 1, None])), number))
        # Never more than its numbers, as libvirt has it.
        above = min([n for n in numbers if n > number], default=256)
        count = draw(st.integers(0, min(3, above - number - 1)))
        lines += [port(index + 1 + k, index, k) for k in range(count)]
        free += [index + 1 + k for k in range(count)]
        index += 1 + count
    plain = draw(st.integers(0, 3))
    lines += [port(index + k, 0, 2 + k) for k in range(plain)]
    free += [index + k for k in range(plain)]
    vfs = [vf(nic, number) for nic, number in draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 11)),
                                                            unique=True, min_size=1, max_size=12))]  # fmt: skip
    there = draw(st.lists(st.sampled_from(vfs), unique=True))
    for one in there:
        bus = draw(st.sampled_from([None, *free]))
        lines.append(handed(one, "" if bus is None else at(bus)))
        free = [other for other in free if other != bus]
    parts = [part.format("q35" if "machine" in part else 32) for part in CELLS]
    return domain(*parts, devices=draw(st.permutations(lines))), vfs


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(guests())
def test_every_device_is_behind_its_cell_and_no_bus_runs_into_another(drawn: tuple[bytes, list[str]]) -> None:
    data, vfs = drawn
    plan = placed(["4"], ["5"], nodes=(0, 2), vfs={"d": vfs})
    asked = guest("fw1", [1, 1], interfaces=(sriov("d", len(vfs)),))
    new = patched(data, plan, asked, change_topology=True, on=HOST).data
    root = etree.fromstring(new)
    buses = {int(str(c.get("index"))): c for c in root.iterfind("devices/controller[@type='pci']")}
    assert len(buses) == len(root.findall("devices/controller"))
    _assert_numbers(buses)
    taken = [(a.get("bus"), a.get("slot")) for a in root.iterfind("devices/*/address")]
    assert len(set(taken)) == len(taken)
    for element in root.iterfind("devices/interface"):
        source = element.find("source/address")
        assert source is not None
        nic = (int(str(source.get("bus")), 16) - 0x11) // 0x10
        address = element.find("address")
        if nic < 4:
            assert address is not None
            assert _cell_of(buses, int(str(address.get("bus")), 16)) == ("0" if nic < 2 else "1")
    kept = patch_guest(new, "g", request=asked, placement=plan, host=HOST, change_topology=False)
    assert (kept.data, kept.withheld) == (new, ())


def _parent(bus: etree._Element) -> int:
    address = bus.find("address")
    return 0 if address is None else int(str(address.get("bus")), 16)


def _cell_of(buses: dict[int, etree._Element], index: int) -> str | None:
    while buses[index].get("model") != "pcie-expander-bus":
        index = _parent(buses[index])
        if index == 0:
            return None
    return buses[index].findtext("target/node")


def _assert_numbers(buses: dict[int, etree._Element]) -> None:
    """Below each expander bus there is a number for every bus, before those of the next one begin."""
    first = {}
    for index, bus in buses.items():
        target = bus.find("target")
        if target is not None and target.get("busNr") is not None:
            first[index] = int(str(target.get("busNr")))
    assert len(set(first.values())) == len(first)
    assert min(first.values(), default=256) > sum(_parent(bus) == 0 for bus in buses.values())
    for index, number in first.items():
        end = min([other for other in first.values() if other > number], default=256)
        assert sum(_parent(bus) == index for bus in buses.values()) < end - number
