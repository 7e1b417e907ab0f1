"""Why something has no place: what of the guests' needs cannot be met together, and for each guest a sentence."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.plan import Conflict, ConflictMember, Placement, Unplaced
from numaplan.model.request import GuestRequest, HostPolicy, Request, ThreadPolicy
from numaplan.placement.clock import UNLIMITED, Remaining, is_over
from numaplan.placement.conflict.asks import ask, ask_overhead, listed
from numaplan.placement.conflict.aspects import Kind, name_of, rank
from numaplan.placement.conflict.classes import fewest
from numaplan.placement.conflict.excess import excess
from numaplan.placement.conflict.judge import FOR_A_CONFLICT, Judge
from numaplan.placement.conflict.necessary import necessary
from numaplan.placement.conflict.numbers import in_numbers
from numaplan.placement.conflict.plain import plainly
from numaplan.placement.conflict.reasons import Reason, devices_there, what_nodes_lack, why_impossible, why_not_alone
from numaplan.placement.conflict.shares import Share, Shares, kinds_of, relaxed_problem, whole
from numaplan.placement.cpsat import Outcome
from numaplan.placement.demands import needs_untied
from numaplan.placement.expand import exclusive_cpus
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, host_facts
from numaplan.placement.filling.fillings import fill
from numaplan.placement.floating import idle_siblings
from numaplan.placement.joined import joined
from numaplan.placement.options import build_problem
from numaplan.placement.problem import CellDemand, GuestClass, Problem
from numaplan.placement.search import feasible
from numaplan.placement.why.beside import Host
from numaplan.placement.why.unplaced import what_is_missing

# What a conflict between several guests is about, where no total is exceeded.
_BLAME: Final = {
    "anti_affinity": "their anti_affinity keeps them on different nodes, and there are too few that can take them",
    "affinity": "their affinity keeps them on the same nodes, and these cannot take all of them",
    "bandwidth": "their VFs need more bandwidth than the links of the PFs near them carry",
    "iommu_groups": "they need devices that only go together with their whole IOMMU group",
    "devices": "too few of the VFs and devices that each of them could use are near nodes that can take it",
    "floating_threads": "the CPUs that they leave are not enough for their emulators and iothreads to float on",
    "memory": "the nodes that have CPUs for them do not have the memory too",
    "shared_pool": "the nodes that have room for the rest of them have too small a shared pool",
    "dedicated_cpus": "the free CPUs of each node cannot be shared out among them as they need it",
}
_MEMORY: Final = frozenset({Kind.MEMORY, Kind.PAGE_SIZE, Kind.MEMORY_POLICY})
_PAGES: Final = "the free memory of each node cannot be shared out among them as they need it"
_NO_PRIORITY: Final = "its priority is 0, so nothing is won by placing it: give it 1 or more"
_DOUBT: Final = " (no proof was found within the limit that the others are possible without this)"
_LATE: Final = "the time ended before it was found what keeps them apart"
_NO_WAY: Final = "no way was found to place it beside guests that are required, or worth as much in all"


def conflict(
    request: Request, facts: HostFacts, remaining: Remaining = UNLIMITED
) -> tuple[Conflict, tuple[Unplaced, ...]]:
    """What of the required guests' needs cannot hold together, as little as possible, and a reason for each guest.

    Members are named as docs/why-not.md has it; one that is not proven to be needed says so. That may be all of them
    where no time is `remaining`.
    """
    problem = build_problem(request, facts)
    alone = reasons_alone(request, problem)
    judge = Judge(FOR_A_CONFLICT, remaining)
    found = _shares_of_conflict(problem, alone, judge)
    names = [guest.name for share in found for guest in share.members]
    if len(names) == 1 and alone[names[0]] is None:
        # That it has no place was not found at the first look.
        alone[names[0]] = why_impossible(problem.only(frozenset(names)))
    policy, of_host = _host_members(request, problem, found, judge.afresh())
    asked, counted = request, problem
    if policy != request.policy:
        asked = replace(request, policy=policy)
        facts = host_facts(asked, facts.snapshot)
        counted = build_problem(asked, facts)
    needed = necessary(policy, facts, found, judge.afresh())
    members = _members(asked, facts, counted, needed)
    joint = _Joint(tuple(names), kinds_of(needed))
    return Conflict((*members, *of_host)), _reasons(request, problem, alone, joint=joint, remaining=remaining)


@dataclass(frozen=True, slots=True)
class _Joint:
    """The guests of a conflict, and the kinds of what it needs of all that they ask for."""

    names: tuple[str, ...]
    kinds: frozenset[Kind]


def _host_members(
    request: Request, problem: Problem, shares: Shares, judge: Judge
) -> tuple[HostPolicy, tuple[ConflictMember, ...]]:
    """What of the host's policy takes part, and the policy without what does not."""
    overhead = request.policy.guest_overhead_kib
    if not overhead:
        return request.policy, ()
    without = replace(request.policy, guest_overhead_kib=0)
    facts = host_facts(replace(request, policy=without), problem.facts.snapshot)
    possible = judge.can(lambda: relaxed_problem(without, facts, shares))
    if possible is False:
        return without, ()
    doubt = "" if possible else _DOUBT
    return request.policy, (ConflictMember(None, "guest_overhead", ask_overhead(problem) + doubt, bool(possible)),)


def _shares_of_conflict(problem: Problem, alone: Mapping[str, Reason | None], judge: Judge) -> Shares:
    """The first impossible guest, or a joint conflict: equals in groups, each with whether it is proven needed."""
    groups = [
        members for guests in problem.classes if (members := tuple(guest for guest in guests.members if guest.required))
    ]
    for members in groups:
        if alone[members[0].name] is not None:
            return tuple(replace(share, proven=True) for share in whole([members[:1]]))
    policy, facts = problem.facts.policy, problem.facts
    shares = plainly(policy, facts, whole(groups))
    asked = {guest.name: (guest, share.kept) for share in shares for guest in share.members}
    relaxed = relaxed_problem(policy, facts, shares)
    few = fewest(relaxed, judge)
    found = []
    for c, (guests, count) in enumerate(zip(relaxed.classes, few.counts, strict=True)):
        if count:
            members = tuple(asked[guest.name][0] for guest in guests.members[:count])
            found.append(Share(members, asked[members[0].name][1], c in few.needed))
    return tuple(found)


def _members(request: Request, facts: HostFacts, problem: Problem, shares: Shares) -> tuple[ConflictMember, ...]:
    """The aspects that are needed, guests in the order of the request, the plainest aspect of each first."""
    place = {guest.name: i for i, guest in enumerate(request.guests)}
    number = {guest.name: c for c, guests in enumerate(problem.classes) for guest in guests.members}
    single = sum(len(share.members) for share in shares) == 1
    relaxed = relaxed_problem(request.policy, facts, shares)
    kept_cells = {guest.name: guests.cells for guests in relaxed.classes for guest in guests.members}
    members: list[tuple[int, ConflictMember]] = []
    for share in shares:
        # Guests that are equal in what is kept may differ in all else.
        cells = kept_cells[share.members[0].name]
        numbers = {number[guest.name] for guest in share.members}
        said = {c: _said(problem, problem.classes[c], share, cells) for c in numbers}
        if single:
            ((c, sentences),) = said.items()
            # Of a group that is asked for as a whole, a part alone has no place for a reason of its own.
            is_whole = devices_there(relaxed, relaxed.classes[0]) <= devices_there(problem, problem.classes[c])
            reason = what_nodes_lack(replace(request, guests=share.guests), relaxed) if is_whole else None
            sentences[0] = (sentences[0][0], reason or sentences[0][1])
        doubt = "" if share.proven else _DOUBT
        for one in share.members:
            members += [
                (place[one.name], ConflictMember(one.name, constraint, sentence + doubt, share.proven))
                for constraint, sentence in said[number[one.name]]
            ]
    return tuple(member for _, member in sorted(members, key=lambda pair: pair[0]))


def _said(problem: Problem, guests: GuestClass, share: Share, cells: tuple[CellDemand, ...]) -> list[tuple[str, str]]:
    """(constraint, sentence) of each aspect; a guest that counts for the links of others alone is just placed.

    Its thread policy speaks of what `cells` come to, with no more than is kept.
    """
    ordered = sorted(share.kept, key=rank, reverse=True)
    kept = replace(guests, cells=cells)
    said = [
        (name_of(guests.request, aspect), ask(problem, kept if aspect.kind is Kind.THREAD_POLICY else guests, aspect))
        for aspect in ordered
    ]
    return said or [("placed", "is required, and takes part by where it is placed")]


def _reasons(
    request: Request,
    problem: Problem,
    alone: Mapping[str, Reason | None],
    *,
    joint: _Joint,
    remaining: Remaining,
) -> tuple[Unplaced, ...]:
    names = joint.names
    impossible = any(alone[name] is not None for name in names)
    together = "" if impossible else _together(problem, joint, remaining)
    reasons = []
    for guest in request.guests:
        if (lack := alone[guest.name]) is not None:
            reason = lack.sentence
        else:
            others = listed([name for name in names if name != guest.name])
            if guest.name in names:
                reason = f"fits alone, but not together with {others}: {together}"
            elif impossible:
                reason = f"fits alone; {others} has no place even alone"
            else:
                reason = f"fits alone; the conflict that was found is between {others}, and there may be others"
        reasons.append(Unplaced(guest.name, reason))
    return tuple(reasons)


def reasons_alone(request: Request, problem: Problem, remaining: Remaining = UNLIMITED) -> dict[str, Reason | None]:
    """For every guest why it has no place even alone, as far as there is time to find that out.

    Guests that need the same share the answer, whatever they are worth.
    """
    staying = problem.facts.guest_nodes
    known: dict[GuestRequest | str, Reason | None] = {}
    reasons: dict[str, Reason | None] = {}
    for guests in problem.classes:
        first = guests.request
        near, apart = (
            tuple(name for name in names if name in staying) for names in (first.affinity, first.anti_affinity)
        )
        key = first.name if guests.exists else replace(needs_untied(first), affinity=near, anti_affinity=apart)
        if key not in known:
            known[key] = why_not_alone(request, problem, guests, remaining)
        reasons.update(dict.fromkeys((guest.name for guest in guests.members), known[key]))
    return reasons


def why_unplaced(
    request: Request, facts: HostFacts, placements: Sequence[Placement], remaining: Remaining = UNLIMITED
) -> tuple[Unplaced, ...]:
    """The reason for each guest that a plan leaves out, beside the guests that it places.

    Where no time is `remaining`, only what single nodes lack is found out.
    """
    placed = {placement.vm for placement in placements}
    missing = tuple(guest for guest in request.guests if guest.name not in placed)
    if not missing:
        return ()
    left = replace(request, guests=tuple(_with_links(missing, request, placed)))
    alone = reasons_alone(left, build_problem(left, _left_over(request, facts, placements)), remaining)
    # What others need of links and of CPUs to float on is not taken from the host that is left over.
    unclear = [vm for vm, reason in alone.items() if reason is None or not reason.is_one]
    counted = {} if is_over(remaining) else _lacks_counted(request, facts, placements, unclear)
    reasons = []
    for guest in missing:
        reason = alone[guest.name]
        if lack := counted.get(guest.name) or (reason and reason.sentence):
            reasons.append(Unplaced(guest.name, f"beside the guests that are placed, {lack}"))
        else:
            reasons.append(Unplaced(guest.name, _NO_WAY if guest.priority else _NO_PRIORITY))
    return tuple(reasons)


def _lacks_counted(
    request: Request, facts: HostFacts, placements: Sequence[Placement], names: Collection[str]
) -> dict[str, str | None]:
    """What each of `names` lacks beside `placements`, way by way; guests with the same needs share the answer."""
    if not names:
        return {}
    host = Host(request, facts, placements)
    return {
        guest.name: lack
        for guests in host.problem.classes
        if (asked := [guest for guest in guests.members if guest.name in names])
        for lack in [what_is_missing(host, asked[0].name)]
        for guest in asked
    }


def _with_links(guests: Sequence[GuestRequest], request: Request, placed: AbstractSet[str]) -> Iterator[GuestRequest]:
    """Guests with the links by which placed ones are tied to them, too: they bind both."""
    near: dict[str, list[str]] = defaultdict(list)
    apart: dict[str, list[str]] = defaultdict(list)
    for other in request.guests:
        if other.name in placed:
            for links, named in ((near, other.affinity), (apart, other.anti_affinity)):
                for name in named:
                    links[name].append(other.name)
    for guest in guests:
        yield replace(
            guest,
            affinity=tuple(dict.fromkeys((*guest.affinity, *near[guest.name]))),
            anti_affinity=tuple(dict.fromkeys((*guest.anti_affinity, *apart[guest.name]))),
        )


def _together(full: Problem, joint: _Joint, remaining: Remaining) -> str:
    """What the guests of a conflict exceed in all, or else what their conflict is about."""
    problem = full.only(frozenset(joint.names))
    if told := _torn(problem) or _exceeded(problem) or _scattered_memory(problem, joint):
        return told
    if not is_over(remaining) and fill(joined(problem).problem, cores_only=True).outcome is Outcome.INFEASIBLE:
        return _BLAME["dedicated_cpus"] + in_numbers(problem, "dedicated_cpus")
    step = replace(FOR_A_CONFLICT.step, remaining=remaining)
    for constraint, sentence in _BLAME.items():
        if (
            not is_over(remaining)
            and not problem.is_vast
            and feasible(problem, step, without=constraint) is Outcome.FEASIBLE
        ):
            return sentence + in_numbers(problem, constraint)
    if is_over(remaining):
        return _LATE
    if len(problem.facts.nodes) == 1:
        return "its one node cannot give each what it needs at once"
    return "the host has enough in all, but no split over its nodes gives each what it needs on its own"


def _torn(problem: Problem) -> str | None:
    """The first two guests that would have to share nodes and to share none, whoever named whom."""
    guests = {guest.name: guest for guests in problem.classes for guest in guests.members}
    for guest in guests.values():
        for name in guest.affinity:
            if name in guests and (name in guest.anti_affinity or guest.name in guests[name].anti_affinity):
                both = " and ".join(listed([each]) for each in guests if each in (guest.name, name))
                return f"{both} are linked by affinity and by anti_affinity, which exclude each other"
    return None


def _exceeded(problem: Problem) -> str | None:
    over = excess(problem) or excess(joined(problem).problem)
    return None if over is None else over.sentence


def _scattered_memory(problem: Problem, joint: _Joint) -> str | None:
    return _PAGES + in_numbers(problem, "memory") if joint.kinds and joint.kinds <= _MEMORY else None


def _left_over(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> HostFacts:
    """The host as it is beside `placements`."""
    by_name = {guest.name: guest for guest in request.guests}
    sets = {p.vm: exclusive_cpus(by_name[p.vm], p) for p in placements}
    held = CpuSet(cpu for cpus in sets.values() for cpu in cpus)
    alone = [name for name in sets if by_name[name].thread_policy is ThreadPolicy.ISOLATE]
    idle = idle_siblings(facts, CpuSet(cpu for name in alone for cpu in sets[name]))
    pool = dict(facts.pool_left)
    capacity = dict(facts.capacity_kib)
    devices = set(facts.held_devices)
    nodes = dict(facts.guest_nodes)
    for placement in placements:
        request_of = by_name[placement.vm]
        nodes[placement.vm] = frozenset(placement.nodes)
        devices.update(address for functions in placement.functions for address in functions)
        for node in placement.nodes if facts.policy.guest_overhead_kib else ():
            small = (node, SMALL_PAGE_KIB)
            capacity[small] = capacity.get(small, 0) - facts.policy.guest_overhead_kib
        for cell in placement.cells:
            pool[cell.numa_node] -= sum(vcpu not in request_of.dedicated_vcpus for vcpu, _ in cell.vcpus)
            capacity[cell.memory_node, cell.page_size_kib] -= cell.memory_kib
    return replace(
        facts,
        taken=facts.taken | held,
        free=facts.free - held - idle,
        pool_left=pool,
        capacity_kib=capacity,
        held_devices=frozenset(devices),
        guest_nodes=nodes,
    )
