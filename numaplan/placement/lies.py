"""Where guests lie in a solution of a coarse model, and solutions in which they lie so."""

from collections.abc import Mapping, Sequence
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.cpsat import Linear
from numaplan.placement.formulation import Formulation

# On which nodes the cells of guests lie, by the guests' names.
Lies = Mapping[str, tuple[NodeId, ...]]

# CP-SAT's deterministic time to complete what is known of a solution.
_START_WORK: Final = 0.3


def lies_in(f: Formulation, solution: Sequence[int]) -> Lies:
    """Where those lie that have a place in a solution of a coarse model, equal guests in the order of the request."""
    found: dict[str, tuple[NodeId, ...]] = {}
    for u, unit in enumerate(f.units):
        ways = [option.nodes for option, count in f.options(u) for _ in range(count.value(solution))]
        found.update(zip(unit.names, ways, strict=False))
    return found


def as_they_lie(f: Formulation, known: Lies) -> dict[int, int]:
    """How many guests go each way if all that can lie as in `known`, the others none."""
    start = {var: 0 for ways in f.choice for count in ways.values() for var, _ in count.terms}
    for u, unit in enumerate(f.units):
        ways = {option.nodes: count.terms[0][0] for option, count in f.options(u)}
        for name in unit.names:
            if name in known and known[name] in ways:
                start[ways[known[name]]] += 1
    return start


def completed(
    f: Formulation, placed: Linear, start: Mapping[int, int], *, hint: Mapping[int, int] | None = None
) -> tuple[int, ...]:
    """A solution in which no more guests go each way than in `start`, as many `placed` as can be; () if not soon found.

    The search begins at `hint`, or at `start` itself. That may be wrong, as a greedy plan may be.
    """
    within = f.model.copy()
    for var, count in start.items():
        within.at_most(Linear(((var, 1),)), count)
    return within.solve(placed, maximize=True, work=_START_WORK, hint=start if hint is None else hint).solution
