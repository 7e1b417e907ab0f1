"""The cheapest changes that make an impossible request possible, each proven by a search for a plan.

A change is a lever pulled as far as it must be. Where no single lever of a kind is enough, several of the kind may be
(or be cheaper than one), and where no kind is, several kinds (or where in vnf.yaml they are cheaper). Every case that
is named was searched, so the change is enough.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from numaplan.model.change import Proposal
from numaplan.model.plan import Document
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.clock import UNLIMITED, Remaining, is_over
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.placement.fixes.cheapest import Choice, cheapest
from numaplan.placement.fixes.guests import guest_groups
from numaplan.placement.fixes.hitting import Mix
from numaplan.placement.fixes.least import MOST_OF_A_GROUP, Least
from numaplan.placement.fixes.leaving import by_vm, leaving_out
from numaplan.placement.fixes.lever import (
    Case,
    Copies,
    Edits,
    Group,
    Levels,
    Lever,
    furthest,
    pulled,
    pulled_in_turn,
    told,
)
from numaplan.placement.fixes.mixed import Mixed
from numaplan.placement.fixes.policy import policy_groups
from numaplan.placement.fixes.probe import COST_WORK, Probe
from numaplan.placement.fixes.supply import supply_groups

_A_FEW: Final = 2
# So many cases are left for changes of several kinds, however many those of one kind took, while none helps.
_FOR_SEVERAL: Final = 45
# So often is asked whether CPUs of several nodes are cheaper than those of one.
_FOR_A_MIX: Final = 30
# And so often, whether other reserved CPUs are fewer than those of a node in turn, where these are few.
_FOR_FEWER: Final = 20
_FEW_STEPS: Final = 8
# Of so many vms all may be changed together, of more those of the conflict.
_FEW_VMS: Final = 20


@dataclass(frozen=True, slots=True)
class Proposals:
    """Changes that are enough, cheapest first. `complete`: no limit ended the search for more.

    `cheapest`: all choices of several changes in vnf.yaml were gone through that could cost less.
    """

    found: tuple[Proposal, ...]
    complete: bool
    cheapest: bool


def proposals(
    request: Request,
    snapshot: Snapshot,
    names: Collection[str],
    *,
    change_topology: bool,
    remaining: Remaining = UNLIMITED,
) -> Proposals:
    """Changes that make `request` possible; `names` are the guests of a conflict.

    `request` is as vnf.yaml has it: unless `change_topology`, guests are then kept to the cells that their XML has.
    Those that are not found while time is `remaining` are left out.
    """
    if is_over(remaining):
        return Proposals((), complete=False, cheapest=False)
    case = Case(request, snapshot)
    required = [guest for guest in request.guests if guest.required]
    named = [guest for guest in required if guest.name in names] or required
    probe = Probe(named, change_topology=change_topology, remaining=remaining)
    facts = host_facts(request, snapshot)
    search = _Search(case, probe)
    leaving = leaving_out(by_vm(named, request), request)
    if not search.all_hold([leaving]):
        # There is more than one conflict, and what helps must help them all: mostly they are those of single guests.
        stuck = probe.stuck(case)
        named = [guest for guest in required if guest.name in stuck or guest.name in names]
        probe.ask_first(named)
        leaving = leaving_out(by_vm(named, request), request)
        if not stuck or not search.all_hold([leaving]):
            named = required
            leaving = leaving_out(by_vm(named, request), request)
    vms, everyone = by_vm(named, request), by_vm(required, request)
    supply = supply_groups(_required(vms), request.guests, facts)
    words = _words(vms, request, facts)
    search.leave_out(vms, everyone)
    for group in (*supply, *words):
        search.look_into(group)
    # What does not help alone may do so beside something else.
    mixed = search.mixed(everyone, _words(everyone, request, facts) if len(everyone) <= _FEW_VMS else words)
    mix = search.mix(mixed)
    search.combine(supply)
    search.mix_cheaper(mixed, mix)
    found = sorted(search.found, key=lambda proposal: (proposal.cost, proposal.sentence))
    return Proposals(tuple(found), complete=not probe.cut_short, cheapest=not mixed.was_cut)


def _required(vms: Sequence[Copies]) -> list[GuestRequest]:
    """What helps one copy of a vm must help all that are required."""
    return [guest for guests in vms for guest in guests if guest.required]


def _words(vms: Sequence[Copies], request: Request, facts: HostFacts) -> list[Group]:
    """What can be changed in vnf.yaml for some vms."""
    vm_of = {guest.name: guest.vm for guest in request.guests}
    return [*guest_groups(vms, facts, vm_of), *policy_groups(_required(vms), facts)]


def is_possible(
    request: Request, snapshot: Snapshot, *, change_topology: bool, remaining: Remaining = UNLIMITED
) -> bool:
    """Whether it is proven that all required guests have a place, while time is `remaining`."""
    return Probe([], change_topology=change_topology, remaining=remaining).holds(Case(request, snapshot))


def _all_of(groups: Sequence[Group]) -> tuple[tuple[Lever, ...], dict[int, int]]:
    """The levers of all groups, and all of them pulled as far as they go."""
    levers = tuple(lever for group in groups for lever in group.finest)
    return levers, furthest(levers)


def _lowered(least: Least, choice: Choice) -> dict[int, int]:
    """A choice that holds, none of it more than is needed."""
    return least.trimmed(choice.levels) if choice.proven else least.leanest(choice.levels)


class _Search:
    """Goes through groups of levers and gathers what helps."""

    def __init__(self, case: Case, probe: Probe) -> None:
        self.found: list[Proposal] = []
        self._left_out: list[Proposal] = []
        self._case = case
        self._probe = probe

    def look_into(self, group: Group) -> None:
        """Adds what levers of a group make possible: one at a time, several where these are needed or cheaper."""
        if not group.levers or self._probe.tired:
            return
        least = self._least(group.levers)
        even = least.evenly() if len(group.levers) > 1 else {}
        if group.joint and len(group.levers) > 1 and not even:
            return
        if any(lever.far is not None for lever in group.levers):
            hits = least.each(even if group.joint else {})
        else:
            hits = least.singles(even, joint=group.joint)
        if group.parts:
            self._add(replace(group, levers=group.parts), self._in_parts(group, hits, even))
            return
        if len(group.levers) > 1 and (several := self._several(group, least, hits, even)):
            hits = [several, *hits]
        self._add(group, hits)

    def _in_parts(self, group: Group, hits: Sequence[Levels], even: Levels) -> list[dict[int, int]]:
        """The cheapest of what is enough in parts: of each lever that helps alone, and of all of them up to a price."""
        least = self._least(group.parts)
        found = [least.leanest(group.in_parts(hit)) for hit in hits]
        if not found:
            found = [least.fewest(group.in_parts(even), order=range(len(group.parts)))] if even else []
            return [self._in_fewer_steps(group, sum(levels.values())) or levels for levels in found]
        if fewer := self._in_fewer_steps(group, min(sum(levels.values()) for levels in found)):
            found.append(fewer)
        # Two steps on two levers are no cheaper than two on one, nor are less than all have who then do not help.
        least_steps = min(sum(levels.values()) for levels in found)
        if even and least_steps > max(_A_FEW, *even.values()):
            brief = Least(self._case, self._probe, group.parts, cases=_FOR_A_MIX)
            mixed = brief.fewest(group.in_parts(even), order=range(len(group.parts)))
            if not brief.spent and mixed not in found:
                found.append(mixed)
        return sorted(found, key=least.price)[:MOST_OF_A_GROUP]

    def _in_fewer_steps(self, group: Group, steps: int) -> dict[int, int]:
        """What is enough in parts and takes fewer steps than these, one by one; {}: nothing is known."""
        brief = Least(self._case, self._probe, group.parts, cases=_FOR_FEWER)
        found: dict[int, int] = {}
        while 1 < steps <= _FEW_STEPS:
            ways = islice(group.ways(steps - 1), _FOR_FEWER)
            way = next((levels for levels in ways if brief.holds(levels)), None)
            if way is None:
                break
            found = self._least(group.parts).leanest(way)
            steps = sum(found.values())
        return found

    def _several(self, group: Group, least: Least, hits: Sequence[Levels], even: Levels) -> dict[int, int]:
        """Several levers that are cheaper together than each that helps alone, if any does; {}: none are known."""
        best = self._cheapest(group.levers)
        price = least.price(best.levels)
        if len(best.levels) > 1 and all(price < least.price(hit) for hit in hits) and least.holds(best.levels):
            return _lowered(least, best)
        even = even or ({} if hits else least.alike())
        return least.fewest(even, harmless=group.joint) if even and not hits else {}

    def _cheapest(self, levers: Sequence[Lever]) -> Choice:
        """The cheapest levels of levers that do nothing but add to the host; none: some do else, or none was found."""
        increments = [lever.adds for lever in levers if lever.adds is not None]
        if self._probe.tired or len(increments) < len(levers):
            return Choice({}, proven=False)
        problem = self._probe.problem(pulled(self._case, levers, furthest(levers)))
        most = [lever.most for lever in levers]
        return cheapest(problem, increments, most, work=COST_WORK, seconds=self._probe.part())

    def _least(self, levers: Sequence[Lever]) -> Least:
        return Least(self._case, self._probe, levers)

    def combine(self, groups: Sequence[Group]) -> None:
        """Adds what several groups make possible on the host together: as few groups as can be, as little of each."""
        self._allow_for_several()
        known = any(each.document is Document.INVENTORY for each in self.found)
        joined = [] if known else self._together(groups)
        if len(joined) < _A_FEW:
            return
        for group in sorted(joined, key=lambda group: -sum(lever.price(lever.most) for lever in group.levers)):
            without = [other for other in joined if other is not group]
            if self.all_hold(without):
                joined = without
        levers, _ = _all_of(joined)
        least = self._least(levers)
        best = self._cheapest(levers)
        if best.levels and least.holds(best.levels):
            levels = _lowered(least, best)
        elif even := least.evenly():
            levels = least.fewest(even, harmless=all(group.joint for group in joined))
        else:
            return
        self._add(Group("several", Document.INVENTORY, levers), [levels])

    def _together(self, groups: Sequence[Group]) -> list[Group]:
        """Groups all of which help together: those of which no lever does harm, or else all; []: they do not."""
        every = [group for group in groups if group.levers]
        harmless = [group for group in every if group.joint]
        for some in (harmless, every):
            if some and not self._probe.tired and self.all_hold(some):
                return some
        return []

    def all_hold(self, groups: Sequence[Group]) -> bool:
        """Whether all levers of some groups help together."""
        levers, levels = _all_of(groups)
        return self._least(levers).holds(levels)

    def _allow_for_several(self) -> None:
        """Leaves cases for several kinds of changes while nothing is known to help, but to leave guests out."""
        self._probe.allow(_FOR_SEVERAL if len(self.found) == len(self._left_out) else 0)

    def leave_out(self, likely: Sequence[Copies], vms: Sequence[Copies]) -> None:
        """Adds what may be left out: one of the `likely` vms each, or of all `vms` what is worth least if cheaper."""
        group = leaving_out(vms, self._case.request)
        numbers = {copies[0].vm: number for number, copies in enumerate(vms)}
        least, of = self._least(group.levers), [numbers[copies[0].vm] for copies in likely]
        singles = self._least([group.levers[number] for number in of]).singles({})
        hits = [{of[number]: level for number, level in hit.items()} for hit in singles]
        # Of two vms no less can be left out than that.
        two = sum(sorted(lever.price(1) for lever in group.levers)[:_A_FEW])
        known = least.price(hits[0]) if hits else None
        if known is None or (known > two and not self._probe.tired):
            ways = [way for way, _ in self._worth_least(self._case, vms)]
            ways = [way for way in ways if known is None or least.price(way) < known]
            way = next((way for way in ways if least.holds(way)), {})
            hits.append(least.fewest(way) if hits else way)
        self._add(group, [levels for levels in hits if levels])
        self._left_out = list(self.found)

    def _worth_least(self, case: Case, vms: Sequence[Copies]) -> tuple[tuple[dict[int, int], bool], ...]:
        """How many copies of each vm to leave out so that what is left is worth most; and the same of whole vms.

        Each with whether none of them could be fewer.
        """
        gone, proven = self._probe.worth_least(case, {guest.name for copies in vms for guest in copies})
        counts = (sum(guest.name in gone for guest in copies) for copies in vms)
        levels = {number: count for number, count in enumerate(counts) if count}
        return (levels, proven), ({number: len(vms[number]) for number in levels}, False)

    def mixed(self, vms: Sequence[Copies], words: Sequence[Group]) -> Mixed:
        """Mixes of these words, and of what leaves some of the vms out."""
        leaving = leaving_out(vms, self._case.request).levers
        return Mixed(self._case, self._probe, leaving, words, lambda case: self._worth_least(case, vms))

    def mix(self, mixed: Mixed) -> Mix | None:
        """Changes of several kinds in vnf.yaml that leave nobody out, and may cost less than those of one kind."""
        self._allow_for_several()
        if self._probe.tired:
            return None
        known = self._known(self._staying)
        if known is None:
            return mixed.leaving_nobody_out(None)
        with self._probe.beside():
            return mixed.leaving_nobody_out(known)

    def mix_cheaper(self, mixed: Mixed, mix: Mix | None) -> None:
        """Adds that mix as cheap as it can be made, and what leaves somebody out too, if that costs less."""
        if mix is not None:
            known = self._known(self._staying)
            below = mix.cost + 1 if known is None else known
            self._add_mix(mixed, mix if self._probe.tired else mixed.cheapest(mix, below, may_leave_out=False), below)
        self._allow_for_several()
        known = self._known(self.found)
        if known is None or not self._left_out or self._probe.tired:
            return
        with self._probe.beside():
            fewer = mixed.leaving_fewest_out(known)
        self._add_mix(mixed, mixed.cheapest(fewer, known, may_leave_out=True), known)

    @property
    def _staying(self) -> list[Proposal]:
        """What was found that leaves nobody out."""
        return [each for each in self.found if each not in self._left_out]

    def _known(self, found: Sequence[Proposal]) -> int | None:
        """What the cheapest change in vnf.yaml costs that was found."""
        return min((each.cost for each in found if each.document is Document.VNF), default=None)

    def _add_mix(self, mixed: Mixed, mix: Mix | None, below: int) -> None:
        if mix is not None and mix.cost < below:
            self.found.append(self._proposal(Group("several", Document.VNF, mixed.levers), mix.levels, mix.cost))

    def _add(self, group: Group, hits: Sequence[Levels]) -> None:
        # What was cut short may be more than is needed.
        if not self._probe.spent:
            costs = [self._probe.cost(self._case, group.levers, levels) for levels in hits]
            found = [self._proposal(group, levels, cost) for levels, cost in zip(hits, costs, strict=True)]
            self.found += sorted(found, key=lambda proposal: proposal.cost)[:MOST_OF_A_GROUP]

    def _proposal(self, group: Group, levels: Levels, cost: int) -> Proposal:
        case, used = pulled_in_turn(self._case, group.levers, levels)
        edits: Edits = tuple(dict.fromkeys(edit for lever, level in used for edit in lever.edits(case, level)))
        sentence = f"{told(lever.sentence(level) for lever, level in used)}: cost {cost}"
        return Proposal(sentence, cost, group.document, case.request, case.snapshot, edits)
