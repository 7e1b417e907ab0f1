"""Captured hosts of the lab beside what lstopo, numactl, the kernel and QEMU's own options said of them then."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from numaplan.api.inventory import take_inventory
from numaplan.api.where import Where
from numaplan.model.guest import Guest
from numaplan.model.snapshot import Snapshot

TRUTHS = sorted((Path(__file__).resolve().parents[2] / "fixtures" / "sysfs").glob("*/truth.json"))
# Others come and go: a worker thread of QEMU lives for seconds.
KEPT = ("CPU ", "IO iothread", "vhost-")
SMALL_KIB = 4
# Preferred memory without cells has the policy of the whole process, and of a guest that booted nothing there is too
# little of it to be told from QEMU's own.
UNTOLD = {"db1"}

hosts = pytest.mark.parametrize("truth", TRUTHS, ids=lambda path: path.parent.name)


@cache
def read(truth: Path) -> tuple[Snapshot, Any]:
    """Both: what we make of the capture, and what the others say."""
    return take_inventory(Where(truth.with_name("capture.tar.gz"))), json.loads(truth.read_text())


def guests(truth: Path) -> list[tuple[Guest, Any]]:
    snapshot, told = read(truth)
    running = {guest.name: guest for guest in snapshot.guests if guest.running}
    assert sorted(running) == sorted(told["guests"])
    return [(running[name], theirs) for name, theirs in told["guests"].items()]


def test_every_kind_of_host_of_the_lab_is_here() -> None:
    assert len(TRUTHS) == 4


@hosts
def test_cpus_of_packages_caches_cores_and_nodes(truth: Path) -> None:
    snapshot, told = read(truth)
    ours = {
        "packages": [str(package.cpus) for package in snapshot.packages],
        "llcs": [str(llc.cpus) for llc in snapshot.llcs],
        "cores": [str(core.cpus) for core in snapshot.cores],
    }
    for what, theirs in told["lstopo"].items():
        assert sorted(ours[what]) == sorted(theirs), what
    assert {str(node.id): str(node.cpus) for node in snapshot.nodes} == told["numactl"]


@hosts
def test_distances_are_those_that_the_machine_was_made_with(truth: Path) -> None:
    snapshot, told = read(truth)
    assert [[distance for _, distance in sorted(node.distances)] for node in snapshot.nodes] == told["distances"]


@hosts
def test_pools_of_huge_pages(truth: Path) -> None:
    snapshot, told = read(truth)
    pools = [(int(node.id), pool) for node in snapshot.nodes for pool in node.hugepages if pool.total]
    assert sorted([node, pool.size_kib, pool.total] for node, pool in pools) == told["pools"]
    assert sorted([node, pool.size_kib, pool.free] for node, pool in pools) == told["free"]


@hosts
def test_threads_of_guests(truth: Path) -> None:
    for guest, theirs in guests(truth):
        assert guest.live is not None
        wanted = [[name, cpus] for name, cpus in theirs["threads"] if name.startswith(KEPT)]
        named = [[str(thread.name), str(thread.affinity)] for thread in guest.live.threads]
        assert sorted(each for each in named if each[0].startswith(KEPT)) == sorted(wanted), guest.name
        # The kernel cuts its name short.
        emulator = [str(thread.affinity) for thread in guest.live.threads if thread.tid == guest.live.pid]
        assert emulator == [theirs["threads"][0][1]], guest.name


@hosts
def test_memory_of_guests(truth: Path) -> None:
    for guest, theirs in guests(truth):
        assert guest.live is not None
        found = {(int(part.node), part.page_size_kib): part.size_kib for part in guest.live.memory}
        wanted = {(node, size): kib for node, size, kib in theirs["memory"]}
        huge = {key: kib for key, kib in wanted.items() if key[1] > SMALL_KIB}
        assert {key: kib for key, kib in found.items() if key[1] > SMALL_KIB} == huge, guest.name
        # Ordinary pages come one by one, but from the same nodes.
        small = {node for (node, size), kib in wanted.items() if size == SMALL_KIB and kib}
        told = {node for node, size in found if size == SMALL_KIB}
        assert told == small or (guest.name in UNTOLD and not told), guest.name


@hosts
def test_functions_handed_to_guests(truth: Path) -> None:
    snapshot, _ = read(truth)
    devices = {device.address: device for device in snapshot.pci}
    for guest, theirs in guests(truth):
        handed = [devices[address] for address in guest.pci_addresses if address in devices]
        assert sorted({int(device.iommu_group or -1) for device in handed}) == theirs["groups"], guest.name
        assert {device.driver for device in handed} <= {"vfio-pci"}


def test_some_guest_has_each_thing_that_is_compared() -> None:
    kinds, sizes, groups = set(), set(), set()
    for truth in TRUTHS:
        for _, theirs in guests(truth):
            kinds |= {name.partition(" ")[0].partition("-")[0] for name, _ in theirs["threads"]}
            sizes |= {size for _, size, _ in theirs["memory"]}
            groups |= set(theirs["groups"])
    assert {"CPU", "IO", "vhost"} <= kinds
    assert sizes == {4, 2048, 1048576}
    assert groups
