"""What QEMU itself takes of ordinary memory: for each guest, on each node that its cells lie on."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest, GuestThread, MemoryBinding, RunningGuest, ThreadKind, VcpuId, VcpuPin
from numaplan.model.host import NodeId
from numaplan.model.plan import Plan, Status
from numaplan.model.request import GuestRequest, HostPolicy, MemoryPolicy, PageSize, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.facts import host_facts
from numaplan.placement.lacks import cell_lack
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.hosts import GIB, host
from tests.placement.verify_cases import cell, found, guest, placed

QUARTER = GIB // 4
POLICY = HostPolicy(
    reserved_cpus=CpuSet.parse("0"),
    shared_cpus=CpuSet.parse("1"),
    reserved_memory_kib=0,
    guest_overhead_kib=QUARTER,
)


def planned(snapshot: Snapshot, *guests: GuestRequest, policy: HostPolicy = POLICY) -> Plan:
    request = Request(policy, guests)
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    return plan


def lack(snapshot: Snapshot, asked: GuestRequest, policy: HostPolicy = POLICY) -> str | None:
    problem = build_problem(Request(policy, (asked,)), host_facts(Request(policy, (asked,)), snapshot))
    return cell_lack(problem.facts, problem.classes[0].cells[0], NodeId(0), cores=problem.core_kinds)


@pytest.mark.parametrize(("page_size", "fit"), [(PageSize.SMALL, 3), (PageSize.HUGE_1G, 8), (PageSize.ANY, 9)])
def test_as_many_guests_fit_as_have_memory_and_room_for_qemu(page_size: PageSize, fit: int) -> None:
    # A guest on ordinary pages takes 1.25 GiB of the 4 GiB, one on a page of 1 GiB 0.25: eight of these, one of those.
    snapshot = host("1n:14c:1t", memory_gib=4, pages={"1GiB": 8})
    guests = [guest(f"g{i}", 1, page_size=page_size, required=False) for i in range(12)]
    plan = planned(snapshot, *guests)
    assert (plan.status, len(plan.placements)) == (Status.OPTIMAL, fit)


def test_two_cells_on_one_node_take_it_once_and_on_two_nodes_twice() -> None:
    together = guest("a", 1, cells=2, page_size=PageSize.HUGE_1G, distinct_nodes=False)
    one_node = host("1n:6c:1t", memory_gib=0, pages={"1GiB": 2})
    nodes = (replace(one_node.nodes[0], available_kib=QUARTER),)
    assert planned(replace(one_node, nodes=nodes), together).status is Status.OPTIMAL
    apart = replace(together, distinct_nodes=True)
    two_nodes = host("2n:6c:1t", memory_gib=0, pages={"1GiB": 2})
    half = tuple(replace(node, available_kib=QUARTER if node.id == 0 else QUARTER - 4) for node in two_nodes.nodes)
    assert planned(replace(two_nodes, nodes=half), apart).status is Status.INFEASIBLE
    full = tuple(replace(node, available_kib=QUARTER) for node in two_nodes.nodes)
    assert planned(replace(two_nodes, nodes=full), apart).status is Status.OPTIMAL


def test_it_is_taken_where_the_cpus_are_and_not_where_the_memory_is() -> None:
    snapshot = host("2n:4c:1t", memory_gib=1)
    far = guest("a", 2, memory_policy=MemoryPolicy.PREFERRED)
    nodes = tuple(replace(node, cpus=node.cpus if node.id == 0 else CpuSet()) for node in snapshot.nodes)
    plan = planned(replace(snapshot, nodes=nodes), far)
    assert [(c.numa_node, c.memory_node) for c in plan.placements[0].cells] == [(NodeId(0), NodeId(1))]


def test_without_overhead_nothing_changes() -> None:
    snapshot = host("1n:4c:1t", memory_gib=1)
    free = replace(POLICY, guest_overhead_kib=0)
    assert planned(snapshot, guest("a", 1), policy=free).status is Status.OPTIMAL
    assert planned(snapshot, guest("a", 1)).status is Status.INFEASIBLE


def test_a_node_that_has_no_room_for_qemu_says_so() -> None:
    small = host("1n:4c:1t", memory_gib=1, pages={"1GiB": 1})
    itself = "256 MiB of ordinary memory for QEMU itself"
    assert lack(small, guest("a", 1)) == f"1 GiB of ordinary memory, needs 1 GiB and {itself}"
    assert lack(small, guest("a", 1, page_size=PageSize.ANY)) is None
    policy = replace(POLICY, reserved_memory_kib=GIB - 4)
    huge = guest("a", 1, page_size=PageSize.HUGE_1G)
    left = "4 KiB of ordinary memory (1 GiB less reserved_memory 1048572 KiB)"
    assert lack(small, huge, policy) == f"{left}, needs {itself}"
    assert lack(small, guest("a", 1, memory_policy=MemoryPolicy.PREFERRED), policy) == f"{left}, needs {itself}"
    assert lack(small, guest("a", 2, memory_kib=2 * GIB, page_size=PageSize.HUGE_1G)) == ("1 free 1 GiB page, needs 2")


def there(*cpus: str, live: str | None = None) -> Guest:
    threads = () if live is None else (GuestThread(ThreadKind.VCPU, CpuSet.parse(live), 0),)
    return Guest(
        "a",
        "a.xml",
        len(cpus),
        GIB,
        vcpu_pins=tuple(VcpuPin(VcpuId(i), CpuSet.parse(text), 1) for i, text in enumerate(cpus)),
        memory=MemoryBinding(None, "strict", (NodeId(0),), 1),
        running=True,
        live=RunningGuest(threads=threads),
    )


@pytest.mark.parametrize(
    ("existing", "returned"),
    [
        (there("2"), True),
        (there("0-3"), True),
        (there("2-4"), False),
        (there("2", live="5"), False),
        (there("5", live="2"), True),
        (replace(there("2"), running=False), False),
    ],
)
def test_a_running_guest_gives_it_back_where_its_vcpus_cannot_leave(existing: Guest, *, returned: bool) -> None:
    snapshot = host("2n:4c:1t", memory_gib=0, guests=(existing,))
    asked = guest("a", 1)
    request = Request(POLICY, (asked,))
    facts = host_facts(request, snapshot)
    memory = GIB if existing.running else 0
    assert facts.capacity_kib[NodeId(0), 4] == memory + (QUARTER if returned else 0)
    refused = found(request, snapshot, placed("a", cell(0, "2"), emulator="1"))
    assert (refused == ()) == returned


def test_a_plan_that_leaves_no_room_for_qemu_is_refused() -> None:
    snapshot = host("1n:6c:1t", memory_gib=1, pages={"1GiB": 8})
    guests = [guest(f"g{i}", 1, page_size=PageSize.HUGE_1G) for i in range(5)]
    placements = [placed(f"g{i}", cell(0, str(2 + i), page_kib=GIB), emulator="1") for i in range(4)]
    assert found(Request(POLICY, tuple(guests[:4])), snapshot, *placements) == ()
    policy = replace(POLICY, reserved_memory_kib=4)
    (violation,) = found(Request(policy, tuple(guests[:4])), snapshot, *placements)
    assert violation.constraint == "memory_capacity"
    assert violation.sentence == "node 0 has 1048572 KiB of 4 KiB pages; its guests need 1048576 KiB"
