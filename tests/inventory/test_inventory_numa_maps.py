"""numa_maps and status of a guest's process, and the names of its threads."""

import pytest

from numaplan.inventory.guest_threads import thread_kind
from numaplan.inventory.numa_maps import (
    guest_memory,
    parse_allowed_nodes,
    parse_numa_maps,
    read_allowed_nodes,
    read_resident,
)
from numaplan.model.guest import ThreadKind
from tests.corpus import corpus
from tests.inventory.trees import tree

STACK = "7ffda1eed000 default stack anon=6 N0=6 kernelpagesize_kB=4\n"


def resident(*lines: str) -> list[tuple[int, int, int]]:
    memory = guest_memory(parse_numa_maps("".join(f"{line}\n" for line in lines) + STACK))
    return [(part.node, part.page_size_kib, part.size_kib) for part in memory]


def test_of_the_labs_guest_only_its_hugepages_are_guest_memory() -> None:
    text = (corpus() / "lab" / "vm1-numa_maps.txt").read_text(encoding="utf-8")
    assert [(m.node, m.page_size_kib, m.size_kib) for m in guest_memory(parse_numa_maps(text))] == [
        (2, 2048, 128 << 10)
    ]


@pytest.mark.parametrize(
    "mapped",
    [
        "file=/memfd:pc.ram\\040(deleted)",
        "file=/dev/zero\\040(deleted)",
        "file=/dev/shm/fw1",
        "file=/var/lib/libvirt/qemu/ram/1-fw1/ram-node0",
        "file=/var/lib/libvirt/qemu/ram/1-fw1/pc.ram",
        "file=/srv/ram/qemu_back_mem.ram-node0.MAS1Br\\040(deleted)",
        "file=/srv/ram/memdimm0",
    ],
)
def test_what_a_memory_backend_maps_is_guest_memory(mapped: str) -> None:
    assert resident(f"7f1000000000 default {mapped} anon=3 N0=1 N1=2 kernelpagesize_kB=4") == [(0, 4, 4), (1, 4, 8)]


@pytest.mark.parametrize(
    "line",
    [
        "7f1000000000 default anon=16384 N0=16384 kernelpagesize_kB=4",  # an arena of 64 MiB
        "55e13721d000 default heap anon=99999 N0=99999 kernelpagesize_kB=4",
        "7f1000000000 default stack:71 anon=99999 N0=99999 kernelpagesize_kB=4",
        "7f1000000000 default file=/usr/lib/x86_64-linux-gnu/libcrypto.so.3 mapped=197 N2=99999 kernelpagesize_kB=4",
        "7f1000000000 default file=anon_inode:[vfio-device]",
        "7fbe740d4000 default file=/memfd:displaysurface\\040(deleted) dirty=10 active=0 N0=10 kernelpagesize_kB=4",
        "7fbe740d4000 default file=/memfd:vhost-log\\040(deleted) dirty=10 active=0 N0=10 kernelpagesize_kB=4",
        "7fbe740d4000 default file=/memfd:tcg-jit\\040(deleted) dirty=10 active=0 N0=10 kernelpagesize_kB=4",
        "7f1000000000 default",
    ],
)
def test_qemus_own_memory_is_left_out(line: str) -> None:
    assert resident(line) == []


def test_anonymous_memory_beyond_an_arena_is_guest_memory() -> None:
    line = "7f1000000000 default anon=16385 N0=16384 N3=1 kernelpagesize_kB=4"
    assert resident(line) == [(0, 4, 64 << 10), (3, 4, 4)]


def test_anonymous_memory_with_a_policy_of_its_own_is_guest_memory() -> None:
    line = "7f1000000000 bind:1 anon=2 N1=2 kernelpagesize_kB=4"
    assert resident(line) == [(1, 4, 8)]
    tasks = "7ffda1eed000 bind:1 stack anon=6 N1=6 kernelpagesize_kB=4\n"
    assert guest_memory(parse_numa_maps(f"{line}\n{tasks}")) == ()


def test_memory_is_summed_by_node_and_page_size() -> None:
    assert resident(
        "7f1000000000 bind:0 file=/dev/hugepages/a\\040(deleted) huge anon=3 N0=1 N1=2 kernelpagesize_kB=1048576",
        "7f2000000000 bind:0 file=/dev/hugepages/b\\040(deleted) huge anon=4 N0=4 kernelpagesize_kB=2048",
        "7f3000000000 bind:0 file=/dev/hugepages/c\\040(deleted) huge anon=1 N0=1 kernelpagesize_kB=2048",
    ) == [(0, 2048, 10 << 10), (0, 1 << 20, 1 << 20), (1, 1 << 20, 2 << 20)]


@pytest.mark.parametrize(
    "text",
    [
        "garbage\n",
        "7f10 default  N0=1 kernelpagesize_kB=4\n",
        "7f10 default anon=1 N0=1\n",
        "7f10 default anon=1 N0=1 kernelpagesize_kB=0\n",
        "7f10 default anon=1 N1024=1 kernelpagesize_kB=4\n",
        "\n",
    ],
)
def test_broken_maps_are_a_gap_that_names_the_file(text: str) -> None:
    read = tree({"proc/700/numa_maps": text})
    assert read_resident(read, 700) == ()
    assert [gap.what for gap in read.gaps] == ["proc/700/numa_maps"]


def test_a_process_that_has_gone_leaves_no_gap() -> None:
    read = tree({"proc/1/status": "Name:\tinit\n"})
    assert (read_resident(read, 700), read_allowed_nodes(read, 700), read.gaps) == ((), None, ())


def test_the_nodes_that_a_process_may_use_are_read_from_its_status() -> None:
    assert parse_allowed_nodes("Name:\tqemu\nMems_allowed:\t3\nMems_allowed_list:\t0-1,4\n") == (0, 1, 4)
    assert parse_allowed_nodes("Name:\tqemu\n") is None


@pytest.mark.parametrize("text", ["Mems_allowed_list:\t\n", "Mems_allowed_list:\tx\n", "Mems_allowed_list:\t1024\n"])
def test_nodes_that_make_no_sense_are_a_gap(text: str) -> None:
    read = tree({"proc/700/status": text})
    assert read_allowed_nodes(read, 700) is None
    assert [gap.what for gap in read.gaps] == ["proc/700/status"]


@pytest.mark.parametrize(
    ("name", "kind", "index"),
    [
        ("CPU 0/KVM", ThreadKind.VCPU, 0),
        ("CPU 17/TCG", ThreadKind.VCPU, 17),
        ("CPU 99999/KVM", ThreadKind.OTHER, None),
        ("ALL CPUs/TCG", ThreadKind.VCPU, None),
        ("IO iothread1", ThreadKind.IOTHREAD, 1),
        ("IO iothread1000", ThreadKind.IOTHREAD, None),  # could be iothread10000, cut short
        ("IO io-data", ThreadKind.IOTHREAD, None),
        ("IO mon_iothread", ThreadKind.OTHER, None),
        ("vhost-1234", ThreadKind.VHOST, None),
        ("TC tc-ram-node0", ThreadKind.OTHER, None),
        ("kvm-nx-lpage-re", ThreadKind.OTHER, None),
        ("vnc_worker", ThreadKind.OTHER, None),
        ("CPU 0/KVM x", ThreadKind.OTHER, None),
        ("", ThreadKind.OTHER, None),
    ],
)
def test_a_threads_name_says_what_it_does(name: str, kind: ThreadKind, index: int | None) -> None:
    assert thread_kind(name, leader=False) == (kind, index)


def test_the_first_thread_of_a_process_is_the_emulator_whatever_its_name() -> None:
    assert thread_kind("CPU 0/KVM", leader=True) == (ThreadKind.EMULATOR, None)
