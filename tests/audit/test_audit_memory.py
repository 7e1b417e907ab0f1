"""NP301 to NP401, and the facts that all rules rest on."""

from dataclasses import replace

import pytest

from numaplan.audit.host import gather
from numaplan.model.finding import Evidence, Severity
from numaplan.model.guest import CellId, HugepageRequest
from numaplan.model.host import HugepagePool
from tests.audit.audited import VF0, VF1, findings, guest, on, only, severities, unchecked
from tests.hosts import GIB, host

E, W, N = Severity.ERROR, Severity.WARNING, Severity.INFO


# NP301 and NP302


@pytest.mark.parametrize(
    ("options", "used_by"),
    [
        ({"vfs": [VF0, VF1]}, "2 passed-through devices"),
        ({"hostdevs": [VF0]}, "1 passed-through device"),
        ({"vhost_user": 1}, "1 vhost-user interface"),
        ({"vfs": [VF0], "vhost_user": 2}, "1 passed-through device and 2 vhost-user interfaces"),
    ],
)
def test_small_pages_are_counted_where_something_reaches_past_qemu(options: dict[str, object], used_by: str) -> None:
    finding = only(on(guest(memory_gib=1, **options)), "NP301")  # type: ignore[arg-type]  # options of all types
    assert finding.severity is W
    assert finding.message == f"1 GiB of memory are 262144 pages of 4 KiB, used by {used_by}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"vfs": [VF0], "page_kib": 2048}, []),
        ({"vfs": [VF0], "page_kib": None}, []),
        ({"vfs": [VF0], "thread_policy": "prefer"}, [N]),
    ],
)
def test_small_pages_are_no_warning_without_need_or_where_a_plan_has_them(
    options: dict[str, object], expected: list[Severity]
) -> None:
    assert severities(on(guest(**options)), "NP301") == expected  # type: ignore[arg-type]  # options of all types


def test_hugepages_of_one_cell_do_not_cover_the_other() -> None:
    half = guest(vfs=[VF0], cells=[[0], [1]], memory_gib=4)
    half = replace(half, hugepages=(HugepageRequest(GIB, (CellId(1),), 40),))
    assert only(on(half), "NP301").message.startswith("2 GiB of memory (1 of 2 cells) are 524288 pages of 4 KiB")


def test_a_page_element_of_4_kib_is_no_hugepage() -> None:
    small = replace(guest(vfs=[VF0]), hugepages=(HugepageRequest(4, None, 40),))
    assert severities(on(small), "NP301") == [W]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"memory_gib": 17, "memory": ("strict", [1])}, [W]),
        ({"memory_gib": 17, "memory": ("strict", [0, 1])}, []),
        ({"memory_gib": 17, "memory": ("preferred", [1])}, []),
        ({"memory_gib": 32}, []),
        ({"memory_gib": 33}, [W]),
        ({"memory_gib": 33, "running": True}, []),
        ({"memory_gib": 33, "running": False}, [W]),
        ({"memory_gib": 40, "cells": [[0], [1]], "memnodes": {0: ("strict", [0]), 1: ("strict", [0])}}, [W]),
        ({"memory_gib": 32, "cells": [[0], [1]], "memnodes": {0: ("strict", [0]), 1: ("strict", [1])}}, []),
        ({"memory_gib": 1, "page_kib": 2048}, [W]),
    ],
)
def test_a_pool_must_hold_the_pages_of_a_guest(options: dict[str, object], expected: list[Severity]) -> None:
    snapshot = on(guest(**{"page_kib": GIB, **options}))  # type: ignore[arg-type]  # options of all types
    assert severities(snapshot, "NP302") == expected


def test_of_a_page_size_that_the_host_lacks_no_file_is_named_that_is_not_there() -> None:
    snapshot = on(guest(page_kib=16 << 10, memory_gib=1, memory=("strict", [0])))
    node = replace(snapshot.nodes[0], hugepages=(HugepagePool(2048, 0, 0), HugepagePool(GIB, 0, 0)))
    finding = only(replace(snapshot, nodes=(node, *snapshot.nodes[1:])), "NP302")
    assert finding.message == "node 0 has no pages of 16 MiB, but of 2 MiB and 1 GiB; cell 0 needs 64"
    assert finding.evidence[-1] == Evidence(
        "page sizes of node 0", "2 MiB and 1 GiB", "sys/devices/system/node/node0/hugepages"
    )
    assert finding.wanted == "pages of a size that node 0 has"
    assert (
        finding.fix == "give the guest pages of 2 MiB or 1 GiB, or set page_size in vnf.yaml and run `numaplan place`"
    )


def test_only_nodes_with_a_pool_of_that_size_can_get_more_pages() -> None:
    snapshot = on(guest(page_kib=GIB, memory_gib=64))
    first, second = snapshot.nodes
    other = replace(second, hugepages=(HugepagePool(2048, 0, 0),))
    finding = only(replace(snapshot, nodes=(first, other)), "NP302")
    where = "sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages"
    assert finding.fix is not None
    assert f" more there ({where}), bind" in finding.fix
    assert finding.evidence[-1] == Evidence("page sizes of node 1", "2 MiB", "sys/devices/system/node/node1/hugepages")


def test_an_unknown_page_size_and_an_unread_pool_are_not_checked() -> None:
    assert unchecked(on(guest(page_kib=None)), "NP302") == [
        'guest "a" names no page size, and the default is not known'
    ]
    assert unchecked(host("1n:1c:1t", guests=[guest(page_kib=GIB)]), "NP302") == [
        'guest "a": the host does not show the hugepages of node 0'
    ]


# NP401


def test_one_device_in_two_guests_is_an_error_even_where_neither_runs() -> None:
    snapshot = on(guest("a", vfs=[VF0], running=False), guest("b", hostdevs=[VF0], running=False))
    finding = only(snapshot, "NP401")
    assert (finding.severity, finding.subject) == (E, VF0)
    assert [e.where for e in finding.evidence] == ["a.xml:80", "b.xml:90"]


# The facts below them


def test_iothreads_without_pins_fill_the_numbers_that_pins_leave() -> None:
    (view,) = gather(on(guest(iothreads=["", "3", ""]))).guests
    assert [(thread.number, thread.cpu) for thread in view.iothreads] == [(1, None), (2, 3), (3, None)]


def test_the_first_node_that_claims_a_cpu_has_it() -> None:
    snapshot = on(guest(pins=["0", "4"]))
    overlap = replace(snapshot.nodes[0], cpus=snapshot.cpus.online)
    assert findings(replace(snapshot, nodes=(overlap, snapshot.nodes[1])), "NP101") == []
