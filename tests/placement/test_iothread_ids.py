"""Iothreads that libvirt numbers otherwise than from 1 (formatdomain, "IOThreads Allocation")."""

import pytest

from numaplan.audit.audit import audit
from numaplan.cpuset import CpuSet
from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import read_guest
from numaplan.model.guest import Guest, IothreadId
from numaplan.placement.verify import verify
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from tests.hosts import host
from tests.placement.solving import solved
from tests.requests import ask, guest

HOST = host("1n:8c:1t")


def xml(iothread: int, *, vcpu: str = "5", pin: str = "6", cpuset: str = "", emulator: str = "0") -> bytes:
    return (
        f"<domain type='kvm'><name>a</name><memory unit='GiB'>1</memory><vcpu{cpuset}>1</vcpu><iothreads>1</iothreads>"
        f"<iothreadids><iothread id='{iothread}'/></iothreadids><cputune><vcpupin vcpu='0' cpuset='{vcpu}'/>"
        f"<emulatorpin cpuset='{emulator}'/><iothreadpin iothread='{iothread}' cpuset='{pin}'/></cputune>"
        "<numatune><memory mode='strict' nodeset='0'/></numatune><os><type>hvm</type></os></domain>"
    ).encode()


def there(iothread: int, **said: str) -> Guest:
    return read_guest(xml(iothread, **said), "a.xml")


@pytest.mark.parametrize("iothread", [1, 4])
def test_a_guest_that_lies_as_planned_is_not_moved(iothread: int) -> None:
    request = ask(guest("a", 1, iothreads=1, iothread_policy="dedicated", page_size="4KiB"), reserved="0")
    snapshot = host("1n:8c:1t", guests=[there(iothread)])
    plan = solved(request, snapshot)
    assert plan.placements[0].iothreads == ((IothreadId(1), CpuSet.parse("6")),)
    assert {level.name: level.value for level in plan.levels}["moves"] == 0
    placement = plan.placements[0]
    again = patch_guest(
        xml(iothread), "a.xml", request=request.guests[0], placement=placement, host=HOST, change_topology=False
    )
    assert f"<iothreadpin iothread='{iothread}' cpuset='6'/>" in again.data.decode()


@pytest.mark.parametrize("iothread", [1, 4])
def test_no_cpu_is_taken_by_an_iothread_that_is_not_there(iothread: int) -> None:
    staying = there(iothread, vcpu="4", pin="0-7", cpuset=" cpuset='3'", emulator="0-7")
    snapshot = host("1n:8c:1t", guests=[staying])
    request = ask(guest("b", 6), reserved="0")
    (placement,) = solved(request, snapshot).placements
    assert CpuSet(cpu for _, cpus in placement.cells[0].vcpus for cpu in cpus) == CpuSet.parse("1-3,5-7")
    assert verify(request, snapshot, solved(request, snapshot)) == ()


def test_the_ids_are_the_same_in_inventory_json() -> None:
    snapshot = host("1n:8c:1t", guests=[there(4), Guest("b", "b.xml", 1, 1024, iothreads=2)])
    read = read_inventory(inventory_json(snapshot), "host.json")
    assert [one.iothread_ids for one in read.guests] == [(4,), (1, 2)]
    assert read.guests[0].planned_iothread_affinity(IothreadId(1)) == CpuSet.parse("6")
    assert audit(read).findings == audit(snapshot).findings
