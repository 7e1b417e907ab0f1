"""The cheapest change of vnf.yaml by trying all there are: every choice of levels of all levers, the cheapest first.

Left out is only what cannot be enough: less of what does no harm than was not enough before.
"""

from collections.abc import Iterator
from itertools import product

from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.fixes.guests import guest_groups
from numaplan.placement.fixes.leaving import by_vm, leaving_out
from numaplan.placement.fixes.lever import Case, pulled, pulled_in_turn, told
from numaplan.placement.fixes.policy import policy_groups
from numaplan.placement.fixes.probe import Probe
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, feasible

Choice = tuple[int, ...]


class EveryChange:
    """All changes of a request, each a level of each lever that fixes know."""

    def __init__(self, request: Request, snapshot: Snapshot) -> None:
        self._case = Case(request, snapshot)
        facts = host_facts(request, snapshot)
        required = [guest for guest in request.guests if guest.required]
        vms, vm_of = by_vm(required, request), {guest.name: guest.vm for guest in request.guests}
        wanted = [guest for copies in vms for guest in copies if guest.required]
        groups = [leaving_out(vms, request), *guest_groups(vms, facts, vm_of), *policy_groups(wanted, facts)]
        self.levers = tuple(lever for group in groups for lever in group.finest)
        self._joint = [group.joint for group in groups for _ in group.finest]
        self._short: list[Choice] = []
        self._probe = Probe([], change_topology=False, remaining=lambda: None)

    def choices(self, below: int) -> int:
        """How many choices may cost less than that, at most."""
        count = 1
        for lever in self.levers:
            count *= 1 + lever.within_cost(below - 1)
        return count

    def cheaper(self, below: int) -> str | None:
        """The cheapest change that costs less, as a fix would tell it; None: there is none."""
        best = None
        for least, choice in sorted(self._all(below)):
            if least >= below:
                break
            if not self._is_short(choice) and self._holds(choice):
                levels = dict(enumerate(choice))
                cost = self._probe.cost(self._case, self.levers, levels)
                if cost < below:
                    _, used = pulled_in_turn(self._case, self.levers, levels)
                    below, best = cost, f"{told(lever.sentence(level) for lever, level in used)}: cost {cost}"
        return best

    def _all(self, below: int) -> Iterator[tuple[int, Choice]]:
        levels = [range(lever.within_cost(below - 1) + 1) for lever in self.levers]
        for choice in product(*levels):
            least = sum(lever.least_cost(level) for lever, level in zip(self.levers, choice, strict=True) if level)
            if least < below:
                yield least, choice

    def _holds(self, choice: Choice) -> bool:
        if self._is_enough(choice):
            return True
        # So that less of it need not be asked.
        for number, lever in enumerate(self.levers):
            more = (*choice[:number], lever.most, *choice[number + 1 :])
            if self._joint[number] and not self._is_enough(more):
                choice = more
        self._short.append(choice)
        return False

    def _is_enough(self, choice: Choice) -> bool:
        case = pulled(self._case, self.levers, dict(enumerate(choice)))
        problem = build_problem(case.request, host_facts(case.request, case.snapshot))
        required = {guest.name for guests in problem.classes for guest in guests.members if guest.required}
        return feasible(problem.only(required), Budget()) is Outcome.FEASIBLE

    def _is_short(self, choice: Choice) -> bool:
        return any(
            all(
                level == most or (joint and (most == lever.most or (lever.nested and level < most)))
                for level, most, joint, lever in zip(choice, short, self._joint, self.levers, strict=True)
            )
            for short in self._short
        )
