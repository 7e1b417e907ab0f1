"""What nobody sees before the verifier has agreed to it."""

from numaplan.errors import ExitCode, NumaplanError, Problem
from numaplan.model.plan import Plan
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verify import verify


class UnprovenPlanError(NumaplanError):
    """Our own verifier refuses our own plan: a bug, and nothing is written."""

    exit_code = ExitCode.BUG


def demand_proof(request: Request, snapshot: Snapshot, plan: Plan) -> None:
    """Raises UnprovenPlanError where the verifier finds that a plan breaks something."""
    if violations := verify(request, snapshot, plan, same_host=True):
        raise UnprovenPlanError.of(
            tuple(
                Problem(f"the plan breaks {v.constraint}: {v.sentence}", v.vm or "host", "please report this bug")
                for v in violations
            )
        )
