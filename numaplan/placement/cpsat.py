"""The one place that knows OR-tools: a small integer linear model over CP-SAT.

CP-SAT is reached through its light interface: the public one takes some ten times longer to import, for numpy and
pandas that nothing here needs. It is not a public interface, so pyproject.toml pins the version.
"""

import _thread
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, NotRequired, TypedDict, Unpack

from ortools.sat.python import cp_model_helper as cpsat

# Sums stay far below this, and CP-SAT wants its domains inside 64 bits.
UNBOUNDED: Final = 1 << 52

# How often a solve that goes on tells that it does, in seconds.
TICK_S: Final = 0.2

# How many of these an interrupt waits for a solve to begin that may never have been asked for.
MOST_TICKS: Final = 25


@dataclass(frozen=True, slots=True)
class Linear:
    """An integer linear expression: (variable, coefficient) terms and a constant."""

    terms: tuple[tuple[int, int], ...] = ()
    constant: int = 0

    def __add__(self, other: "Linear | int") -> "Linear":
        if isinstance(other, int):
            return Linear(self.terms, self.constant + other)
        return Linear(self.terms + other.terms, self.constant + other.constant)

    def __sub__(self, other: "Linear | int") -> "Linear":
        return self + (-other if isinstance(other, int) else other * -1)

    def __mul__(self, factor: int) -> "Linear":
        if factor == 0:
            return ZERO
        return Linear(tuple((var, coef * factor) for var, coef in self.terms), self.constant * factor)

    def value(self, solution: Sequence[int]) -> int:
        """What it is worth under `solution`."""
        return self.constant + sum(coef * solution[var] for var, coef in self.terms)


ZERO: Final = Linear()
ONE: Final = Linear(constant=1)


class Row(NamedTuple):
    """One constraint of a model: low <= the sum of (variable, coefficient) terms <= high, no variable twice."""

    low: int
    terms: tuple[tuple[int, int], ...]
    high: int


def total(parts: Iterable[Linear]) -> Linear:
    """The sum of `parts`."""
    terms: list[tuple[int, int]] = []
    constant = 0
    for part in parts:
        terms.extend(part.terms)
        constant += part.constant
    return Linear(tuple(terms), constant)


def merged(expression: Linear) -> dict[int, int]:
    """The coefficient of each variable in an expression that may name one several times."""
    coefficients: dict[int, int] = {}
    for var, coef in expression.terms:
        coefficients[var] = coefficients.get(var, 0) + coef
    return coefficients


class Aim(StrEnum):
    """What a solve spends its work on: good answers and a proof, an answer to a small question, any answer at all
    where there are few, or a proof alone.

    A lean proof does without probing, which on 16 nodes was seen to take 50 MiB for a moment. The core comes to both
    from the other side, by what cannot be had together: where the usual way fails it sometimes is quick, seldom else.
    """

    BOTH = "both"
    CORE = "core"
    ANSWER = "answer"
    ANY = "any"
    PROOF = "proof"
    LEAN_PROOF = "lean proof"


class Outcome(StrEnum):
    """What a solve ended with."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Solved:
    """`solution` holds one value a variable, and is empty unless optimal or feasible; `bound` bounds the objective,
    and is beyond everything where nothing is known.

    `work` is CP-SAT's deterministic time: the same on every machine and under any load.
    """

    outcome: Outcome
    solution: tuple[int, ...]
    bound: int
    work: float


class Model:
    """A growing integer linear model; variables are numbered from 0."""

    def __init__(self) -> None:
        self._proto = cpsat.CpModelProto()
        self._bounds: list[tuple[int, int]] = []
        # So that no model is empty, and an empty solution always means that there is none.
        self.integer(0, 0)

    def integer(self, low: int, high: int) -> Linear:
        """A new variable in low..high."""
        self._proto.variables.add().domain.extend([low, high])
        self._bounds.append((low, high))
        return Linear(((len(self._bounds) - 1, 1),))

    def boolean(self) -> Linear:
        """A new variable in 0..1."""
        return self.integer(0, 1)

    def copy(self) -> "Model":
        """The same variables and constraints once more."""
        other = Model()
        other._proto.copy_from(self._proto)  # another of the same class
        other._bounds = list(self._bounds)
        return other

    @property
    def size(self) -> int:
        """How many variables it has."""
        return len(self._bounds)

    def range(self, var: int) -> tuple[int, int]:
        """The smallest and the largest value of a variable."""
        return self._bounds[var]

    def rows(self) -> Iterator[Row]:
        """Its constraints, in the order in which they came."""
        for constraint in self._proto.constraints:
            linear = constraint.linear
            low, high = linear.domain
            yield Row(low, tuple(zip(linear.vars, linear.coeffs, strict=True)), high)

    def upper(self, expression: Linear) -> int:
        """The largest value that the variables' bounds allow."""
        return expression.constant + sum(
            max(coef * self._bounds[var][0], coef * self._bounds[var][1]) for var, coef in expression.terms
        )

    def lower(self, expression: Linear) -> int:
        """The smallest value that the variables' bounds allow."""
        return -self.upper(expression * -1)

    def widened(self, solution: Sequence[int]) -> tuple[int, ...]:
        """A solution of fewer variables with those that came since at their smallest."""
        return (*solution, *(low for low, _ in self._bounds[len(solution) :]))

    def between(self, low: int, expression: Linear, high: int) -> None:
        """Demands low <= expression <= high."""
        _bind(self._proto, expression, (low, high))

    def at_most(self, expression: Linear, high: int) -> None:
        """Demands expression <= high."""
        self.between(-UNBOUNDED, expression, high)

    def at_least(self, expression: Linear, low: int) -> None:
        """Demands expression >= low."""
        self.between(low, expression, UNBOUNDED)

    def equal(self, expression: Linear, value: int = 0) -> None:
        """Demands expression == value."""
        self.between(value, expression, value)

    def zero_if(self, switch: Linear, expression: Linear) -> None:
        """Demands that a non-negative `expression` is 0 where the boolean `switch` is 1."""
        most = self.upper(expression)
        if most > 0:
            self.at_most(expression + switch * most, most)

    def solve(self, objective: Linear, *, tick: Callable[[], None] | None = None, **task: Unpack["Task"]) -> Solved:
        """Optimises; `tick` is called now and then while it goes on."""
        solving = self.solving(objective, **task)
        try:
            solving.start()
            return solving.wait(tick)
        finally:
            solving.stop()

    def solving(self, objective: Linear, **task: Unpack["Task"]) -> "Solving":
        """A solve that is yet to be started; what becomes of the model meanwhile is no matter to it."""
        maximize = task["maximize"]
        hint, fixed, beyond = task.get("hint", {}), task.get("fixed", {}), task.get("beyond")
        is_question = objective is ZERO or is_any_better(task.get("aim"), beyond)
        proto = cpsat.CpModelProto()
        proto.copy_from(self._proto)
        costs = {} if is_question else merged(objective)
        sign = -1 if maximize else 1
        proto.objective.vars.extend(list(costs))
        proto.objective.coeffs.extend([sign * coef for coef in costs.values()])
        proto.solution_hint.vars.extend(list(hint))
        proto.solution_hint.values.extend(list(hint.values()))
        if beyond is not None:
            _bind(proto, objective, (beyond + 1, UNBOUNDED) if maximize else (-UNBOUNDED, beyond - 1))
        for var, value in fixed.items():
            domain = proto.variables[var].domain
            domain[0] = domain[1] = value
        # Where nothing was found, the bound may be CP-SAT's default of 0, which is none of something that may be less.
        bounded = not maximize and self.lower(objective) >= objective.constant

        def solved(response: cpsat.CpSolverResponse) -> Solved:
            outcome = _OUTCOMES.get(response.status, Outcome.UNKNOWN)
            found = outcome in (Outcome.OPTIMAL, Outcome.FEASIBLE)
            told = found or (outcome is Outcome.UNKNOWN and bounded)
            bound = sign * round(response.best_objective_bound) + objective.constant if told else -sign * UNBOUNDED
            if beyond is not None and is_question:
                # Any that is better says nothing of the best.
                outcome = Outcome.FEASIBLE if found else outcome
                bound = beyond if outcome is Outcome.INFEASIBLE else -sign * UNBOUNDED
            elif beyond is not None:
                # What was not looked at is no better than this.
                bound = beyond if outcome is Outcome.INFEASIBLE else (max if maximize else min)(bound, beyond)
            return Solved(outcome, tuple(response.solution) if found else (), bound, response.deterministic_time)

        return Solving(proto, _parameters(task, is_question=is_question), solved)


def is_any_better(aim: Aim | None, beyond: int | None) -> bool:
    """Whether it is only asked if anything is better than `beyond`, whatever it is: where any answer does."""
    return aim is Aim.ANY and beyond is not None


def _bind(proto: cpsat.CpModelProto, expression: Linear, domain: tuple[int, int]) -> None:
    """Demands that an expression is in the domain."""
    coefficients = merged(expression)
    constraint = proto.constraints.add().linear
    constraint.vars.extend(list(coefficients))
    constraint.coeffs.extend(list(coefficients.values()))
    constraint.domain.extend([bound - expression.constant for bound in domain])


class Task(TypedDict):
    """How an objective is optimised: within `work` (deterministic) and `seconds` (wall clock, None: no such limit).

    It begins at the values of `hint`, where there are any; `fixed` variables have one value in this solve alone. Only
    what is better than `beyond` counts: where nothing is, it ends as infeasible, and mostly sooner than it would prove
    the same of a solution that it has; `bound` is that of all solutions still. With the aim of any answer, whatever is
    better than `beyond` is one. Another `order` is another search.
    """

    maximize: bool
    work: float
    seconds: NotRequired[float | None]
    hint: NotRequired[Mapping[int, int]]
    fixed: NotRequired[Mapping[int, int]]
    aim: NotRequired[Aim]
    beyond: NotRequired[int | None]
    order: NotRequired[int]


def _parameters(task: Task, *, is_question: bool) -> cpsat.SatParameters:
    parameters = cpsat.SatParameters()
    # Several workers race each other, and then the same input would not give the same plan.
    parameters.num_workers = 1
    aim = task.get("aim", Aim.BOTH)
    # A tighter relaxation proves more, and finds less where there is little to find.
    parameters.linearization_level = 1 if aim is Aim.ANY else 2
    parameters.random_seed = task.get("order", 1)
    is_small = is_question or aim is Aim.ANSWER
    if is_small:
        # Guests that are alike are counted, not named, so that there is little symmetry to look for.
        parameters.symmetry_level = 0
    if is_small or aim is Aim.LEAN_PROOF:
        # Nor does a question that is answered in milliseconds gain by probing.
        parameters.cp_model_probing_level = 0
    if aim is Aim.ANSWER:
        parameters.max_presolve_iterations = 1
    parameters.optimize_with_core = aim is Aim.CORE
    parameters.optimize_with_lb_tree_search = aim in (Aim.PROOF, Aim.LEAN_PROOF)
    parameters.max_deterministic_time = task["work"]
    seconds = task.get("seconds")
    if seconds is not None:
        parameters.max_time_in_seconds = seconds
    # CP-SAT would take Ctrl-C for itself, end this one solve, and nobody else would hear of it.
    parameters.catch_sigint_signal = False
    return parameters


class Solving:
    """A solve that goes on beside this thread, which stays free to hear an interrupt, or to start another.

    Who starts it must stop it in the end, whatever happened: no process may end under a solver that still works.
    """

    def __init__(
        self,
        proto: cpsat.CpModelProto,
        parameters: cpsat.SatParameters,
        solved: Callable[[cpsat.CpSolverResponse], Solved],
    ) -> None:
        self._proto = proto
        self._solver = cpsat.SolveWrapper()
        self._solver.set_parameters(parameters)
        self._solved = solved
        self._found: list[cpsat.CpSolverResponse] = []
        self._signs: list[str] = []
        # A bare lock and a bare thread: an interrupt may come at any step of Event.wait, Thread.start or Thread.join,
        # and then leaves their own locks taken, or nobody who knows of the thread.
        self._done = threading.Lock()
        self._done.acquire()

    def start(self) -> None:
        """Begins; once."""
        self._signs.append("started")
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        self._signs.append("begun")
        try:
            self._found.append(self._solver.solve(self._proto))  # type: ignore[no-untyped-call]  # a partial stub
        finally:
            self._signs.append("ended")
            self._done.release()

    @property
    def is_working(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self._signs) and "ended" not in self._signs

    def wait(self, tick: Callable[[], None] | None = None) -> Solved:
        """What it ends with; once. `tick` is called now and then until it does."""
        while not self._done.acquire(timeout=-1 if tick is None else TICK_S):
            if tick is not None:
                tick()
        return self._solved(self._found[0])

    def stop(self) -> None:
        """Ends it, where it has not ended."""
        # A solve that has only just begun does not hear the first call; one that has not begun by then never will.
        ticks = 0
        while self.is_working and ("begun" in self._signs or ticks < MOST_TICKS):
            self._solver.stop_search()
            self._done.acquire(timeout=TICK_S)
            ticks += 1


_OUTCOMES: Final = {
    cpsat.OPTIMAL: Outcome.OPTIMAL,
    cpsat.FEASIBLE: Outcome.FEASIBLE,
    cpsat.INFEASIBLE: Outcome.INFEASIBLE,
}
