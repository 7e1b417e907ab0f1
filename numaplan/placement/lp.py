"""The one place that knows OR-tools' linear programs: small ones that grow by columns.

They are solved by GLOP in floating point: what it says is where to look, and no proof of anything. Few commands need
it, so it is loaded with the first program.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Priced:
    """The least cost, by how much it would grow with each row's bound, and how much of each column that takes."""

    cost: float
    prices: tuple[float, ...]
    taken: tuple[float, ...]


class LinearProgram:
    """Rows that columns of 0 or more are to keep within bounds, at the least cost; both are numbered from 0."""

    def __init__(self) -> None:
        from ortools.linear_solver.python import model_builder_helper  # noqa: PLC0415

        self._solver = model_builder_helper
        self._model = model_builder_helper.ModelBuilderHelper()
        self._rows = 0
        self._columns = 0

    def row(self, low: float = -inf, high: float = inf) -> int:
        """A new row, without columns."""
        row = self._model.add_linear_constraint()
        self._model.set_constraint_lower_bound(row, low)
        self._model.set_constraint_upper_bound(row, high)
        self._rows += 1
        return row

    def column(self, cost: float, terms: Mapping[int, float], high: float = inf) -> None:
        """A new column of at most `high`, which adds so much to each row."""
        column = self._model.add_var()
        self._columns += 1
        self._model.set_var_lower_bound(column, 0.0)
        self._model.set_var_upper_bound(column, high)
        self._model.set_var_objective_coefficient(column, cost)
        for row, coefficient in terms.items():
            self._model.add_term_to_constraint(row, column, coefficient)

    def solve(self) -> Priced | None:
        """None where no least cost is found."""
        solver = self._solver.ModelSolverHelper("GLOP")
        solver.solve(self._model)
        if solver.status() != self._solver.OPTIMAL:
            return None
        return Priced(
            solver.objective_value(),
            tuple(solver.dual_value(row) for row in range(self._rows)),
            tuple(solver.variable_value(column) for column in range(self._columns)),
        )
