"""As many copies of a vm as find a place beside the other required guests."""

from typing import Final

from numaplan.placement.capacity.model import CopiesProblem, formulate_copies
from numaplan.placement.cpsat import ZERO, Linear, Outcome, Solved
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import MANY_NODES, sharpened
from numaplan.placement.nearby import completed, more_placed
from numaplan.placement.start import starts

# CP-SAT's deterministic time; about ten seconds on a quiet machine.
_WORK: Final = 10.0
# That to place as many as counting allows.
_FIRST_WORK: Final = 0.3
# On many nodes, to prove soon that there are fewer.
_DOUBT_WORK: Final = 0.16
# After so many vain searches for more near a solution the whole model is asked, and after that has failed.
_BRIEF: Final = 12
_LONG: Final = 60


def most_copies(asked: CopiesProblem, most: int) -> tuple[Formulation, Linear, Solved]:
    """The model with up to `most` copies, how many are placed, and a solution with as many as can be, if there is one.

    No more than `most` have a place, as is known already.
    """
    f, placed = formulate_copies(asked, most)
    first = next(iter(starts(f)), {})
    if len(asked.problem.facts.nodes) < MANY_NODES:
        all_placed = f.model.copy()
        all_placed.at_least(placed, most)
        found = all_placed.solve(ZERO, maximize=False, work=_FIRST_WORK, hint=first)
        return f, placed, found if found.solution else f.model.solve(placed, maximize=True, work=_WORK)
    known = Solved(Outcome.UNKNOWN, completed(f, placed, first), most, 0.0)
    for stale, work in ((_BRIEF, _DOUBT_WORK), (_LONG, _WORK)):
        solution = known.solution and more_placed(f, placed, known.bound, known.solution, stale=stale)
        if solution and placed.value(solution) == known.bound:
            return f, placed, Solved(Outcome.OPTIMAL, solution, known.bound, 0.0)
        result = f.model.solve(placed, maximize=True, work=work)
        if result.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE):
            return f, placed, result
        known = sharpened(result, Solved(Outcome.FEASIBLE, solution, known.bound, 0.0), placed, maximize=True)
    return f, placed, known
