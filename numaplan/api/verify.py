"""Checks a plan file against the request and the host, by code that shares nothing with the search."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from numaplan.api.question import Question
from numaplan.model.plan import Plan
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.fingerprint import fingerprint
from numaplan.placement.verify import Violation, verify
from numaplan.records.plan import read_plan
from numaplan.sources.files import read_text

PLAN_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plan violates, and whether the host and its guests are as they were when it was made."""

    plan: Plan
    violations: tuple[Violation, ...]
    same_host: bool


def verify_plan(plan: Path, question: Question) -> Verdict:
    """The verdict on a plan file; raises InputError where it is no plan."""
    parsed = read_plan(read_text(plan, limit=PLAN_LIMIT, what="plan"), str(plan))
    found = verify(question.request, question.snapshot, parsed)
    if found:
        # As asked, or as the guests' XML has it: place keeps to the XML unless it is told to change it.
        kept, _ = keep_guest_topology(question.request, question.snapshot)
        found = found if verify(kept, question.snapshot, parsed) else ()
    return Verdict(parsed, found, parsed.fingerprint == fingerprint(question.snapshot))
