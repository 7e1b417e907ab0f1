"""Places guests on a host, proves the plan, and writes it into the guests' XML."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from numaplan.api.clock import Clock
from numaplan.api.inventory import DomainFile
from numaplan.api.proof import demand_proof
from numaplan.api.question import Question
from numaplan.domxml.diff import unified_diff
from numaplan.domxml.digest import xml_digests
from numaplan.domxml.fragment import needed_guest
from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import read_guest
from numaplan.model.devices import PciAddress
from numaplan.model.plan import Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.facts import host_facts
from numaplan.placement.fingerprint import basis_of
from numaplan.placement.levels import Budget, Progress
from numaplan.placement.solve import solve
from numaplan.placement.why.places import explain_places

_NO_XML: Final = "no XML to patch; what it needs, without disk, console and CPU model, is in -o xml"


@dataclass(frozen=True, slots=True)
class PatchedGuest:
    """A placed guest's XML before and after; for a guest without XML `old` is None and `new` what it would need."""

    name: str
    file: str
    old: bytes | None
    new: bytes

    @property
    def diff(self) -> str:
        """A unified diff; "" where nothing changes or there is nothing to change."""
        return "" if self.old is None else unified_diff(self.old, self.new, self.file)


@dataclass(frozen=True, slots=True)
class Answer:
    """The plan, the snapshot it is for, and the XML of every placed guest in the order of vnf.yaml."""

    plan: Plan
    snapshot: Snapshot
    guests: tuple[PatchedGuest, ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """How to answer: seconds to search, None: by work; whether guest topologies may change, and reasons are wanted.

    `report` hears how far the search is.
    """

    time_limit_s: float | None = None
    change_topology: bool = False
    why: bool = False
    report: Callable[[Progress], None] | None = None


def place(question: Question, asking: Asking = Asking(), clock: Clock | None = None) -> Answer:
    """The proven plan, with all that carrying it out takes, and its patches.

    `clock` counts down the time limit of `asking` where that began before. Raises UnprovenPlanError where the verifier
    does not agree.
    """
    clock = Clock(asking.time_limit_s) if clock is None else clock
    request = question.request
    notes: tuple[str, ...] = ()
    if not asking.change_topology:
        request, notes = keep_guest_topology(request, question.snapshot)
    plan = solve(request, question.snapshot, budget=_budget(asking, clock))
    plan = replace(plan, notes=(*notes, *plan.notes, *_late(plan, asking, clock), *_who_stays(plan, question)))
    is_found = plan.status in {Status.OPTIMAL, Status.FEASIBLE}
    if is_found:
        plan = replace(plan, request=request, change_topology=asking.change_topology)
    # Of vnf.yaml as it is: which cells a guest keeps the proof finds out by itself.
    demand_proof(question.request, question.snapshot, plan)
    if asking.why and not clock.is_over:
        facts = host_facts(request, question.snapshot)
        plan = replace(plan, whys=explain_places(request, facts, plan.placements))
    if is_found:
        plan = _with_basis(plan, question)
    patched, patch_notes = _patch(request, question, plan, change_topology=asking.change_topology)
    return Answer(replace(plan, notes=(*plan.notes, *patch_notes)), question.snapshot, patched)


def _with_basis(plan: Plan, question: Question) -> Plan:
    placed = {placement.vm for placement in plan.placements}
    xml = {
        domain.guest.name: xml_digests(domain.data, str(domain.path))
        for domain in question.domains
        if domain.guest.name in placed
    }
    return replace(plan, basis=basis_of(question.snapshot, xml, plan))


def _held_twice(domains: tuple[DomainFile, ...], patched: tuple[PatchedGuest, ...]) -> list[str]:
    """A note on each device that the XML of two guests would then name."""
    after = {domain.guest.name: domain.guest for domain in domains}
    after |= {guest.name: read_guest(guest.new, guest.file) for guest in patched}
    holders: dict[PciAddress, list[str]] = {}
    for name, guest in sorted(after.items()):
        for address in dict.fromkeys(guest.pci_addresses):
            holders.setdefault(address, []).append(name)
    return [
        f"{address} would stand in the XML of {' and '.join(names)}: the request does not give it to all of them, so"
        " take it out of the others before they run together"
        for address, names in sorted(holders.items())
        if len(names) > 1 and set(names) & {guest.name for guest in patched}
    ]


def _budget(asking: Asking, clock: Clock) -> Budget:
    if clock.remaining() is None:
        return Budget(report=asking.report)
    # Who sets a clock wants all of it used: deterministic work must not end the search first.
    return Budget(scale=1_000, remaining=clock.remaining, report=asking.report)


def _late(plan: Plan, asking: Asking, clock: Clock) -> list[str]:
    """What was not looked for as the time was over."""
    if not clock.is_over:
        return []
    doubtful = plan.conflict is not None and not all(member.proven for member in plan.conflict.members)
    notes = ["the time ended before it was proven that each part of the conflict is needed for it"] * doubtful
    return notes + ["the time ended before it was looked for what binds each guest to its place"] * asking.why


def _who_stays(plan: Plan, question: Question) -> list[str]:
    """Where nothing fits beside guests that stay: that they need not."""
    staying = {guest.name for guest in question.snapshot.guests} - {guest.name for guest in question.request.guests}
    if plan.status is not Status.INFEASIBLE or not staying:
        return []
    stay = (
        "1 guest that is there stays where it is" if len(staying) == 1 else f"{len(staying)} guests stay where they are"
    )
    return [f"{stay}: numaplan rebalance looks for moves that make room"]


def _patch(
    request: Request, question: Question, plan: Plan, *, change_topology: bool
) -> tuple[tuple[PatchedGuest, ...], tuple[str, ...]]:
    files = {domain.guest.name: domain for domain in question.domains}
    patched = []
    notes = []
    for guest in request.guests:
        placement = plan.placement(guest.name)
        if placement is None:
            continue
        if guest.name not in files:
            needed = needed_guest(guest, placement, question.snapshot, file=question.file)
            notes.append(f"{guest.name}: {_NO_XML}")
            notes += [f"{guest.name}: {remark}" for remark in needed.remarks]
            patched.append(PatchedGuest(guest.name, f"{guest.name}.xml", None, needed.data))
            continue
        domain = files[guest.name]
        result = patch_guest(
            domain.data,
            str(domain.path),
            request=guest,
            placement=placement,
            host=question.snapshot,
            change_topology=change_topology,
        )
        notes += [f"{guest.name}: {remark}" for remark in result.remarks]
        patched.append(PatchedGuest(guest.name, domain.path.name, domain.data, result.data))
    notes += _held_twice(question.domains, tuple(patched))
    return tuple(patched), tuple(notes)
