"""The cheapest changes that make an impossible request possible, each proven by a search for a plan.

A change is a lever pulled as far as it must be. Where no single lever of a kind is enough, several of the kind may be,
and where no kind is, several kinds. Every case that is named was searched, so the change is enough.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from numaplan.model.change import Proposal
from numaplan.model.plan import Document
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.conflict.clock import UNLIMITED, Remaining, is_over
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome, total
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.placement.fixes.guests import guest_groups, leaving_out
from numaplan.placement.fixes.lever import Case, Edits, Group, Lever, told
from numaplan.placement.fixes.policy import policy_groups
from numaplan.placement.fixes.supply import supply_groups
from numaplan.placement.formulation import coarse_units
from numaplan.placement.objective import cross_node_cost, priority
from numaplan.placement.options import build_problem
from numaplan.placement.problem import Problem
from numaplan.placement.search import Budget, feasible

# No other change is looked for after so many cases were tried, or so many were neither solved nor refuted; one that was
# begun may take half as many again, and is given up then.
MAX_CASES: Final = 90
MAX_UNKNOWN: Final = 6
# A case that is hard to decide is no fix worth telling.
_CASE: Final = Budget(scale=0.05)
# CP-SAT's deterministic time for the cost of a plan; a cost that is not the best is still true.
_COST_WORK: Final = 0.5

# The part of what is left of a wall-clock limit that the search for a cost may take.
_PART: Final = 0.2

_MOST_SINGLES: Final = 16
_MOST_OF_A_GROUP: Final = 2
_A_FEW: Final = 2
# Levels of a lever that is not nested are tried in turn.
_MOST_IN_TURN: Final = 8

Levels = Mapping[int, int]


def proposals(
    request: Request,
    snapshot: Snapshot,
    names: Collection[str],
    *,
    change_topology: bool,
    remaining: Remaining = UNLIMITED,
) -> tuple[Proposal, ...]:
    """Changes that make `request` possible, cheapest first; `names` are the guests of a conflict.

    `request` is as vnf.yaml has it: unless `change_topology`, guests are then kept to the cells that their XML has.
    Those that are not found while time is `remaining` are left out.
    """
    if is_over(remaining):
        return ()
    case = Case(request, snapshot)
    required = [guest for guest in request.guests if guest.required]
    named = [guest for guest in required if guest.name in names] or required
    probe = _Probe(named, change_topology=change_topology, remaining=remaining)
    facts = host_facts(request, snapshot)
    leaving = leaving_out(_by_vm(named, request))
    if not probe.holds(_pulled(case, leaving.levers, _furthest(leaving.levers))):
        # There is more than one conflict: what helps must help them all.
        named = required
        leaving = leaving_out(_by_vm(named, request))
    vms = _by_vm(named, request)
    vm_of = {guest.name: guest.vm for guest in request.guests}
    # What helps one copy of a vm must help all that are required.
    copies = [guest for guests in vms for guest in guests if guest.required]
    supply = supply_groups(copies, required, facts)
    words = [*guest_groups(vms, facts, vm_of), *policy_groups(copies, facts)]
    search = _Search(case, probe)
    search.leave_out(leaving, _by_vm(required, request))
    for group in (*supply, *words):
        search.look_into(group)
    if len(search.found) == search.of_group.get(leaving.name, 0):
        search.combine(Document.VNF, words)
        search.combine(Document.INVENTORY, supply)
    return tuple(sorted(search.found, key=lambda proposal: (proposal.cost, proposal.sentence)))


def is_possible(
    request: Request, snapshot: Snapshot, *, change_topology: bool, remaining: Remaining = UNLIMITED
) -> bool:
    """Whether it is proven that all required guests have a place, while time is `remaining`."""
    return _Probe([], change_topology=change_topology, remaining=remaining).holds(Case(request, snapshot))


def _by_vm(named: Iterable[GuestRequest], request: Request) -> list[list[GuestRequest]]:
    """All copies of each vm of which some guest is `named`."""
    copies: dict[str, list[GuestRequest]] = {guest.vm: [] for guest in named}
    for guest in request.guests:
        if guest.vm in copies:
            copies[guest.vm].append(guest)
    return list(copies.values())


def _all_of(groups: Sequence[Group]) -> tuple[tuple[Lever, ...], dict[int, int]]:
    """The levers of all groups, and all of them pulled as far as they go."""
    levers = tuple(lever for group in groups for lever in group.levers)
    return levers, _furthest(levers)


def _furthest(levers: Sequence[Lever]) -> dict[int, int]:
    return {number: lever.most for number, lever in enumerate(levers)}


def _pulled(case: Case, levers: Sequence[Lever], levels: Levels) -> Case:
    for number, level in sorted(levels.items()):
        if level:
            case = _in(case, levers[number]).pull(case, level)
    return case


def _in(case: Case, lever: Lever) -> Lever:
    """The lever as it is in a case."""
    return lever if lever.within is None else lever.within(case)


def _within_price(lever: Lever, price: int) -> int:
    """The highest level that costs no more."""
    return bisect_right(range(1, lever.most + 1), price, key=lever.price)


def _least_cost(problem: Problem, seconds: float | None) -> int:
    """The cross-node cost of the best plan that is found, each of two searches for it in `seconds`."""
    f = formulate(problem, coarse_units(problem), fine=False)
    if any(not guests.request.required for guests in problem.classes):
        most = f.model.solve(priority(f), maximize=True, work=_COST_WORK, seconds=seconds)
        if most.solution:
            f.model.at_least(priority(f), priority(f).value(most.solution))
    goal = cross_node_cost(f)
    best = f.model.solve(goal, maximize=False, work=_COST_WORK, seconds=seconds)
    return goal.value(best.solution) if best.solution else f.model.upper(goal)


class _Probe:
    """Says of a case whether all required guests have a place, and counts how often it was asked."""

    def __init__(self, named: Sequence[GuestRequest], *, change_topology: bool, remaining: Remaining) -> None:
        self.cases = 0
        self.unknown = 0
        self._vms = {guest.vm for guest in named}
        self._change_topology = change_topology
        self._remaining = remaining

    @property
    def tired(self) -> bool:
        """Whether nothing else should be begun."""
        return self.cases >= MAX_CASES or self.unknown >= MAX_UNKNOWN or is_over(self._remaining)

    @property
    def spent(self) -> bool:
        """Whether every further answer is no."""
        return self.cases >= MAX_CASES * 3 // 2 or is_over(self._remaining)

    def holds(self, case: Case) -> bool:
        """Whether that is proven."""
        if self.spent:
            return False
        self.cases += 1
        request, facts = self._question(case)
        few = tuple(guest for guest in request.guests if guest.required and guest.vm in self._vms)
        # The guests of a conflict are few: where they have no place, nothing else need be asked.
        if 0 < len(few) < len(request.guests) and not self._solved(build_problem(replace(request, guests=few), facts)):
            return False
        return self._solved(build_problem(request, facts))

    def distance(self, case: Case, vms: Collection[str]) -> int:
        """What guests of `vms` add to the cross-node cost of the best plan that is found for a case that holds."""
        problem = self.problem(case)
        others = []
        for guests in problem.classes:
            members = tuple(guest for guest in guests.members if guest.vm not in vms)
            if members:
                others.append(replace(guests, members=members))
        without = replace(problem, classes=tuple(others))
        return max(0, _least_cost(problem, self._part()) - _least_cost(without, self._part()))

    def worth_least(self, case: Case, names: Collection[str]) -> frozenset[str]:
        """The guests of `names` that are left out where they may be, so that the others are worth most."""
        guests = tuple(
            replace(guest, required=guest.required and guest.name not in names) for guest in case.request.guests
        )
        problem = self.problem(replace(case, request=replace(case.request, guests=guests)))
        f = formulate(problem, coarse_units(problem), fine=False)
        worth = [max(unit.guest.priority, 1) if unit.guest.name in names else 0 for unit in f.units]
        goal = total(f.placed(u) * each for u, each in enumerate(worth))
        best = f.model.solve(goal, maximize=True, work=_COST_WORK, seconds=self._part()).solution
        placed = {name for u, unit in enumerate(f.units) if best for name in unit.names[: f.placed(u).value(best)]}
        return frozenset(names) - placed

    def problem(self, case: Case) -> Problem:
        """The case in counts."""
        return build_problem(*self._question(case))

    def _question(self, case: Case) -> tuple[Request, HostFacts]:
        request = case.request
        if not self._change_topology:
            request, _ = keep_guest_topology(request, case.snapshot)
        return request, host_facts(request, case.snapshot)

    def _part(self) -> float | None:
        """What one search may take of the time that is left, in seconds."""
        seconds = self._remaining()
        return None if seconds is None else max(seconds * _PART, 0.0)

    def _solved(self, problem: Problem) -> bool:
        outcome = feasible(problem, replace(_CASE, remaining=self._remaining))
        self.unknown += outcome is Outcome.UNKNOWN
        return outcome is Outcome.FEASIBLE


class _Search:
    """Goes through groups of levers and gathers what helps."""

    def __init__(self, case: Case, probe: _Probe) -> None:
        self.found: list[Proposal] = []
        self.of_group: dict[str, int] = {}
        self._case = case
        self._probe = probe

    def look_into(self, group: Group) -> None:
        """Adds what levers of a group make possible: one at a time, or else as few and as little of them as can be."""
        levers = group.levers
        if not levers or self._probe.tired:
            return
        even: Levels = {}
        if group.joint and len(levers) > 1 and not (even := self._evenly(levers)):
            return
        hits = self._singles(levers, even)
        if not hits and len(levers) > 1 and (even := even or self._alike(levers)):
            hits.append(self._fewest(levers, even))
        self._add(group, hits)

    def combine(self, document: Document, groups: Sequence[Group]) -> None:
        """Adds what several groups make possible together: as few groups as can be, and as little of each."""
        joined = [group for group in groups if group.joint and group.levers]
        if len(joined) < _A_FEW or self._probe.tired or not self._holds(*_all_of(joined)):
            return
        for group in sorted(joined, key=lambda group: -sum(lever.price(lever.most) for lever in group.levers)):
            without = [other for other in joined if other is not group]
            if self._holds(*_all_of(without)):
                joined = without
        levers, _ = _all_of(joined)
        if even := self._evenly(levers):
            self._add(Group("several", document, levers), [self._fewest(levers, even)])

    def leave_out(self, likely: Group, vms: Sequence[Sequence[GuestRequest]]) -> None:
        """Adds what may be left out: one of the `likely` vms each, or else of all `vms` what is worth least."""
        group, hits = likely, self._singles(likely.levers, {})
        if not hits:
            group = leaving_out(vms)
            gone = self._probe.worth_least(self._case, {guest.name for copies in vms for guest in copies})
            levels = {number: sum(guest.name in gone for guest in copies) for number, copies in enumerate(vms)}
            wholly = {number: level and len(vms[number]) for number, level in levels.items()}
            hits = [next((way for way in (levels, wholly) if self._holds(group.levers, way)), {})]
        self._add(group, [levels for levels in hits if levels])

    def _add(self, group: Group, hits: Sequence[Levels]) -> None:
        # What was cut short may be more than is needed.
        if not self._probe.spent:
            self.of_group[group.name] = len(hits)
            self.found += [self._proposal(group, levels) for levels in hits]

    def _singles(self, levers: Sequence[Lever], even: Levels) -> list[dict[int, int]]:
        """The cheapest levers that help alone, each as little as it can be; `even`: what `_evenly` says, if asked."""
        hits: list[dict[int, int]] = []
        # Below an even price not even all of them help: one that does at that price is the cheapest.
        while even and not self._probe.tired and (hit := self._one_of(levers, even)):
            hits.append(hit)
            if len(hits) == _MOST_OF_A_GROUP:
                return hits
            even = self._evenly(levers, without=hit)

        def price(hit: Levels) -> int:
            return sum(levers[number].price(level) for number, level in hit.items())

        for number, lever in enumerate(levers[:_MOST_SINGLES]):
            if self._probe.tired:
                break
            most = 0 if any(number in hit for hit in hits) else lever.most
            if len(hits) == _MOST_OF_A_GROUP:
                # Only what is cheaper than the dearer of those that are known is of use.
                most = min(most, _within_price(lever, price(hits[-1]) - 1))
            if most and (level := self._least(levers, {}, number, most)):
                hits = sorted([*hits, {number: level}], key=price)[:_MOST_OF_A_GROUP]
        return hits

    def _one_of(self, levers: Sequence[Lever], levels: Levels) -> dict[int, int]:
        """A lever that helps alone, as little of it as can be, of `levels` that help together; {}: there is none."""
        if len(levels) == 1:
            ((number, most),) = levels.items()
            return {number: level} if (level := self._least(levers, {}, number, most)) else {}
        half = len(levels) // 2
        for part in (dict(list(levels.items())[:half]), dict(list(levels.items())[half:])):
            if (len(part) == 1 or self._holds(levers, part)) and (hit := self._one_of(levers, part)):
                return hit
        return {}

    def _holds(self, levers: Sequence[Lever], levels: Levels) -> bool:
        return self._probe.holds(_pulled(self._case, levers, levels))

    def _least(self, levers: Sequence[Lever], others: Levels, number: int, most: int) -> int:
        """The least level of a lever, of `most`, that helps with `others` as they are; 0: none does."""
        if levers[number].nested and not self._holds(levers, {**others, number: most}):
            return 0
        return self._lowered(levers, others, number, most)

    def _lowered(self, levers: Sequence[Lever], others: Levels, number: int, most: int) -> int:
        """The same, where it is known that `most` helps if the lever is nested."""
        if not levers[number].nested:
            levels = range(1, min(most, _MOST_IN_TURN) + 1)
            return next((level for level in levels if self._holds(levers, {**others, number: level})), 0)
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            if self._holds(levers, {**others, number: middle}):
                high = middle
            else:
                low = middle
        return high

    def _fewest(self, levers: Sequence[Lever], enough: Levels) -> dict[int, int]:
        """Levels none of which can be lower with the others as they are; dear levers are given up first."""
        levels = dict(enough)

        def settle(numbers: Sequence[int], *, needed: bool) -> None:
            """`needed`: it is known that not all of these can be given up."""
            without = {number: level for number, level in levels.items() if number not in numbers}
            if not needed and self._holds(levers, without):
                levels.clear()
                levels.update(without)
            elif len(numbers) == 1:
                number = numbers[0]
                levels[number] = self._lowered(levers, without, number, levels[number]) or levels[number]
            else:
                half = len(numbers) // 2
                settle(numbers[:half], needed=False)
                settle(numbers[half:], needed=levels.keys().isdisjoint(numbers[:half]))

        settle(sorted(levels, key=lambda number: (-levers[number].price(levers[number].most), number)), needed=True)
        return levels

    def _evenly(self, levers: Sequence[Lever], without: Collection[int] = ()) -> dict[int, int]:
        """All levers but some up to one price, the least at which they help together; {}: at none they do."""
        numbers = [number for number in range(len(levers)) if number not in without]

        def up_to(price: int) -> dict[int, int]:
            levels = {number: _within_price(levers[number], price) for number in numbers}
            return {number: level for number, level in levels.items() if level}

        low, high = -1, max((levers[number].price(levers[number].most) for number in numbers), default=0)
        if not numbers or not self._holds(levers, up_to(high)):
            return {}
        while high - low > 1:
            middle = (low + high) // 2
            levels = up_to(middle)
            if self._holds(levers, levels):
                high = max((levers[number].price(level) for number, level in levels.items()), default=0)
            else:
                # Up to the next price nothing changes.
                levels = {number: levels.get(number, 0) for number in numbers}
                low = min(levers[n].price(level + 1) for n, level in levels.items() if level < levers[n].most) - 1
        return up_to(high)

    def _alike(self, levers: Sequence[Lever]) -> dict[int, int]:
        """All levers at one level, or as far as they go, that helps; {}: none does. It is doubled until one does."""
        most = max(lever.most for lever in levers)
        for doubled in range((most - 1).bit_length() + 1):
            levels = {number: min(1 << doubled, lever.most) for number, lever in enumerate(levers)}
            if self._holds(levers, levels):
                return levels
        return {}

    def _proposal(self, group: Group, levels: Levels) -> Proposal:
        case, pulled = self._case, []
        for number, level in sorted(levels.items()):
            if level:
                lever = _in(case, group.levers[number])
                case = lever.pull(case, level)
                pulled.append((lever, level))
        cost = sum(lever.price(level) for lever, level in pulled)
        if far := {lever.far for lever, _ in pulled if lever.far is not None}:
            cost += self._probe.distance(case, far)
        edits: Edits = tuple(dict.fromkeys(edit for lever, level in pulled for edit in lever.edits(case, level)))
        sentence = f"{told(lever.sentence(level) for lever, level in pulled)}: cost {cost}"
        return Proposal(sentence, cost, group.document, case.request, case.snapshot, edits)
