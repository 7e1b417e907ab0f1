"""Live sources' rows changed at random: every document is still written, and read again; no row is lost in silence."""

import random
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree as ET

import pytest

from numaplan.api.inventory import read_tree
from numaplan.audit.audit import audit
from numaplan.graph.build import build_graph
from numaplan.graph.export import dot, graphml
from numaplan.graph.node_link import graph_json, read_graph_json
from numaplan.graph.paths import traffic_paths
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.report.tables import inventory_table
from numaplan.report.topology_svg import topology_svg
from tests.inventory.mutated_rows import SOURCES, Json, host_of, mutated, real_rows

PARTS = 4
SEED = 2026
# Of the trees of --trees; and which of them are drawn too, which takes far longer than to read them.
SHARE = 0.12
DRAWN = 6
# What would move a terminal's cursor, or turn its text around.
UNSHOWN = "\x1b\x85\u202e\u2028\0"
ROWS = real_rows()


@cache
def whole() -> Snapshot:
    return read_tree(host_of(ROWS)).snapshot


def read(rows: dict[str, Json]) -> Snapshot:
    return read_tree(host_of(rows)).snapshot


def check(snapshot: Snapshot, *, drawn: bool = True) -> None:
    paths = traffic_paths(snapshot)
    assert read_inventory(inventory_json(snapshot, paths), "host.json") == snapshot
    audit(snapshot)
    if drawn:
        graph = build_graph(snapshot)
        read_graph_json(graph_json(graph))
        xml = (topology_svg(snapshot), graphml(graph))
        for text in (*xml, dot(graph), inventory_table(snapshot, wide=True, paths=paths)):
            text.encode()
            assert not set(UNSHOWN) & set(text)
        for text in xml:
            ET.fromstring(text)  # noqa: S314 - our own


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_rows_say_every_document_is_written_and_read_again(part: int, request: pytest.FixtureRequest) -> None:
    lost = []
    for number in range(part, int(SHARE * request.config.getoption("--trees")), PARTS):
        rng = random.Random(f"{SEED} {number}")  # noqa: S311 - the same rows every time
        rows, changes = mutated(rng, ROWS)
        snapshot = read(rows)
        check(snapshot, drawn=number % DRAWN == part)
        named = {gap.what for gap in set(snapshot.gaps) - set(whole().gaps)}
        [first, *others] = changes
        same = replace(snapshot, gaps=()) == replace(whole(), gaps=())
        if first.mistyped and not others and not same and first.source not in named:
            lost.append((number, first))
    assert lost == []


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("document", [[], "text", 7, {"links": 1, "domains": 1, "processes": 1, "pci": 1, "tables": 1}])
def test_rows_of_another_shape_leave_a_gap(source: str, document: Json) -> None:
    snapshot = read({**ROWS, source: document})
    check(snapshot)
    assert source in {gap.what for gap in snapshot.gaps}


def test_two_threads_of_one_number_are_two_of_unknown_number() -> None:
    rows = real_rows()
    threads = rows["processes"]["processes"][0]["threads"]
    twin = next(thread for thread in threads if thread["name"] == "CPU 0/KVM")
    threads += [{**twin, "tid": twin["tid"] + 100_000}, twin]
    snapshot = read(rows)
    check(snapshot)
    whys = [gap.why for gap in snapshot.gaps if gap.what == "processes"]
    assert any("a second vcpu 0" in why for why in whys)
    assert any("stands twice" in why for why in whys)


def test_a_vcpu_that_libvirt_tells_of_twice_is_told_of_by_its_process_alone() -> None:
    rows = real_rows()
    for domain in rows["libvirt"]["domains"]:
        domain["vcpus"] = [{"id": 0, "cpus": "0"}, {"id": 0, "cpus": "1"}] if domain["active"] else None
    snapshot = read(rows)
    check(snapshot)
    assert "a thread stands twice" in "".join(gap.why for gap in snapshot.gaps if gap.what == "libvirt")


def test_thousands_of_bad_rows_are_few_gaps() -> None:
    rows = real_rows()
    rows["udev"]["pci"] = [{"address": f"bad{i}"} for i in range(5000)]
    gaps = [gap for gap in read(rows).gaps if gap.what == "udev"]
    assert len(gaps) == 65
    assert "4936 more faults of it are not listed" in {gap.why for gap in gaps}


def test_threads_that_may_run_anywhere_share_their_list_of_cpus() -> None:
    rows = real_rows()
    threads = [{"tid": tid, "name": "worker", "affinity": "0-8191"} for tid in range(1, 3000)]
    rows["processes"]["processes"][0]["threads"] = threads
    live = [guest.live for guest in read(rows).guests if guest.live is not None]
    affinities = [thread.affinity for each in live for thread in each.threads if thread.name == "worker"]
    assert len(affinities) == len(threads)
    assert len(set(map(id, affinities))) == 1


def test_threads_that_name_more_cpus_than_memory_holds_are_left_out() -> None:
    rows = real_rows()
    threads = [{"tid": tid, "name": "worker", "affinity": f"{tid}-8191"} for tid in range(1, 300)]
    rows["processes"]["processes"][0]["threads"] = threads
    assert "the threads of this host name more CPUs than are kept" in "".join(gap.why for gap in read(rows).gaps)


def test_more_processes_than_any_host_runs_are_not_all_read() -> None:
    rows = real_rows()
    rows["processes"]["processes"] = [{"pid": 7, "threads": []}] * 5000
    assert "5000 QEMU processes: only 4096 are read" in {gap.why for gap in read(rows).gaps}


def test_a_port_of_two_bridges_is_that_of_the_first() -> None:
    rows = real_rows()
    one, other, *_ = rows["openvswitch"]["tables"]["Bridge"]
    other["ports"] = one["ports"]
    snapshot = read(rows)
    check(snapshot)
    assert f"Bridge: {other['name']!r} has ports that another has too" in {gap.why for gap in snapshot.gaps}
    assert snapshot.openvswitch is not None
    assert [bridge.name for bridge in snapshot.openvswitch.bridges] == [one["name"]]


def test_a_queue_that_is_told_of_a_thousand_times_is_one() -> None:
    rows = real_rows()
    rows["openvswitch"]["pmd_rxq_show"] = "pmd thread numa_id 0 core_id 2:\n" + "port: dpdk0 queue-id: 1\n" * 1000
    snapshot = read(rows)
    assert snapshot.openvswitch is not None
    assert [len(pmd.queues) for pmd in snapshot.openvswitch.pmds] == [1]
