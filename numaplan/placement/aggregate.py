"""A small model of the sums over what a model does not tell apart: what it proves holds for the model itself.

On a host with many like nodes most variables differ by the name of a node alone. Those of a kind are summed up to one,
and so are the constraints on them. The sums of any solution satisfy the summed constraints, so no solution is better
than the best of these. What is alike is found by colour refinement, as in Grohe, Kersting, Mladenov and Selman,
"Dimension Reduction via Colour Refinement" (ESA 2014): there for linear programs, while these sums stay integers.

A sum forgets that no node takes part of a guest. So what each single constraint is when rounded, a cut of Chvátal and
Gomory, is summed up too: two nodes with room for nine pages each hold two cells of five, not 18 // 5.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.placement.cpsat import UNBOUNDED, Linear, Model, Row, merged, total

# Where more than this part of the variables is left, the model is too little smaller to be worth a look.
MOST_LEFT: Final = 0.5
# A constraint is divided by each of its coefficients, and by these parts of them, to be rounded.
PARTS: Final = (1, 2, 3)
# By so many of them at most, the largest: where thousands of guests ask for as many sizes, each cut is as long.
MOST_DIVISORS: Final = 60

Classes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`model` has one variable, out of `sums`, for each of `classes`: variables of the model that it was made of."""

    model: Model
    classes: Classes
    sums: tuple[Linear, ...]

    def expression(self, goal: Linear) -> Linear:
        """The goal that it was made for."""
        costs = merged(goal)
        parts = (x * costs.get(alike[0], 0) for alike, x in zip(self.classes, self.sums, strict=True))
        return total(parts) + goal.constant

    def hint(self, solution: Sequence[int]) -> dict[int, int]:
        """The sums over a solution of the model."""
        sums = zip(self.classes, self.sums, strict=True)
        return {x.terms[0][0]: sum(solution[var] for var in alike) for alike, x in sums}


def aggregate(model: Model, goal: Linear) -> Aggregate | None:
    """Sums up what neither the constraints nor `goal` tell apart; None where hardly anything is alike."""
    rows = list(model.rows())
    found = _alike(model, rows, merged(goal))
    if found is None:
        return None
    classes, row_classes = found
    small = Model()
    sums = tuple(small.integer(*(end * len(alike) for end in model.range(alike[0]))) for alike in classes)
    class_of = {var: i for i, alike in enumerate(classes) for var in alike}

    def summed(terms: Iterable[tuple[int, int]], count: int) -> Linear:
        """`count` like constraints with such terms: each variable of a class has the same share in them."""
        shares: dict[int, int] = defaultdict(int)
        for var, coef in terms:
            shares[class_of[var]] += coef
        return total(sums[i] * (share * count // len(classes[i])) for i, share in shares.items())

    for alike in row_classes:
        count, row = len(alike), rows[alike[0]]
        small.between(_times(row.low, count), summed(row.terms, count), _times(row.high, count))
        for terms, high in _rounded(model, row):
            small.at_most(summed(terms, count), high * count)
    return Aggregate(small, classes, sums)


def _times(end: int, count: int) -> int:
    """An end of `count` ranges added up; that of none at all stays what it is."""
    return end if abs(end) * 2 > UNBOUNDED else end * count


def _rounded(model: Model, row: Row) -> Iterator[tuple[tuple[tuple[int, int], ...], int]]:
    """What follows where terms of which none is negative are at most so much: both sides divided, whole parts."""
    if row.high * 2 > UNBOUNDED or any(coef < 0 or model.range(var)[0] < 0 for var, coef in row.terms):
        return
    coefs = {coef for _, coef in row.terms}
    for divisor in sorted({coef // part for coef in coefs for part in PARTS} - {0, 1})[-MOST_DIVISORS:]:
        yield tuple((var, coef // divisor) for var, coef in row.terms if coef >= divisor), row.high // divisor


def _alike(model: Model, rows: Sequence[Row], costs: Mapping[int, int]) -> tuple[Classes, Classes] | None:
    """The coarsest classes of variables, and of constraints, of which each sees as much of any other as its likes do.

    They begin with what a variable's range and cost are and a constraint's ends, and are split until none sees a
    difference. None where more than MOST_LEFT of the variables are left.
    """
    beside: list[list[tuple[int, int]]] = [[] for _ in range(model.size)]
    for r, row in enumerate(rows):
        for var, coef in row.terms:
            beside[var].append((r, coef))
    of_var = _numbered((model.range(var), costs.get(var, 0)) for var in range(model.size))
    of_row = _numbered((row.low, row.high) for row in rows)
    known = -1
    while (count := max(of_var) + max(of_row, default=0)) != known:
        if max(of_var) + 1 > MOST_LEFT * model.size:
            return None
        known = count
        of_row = _numbered(
            (of_row[r], tuple(sorted((of_var[var], coef) for var, coef in row.terms))) for r, row in enumerate(rows)
        )
        of_var = _numbered(
            (colour, tuple(sorted((of_row[r], coef) for r, coef in seen)))
            for colour, seen in zip(of_var, beside, strict=True)
        )
    return _classes(of_var), _classes(of_row)


def _numbered(signs: Iterable[Hashable]) -> list[int]:
    """A number for each that is the same for equal ones, from 0 in the order in which they come."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(sign, len(numbers)) for sign in signs]


def _classes(colours: Sequence[int]) -> Classes:
    together: dict[int, list[int]] = defaultdict(list)
    for i, colour in enumerate(colours):
        together[colour].append(i)
    return tuple(tuple(alike) for alike in together.values())
