"""What is cheapest to add to a host so that all required guests have a place: how much of what on which node or PF.

The model is that of the host with all there could be of everything, where what is used of it is paid for.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd
from typing import NamedTuple

from numaplan.model.host import NodeId
from numaplan.placement.constraints import formulate, memory_uses, use_at_most
from numaplan.placement.cpsat import ZERO, Linear, Outcome, total
from numaplan.placement.device_constraints import uses_by_kind
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.fixes import lever as price
from numaplan.placement.fixes.lever import Increment
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.problem import Problem
from numaplan.units import GIB_KIB

# Each addition with how much of it there is to be.
Added = Sequence[tuple[Increment, Linear]]


class Choice(NamedTuple):
    """How much of each addition, by its number; `proven`: none is cheaper."""

    levels: dict[int, int]
    proven: bool


def cheapest(
    problem: Problem, increments: Sequence[Increment], most: Sequence[int], *, work: float, seconds: float | None
) -> Choice:
    """How much of each addition, where `problem` has the `most` of all; as few of them as can be for that price.

    What the search ended with is mostly the cheapest even where that is not proven. No levels: it found nothing.
    """
    f = formulate(problem, coarse_units(problem), fine=False)
    levels = [f.model.integer(0, limit) for limit in most]
    opened = [f.model.boolean() for _ in most]
    for level, is_open, limit in zip(levels, opened, most, strict=True):
        f.model.at_most(level - is_open * limit, 0)
    added = list(zip(increments, levels, strict=True))
    _pay_for_memory(f, added, most)
    _pay_for_vfs(f, added)
    goal = _price(f, added, most) * (len(most) + 1) + total(opened)
    solved = f.model.solve(goal, maximize=False, work=work, seconds=seconds)
    values = enumerate(level.value(solved.solution) for level in levels if solved.solution)
    return Choice({number: value for number, value in values if value}, solved.outcome is Outcome.OPTIMAL)


def _pay_for_memory(f: Formulation, added: Added, most: Sequence[int]) -> None:
    """No more memory is used than was there before, and what is added."""
    uses = memory_uses(f)
    for (addition, level), limit in zip(added, most, strict=True):
        place = None if addition.node is None else (addition.node, addition.size_kib)
        if place is not None and (parts := uses.get(place)):
            unit = reduce(gcd, (kib for _, kib in parts), addition.each_kib)
            used = total(count * (kib // unit) for count, kib in parts)
            before = f.problem.facts.capacity_kib.get(place, 0) - limit * addition.each_kib
            use_at_most(f, used, before // unit, level * (addition.each_kib // unit))


def _pay_for_vfs(f: Formulation, added: Added) -> None:
    uses = uses_by_kind(f)
    for addition, level in added:
        new = frozenset(addition.vfs)
        for i, kind in enumerate(f.problem.device_kinds):
            if not new.isdisjoint(kind.members):
                before = sum(member not in new for member in kind.members)
                f.model.at_most(total(uses[i]) - level, before)


def _price(f: Formulation, added: Added, most: Sequence[int]) -> Linear:
    """docs/why-not.md has the prices. Pages of all sizes on a node are made of the same spare memory."""
    paid = ZERO
    huge: dict[NodeId, list[tuple[Linear, int]]] = defaultdict(list)
    spare: Mapping[NodeId, int] = {a.node: a.spare_kib for a, _ in added if a.node is not None}
    for (addition, level), limit in zip(added, most, strict=True):
        if addition.node is None:
            paid += level * price.VF
        elif addition.size_kib == SMALL_PAGE_KIB:
            paid += _gib(f, [(level, addition.each_kib)], limit * addition.each_kib) * price.MEMORY_GIB
        else:
            paid += _gib(f, [(level, addition.each_kib)], limit * addition.each_kib) * price.PAGES_GIB
            huge[addition.node].append((level, addition.each_kib))
    for node, parts in huge.items():
        largest = sum(f.model.upper(level) * each for level, each in parts)
        paid += _gib(f, parts, largest, free_kib=spare[node]) * price.MEMORY_GIB
    return paid


def _gib(f: Formulation, parts: Sequence[tuple[Linear, int]], largest_kib: int, *, free_kib: int = 0) -> Linear:
    """The GiB that are begun by these amounts, each so many KiB, beyond what is free."""
    gib = f.model.integer(0, price.begun(largest_kib, GIB_KIB))
    f.model.at_most(total(level * each for level, each in parts) - gib * GIB_KIB, free_kib)
    return gib
