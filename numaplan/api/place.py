"""Places guests on a host, proves the plan, and writes it into the guests' XML."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from numaplan.api.inventory import DomainFile
from numaplan.api.proof import demand_proof
from numaplan.api.question import Question
from numaplan.domxml.diff import unified_diff
from numaplan.domxml.fragment import needed_xml
from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import read_guest
from numaplan.model.devices import PciAddress
from numaplan.model.plan import Plan
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.facts import host_facts
from numaplan.placement.levels import Budget, Progress
from numaplan.placement.solve import solve
from numaplan.placement.why.places import explain_places


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


def place(question: Question, asking: Asking = Asking()) -> Answer:
    """The proven plan and its patches; raises UnprovenPlanError where the verifier does not agree."""
    request = question.request
    notes: tuple[str, ...] = ()
    if not asking.change_topology:
        request, notes = keep_guest_topology(request, question.snapshot)
    plan = solve(request, question.snapshot, budget=_budget(asking))
    plan = replace(plan, notes=(*notes, *plan.notes))
    demand_proof(request, question.snapshot, plan)
    if asking.why:
        facts = host_facts(request, question.snapshot)
        plan = replace(plan, whys=explain_places(request, facts, plan.placements))
    patched, patch_notes = _patch(request, question.domains, plan, change_topology=asking.change_topology)
    return Answer(replace(plan, notes=(*plan.notes, *patch_notes)), question.snapshot, patched)


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


def _budget(asking: Asking) -> Budget:
    if asking.time_limit_s is None:
        return Budget(report=asking.report)
    end = time.monotonic() + asking.time_limit_s
    # Who sets a clock wants all of it used: deterministic work must not end the search first.
    return Budget(scale=1_000, remaining=lambda: end - time.monotonic(), report=asking.report)


def _patch(
    request: Request, domains: tuple[DomainFile, ...], plan: Plan, *, change_topology: bool
) -> tuple[tuple[PatchedGuest, ...], tuple[str, ...]]:
    files = {domain.guest.name: domain for domain in domains}
    patched = []
    notes = []
    for guest in request.guests:
        placement = plan.placement(guest.name)
        if placement is None:
            continue
        if guest.name not in files:
            notes.append(f"{guest.name}: no XML to patch; -o xml prints what it needs")
            patched.append(PatchedGuest(guest.name, f"{guest.name}.xml", None, needed_xml(guest, placement).encode()))
            continue
        domain = files[guest.name]
        result = patch_guest(
            domain.data, str(domain.path), request=guest, placement=placement, change_topology=change_topology
        )
        notes += [f"{guest.name}: {note}" for note in result.notes]
        patched.append(PatchedGuest(guest.name, domain.path.name, domain.data, result.data))
    notes += _held_twice(domains, tuple(patched))
    return tuple(patched), tuple(notes)
