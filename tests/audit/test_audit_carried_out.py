"""A host on which a plan was carried out has nothing above info."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from numaplan.audit.audit import audit
from numaplan.model.finding import Severity
from numaplan.model.plan import Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from tests.audit.carried_out import guests_of
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest, vfs


def grave(request: Request, snapshot: Snapshot) -> list[str]:
    plan = solve(request, snapshot, budget=Budget())
    report = audit(replace(snapshot, guests=guests_of(plan, request)))
    return [f"{hit.rule}: {hit.message}" for hit in report.findings if hit.severity is not Severity.INFO]


@settings(
    max_examples=draws(30), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(requests_and_hosts(existing=False))
def test_a_plan_of_any_kind_leaves_nothing_above_info(case: Case) -> None:
    assert grave(case.request, case.snapshot) == []


def test_a_site_of_all_policies_leaves_nothing_above_info() -> None:
    snapshot = host("2n:12c:2t", nics=[Nic("ens1", 0, 8), Nic("ens2", 1, 8)], pages={"1GiB": 24})
    request = ask(
        guest("router", 5, thread_policy="require", page_size="1GiB", interfaces=[vfs("data", "ens1", 2)]),
        guest("lone", 3, thread_policy="isolate", emulator="isolate", iothreads=1, iothread_policy="dedicated"),
        guest("wide", [3, 3], memory_gib=2, interfaces=[vfs("data", "ens2", affinity="preferred")]),
        guest("control", 4, cpu_policy="shared", iothreads=1),
        guest("mixed", 4, cpu_policy="mixed", dedicated=[0, 1]),
        # One pool CPU a node: pins of one CPU, and yet nothing is dedicated there.
        shared="0,12",
    )
    assert solve(request, snapshot, budget=Budget()).status is Status.OPTIMAL
    assert grave(request, snapshot) == []
