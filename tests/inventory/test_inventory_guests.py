"""Guests from libvirt's rows and from the processes; the real ones are those of the lab host."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.guests import file_name, read_domain_xml, read_guests
from numaplan.model.guest import Guest, GuestThread, ResidentMemory, RunningGuest, ThreadKind, VcpuId
from numaplan.model.host import NodeId, Source
from numaplan.sources.hypervisor import read_hypervisor
from numaplan.sources.live import LiveStore
from numaplan.sources.tree import HostTree
from tests.corpus import corpus
from tests.inventory.trees import MadeStore, tree

UUID = "6ed090d8-66c3-4a9c-893e-e2005c430f2c"
STATUS = "Name:\tqemu-system-x86\nMems_allowed:\t00000000,00000004\nMems_allowed_list:\t2\n"
MAPS = (
    "7f0000000000 default anon=900 dirty=900 N0=900 kernelpagesize_kB=4\n"
    "7f1000000000 default file=/memfd:ram-node0\\040(deleted) anon=512 N0=256 N1=256 kernelpagesize_kB=4\n"
    "7ffda1eed000 default stack anon=6 N0=6 kernelpagesize_kB=4\n"
)


def lab(name: str) -> str:
    return (corpus() / "lab" / name).read_text(encoding="utf-8")


def host(
    domains: list[Any] | None = None,
    processes: list[Any] | None = None,
    *,
    files: dict[str, str] | None = None,
    **more: object,
) -> HostTree:
    rows: dict[str, object] = {"numaplan/libvirt.json": json.dumps({"domains": domains or [], **more})}
    if processes is not None:
        rows["numaplan/processes.json"] = json.dumps({"processes": processes, "failed": []})
    return tree({**rows, **(files or {})})  # type: ignore[dict-item]  # JSON text


def xml(name: str = "fw1", *, vcpus: int = 2, uuid: str | None = None, inside: str = "") -> str:
    named = f"<uuid>{uuid}</uuid>" if uuid else ""
    return f"<domain><name>{name}</name>{named}<memory>1024</memory><vcpu>{vcpus}</vcpu>{inside}</domain>"


def domain(name: str = "fw1", *, running: bool = True, **more: object) -> dict[str, object]:
    text = xml(name)
    return {
        "name": name,
        "state": "running" if running else "shutoff",
        "active": running,
        "persistent": True,
        "managed_save": False,
        "xml": text if running else None,
        "inactive_xml": text,
        **more,
    }


def thread(tid: int, name: str, affinity: str) -> dict[str, object]:
    return {"tid": tid, "name": name, "affinity": affinity}


def gaps(read: HostTree) -> list[tuple[str, str]]:
    return [(gap.what, gap.why) for gap in read.gaps]


def lab_guest(**more: object) -> dict[str, object]:
    return {
        **domain("vm1"),
        "uuid": UUID,
        "xml": lab("vm1-live.xml"),
        "inactive_xml": lab("vm1-inactive.xml"),
        "vcpus": [{"id": 0, "cpus": "10"}, {"id": 1, "cpus": "11"}],
        "emulator_pin": "8-9",
        "iothreads": [{"id": 1, "cpus": "8"}],
        **more,
    }


def lab_process() -> dict[str, object]:
    threads = []
    for position, line in enumerate(lab("vm1-tasks.txt").splitlines()):
        name, _, rest = line.partition(" Cpus_allowed_list: ")
        threads.append(thread(700 + position, name, rest.split()[0]))
    return {"pid": 700, "name": "vm1", "uuid": UUID, "threads": threads}


def test_a_running_guest_of_the_lab_is_read_with_its_threads_and_its_memory() -> None:
    files = {"proc/700/numa_maps": lab("vm1-numa_maps.txt"), "proc/700/status": STATUS}
    read = host([lab_guest()], [lab_process()], files=files)
    (guest,) = read_guests(read)
    assert (guest.name, guest.uuid, guest.vcpus, guest.memory_kib) == ("vm1", UUID, 2, 128 << 10)
    assert (guest.state, guest.running, guest.persistent, guest.managed_save) == ("running", True, True, False)
    assert [str(address) for address in guest.pci_addresses] == ["0000:61:10.0"]
    assert guest.live == RunningGuest(
        pid=700,
        threads=(
            GuestThread(ThreadKind.VCPU, CpuSet.parse("10"), 0, 705, "CPU 0/TCG"),
            GuestThread(ThreadKind.VCPU, CpuSet.parse("11"), 1, 706, "CPU 1/TCG"),
            GuestThread(ThreadKind.EMULATOR, CpuSet.parse("8-9"), None, 700, "qemu-system-x86"),
            GuestThread(ThreadKind.IOTHREAD, CpuSet.parse("8"), 1, 703, "IO iothread1"),
            GuestThread(ThreadKind.OTHER, CpuSet.parse("8-9"), None, 701, "qemu-system-x86"),
            GuestThread(ThreadKind.OTHER, CpuSet.parse("8-9"), None, 702, "TC tc-ram-node0"),
            GuestThread(ThreadKind.OTHER, CpuSet.parse("8-9"), None, 704, "IO mon_iothread"),
        ),
        memory=(ResidentMemory(NodeId(2), 2048, 128 << 10),),
        allowed_nodes=(NodeId(2),),
    )
    assert gaps(read) == []


def test_without_the_process_libvirt_tells_where_the_threads_may_run() -> None:
    (guest,) = read_guests(host([lab_guest()]))
    assert guest.live == RunningGuest(
        threads=(
            GuestThread(ThreadKind.VCPU, CpuSet.parse("10"), 0),
            GuestThread(ThreadKind.VCPU, CpuSet.parse("11"), 1),
            GuestThread(ThreadKind.EMULATOR, CpuSet.parse("8-9")),
            GuestThread(ThreadKind.IOTHREAD, CpuSet.parse("8"), 1),
        )
    )


def test_libvirt_tells_of_the_threads_that_were_not_seen() -> None:
    process = {"pid": 700, "uuid": UUID, "threads": [thread(700, "qemu-kvm", "0-3"), thread(703, "CPU 1/KVM", "5")]}
    (guest,) = read_guests(host([lab_guest()], [process]))
    assert guest.live is not None
    assert [(t.kind.value, t.index, str(t.affinity), t.tid) for t in guest.live.threads] == [
        ("vcpu", 0, "10", None),
        ("vcpu", 1, "5", 703),
        ("emulator", None, "0-3", 700),
        ("iothread", 1, "8", None),
    ]


def test_a_guest_that_is_off_is_read_from_the_xml_that_it_would_start_from() -> None:
    read = host([lab_guest(active=False, state="shutoff", xml=None, managed_save=True)])
    (guest,) = read_guests(read)
    assert (guest.running, guest.state, guest.managed_save, guest.live) == (False, "shutoff", True, None)
    assert [str(pin.cpus) for pin in guest.vcpu_pins] == ["10", "11"]
    assert gaps(read) == []


def test_a_running_guest_is_what_it_runs_as_and_its_patch_starts_from_its_definition() -> None:
    read = host([domain(inactive_xml=xml(vcpus=8))])
    (guest,) = read_guests(read)
    (definition,) = read_domain_xml(read)
    assert guest.vcpus == 2
    assert (definition.guest.vcpus, definition.guest.running) == (8, True)
    assert (definition.file, definition.data) == ("fw1.xml", xml(vcpus=8).encode())


def test_a_transient_guest_has_only_the_xml_that_it_runs_as() -> None:
    read = host([domain(persistent=False, inactive_xml=None)])
    assert [definition.data for definition in read_domain_xml(read)] == [xml().encode()]
    assert [guest.persistent for guest in read_guests(read)] == [False]


def test_guests_and_their_xml_come_in_the_order_of_their_names() -> None:
    read = host([domain("b"), domain("c"), domain("a", running=False)])
    assert [guest.name for guest in read_guests(read)] == ["a", "b", "c"]
    assert [definition.guest.name for definition in read_domain_xml(read)] == ["a", "b", "c"]


def test_rows_of_a_connection_stand_in_for_the_trees_own() -> None:
    read = host([domain("own")])
    document = {"domains": [domain("asked")]}
    assert [guest.name for guest in read_guests(read, document)] == ["asked"]
    assert [definition.guest.name for definition in read_domain_xml(read, document)] == ["asked"]
    assert read_guests(read, ["no object"]) == ()
    assert gaps(read) == [("libvirt", "expected an object")]


def test_a_host_without_libvirt_has_no_guests_and_no_gap() -> None:
    read = tree({"sys": None})
    assert (read_guests(read), read_domain_xml(read), gaps(read)) == ((), (), [])


def test_what_libvirt_could_not_tell_is_a_gap() -> None:
    read = host([], failed=[{"name": "fw9", "why": "Domain not found"}])
    assert read_guests(read) == ()
    assert gaps(read) == [("libvirt", "guest 'fw9': Domain not found")]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "libvirt.domains[0]: a guest without a name"),
        ({"name": 7}, "libvirt.domains[0].name: expected a string, found 7"),
        ({"name": "fw1"}, "guest 'fw1': libvirt.domains[0]: no XML"),
        ({"name": "fw1", "xml": ["x"]}, "guest 'fw1': libvirt.domains[0].xml: expected a string"),
        ({"name": "fw1", "xml": "<domain>"}, "guest 'fw1': libvirt/fw1.xml:1:9: "),
        ({"name": "fw1", "xml": "\udc80"}, "guest 'fw1': 'utf-8' codec can't encode"),
        ({"name": "fw1", "xml": "<!DOCTYPE a><domain/>"}, "guest 'fw1': libvirt/fw1.xml:1:"),
        ({"name": "fw1", "xml": xml("other")}, "guest 'fw1': its XML is that of guest 'other'"),
        ({"name": "fw1", "xml": xml(), "active": "yes"}, "guest 'fw1': libvirt.domains[0].active: expected true"),
    ],
)  # fmt: skip
def test_a_broken_row_costs_its_guest_and_leaves_a_gap(row: dict[str, object], why: str) -> None:
    read = host([row, domain("fine")])
    assert [guest.name for guest in read_guests(read)] == ["fine"]
    ((what, found),) = gaps(read)
    assert what == "libvirt"
    assert found.startswith(why)
    assert [definition.guest.name for definition in read_domain_xml(read)] == ["fine"]


@pytest.mark.parametrize("key", ["domains", "failed"])
def test_rows_that_are_no_list_are_a_gap(key: str) -> None:
    read = tree({"numaplan/libvirt.json": json.dumps({"domains": [], key: 5})})
    assert read_guests(read) == ()
    assert gaps(read) == [("libvirt", f"libvirt.{key}: expected a list of at most 262144, found 5")]


def test_of_two_guests_of_one_name_the_first_counts() -> None:
    read = host([domain(), domain(running=False)])
    assert [guest.running for guest in read_guests(read)] == [True]
    assert gaps(read) == [("libvirt", "guest 'fw1' stands twice")]


@pytest.mark.parametrize("cpus", [None, "", "x", "0-4294967295", 5])
def test_threads_that_make_no_sense_leave_the_guest_without_any(cpus: object) -> None:
    read = host([domain(vcpus=[{"id": 0, "cpus": cpus}])])
    (guest,) = read_guests(read)
    assert guest.live == RunningGuest()
    assert [what for what, _ in gaps(read)] == ["libvirt"]


def test_a_process_is_its_guests_by_uuid_and_by_name_only_where_it_has_none() -> None:
    guests = [domain("a", xml=xml("a", uuid="U-1")), domain("b", xml=xml("b", uuid="u-2")), domain("c")]
    processes = [
        {"pid": 1, "name": "b", "uuid": "u-1", "threads": []},
        {"pid": 2, "name": "a", "uuid": "U-2", "threads": []},
        {"pid": 3, "name": "c", "threads": []},
    ]
    read = host(guests, processes)
    assert [(guest.name, guest.live and guest.live.pid) for guest in read_guests(read)] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
    ]
    assert gaps(read) == []


def test_two_processes_of_one_guest_are_neither_believed() -> None:
    process = {"uuid": UUID, "name": "vm1", "threads": [thread(705, "CPU 0/KVM", "0")]}
    read = host([lab_guest()], [{**process, "pid": 700}, {**process, "pid": 800}])
    (guest,) = read_guests(read)
    assert guest.live is not None
    assert guest.live.pid is None
    assert [str(t.affinity) for t in guest.live.threads if t.kind is ThreadKind.VCPU] == ["10", "11"]
    assert gaps(read) == [("processes", "guest 'vm1': 2 QEMU processes claim to be it")]


def test_a_process_of_a_guest_that_libvirt_calls_off_is_a_gap() -> None:
    read = host([domain(running=False)], [{"pid": 700, "name": "fw1", "threads": []}])
    assert [(guest.running, guest.live) for guest in read_guests(read)] == [(False, None)]
    assert gaps(read) == [("processes", "guest 'fw1': process 700 runs, libvirt says shutoff")]


def test_a_process_that_libvirt_does_not_tell_of_is_a_guest_that_takes_its_cpus() -> None:
    threads = [
        thread(700, "qemu-kvm", "0-1"), thread(702, "CPU 0/KVM", "4"), thread(703, "CPU 2/KVM", "5"),
        thread(704, "IO iothread1", "6"),
    ]  # fmt: skip
    files = {"proc/700/numa_maps": MAPS}
    read = host([], [{"pid": 700, "name": "other", "uuid": "U-9", "threads": threads}], files=files)
    (guest,) = read_guests(read)
    assert replace(guest, live=None) == Guest(
        "other",
        "proc/700",
        3,
        None,
        uuid="u-9",
        vcpu_pins=guest.vcpu_pins,
        emulator_pin=guest.emulator_pin,
        iothreads=1,
        iothread_pins=guest.iothread_pins,
        running=True,
    )
    assert [(pin.vcpu, str(pin.cpus)) for pin in guest.vcpu_pins] == [(0, "4"), (2, "5")]
    assert guest.vcpu_affinity(VcpuId(1)) is None
    assert str(guest.emulator_affinity()) == "0-1"
    assert [(pin.iothread, str(pin.cpus)) for pin in guest.iothread_pins] == [(1, "6")]
    assert guest.live is not None
    assert guest.live.memory == (ResidentMemory(NodeId(0), 4, 1024), ResidentMemory(NodeId(1), 4, 1024))
    assert gaps(read) == [
        (
            "processes",
            "QEMU process 700 ('other'): libvirt tells nothing of it: its memory, devices and topology are not known",
        )
    ]


def test_a_process_whose_threads_have_no_names_is_a_gap_alone() -> None:
    read = host([], [{"pid": 700, "name": "plain", "threads": [thread(701, "qemu-kvm", "4")]}])
    assert read_guests(read) == ()
    assert gaps(read) == [
        (
            "processes",
            "QEMU process 700 ('plain'): libvirt tells nothing of it, nor do its threads' names: it is not counted",
        )
    ]


def test_a_foreign_process_does_not_take_the_name_of_a_guest_of_libvirts() -> None:
    process = {"pid": 800, "name": "vm1", "uuid": "other", "threads": [thread(801, "CPU 0/KVM", "3")]}
    read = host([lab_guest()], [process])
    assert [(guest.name, guest.uuid) for guest in read_guests(read)] == [("qemu-800", "other"), ("vm1", UUID)]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"threads": []}, "processes.processes[0]: a process without a pid"),
        ({"pid": 0}, "processes.processes[0].pid: expected a whole number from 1 to 4194304, found 0"),
        ({"pid": 7, "threads": 5}, "processes.processes[0].threads: expected a list"),
        ({"pid": 1, "name": "c", "threads": [{"tid": 2}]}, "processes.processes[0].threads[0]: a thread without tid"),
        (
            {"pid": 1, "name": "c", "threads": [thread(2, "x", "")]},
            "processes.processes[0].threads[0]: a thread without",
        ),
    ],
)
def test_a_broken_row_of_a_process_is_a_gap(row: dict[str, object], why: str) -> None:
    read = host([domain("c")], [row])
    assert [guest.name for guest in read_guests(read)] == ["c"]
    ((what, found),) = gaps(read)
    assert what == "processes"
    assert found.startswith(why)


@pytest.mark.parametrize(
    ("guest", "name"),
    [
        ("fw1", "fw1.xml"),
        ("брандмауэр 1", "брандмауэр 1.xml"),
        ("../../etc/x", "%2E.%2F..%2Fetc%2Fx.xml"),
        (".hidden", "%2Ehidden.xml"),
        ("a%2Fb", "a%252Fb.xml"),
        ("a\x1b[2J\n", "a%1B[2J%0A.xml"),
        ("a\0", "a%00.xml"),
    ],
)
def test_a_guests_name_becomes_a_file_name_that_stays_in_its_folder(guest: str, name: str) -> None:
    assert file_name(guest) == name
    assert Path(name).name == name


@pytest.mark.libvirt
def test_guests_of_libvirts_test_driver_are_read_through_the_live_door(tmp_path: Path) -> None:
    cputune = "<cputune><vcpupin vcpu='1' cpuset='3'/></cputune>"
    guests = "".join(
        f"<domain type='test'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>{cputune}"
        "<os><type>hvm</type></os></domain>"
        for name in ("b", "a")
    )
    (tmp_path / "host.xml").write_text(f"<node>{guests}</node>", encoding="utf-8")
    store = LiveStore(MadeStore({"sys": None}), {"libvirt": lambda: read_hypervisor(f"test://{tmp_path}/host.xml")})
    read = HostTree(store, Source.LIVE)
    found = read_guests(read)
    assert [(guest.name, guest.running, guest.state, guest.vcpus, guest.memory_kib) for guest in found] == [
        ("a", True, "running", 2, 64 << 10),
        ("b", True, "running", 2, 64 << 10),
    ]
    assert all(str(guest.vcpu_affinity(VcpuId(1))) == "3" for guest in found)
    assert [guest.live is not None and len(guest.live.threads) > 1 for guest in found] == [True, True]
    assert [definition.guest.name for definition in read_domain_xml(read)] == ["a", "b"]
    assert gaps(read) == []
