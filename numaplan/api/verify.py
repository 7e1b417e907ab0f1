"""Checks a plan file against the request and the host, by code that shares nothing with the search."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from numaplan.api.question import Question
from numaplan.model.host import Source
from numaplan.model.plan import Plan
from numaplan.model.request import HostPolicy
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.fingerprint import fingerprint
from numaplan.placement.verify import Violation, ties_lost, verify
from numaplan.records.plan import is_as_written, read_plan
from numaplan.sources.files import read_text

PLAN_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plan violates; whether the host is as it was when it was made, and the file as numaplan wrote it."""

    plan: Plan
    violations: tuple[Violation, ...]
    same_host: bool
    as_written: bool


def verify_plan(plan: Path, question: Question) -> Verdict:
    """The verdict on a plan file; raises InputError where it is no plan."""
    text = read_text(plan, limit=PLAN_LIMIT, what="plan")
    parsed = read_plan(text, str(plan))
    same_host = parsed.fingerprint == fingerprint(question.snapshot)
    found = verify(question.request, question.snapshot, parsed, same_host=same_host)
    # A capture does not change; on the live host pages may have become free since.
    if not found and same_host and question.snapshot.host.source is Source.CAPTURE:
        found = ties_lost(question.request, question.snapshot, parsed)
    others = tuple(_other_request(parsed, question))
    return Verdict(parsed, (*found, *others), same_host, is_as_written(text))


def _other_request(plan: Plan, question: Question) -> Iterator[Violation]:
    """Where the request that the plan holds, by which it is carried out, is not that of vnf.yaml.

    A plan that changes guest topology holds the cells of vnf.yaml, any other those that the guests' XML has.
    """
    if plan.request is None:
        return
    meant = question.request
    if not plan.change_topology:
        meant, _ = keep_guest_topology(meant, question.snapshot)
    said = {guest.name: guest for guest in plan.request.guests}
    for wish in meant.guests:
        held = said.pop(wish.name, None)
        if held is None:
            yield Violation(wish.name, "request", "the plan was made without this guest of vnf.yaml")
        elif held != wish:
            what = ", ".join(f.name for f in fields(wish) if getattr(held, f.name) != getattr(wish, f.name))
            yield Violation(wish.name, "request", f"the plan was made for another request of it (other {what})")
    for name in said:
        yield Violation(name, "request", "the plan was made for this guest too, vnf.yaml does not name it")
    if _unordered(plan.request.policy) != _unordered(meant.policy):
        yield Violation(None, "request", "the plan was made for another host section of vnf.yaml")


def _unordered(policy: HostPolicy) -> HostPolicy:
    """Physnets stand by their names, in JSON as in YAML: their order says nothing."""
    return replace(policy, physnets=tuple(sorted(policy.physnets)))
