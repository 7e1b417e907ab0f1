"""Placing again what was placed changes nothing, however the XML names its VFs; and no VF goes to two guests."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import read_guest
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import NodeId
from numaplan.model.plan import Plan
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.audit.audited import guest as there
from tests.depth import draws
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
NAMES = ("data", "m.x", "fab")
# Some VFs of each PF, which has more than all guests want; and one that this host does not have.
FUNCTIONS = [*((bus, function) for bus in (0x11, 0x21) for function in range(4)), (0x77, 0)]
VFS = 16
PHYSNETS: dict[str, tuple[str, ...]] = {"p": ("e0", "e1")}
RESERVED = "0"


def element(function: tuple[int, int], *, mac: str | None, alias: str | None, is_hostdev: bool) -> str:
    bus, number = function
    kind = "" if is_hostdev else "type='pci' "
    address = f"<address {kind}domain='0' bus='{bus:#x}' slot='0' function='{number}'/>"
    name = f"<alias name='ua-{alias}'/>" if alias else ""
    if is_hostdev:
        return f"<hostdev mode='subsystem' type='pci' managed='yes'><source>{address}</source>{name}</hostdev>"
    known = f"<mac address='{mac}'/>" if mac else ""
    return f"<interface type='hostdev' managed='yes'>{known}<source>{address}</source>{name}</interface>"


def domain(name: str, cpu: int | None, elements: list[str]) -> bytes:
    pins = "" if cpu is None else f"<cputune><vcpupin vcpu='0' cpuset='{cpu}'/></cputune>"
    return (
        f"<domain type='kvm'><name>{name}</name><memory unit='GiB'>1</memory><vcpu>1</vcpu>{pins}"
        f"<os><type arch='x86_64'>hvm</type></os><devices>{''.join(elements)}</devices></domain>"
    ).encode()


def on(xml: dict[str, bytes]) -> Snapshot:
    guests = [read_guest(data, f"{name}.xml") for name, data in xml.items()]
    return host("1n:8c:1t", nics=(Nic("e0", 0, VFS), Nic("e1", 0, VFS)), guests=guests)


def placed(request: Request, xml: dict[str, bytes]) -> tuple[Plan, dict[str, bytes]]:
    """The plan, and the XML that it leaves."""
    snapshot = on(xml)
    plan = solve(request, snapshot, budget=Budget())
    assert not verify(request, snapshot, plan)
    of = {asked.name: asked for asked in request.guests}
    after = {
        placement.vm: patch_guest(
            xml[placement.vm],
            f"{placement.vm}.xml",
            request=of[placement.vm],
            placement=placement,
            host=snapshot,
            change_topology=False,
        ).data
        for placement in plan.placements
    }
    return plan, after


@st.composite
def elements(draw: st.DrawFn, free: list[tuple[int, int]]) -> list[str]:
    """Elements that name some functions, which then are no longer `free`."""
    functions = draw(st.lists(st.sampled_from(tuple(free)), max_size=4, unique=True))
    aliases = draw(st.lists(st.sampled_from(("data", "data-1", "data-2", "m_x", "fab", "dv")), max_size=2, unique=True))
    macs = list(MACS)
    found = []
    for i, function in enumerate(functions):
        is_hostdev = draw(st.booleans())
        mac = macs.pop() if macs and not is_hostdev and draw(st.booleans()) else None
        alias = aliases[i] if i < len(aliases) else None
        found.append(element(function, mac=mac, alias=alias, is_hostdev=is_hostdev))
        free.remove(function)
    return found


@st.composite
def interfaces(draw: st.DrawFn) -> list[InterfaceRequest]:
    found = []
    for name, mac in zip(draw(st.permutations(NAMES)), (*MACS, None), strict=True):
        if draw(st.booleans()):
            pf = draw(st.sampled_from(("e0", "e1", "p")))
            asked = vfs(name, pf, draw(st.integers(1, 2)), physnet=pf == "p")
            found.append(replace(asked, mac=mac if draw(st.booleans()) else None))
    return found


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Request, dict[str, bytes]]:
    """One or two guests with VFs, and how their XML has them."""
    asked: list[GuestRequest] = []
    xml = {}
    free = list(FUNCTIONS)
    for name, cpu in (("a", 1), ("b", 2))[: draw(st.integers(1, 2))]:
        one = guest(name, 1, interfaces=draw(interfaces()))
        device = DeviceRequest("dv", vendor="8086", device="154c")
        asked.append(replace(one, devices=(device,) if draw(st.booleans()) else ()))
        xml[name] = domain(name, cpu if draw(st.booleans()) else None, draw(elements(free)))
    return ask(*asked, reserved=RESERVED, physnets=PHYSNETS), xml


@settings(max_examples=draws(25), deadline=None, derandomize=True)
@given(scenes())
def test_placing_again_changes_no_byte(scene: tuple[Request, dict[str, bytes]]) -> None:
    request, xml = scene
    _, once = placed(request, xml)
    plan, twice = placed(request, once)
    assert twice == once
    assert next(level.value for level in plan.levels if level.name == "moves") == 0


def test_of_two_guests_on_one_cpu_only_one_keeps_it() -> None:
    """The core has another thread, so by count both would fit."""
    guests = [read_guest(domain(name, 2, []), f"{name}.xml") for name in ("a", "b")]
    snapshot = host("1n:3c:2t", guests=guests)
    request = ask(guest("a", 1), guest("b", 1), reserved=RESERVED)
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()


def test_of_two_guests_with_one_vf_only_one_keeps_it() -> None:
    xml = {name: domain(name, cpu, [vf_of_both()]) for name, cpu in (("a", 1), ("b", 2))}
    request = ask(*(guest(name, 1, interfaces=[vfs("x", "e0")]) for name in xml), reserved=RESERVED)
    plan, after = placed(request, xml)
    given_vfs = [vf for placement in plan.placements for one in placement.interfaces for vf in one.vfs]
    assert len(set(given_vfs)) == len(given_vfs) == 2
    assert next(level.value for level in plan.levels if level.name == "moves") == 1
    assert placed(request, after)[1] == after


def vf_of_both() -> str:
    return element(FUNCTIONS[0], mac=None, alias=None, is_hostdev=False)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_guest_keeps_the_vf_of_its_hostdev_though_another_comes_first(*, pinned: bool) -> None:
    """It would stand in the XML of both."""
    own = element(FUNCTIONS[0], mac=None, alias=None, is_hostdev=True)
    xml = {"a": domain("a", None, []), "b": domain("b", 2 if pinned else None, [own])}
    request = ask(*(guest(name, 1, interfaces=[vfs("x", "e0")]) for name in xml), reserved=RESERVED)
    _, after = placed(request, xml)
    addresses = [read_guest(data, name).pci_addresses for name, data in after.items()]
    assert [len(found) for found in addresses] == [1, 1]
    assert addresses[0] != addresses[1]


CARDS = tuple(PciAddress(0, bus, 0, 0) for bus in (0x80, 0x90))


def with_cards(**guests: str) -> Snapshot:
    """Two cards that are alike on a node of eight CPUs; each guest is on CPU 1, 2, ... and has the card named."""
    cards = tuple(PciDevice(address, "10de", "20b0", "030200", NodeId(0), "vfio-pci") for address in CARDS)
    there_already = [
        there(name, [str(cpu)], memory=("strict", [0]), memory_gib=1, emulator="0", hostdevs=[card])
        for cpu, (name, card) in enumerate(guests.items(), 1)
    ]
    empty = host("1n:8c:1t", guests=there_already)
    return replace(empty, pci=(*empty.pci, *cards))


@pytest.mark.parametrize("first", [0, 1])
def test_a_card_that_another_guest_must_have_is_exchanged_and_its_guest_moves_not(first: int) -> None:
    """A move is another CPU, node or VF; a card of the same make is none of these."""
    snapshot = with_cards(a=str(CARDS[first]))
    asked = ask(
        replace(guest("a", 1), devices=(DeviceRequest("card", vendor="10de", device="20b0"),)),
        replace(guest("n", 1), devices=(DeviceRequest("card", address=CARDS[first]),)),
        reserved="0",
    )
    plan = solve(asked, snapshot, budget=Budget())
    assert not verify(asked, snapshot, plan)
    assert [placement.devices[0].address for placement in plan.placements] == [CARDS[1 - first], CARDS[first]]
    assert (plan.levels[-1].name, plan.levels[-1].value, plan.levels[-1].proven) == ("moves", 0, True)


@pytest.mark.parametrize("first", [0, 1])
def test_a_guest_keeps_its_card_where_nobody_must_have_it(first: int) -> None:
    snapshot = with_cards(a=str(CARDS[first]))
    cards = (DeviceRequest("card", vendor="10de", device="20b0"),)
    asked = ask(replace(guest("n", 1), devices=cards), replace(guest("a", 1), devices=cards), reserved="0")
    plan = solve(asked, snapshot, budget=Budget())
    assert not verify(asked, snapshot, plan)
    assert [placement.devices[0].address for placement in plan.placements] == [CARDS[1 - first], CARDS[first]]


@pytest.mark.parametrize("has_them", range(3))
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 3)], ids=["equal", "unequal"])
def test_of_guests_that_find_no_large_pages_for_all_who_has_them_keeps_them(
    has_them: int, sizes: tuple[int, ...]
) -> None:
    """The pool has room for any one of them."""
    guests = [
        there(str(i), [str(i)], memory=("strict", [0]), memory_gib=size, page_kib=2048 if i == has_them else 4)
        for i, size in enumerate(sizes)
    ]
    snapshot = host("1n:8c:1t", pages={"2MiB": max(sizes) * 512}, guests=guests)
    asked = [guest(str(i), 1, memory_gib=size, page_size="any") for i, size in enumerate(sizes)]
    plan = solve(ask(*asked, reserved="7"), snapshot, budget=Budget())
    assert {level.name: level.value for level in plan.levels}["moves"] == 0
    assert [i for i, one in enumerate(plan.placements) if one.cells[0].page_size_kib > 4] == [has_them]
