"""Plans of a search without a limit of time."""

from numaplan.model.plan import Plan
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify


def solved(request: Request, snapshot: Snapshot) -> Plan:
    """A valid plan."""
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    return plan
