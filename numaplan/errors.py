"""What can go wrong outside our own code, each kind with its exit code. "No placement exists" is no error."""

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every verb; 1 is left to bugs and 2 to usage errors."""

    DONE = 0
    BUG = 1
    USAGE = 2
    FINDINGS = 3
    INFEASIBLE = 4
    BAD_INPUT = 5
    STALE = 6
    BACKEND = 7
    APPLY_FAILED = 8
    ROLLBACK_INCOMPLETE = 9
    DEGRADED = 10
    UNDECIDED = 11
    INTERRUPTED = 130
    BROKEN_PIPE = 141


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one place: `what` was found, `where` it stands, `hint` what to do.

    `where` is a file, a ``file:line:column`` or a path in the host.
    `excerpt` is the offending line with a caret below it, where there is one.
    """

    what: str
    where: str
    hint: str | None = None
    excerpt: str | None = None

    def __str__(self) -> str:
        """One line, with the excerpt and the hint below it."""
        text = f"{self.where}: {self.what}"
        if self.hint:
            text += f"; {self.hint}"
        if self.excerpt:
            text += f"\n{self.excerpt}"
        return text


class NumaplanError(Exception):
    """The root of every expected failure: one or more problems and the exit code that they mean."""

    exit_code = ExitCode.BUG

    def __init__(self, what: str, where: str, hint: str | None = None, *, excerpt: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = (Problem(what, where, hint, excerpt),)
        super().__init__(str(self.problems[0]))

    @classmethod
    def of(cls, problems: tuple[Problem, ...]) -> "NumaplanError":
        """One error for several problems that were found at once; `problems` must not be empty."""
        first = problems[0]
        error = cls(first.what, first.where, first.hint, excerpt=first.excerpt)
        error.problems = problems
        return error

    def __str__(self) -> str:
        """Every problem, in the order found."""
        return "\n".join(str(problem) for problem in self.problems)


class InputError(NumaplanError):
    """A vnf.yaml, profile, domain XML, capture or plan that cannot be used as it stands."""

    exit_code = ExitCode.BAD_INPUT


class BackendError(NumaplanError):
    """The system refused: no permission, no daemon, no space."""

    exit_code = ExitCode.BACKEND


class DegradedError(NumaplanError):
    """``--strict`` was asked for and something of the host could not be read."""

    exit_code = ExitCode.DEGRADED


class StaleError(NumaplanError):
    """The plan was made for another host, or for this one as it no longer is: one problem for each change."""

    exit_code = ExitCode.STALE


class ApplyError(NumaplanError):
    """Carrying a plan out failed, and everything is as it was before."""

    exit_code = ExitCode.APPLY_FAILED


class RollbackError(NumaplanError):
    """Carrying a plan out failed, and not everything could be put back: the journal holds what was there before."""

    exit_code = ExitCode.ROLLBACK_INCOMPLETE
