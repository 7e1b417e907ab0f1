"""Which vCPU runs where, in the table of a plan."""

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Limit, Placement, Plan, Status
from numaplan.model.request import Request
from numaplan.report.tables import plan_table
from tests.hosts import GIB, host
from tests.requests import ask, guest


def pins(*pairs: tuple[int, str], request: Request | None = None) -> str:
    cell = CellPlacement(CellId(0), NodeId(0), tuple((VcpuId(v), CpuSet.parse(c)) for v, c in pairs), NodeId(0), GIB, 4)
    placements = (Placement("a", (cell,), CpuSet.parse("0")),)
    plan = Plan(Status.OPTIMAL, Limit.NONE, "built", "", placements=placements, request=request)
    lines = plan_table(plan, host("1n:1c:1t")).splitlines()[2:]
    start, end = lines[0].index("vCPUs"), lines[0].index("memory")
    return " / ".join(column for line in lines[2:] if (column := line[start:end].strip()))


def test_vcpus_with_a_cpu_each_are_one_run_in_vcpu_order() -> None:
    assert pins((0, "2"), (1, "10"), (2, "3"), (3, "11")) == "0-3 -> 2,10,3,11"


def test_a_hole_in_the_vcpu_numbers_ends_a_run() -> None:
    assert pins((0, "2"), (1, "3"), (4, "5")) == "0-1 -> 2,3 / 4 -> 5"


def test_vcpus_that_share_a_set_float_on_it() -> None:
    assert pins((0, "2"), (1, "4-7"), (2, "4-7"), (3, "8-9")) == "0 -> 2 / 1-2 float on 4-7 / 3 float on 8-9"


def test_vcpus_that_share_a_pool_of_one_cpu_float_on_it_where_the_plan_says_that_they_share_it() -> None:
    asked = ask(guest("a", 4, cpu_policy="mixed", dedicated=(0,)))
    given = ((0, "3"), (1, "2"), (2, "2"), (3, "2"))
    assert pins(*given, request=asked) == "0 -> 3 / 1-3 float on 2"
    assert pins(*given) == "0-3 -> 3,2,2,2"


def test_a_guest_without_vcpus_or_cells_still_has_its_row() -> None:
    assert pins() == "-"
    empty = Plan(Status.OPTIMAL, Limit.NONE, "built", "", placements=(Placement("bare", (), CpuSet()),))
    assert plan_table(empty, host("1n:1c:1t")).splitlines()[-1].split() == ["bare", "-", "-", "-", "-", "-", "-"]
