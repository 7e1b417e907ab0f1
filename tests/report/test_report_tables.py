"""inventory_table, plan_table and audit_table."""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import Link, PcieLink
from numaplan.model.finding import Report
from numaplan.model.guest import (
    EmulatorPin,
    Guest,
    GuestThread,
    IothreadId,
    IothreadPin,
    RunningGuest,
    ThreadKind,
    VcpuId,
    VcpuPin,
)
from numaplan.model.kernel import (
    UNKNOWN_KERNEL,
    FrequencyPolicy,
    Irq,
    Isolcpus,
    Kernel,
    Ksm,
    Smt,
    TransparentHugepages,
)
from numaplan.model.moves import Move, MoveKind, Moves, MovesStatus
from numaplan.model.plan import Conflict, ConflictMember, Level, Limit, Plan, Status
from numaplan.model.request import HostPolicy, Request
from numaplan.model.snapshot import Gap
from numaplan.model.switch import OpenVswitch
from numaplan.report.moves import moves_table
from numaplan.report.plan import conflict_text
from numaplan.report.tables import audit_table, inventory_table, plan_table
from numaplan.report.text import clean
from tests.audit.audited import guest as there
from tests.hosts import GIB, Nic, host
from tests.inventory.trees import capture_id, captures, snapshot
from tests.records.samples import (
    EVIL,
    full_plan,
    full_report,
    full_snapshot,
    placed,
    refused_plan,
)
from tests.report.hostile import saying

HERE = Path(__file__).parent
Golden = Callable[[Path, str], None]


def test_a_small_host_on_one_screen(golden: Golden) -> None:
    golden(HERE / "small-inventory.txt", inventory_table(host("1n:2c:1t"), wide=False))


def test_a_host_with_everything_on_one_screen(golden: Golden) -> None:
    golden(HERE / "full-inventory.txt", inventory_table(full_snapshot(), wide=False))


def test_a_host_with_a_memory_only_node_and_eight_distances(golden: Golden) -> None:
    built = host("8n:2c:2t", llcs_per_node=0, pages={"2MiB": 3})
    last = replace(built.nodes[7], cpus=CpuSet(), packages=(), memory_kib=None, available_kib=None, distances=())
    golden(
        HERE / "memory-only-inventory.txt", inventory_table(replace(built, nodes=(*built.nodes[:7], last)), wide=False)
    )


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


def test_vfs_that_guests_hold_are_counted_and_unknown_where_no_guest_was_read() -> None:
    nic = Nic("ens1f0", 0, 4)
    held = Guest("a", "a.xml", 1, GIB, hostdevs=full_snapshot().guests[0].hostdevs)
    row = next(
        line for line in inventory_table(host("1n:1c:1t", nics=[nic]), wide=False).splitlines() if "ens1f0" in line
    )
    assert row.split()[-4:] == ["?", "4", "64", "1000"]
    row = next(
        line
        for line in inventory_table(host("1n:1c:1t", nics=[nic], guests=[held]), wide=False).splitlines()
        if "ens1f0" in line
    )
    assert row.split()[-4:] == ["0", "4", "64", "1000"]


def test_where_a_guest_may_run_is_the_union_of_its_pins_or_anywhere() -> None:
    guests = [
        Guest("pinned", "a", 2, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet([CpuId(1)]), 1),), vcpu_cpuset=CpuSet([5])),
        Guest("half", "b", 2, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet([CpuId(1)]), 1),)),
        Guest("nowhere", "c", 1, GIB, vcpu_cpuset=CpuSet([99]), running=False),
    ]
    rows = {
        line.split()[0]: line.split()
        for line in inventory_table(host("2n:4c:1t", guests=guests), wide=False).splitlines()[-5:-2]
    }
    assert rows["pinned"] == ["pinned", "2", "1", "GiB", "1,5", "0,1", "-", "?"]
    assert rows["half"] == ["half", "2", "1", "GiB", "any", "any", "-", "?"]
    assert rows["nowhere"] == ["nowhere", "1", "1", "GiB", "99", "-", "-", "shut", "off"]


def test_the_first_five_gaps_are_shown_and_the_rest_counted() -> None:
    def gap_lines(amount: int) -> list[str]:
        gaps = tuple(Gap(f"sys/{i}", "permission denied") for i in range(amount))
        return [
            line
            for line in inventory_table(replace(host("1n:1c:1t"), gaps=gaps), wide=False).splitlines()
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
    everywhere = saying(full_snapshot(), text)
    tables = [inventory_table(everywhere, wide=wide) for wide in (False, True)]
    return [*tables, plan_table(plan, full_snapshot()), audit_table(full_report(text))]


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_no_evil_string_reaches_the_terminal_or_makes_a_line_of_its_own(text: str) -> None:
    for shown, harmless in zip(outputs(text), outputs(clean(text)), strict=True):
        categories = {unicodedata.category(character) for character in shown.replace("\n", "")}
        assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert shown == harmless


def test_nothing_is_wider_than_120_columns_on_captured_hosts_but_sentences() -> None:
    for name in map(capture_id, captures()):
        shown = inventory_table(replace(snapshot(name), gaps=()), wide=False)
        assert max(map(len, shown.splitlines())) <= 120, name


def test_a_busy_host_of_two_sockets_fits_one_screen() -> None:
    guests = [pinned(f"vnf-{i:02}", range(2 + i * 8, 10 + i * 8)) for i in range(4)]
    nics = [Nic(f"ens{i}f{j}np{j}", i, 16) for i in range(2) for j in range(2)]
    built = host("2n:20c:2t", pages={"1GiB": 64}, nics=nics, guests=guests, isolated="2-39,42-79")
    degraded = replace(built.pci[0], link=PcieLink(8000, 8, 16000, 16))
    kernel = Kernel(rcu_nocbs=CpuSet.parse("2-39,42-79"), frequencies=(FrequencyPolicy(CpuSet([0]), governor="x"),))
    switch = OpenVswitch(dpdk=True, pmd_cpus=CpuSet.parse("3,43"))
    built = replace(built, pci=(degraded, *built.pci[1:]), kernel=kernel, openvswitch=switch)
    lines = inventory_table(built, wide=False).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120


def pinned(name: str, cpus: Iterable[int]) -> Guest:
    pins = tuple(VcpuPin(VcpuId(i), CpuSet([CpuId(cpu)]), 1) for i, cpu in enumerate(cpus))
    return Guest(name, name, len(pins), GIB, vcpu_pins=pins)


def lines_of(shown: str, start: str) -> list[str]:
    """The section whose heading starts so, without its heading and rule."""
    section = next(part for part in shown.split("\n\n") if part.startswith(start))
    return section.splitlines()[2:]


def test_free_cpus_are_those_that_no_thread_is_pinned_to_alone() -> None:
    guest = replace(
        pinned("fw", [1, 9]),
        emulator_pin=EmulatorPin(CpuSet.parse("0"), 1),
        iothreads=2,
        iothread_pins=(
            IothreadPin(IothreadId(1), CpuSet.parse("2"), 1),
            IothreadPin(IothreadId(2), CpuSet.parse("3-4"), 1),
        ),
    )
    rows = lines_of(inventory_table(host("2n:4c:2t", guests=[guest]), wide=False), "node  package")
    assert [row.split()[6] for row in rows] == ["3,8,10-11", "4-7,12-15"]
    assert "free" not in inventory_table(host("2n:4c:2t"), wide=False)


def kernel_line(kernel: Kernel) -> str:
    return inventory_table(replace(host("1n:4c:1t"), kernel=kernel), wide=False).splitlines()[2]


def test_what_costs_performance_is_one_line_and_absent_where_nothing_is_known() -> None:
    kernel = Kernel(
        smt=Smt("forceoff", active=False),
        transparent_hugepages=TransparentHugepages("always"),
        ksm=Ksm(run=2),
        numa_balancing=0,
        frequencies=(FrequencyPolicy(CpuSet.parse("0-3"), governor="performance"),),
    )
    assert kernel_line(kernel) == "SMT off, governor performance, THP always, KSM off, all unmerged, NUMA balancing off"
    assert kernel_line(Kernel(zone_reclaim_mode=0)) == "SMT ?, governor ?, THP ?, KSM ?, NUMA balancing ?"
    assert kernel_line(UNKNOWN_KERNEL).startswith("online CPUs")


def test_governors_that_differ_are_counted() -> None:
    policies = (
        FrequencyPolicy(CpuSet.parse("0"), governor="powersave"),
        FrequencyPolicy(CpuSet.parse("1-3"), governor="performance"),
    )
    assert "governor performance (3 CPUs) and powersave (1 CPU)," in kernel_line(Kernel(frequencies=policies))


def test_isolcpus_are_shown_where_other_cpus_came_to_be_isolated() -> None:
    asked = Kernel(isolcpus=Isolcpus(("domain",), CpuSet.parse("2-3")))
    same = inventory_table(replace(host("1n:4c:1t", isolated="2-3"), kernel=asked), wide=False)
    other = inventory_table(replace(host("1n:4c:1t", isolated="2"), kernel=asked), wide=False)
    assert "isolcpus asks for" not in same
    assert "isolcpus asks for  2  2-3" in other


def test_everything_on_many_screens(golden: Golden) -> None:
    golden(HERE / "full-wide-inventory.txt", inventory_table(full_snapshot(), wide=True))


def test_at_full_width_every_gap_and_every_vf_is_there() -> None:
    gaps = tuple(Gap(f"sys/{i}", "permission denied") for i in range(30))
    shown = inventory_table(replace(host("1n:1c:1t", nics=[Nic("ens1f0", 0, 24)]), gaps=gaps), wide=True)
    assert "  sys/29: permission denied" in shown.splitlines()
    assert len([line for line in shown.splitlines() if " 0000:11:0" in line]) == 24


def test_interrupts_are_off_the_node_only_where_another_node_serves_them() -> None:
    built = host("2n:2c:1t", nics=[Nic("ens1f0", 0, 0), Nic("ens2f0", None, 0)], offline="1")
    near, lost = built.pci[0].address, built.pci[1].address
    irqs = (
        Irq(40, effective=CpuSet.parse("0"), device=near),
        Irq(41, effective=CpuSet.parse("2"), device=near),
        Irq(42, effective=CpuSet.parse("1"), device=near),
        Irq(43, affinity=CpuSet.parse("0-3"), device=near),
        Irq(44, device=near),
        Irq(45, effective=CpuSet.parse("3"), device=lost),
        Irq(9),
    )
    rows = lines_of(inventory_table(replace(built, irqs=irqs), wide=True), "node  interrupts of")
    assert [row.split() for row in rows] == [
        ["0", str(near), "ens1f0", "5", "1", "0-3"],
        ["?", str(lost), "ens2f0", "1", "?", "3"],
        ["-", "all", "others", "-", "1", "-", "?"],
    ]


def test_a_link_names_all_that_stands_above_it_even_in_a_circle() -> None:
    links = (
        Link("br0", lowers=("bond0",)),
        Link("bond0", master="br0", lowers=("eth0",)),
        Link("eth0"),
        Link("loop-a", master="loop-b"),
        Link("loop-b", master="loop-a"),
        Link("veth0", master="br0", peer="veth1"),
    )
    rows = lines_of(inventory_table(replace(host("1n:1c:1t"), links=links), wide=True), "node  interface")
    chains = {row.split()[1]: row.split("-  ")[-1] for row in rows}
    assert chains["eth0"] == "bond0 > br0"
    assert chains["loop-a"] == "loop-b"
    assert chains["veth0"] == "br0 (peer veth1)"


def test_helper_threads_that_may_run_on_the_same_cpus_are_counted() -> None:
    anywhere = CpuSet.parse("0-3")
    threads = (
        GuestThread(ThreadKind.VCPU, CpuSet.parse("2"), 0, 100),
        *(GuestThread(ThreadKind.OTHER, anywhere, None, 200 + i) for i in range(7)),
    )
    guest = replace(pinned("fw", [2]), live=RunningGuest(99, threads))
    rows = lines_of(inventory_table(host("2n:2c:1t", guests=[guest]), wide=True), "guest  thread")
    assert [row.split() for row in rows] == [
        ["fw", "vCPU", "0", "100", "2", "1"],
        ["fw", "7", "other", "threads", "-", "0-3", "0,1"],
    ]


def test_nothing_is_cut_off_and_long_lists_are_broken_after_commas() -> None:
    every_third = ",".join(str(cpu) for cpu in range(0, 256, 3))
    shown = inventory_table(host("2n:64c:2t", isolated=every_third), wide=False)
    assert max(map(len, shown.splitlines())) <= 105
    assert every_third in "".join(shown.split())
    assert "n" * 200 in inventory_table(host("1n:1c:1t", nics=[Nic("n" * 200, 0, 0)]), wide=False)


def test_how_many_vfs_are_used_is_unknown_where_a_guest_is_a_process_and_no_more() -> None:
    read = host("2n:2c:1t", nics=[Nic("ens1f0", 0, 2)])
    known = replace(read, guests=(Guest("fw1", "fw1.xml", 1, 1024),))
    stranger = replace(read, guests=(Guest("fw1", "proc/700", 1, None),))
    rows = [
        next(line for line in inventory_table(each, wide=False).splitlines() if "ens1f0" in line)
        for each in (read, known, stranger)
    ]
    # node, PCI, name, driver, speed and its unit, VFs used, configured, total
    assert [line.split()[6:8] for line in rows] == [["?", "2"], ["0", "2"], ["?", "2"]]


def test_equal_demands_of_a_conflict_are_told_once() -> None:
    equal = [ConflictMember(f"fw-{i}", "vcpus", "needs 4 CPUs; free: 16") for i in range(1, 6)]
    lines = conflict_text(Conflict((*equal, ConflictMember("db", "memory", "needs 2 GiB")))).splitlines()[1:]
    assert lines == [
        "  - each of fw-1, fw-2, fw-3, fw-4 and 1 more: needs 4 CPUs; free: 16 [vcpus]",
        "  - db: needs 2 GiB [memory]",
    ]


def test_a_conflict_that_may_not_be_the_smallest_does_not_claim_to_be() -> None:
    members = (ConflictMember("a", "vcpus", "needs 4 CPUs"), ConflictMember("b", "vcpus", "needs 2", proven=False))
    proven = (members[0], ConflictMember("b", "vcpus", "needs 2"))
    assert conflict_text(Conflict(proven)).startswith(
        "these requirements conflict on this host (drop any one and the rest can be met):"
    )
    assert conflict_text(Conflict(members)).startswith(
        "these requirements conflict on this host (not all of them are proven to take part):"
    )


def test_a_conflict_of_one_requirement_is_told_in_the_singular() -> None:
    said = conflict_text(Conflict((ConflictMember("a", "vcpus", "needs 4 CPUs"),))).splitlines()
    assert said == ["this requirement cannot be met on this host:", "  - a: needs 4 CPUs [vcpus]"]


def test_one_move_of_a_kind_is_not_told_in_the_plural_and_two_are() -> None:
    kinds = (MoveKind.REPIN, MoveKind.REPIN, MoveKind.RESTART, MoveKind.MOVE_PAGES, MoveKind.MOVE_PAGES)
    steps = tuple(Move(i, "a", kind, 1, None, None, "do it") for i, kind in enumerate(kinds, 1))
    plan = Plan(Status.FEASIBLE, Limit.NONE, "built", "none")
    said = moves_table(Moves(MovesStatus.OPTIMAL, 5, 5, steps, (), plan, Request(HostPolicy(), ())))
    assert said.splitlines()[-1] == "5 steps (2 move-pages, 2 repins, 1 restart); cost 5, at least 5"


def test_a_thread_with_one_cpu_that_is_online_takes_that() -> None:
    guests = [there("a", ["1-2"], emulator="0-3")]
    shown = inventory_table(host("1n:4c:1t", offline="2", guests=guests), wide=True)
    rows = lines_of(shown, "node")
    assert "0,3" in rows[0].split()
