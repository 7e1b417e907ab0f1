"""Whether so many copies find a place on a host, and what of it they take then."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.capacity.model import (
    CopiesProblem,
    WaysTaken,
    formulate_copies,
    hint_of,
    lies_so,
)
from numaplan.placement.capacity.most import PATIENCE
from numaplan.placement.conflict.judge import Judge
from numaplan.placement.cpsat import ZERO, Outcome, total
from numaplan.placement.facts import SMALL_PAGE_KIB, Place
from numaplan.placement.formulation import Formulation, memory_key
from numaplan.placement.levels import MANY_NODES, Budget
from numaplan.placement.lies import completed
from numaplan.placement.nearby import Neighbour, more_placed
from numaplan.placement.problem import Option

# CP-SAT's deterministic time of one search. A proof for one copy more is easy or hopeless.
WORK: Final = 1.0
# The part of it where there are other ways to look for a place after that.
_PART: Final = 0.5

# Where room is to be had around some nodes, it is soon found there or hardly ever.
_STALE: Final = 20


@dataclass(frozen=True, slots=True)
class Room:
    """Whether copies find a place: OPTIMAL where they do, INFEASIBLE, or UNKNOWN; and the ways that they go then.

    `memory_kib` is the most that one of them takes of each node and page size; None: only the ways are known.
    """

    outcome: Outcome
    ways: frozenset[tuple[NodeId, ...]] = frozenset()
    memory_kib: Mapping[Place, int] | None = None


NOT_SETTLED: Final = Room(Outcome.UNKNOWN)


def find_room(
    asked: CopiesProblem, count: int, *, start: WaysTaken, around: frozenset[NodeId], node: NodeId | None = None
) -> Room:
    """Whether `count` copies find a place, one of them on `node`.

    The search starts at `start`, and looks first `around` the nodes that may have room.
    """
    if asked.exceeds(count):
        return Room(Outcome.INFEASIBLE)
    f, placed = formulate_copies(asked, count)
    if node is not None:
        f.model.at_least(total(f.uses(u, node) for u, unit in enumerate(f.units) if unit.number == asked.number), 1)
    hint = hint_of(f, start)
    many = len(asked.problem.facts.nodes) >= MANY_NODES
    if many and (solution := completed(f, placed, hint)):
        solution = more_placed(f, placed, count, solution, stale=_STALE, around=around)
        if placed.value(solution) == count:
            return _room(asked, f, solution)
    if many and asked.is_simple:
        return _judged(asked, count, start, node)
    f.model.at_least(placed, count)
    work = WORK * (_PART if asked.is_simple else 1)
    result = f.model.solve(ZERO, maximize=False, work=work, hint=hint)
    if result.outcome is Outcome.UNKNOWN and asked.is_simple:
        return _judged(asked, count, start, node)
    if result.outcome is Outcome.INFEASIBLE and asked.problem.truncated:
        return NOT_SETTLED
    return _room(asked, f, result.solution) if result.solution else Room(result.outcome)


def _judged(asked: CopiesProblem, count: int, start: WaysTaken, node: NodeId | None) -> Room:
    """Whether they find a place, where copies are neither linked nor told apart."""
    problem = asked.required(count, on=node)
    known = Neighbour(Budget(), lies_so(problem, start))
    answer = Judge(PATIENCE, known=known).can(problem)
    if not answer:
        return Room(Outcome.UNKNOWN if answer is None else Outcome.INFEASIBLE)
    copies = [guests for guests in problem.classes if guests.request.vm == asked.copies.vm]
    names = [guest.name for guests in copies for guest in guests.members]
    return Room(Outcome.OPTIMAL, frozenset(known.lies[name] for name in names))


def _room(asked: CopiesProblem, f: Formulation, solution: Sequence[int]) -> Room:
    """What the copies of a solution take."""
    taken = [
        option
        for u, unit in enumerate(f.units)
        if unit.number == asked.number
        for option, count in f.options(u)
        if count.value(solution)
    ]
    memory_kib: dict[Place, int] = {}
    for option in taken:
        for place, kib in _memory_kib(asked, f, option, solution).items():
            memory_kib[place] = max(kib, memory_kib.get(place, 0))
    return Room(Outcome.OPTIMAL, frozenset(option.nodes for option in taken), memory_kib)


def _memory_kib(asked: CopiesProblem, f: Formulation, option: Option, solution: Sequence[int]) -> dict[Place, int]:
    """The most that a copy takes of each node and page size that goes this way; equal cells may change places."""
    cells = Counter(memory_key(f.problem, cell, option, k) for k, cell in enumerate(asked.guests.cells))
    # QEMU is there once, however many cells a guest has on the node.
    overhead = asked.problem.facts.policy.guest_overhead_kib
    kib = Counter({(node, SMALL_PAGE_KIB): overhead for node in option.nodes})
    for key, count in cells.items():
        for place, flow in f.memory_flows[key].items():
            kib[place] += min(count, flow.value(solution)) * key.memory_kib
    return kib
