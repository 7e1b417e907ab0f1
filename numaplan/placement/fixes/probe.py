"""Asks of one case after the other whether it has a plan, and what that costs, within bounds."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from numaplan.model.request import GuestRequest, Request
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.clock import Remaining, is_over
from numaplan.placement.conflict.explain import reasons_alone
from numaplan.placement.conflict.judge import Judge, Patience
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Outcome, total
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.placement.first import greedy_plan, part_of_greedy_plan
from numaplan.placement.fixes.distance import added_cost
from numaplan.placement.fixes.lever import Case, Levels, Lever, pulled_in_turn
from numaplan.placement.formulation import coarse_units
from numaplan.placement.options import build_problem
from numaplan.placement.problem import Problem
from numaplan.placement.search import Budget

# No other change is looked for after so many cases were tried, or as many as were allowed since, or so many were
# neither solved nor refuted; one that was begun may take half of the first again, and is given up then. One of
# thousands of guests counts as several.
MAX_CASES: Final = 90
_GUESTS: Final = 500
MAX_UNKNOWN: Final = 6
# A case that is hard to decide is no fix worth telling.
_CASE: Final = Patience(Budget(scale=0.05), few=10, many=15)
# CP-SAT's deterministic time for the cost of a plan; a cost that is not the best is still true.
COST_WORK: Final = 0.5

# The part of what is left of a wall-clock limit that the search for a cost may take.
_PART: Final = 0.2


class Probe:
    """Says of a case whether all required guests have a place, and counts how often it was asked."""

    def __init__(self, named: Sequence[GuestRequest], *, change_topology: bool, remaining: Remaining) -> None:
        self.cases = 0
        self.unknown = 0
        self._most = MAX_CASES
        self._was_tired = False
        self.ask_first(named)
        self._change_topology = change_topology
        self._remaining = remaining
        self._judge = Judge(_CASE, remaining)
        self._of_few = False

    def ask_first(self, named: Sequence[GuestRequest]) -> None:
        """Where the vms of these guests have no place by themselves, nothing else is asked."""
        self._vms = {guest.vm for guest in named}

    @property
    def tired(self) -> bool:
        """Whether nothing else should be begun."""
        return self.cases >= self._most or self.unknown >= MAX_UNKNOWN or is_over(self._remaining)

    @property
    def spent(self) -> bool:
        """Whether every further answer is no."""
        return self.cases >= self._most + MAX_CASES // 2 or is_over(self._remaining)

    @property
    def cut_short(self) -> bool:
        """Whether something may not have been begun, or looked into to its end."""
        return self._was_tired or self.tired

    def allow(self, cases: int) -> None:
        """Lets so many more cases be tried at least before nothing else is begun."""
        self._was_tired |= self.tired
        self._most = max(MAX_CASES, self.cases + cases)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Cases that are tried only to better what is known are counted apart from the others."""
        before = self.cases, self.unknown
        self.cases = 0
        try:
            yield
        finally:
            self._was_tired |= self.spent
            self.cases, self.unknown = before

    def holds(self, case: Case) -> bool:
        """Whether that is proven."""
        if self.spent:
            return False
        self.cases += 1
        request, facts = self._question(case)
        few = self._few(request)
        # The guests of a conflict are mostly few: where they have no place, nothing else need be asked.
        if few and not self._solved(build_problem(replace(request, guests=few), facts)):
            return False
        if few and self._of_few:
            return True
        self.cases += len(request.guests) // _GUESTS
        return self._solved(build_problem(request, facts))

    @contextmanager
    def of_few(self, case: Case) -> Iterator[bool]:
        """Asks of the guests of the conflict alone, if these are few: what is too little for them is so for all.

        Gives whether that makes a difference.
        """
        before = self._of_few
        self._of_few = before or bool(self._few(case.request))
        try:
            yield self._of_few and not before
        finally:
            self._of_few = before

    def _few(self, request: Request) -> tuple[GuestRequest, ...]:
        """The guests of the conflict; () where they are most of the request."""
        few = tuple(guest for guest in request.guests if guest.required and guest.vm in self._vms)
        return few if len(few) <= len(request.guests) // 2 else ()

    def stuck(self, case: Case) -> frozenset[str]:
        """The required guests that have no place even alone, whose every fix has to help them."""
        self.cases += 1
        request, facts = self._question(case)
        alone = reasons_alone(request, build_problem(request, facts))
        return frozenset(guest.name for guest in request.guests if guest.required and alone[guest.name] is not None)

    def homeless(self, case: Case) -> frozenset[str]:
        """The vms of which a required guest has no way at all to lie on the nodes."""
        self.cases += 1 + len(case.request.guests) // _GUESTS
        classes = (guests for guests in self.problem(case).classes if not guests.options)
        return frozenset(guest.vm for guests in classes for guest in guests.members if guest.required)

    def cost(self, case: Case, levers: Sequence[Lever], levels: Levels) -> int:
        """What levels that are enough cost: also what distance adds to the best plan that is found."""
        case, used = pulled_in_turn(case, levers, levels)
        cost = sum(lever.price(level) for lever, level in used)
        if far := {lever.far for lever, _ in used if lever.far is not None}:
            cost += added_cost(self.problem(case), far, work=COST_WORK, seconds=self.part)
        return cost

    def worth_least(self, case: Case, names: Collection[str]) -> tuple[frozenset[str], bool]:
        """The guests of `names` that are left out where they may be, so that the others are worth most.

        And whether it is proven that they cannot be worth more.
        """
        self.cases += 1 + len(case.request.guests) // _GUESTS
        guests = tuple(
            replace(guest, required=guest.required and guest.name not in names) for guest in case.request.guests
        )
        problem = self.problem(replace(case, request=replace(case.request, guests=guests)))
        f = formulate(problem, coarse_units(problem), fine=False)
        worth = [max(unit.guest.priority, 1) if unit.guest.name in names else 0 for unit in f.units]
        goal = total(f.placed(u) * each for u, each in enumerate(worth))
        found = f.model.solve(goal, maximize=True, work=COST_WORK, seconds=self.part())
        best = found.solution
        if found.outcome is not Outcome.OPTIMAL:
            # Of thousands of guests a search alone places hardly any.
            greedy = greedy_plan(f, ZERO, self._remaining) or part_of_greedy_plan(f, goal, self._remaining)
            best = max(filter(None, (best, greedy)), key=goal.value, default=())
        placed = {name for u, unit in enumerate(f.units) if best for name in unit.names[: f.placed(u).value(best)]}
        return frozenset(names) - placed, found.outcome is Outcome.OPTIMAL

    def problem(self, case: Case) -> Problem:
        """The case in counts."""
        return build_problem(*self._question(case))

    def _question(self, case: Case) -> tuple[Request, HostFacts]:
        request = case.request
        if not self._change_topology:
            request, _ = keep_guest_topology(request, case.snapshot)
        return request, host_facts(request, case.snapshot)

    def part(self) -> float | None:
        """What one search may take of the time that is left, in seconds."""
        seconds = self._remaining()
        return None if seconds is None else max(seconds * _PART, 0.0)

    def _solved(self, problem: Problem) -> bool:
        # Who may be left out stands in nobody's way.
        required = {guest.name for guests in problem.classes for guest in guests.members if guest.required}
        answer = self._judge.can(problem.only(required))
        self.unknown += answer is None
        return answer is True
