"""inventory_table, plan_table and audit_table."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.inventory.host import read_host
from numaplan.model.finding import Report
from numaplan.model.guest import CellId, Guest, VcpuId, VcpuPin
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Level, Limit, Placement, Plan, Status
from numaplan.model.snapshot import Gap
from numaplan.report.tables import audit_table, inventory_table, plan_table
from numaplan.report.text import clean
from numaplan.sources.tree import open_tree
from tests.corpus import corpus
from tests.hosts import GIB, Nic, host
from tests.records.samples import (
    EVIL,
    evil_snapshot,
    full_plan,
    full_report,
    full_snapshot,
    placed,
    refused_plan,
)

HERE = Path(__file__).parent
Golden = Callable[[Path, str], None]


def test_a_small_host_on_one_screen(golden: Golden) -> None:
    golden(HERE / "small-inventory.txt", inventory_table(host("1n:2c:1t")))


def test_a_host_with_everything_on_one_screen(golden: Golden) -> None:
    golden(HERE / "full-inventory.txt", inventory_table(full_snapshot()))


def test_a_host_with_a_memory_only_node_and_eight_distances(golden: Golden) -> None:
    built = host("8n:2c:2t", llcs_per_node=0, pages={"2MiB": 3})
    last = replace(built.nodes[7], cpus=CpuSet(), packages=(), memory_kib=None, available_kib=None, distances=())
    golden(HERE / "memory-only-inventory.txt", inventory_table(replace(built, nodes=(*built.nodes[:7], last))))


def test_a_feasible_plan(golden: Golden) -> None:
    golden(HERE / "feasible-plan.txt", plan_table(full_plan(), full_snapshot()))


def test_an_infeasible_plan(golden: Golden) -> None:
    golden(HERE / "infeasible-plan.txt", plan_table(refused_plan(), full_snapshot()))


def test_an_audit(golden: Golden) -> None:
    golden(HERE / "audit.txt", audit_table(full_report()))


@pytest.mark.parametrize(
    ("status", "limit", "line"),
    [
        (Status.OPTIMAL, Limit.NONE, "plan for host built: optimal (proven)"),
        (
            Status.FEASIBLE,
            Limit.WALL,
            "plan for host built: feasible, not proven to be the best (the search ended at its limit of time)",
        ),
        (Status.INFEASIBLE, Limit.NONE, "plan for host built: infeasible (proven)"),
        (
            Status.UNKNOWN,
            Limit.WORK,
            "plan for host built: unknown, neither a plan nor a proof (the search ended at its limit of work)",
        ),
    ],
)
def test_the_first_line_says_what_is_proven(status: Status, limit: Limit, line: str) -> None:
    assert plan_table(Plan(status, limit, "built", ""), host("1n:1c:1t")) == f"{line}\n"


def test_a_bound_and_whether_it_is_proven_stand_under_each_level() -> None:
    levels = (Level("priority", 2, 2, proven=True), Level("free_cores", 3, 7, proven=False))
    lines = plan_table(Plan(Status.FEASIBLE, Limit.WORK, "built", "", levels), host("1n:1c:1t")).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["level", "priority", "free_cores"],
        ["------", "--------", "----------"],
        ["value", "2", "3"],
        ["bound", "2", "7"],
        ["proven", "yes", "no"],
    ]


def pins(*pairs: tuple[int, str]) -> str:
    cell = CellPlacement(CellId(0), NodeId(0), tuple((VcpuId(v), CpuSet.parse(c)) for v, c in pairs), NodeId(0), GIB, 4)
    plan = Plan(Status.OPTIMAL, Limit.NONE, "built", "", placements=(Placement("a", (cell,), CpuSet.parse("0")),))
    lines = plan_table(plan, host("1n:1c:1t")).splitlines()[2:]
    start, end = lines[0].index("vCPUs"), lines[0].index("memory")
    return " / ".join(column for line in lines[2:] if (column := line[start:end].strip()))


def test_vcpus_with_a_cpu_each_are_one_run_in_vcpu_order() -> None:
    assert pins((0, "2"), (1, "10"), (2, "3"), (3, "11")) == "0-3 -> 2,10,3,11"


def test_a_hole_in_the_vcpu_numbers_ends_a_run() -> None:
    assert pins((0, "2"), (1, "3"), (4, "5")) == "0-1 -> 2,3 / 4 -> 5"


def test_vcpus_that_share_a_set_float_on_it() -> None:
    assert pins((0, "2"), (1, "4-7"), (2, "4-7"), (3, "8-9")) == "0 -> 2 / 1-2 float on 4-7 / 3 float on 8-9"


def test_a_guest_without_vcpus_or_cells_still_has_its_row() -> None:
    assert pins() == "-"
    empty = Plan(Status.OPTIMAL, Limit.NONE, "built", "", placements=(Placement("bare", (), CpuSet()),))
    assert plan_table(empty, host("1n:1c:1t")).splitlines()[-1].split() == ["bare", "-", "-", "-", "-", "-", "-"]


def test_vfs_that_guests_hold_are_counted_and_unknown_where_no_guest_was_read() -> None:
    nic = Nic("ens1f0", 0, 4)
    held = Guest("a", "a.xml", 1, GIB, hostdevs=full_snapshot().guests[0].hostdevs)
    row = next(line for line in inventory_table(host("1n:1c:1t", nics=[nic])).splitlines() if "ens1f0" in line)
    assert row.split()[-4:] == ["?", "4", "64", "1000"]
    row = next(
        line for line in inventory_table(host("1n:1c:1t", nics=[nic], guests=[held])).splitlines() if "ens1f0" in line
    )
    assert row.split()[-4:] == ["0", "4", "64", "1000"]


def test_where_a_guest_may_run_is_the_union_of_its_pins_or_anywhere() -> None:
    guests = [
        Guest("pinned", "a", 2, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet([CpuId(1)]), 1),), vcpu_cpuset=CpuSet([5])),
        Guest("half", "b", 2, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet([CpuId(1)]), 1),)),
        Guest("nowhere", "c", 1, GIB, vcpu_cpuset=CpuSet([99]), running=False),
    ]
    rows = {
        line.split()[0]: line.split() for line in inventory_table(host("2n:4c:1t", guests=guests)).splitlines()[-5:-2]
    }
    assert rows["pinned"] == ["pinned", "2", "1", "GiB", "1,5", "0,1", "-", "?"]
    assert rows["half"] == ["half", "2", "1", "GiB", "any", "any", "-", "?"]
    assert rows["nowhere"] == ["nowhere", "1", "1", "GiB", "99", "-", "-", "shut", "off"]


def test_the_first_five_gaps_are_shown_and_the_rest_counted() -> None:
    def gap_lines(amount: int) -> list[str]:
        gaps = tuple(Gap(f"sys/{i}", "permission denied") for i in range(amount))
        return [
            line
            for line in inventory_table(replace(host("1n:1c:1t"), gaps=gaps)).splitlines()
            if "ga" in line or "more" in line or "sys/" in line
        ]

    assert gap_lines(1) == ["1 gap (what could not be read or made sense of):", "  sys/0: permission denied"]
    assert len(gap_lines(5)) == 6
    assert gap_lines(7)[-1] == "  and 2 more; the JSON form has them all"


def test_the_last_line_of_an_audit_counts_in_words() -> None:
    assert audit_table(full_report()).splitlines()[-1] == "1 error, 1 warning, 1 info in 14 guests"
    assert audit_table(Report((), (), 1)) == "0 errors, 0 warnings, 0 infos in 1 guest\n"


def test_findings_come_by_severity_whatever_their_order() -> None:
    report = full_report()
    backwards = replace(report, findings=tuple(reversed(report.findings)))
    assert audit_table(backwards) == audit_table(report)


def outputs(text: str) -> list[str]:
    plan = replace(refused_plan(text), placements=(placed(text),))
    return [inventory_table(evil_snapshot(text)), plan_table(plan, full_snapshot()), audit_table(full_report(text))]


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_no_evil_string_reaches_the_terminal_or_makes_a_line_of_its_own(text: str) -> None:
    for shown, harmless in zip(outputs(text), outputs(clean(text)), strict=True):
        categories = {unicodedata.category(character) for character in shown.replace("\n", "")}
        assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert shown == harmless


def test_nothing_is_wider_than_120_columns_on_captured_hosts_but_sentences() -> None:
    for capture in sorted([*corpus().glob("*/capture.*"), *corpus().glob("lab/*.tar.gz")]):
        snapshot = replace(read_host(open_tree(capture)), gaps=())
        assert max(map(len, inventory_table(snapshot).splitlines())) <= 120, capture.parent.name


def test_nothing_is_cut_off_and_long_lists_are_broken_after_commas() -> None:
    every_third = ",".join(str(cpu) for cpu in range(0, 256, 3))
    shown = inventory_table(host("2n:64c:2t", isolated=every_third))
    assert max(map(len, shown.splitlines())) <= 105
    assert every_third in "".join(shown.split())
    assert "n" * 200 in inventory_table(host("1n:1c:1t", nics=[Nic("n" * 200, 0, 0)]))
