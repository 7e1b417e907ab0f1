"""Captures of real machines against the output that their origin's own tests expect of its newest tools."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.snapshot import Snapshot
from tests.corpus import corpus
from tests.inventory.expected import (
    Thing,
    libvirt_caches,
    libvirt_cells,
    lscpu_groups,
    lstopo_things,
    machine_info,
    pci_things,
)
from tests.inventory.trees import capture_id, captures, snapshot

Both = tuple[Any, Any]


def expected(name: str) -> Path:
    return next((corpus() / name).glob("expected-*"))


def named(prefix: str) -> list[str]:
    return [capture_id(path) for path in captures() if capture_id(path).startswith(prefix) and has_expected(path)]


def has_expected(capture: Path) -> bool:
    return any(capture.parent.glob("expected-*"))


def ids(cpus: CpuSet) -> list[int]:
    return [int(cpu) for cpu in cpus]


def kinds(things: list[Thing], *wanted: str) -> list[Thing]:
    return [thing for thing in things if thing.kind in wanted]


def lstopo_packages(read: Snapshot, things: list[Thing]) -> Both:
    return sorted(ids(each.cpus) for each in read.packages), sorted(list(each.pus) for each in kinds(things, "Package"))


def lstopo_cores(read: Snapshot, things: list[Thing]) -> Both:
    return sorted(ids(each.cpus) for each in read.cores), sorted(list(each.pus) for each in kinds(things, "Core"))


def lstopo_caches(read: Snapshot, things: list[Thing]) -> Both:
    level = 3 if kinds(things, "L3Cache") else 2
    ours = [(ids(llc.cpus), llc.size_kib) for llc in read.llcs if llc.level == level]
    return sorted(ours), sorted((list(each.pus), each.size_kib) for each in kinds(things, f"L{level}Cache"))


def lstopo_nodes(read: Snapshot, things: list[Thing]) -> Both:
    return [int(node.id) for node in read.nodes], sorted(each.os_index or 0 for each in kinds(things, "NUMANode"))


def lstopo_pci(read: Snapshot, things: list[Thing]) -> Both:
    """It leaves out what it finds dull, bridges with nothing behind them above all."""
    theirs = set(pci_things(things))
    ours = {(str(each.address), f"{each.vendor}:{each.device}") for each in read.pci}
    return sorted(ours & theirs), sorted(theirs)


LSTOPO: Final[dict[str, Callable[[Snapshot, list[Thing]], Both]]] = {
    "packages": lstopo_packages,
    "cores": lstopo_cores,
    "caches": lstopo_caches,
    "nodes": lstopo_nodes,
    "pci": lstopo_pci,
}

CONFINED = "lstopo shows what the cpuset of the process allows, which is no fact of the host"
AMD_MODULES = "the kernel's thread siblings are the halves of a module; hwloc splits them, since their core ids differ"
ROUNDED = "the text says 28 MiB, the file 28160 KiB"
OTHER_OUTPUT = "the file lists memory tiers, and no NUMANode by that name"
ARM_CLUSTERS = "lscpu makes one socket of three clusters, and cores of CPUs whose core ids repeat from one to the next"
TWO_BANKS = "the one CPU has two caches of level 3, of which the first is taken, with a gap"

DIFFERENCES: Final = {
    **{("hwloc-16amd64-8n2c-cpusets", what): CONFINED for what in ("packages", "cores", "caches", "nodes")},
    **{("hwloc-32amd64-4s2n4c-cgroup2", what): CONFINED for what in ("packages", "cores", "caches", "nodes")},
    **{("hwloc-4fake-4gr1nu1pu", what): CONFINED for what in ("packages", "cores", "nodes")},
    ("hwloc-64amd64-4p2n4ca2co", "cores"): AMD_MODULES,
    ("hwloc-64amd64-4s2n4ca2co", "cores"): AMD_MODULES,
    ("hwloc-fakeheteromemtiers", "nodes"): OTHER_OUTPUT,
    ("hwloc-memorysidecaches", "caches"): ROUNDED,
    ("lscpu-arm-A510-A710-A715-X3", "Core"): ARM_CLUSTERS,
    ("lscpu-arm-A510-A710-A715-X3", "Socket"): ARM_CLUSTERS,
    ("vircaps-resctrl-skx-twocaches", "caches"): TWO_BANKS,
}


def compare(name: str, what: str, both: Both) -> None:
    ours, theirs = both
    if (name, what) in DIFFERENCES:
        assert ours != theirs, "no difference any more: take it off the table"
    else:
        assert ours == theirs


@pytest.mark.parametrize("what", LSTOPO)
@pytest.mark.parametrize("name", named("hwloc"))
def test_what_the_newest_lstopo_shows(name: str, what: str) -> None:
    things = lstopo_things(expected(name))
    assert kinds(things, "PU")
    compare(name, what, LSTOPO[what](snapshot(name), things))


@pytest.mark.parametrize("name", named("lscpu"))
def test_what_the_newest_lscpu_shows(name: str) -> None:
    read, groups = snapshot(name), lscpu_groups(expected(name))
    compare(name, "Core", (sorted(ids(each.cpus) for each in read.cores), groups["Core"]))
    compare(name, "Socket", (sorted(ids(each.cpus) for each in read.packages), groups["Socket"]))
    if "Node" in groups:
        compare(name, "Node", (sorted(ids(each.cpus) for each in read.nodes if len(each.cpus)), groups["Node"]))


@pytest.mark.parametrize("name", named("vircaps"))
def test_what_libvirts_capabilities_show_but_for_what_its_tests_make_up(name: str) -> None:
    # Memory, pages and distances are made up there (tests/virnumamock.c).
    read = snapshot(name)
    core_of = {int(cpu): core for core in read.cores for cpu in core.cpus}
    socket_of = {int(cpu): package.id for package in read.packages for cpu in package.cpus}
    cells = {
        int(node.id): {
            cpu: [socket_of[cpu], core_of[cpu].die_id or 0, core_of[cpu].core_id, *ids(core_of[cpu].cpus)]
            for cpu in ids(node.cpus)
        }
        for node in read.nodes
    }
    compare(name, "cells", (cells, libvirt_cells(expected(name))))
    ours = sorted((ids(llc.cpus), llc.size_kib) for llc in read.llcs if llc.level == 3)
    compare(name, "caches", (ours, libvirt_caches(expected(name), 3)))


@pytest.mark.parametrize("name", named("ocp"))
def test_what_cadvisor_shows_but_for_its_counts(name: str) -> None:
    read, cells = snapshot(name), machine_info(expected(name))["topology"]
    ours = {
        int(node.id): (node.memory_kib, sorted(ids(core.cpus) for core in read.cores if core.numa_node == node.id))
        for node in read.nodes
    }
    assert ours == {
        cell["node_id"]: (cell["memory"] // 1024, sorted(sorted(core["thread_ids"]) for core in cell["cores"]))
        for cell in cells
    }
    sizes = sorted(cache["size"] // 1024 for cell in cells for cache in cell["caches"])
    assert sorted(llc.size_kib or 0 for llc in read.llcs) == sizes


# CPUs, packages and cores of "CPUs: 8/8, MHz: 0, Nodes: 1, Sockets: 4, Cores: 2, Threads: 1", where the sockets are
# those of a node and the cores those of a socket. On POWER libvirt counts CPUs that are offline, since KVM gives them
# to guests as threads of a core; these two captures are left out.
@pytest.mark.parametrize(
    ("name", "cpus", "packages", "cores"),
    [
        ("virhostcpu-aarch64-f21-mustang", 8, 4, 8),
        ("virhostcpu-x86_64-test1", 2, 1, 2),
        ("virhostcpu-x86_64-test3", 48, None, 48),
        ("virhostcpu-x86_64-test5", 4, 1, 4),
        ("virhostcpu-x86_64-test7", 24, None, 24),
    ],
)
def test_what_libvirt_counts(name: str, cpus: int, packages: int | None, cores: int) -> None:
    read = snapshot(name)
    assert (len(read.cpus.online), len(read.cores)) == (cpus, cores)
    # Where it finds nodes without sibling masks, libvirt counts one socket a node.
    assert packages is None or len(read.packages) == packages


def test_every_difference_is_one_that_is_looked_at() -> None:
    looked_at = {(name, what) for name in named("hwloc") for what in LSTOPO}
    looked_at |= {(name, what) for name in named("lscpu") for what in ("Core", "Socket", "Node")}
    looked_at |= {(name, "caches") for name in named("vircaps")}
    assert set(DIFFERENCES) <= looked_at
