"""Gives several guests a new state, all of them or none; a crash leaves a journal that tells how to undo it.

The order is the guarantee: the journal is on disk before the first guest is written; that a guest may be written is on
disk before it is; what it reads back as is on disk before the next one; the commit is one rename.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.apply.journal import JournalStore, Ledger
from numaplan.apply.putback import Fate, Outcome, Undone, undo
from numaplan.apply.step import Kind, Step, Target
from numaplan.errors import ApplyError, BackendError, ExitCode, NumaplanError, Problem, RollbackError, StaleError
from numaplan.sources.state import command

_AS_IT_WAS: Final = "everything is as it was"


class StoppedError(ApplyError):
    """It was asked to stop, and everything is as it was before."""

    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True, slots=True)
class Written:
    """What a guest reads back as after its step."""

    guest: str
    kind: Kind
    data: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is committed, by the id that takes it back."""

    id: str
    written: tuple[Written, ...]


def carry_out(
    steps: Sequence[Step],
    target: Target,
    store: JournalStore,
    *,
    interrupted: Callable[[], bool],
    undoes: str | None = None,
) -> Transaction:
    """Takes every step, or none; under the locks of `store` and `target`. `undoes`: the transaction that it takes back.

    Raises StaleError where a guest is not what its step starts from, and BackendError where there can be no journal:
    nothing was written then. Raises ApplyError where it failed on the way, and StoppedError where it was interrupted:
    everything is as it was. Raises RollbackError where something could not be put back: the journal stays open.
    """
    store.demand_lock()
    _demand_steps(steps)
    store.tidy()
    store.refuse_open()
    _compare(steps, target)
    ledger = store.begin(target, steps, undoes=undoes)
    try:
        _take(ledger, target, interrupted)
        # Before the commit, so that after it there is nothing left to tidy up.
        target.settle()
        ledger.commit()
    except Exception as error:
        # A bug, too, must not leave guests half done.
        raise _failure(error, ledger, undo(ledger, target)) from error
    return Transaction(
        ledger.journal.id,
        tuple(
            Written(step.guest, step.kind, step.new if data is None else data)
            for step, data in zip(ledger.steps, ledger.written, strict=True)
        ),
    )


def rollback_error(reason: str, ledger: Ledger, undone: Undone) -> NumaplanError:
    """What is to be said where not everything could be put back: which guest is in which state, and what to do."""
    path = str(ledger.path)
    again = command("recover")
    hint = f"set right what is in the way, then run {again}"
    if any(outcome.fate in {Fate.CHANGED, Fate.GONE} for outcome in undone.outcomes):
        accept = command("recover", "--accept", ledger.journal.id)
        hint += f"; to keep what somebody else made of a guest, run {accept}"
    told = (Problem(_guest_line(outcome), _texts(ledger, outcome)) for outcome in undone.outcomes)
    return RollbackError.of((Problem(f"{reason}; not everything could be put back", path, hint), *told))


def _demand_steps(steps: Sequence[Step]) -> None:
    if not steps:
        raise ValueError("a transaction has one step at least")
    if len({(step.guest, step.kind) for step in steps}) != len(steps):
        raise ValueError("a transaction has one step for each kind of state of a guest")


def _compare(steps: Sequence[Step], target: Target) -> None:
    problems = [problem for step in steps if (problem := _change(step, target)) is not None]
    if problems:
        raise StaleError.of(tuple(problems))


def _change(step: Step, target: Target) -> Problem | None:
    """What somebody else did to a guest since its step was worked out."""
    now = target.read(step.guest, step.kind)
    if now is None:
        return Problem(f'guest "{step.guest}" is gone, or does not run any more', target.address)
    if not target.same(step.kind, now, step.old):
        return Problem(f'the {step.kind.value} of guest "{step.guest}" was changed by somebody else', target.address)
    return None


def _take(ledger: Ledger, target: Target, interrupted: Callable[[], bool]) -> None:
    for number, step in enumerate(ledger.steps):
        _heed(interrupted, target)
        ledger.note_writing(number)
        _demand_unchanged(ledger, number, target)
        target.write(step.guest, step.kind, step.new)
        ledger.note_written(number, _read_back(step, target))
    _heed(interrupted, target)


def _heed(interrupted: Callable[[], bool], target: Target) -> None:
    if interrupted():
        raise StoppedError("interrupted", target.address)


def _demand_unchanged(ledger: Ledger, number: int, target: Target) -> None:
    """Looks once more right before the write, so that an edit of the last moments is kept."""
    try:
        problem = _change(ledger.steps[number], target)
    except BaseException:
        ledger.withdraw(number)
        raise
    if problem is not None:
        ledger.withdraw(number)
        raise StaleError.of((problem,))


def _read_back(step: Step, target: Target) -> bytes:
    """What the guest is now, which must be what was written, in the target's own words; raises BackendError."""
    now = target.read(step.guest, step.kind)
    if now is None:
        raise BackendError(f'guest "{step.guest}" is gone right after it was written', target.address)
    if not target.may_be(step.kind, now, old=step.old, written=step.new):
        raise BackendError(f'guest "{step.guest}" reads back as something else than was written', target.address)
    if target.same(step.kind, now, step.old) and not target.same(step.kind, step.new, step.old):
        raise BackendError(f'guest "{step.guest}" is as before, though the write was said to be done', target.address)
    return now


def _failure(reason: Exception, ledger: Ledger, undone: Undone) -> Exception:
    """What the caller hears; the reason itself where it is a bug of ours and everything is as it was."""
    if not undone.complete:
        return rollback_error(_words(reason), ledger, undone)
    if not isinstance(reason, NumaplanError):
        return reason
    kind = type(reason) if isinstance(reason, StoppedError) else ApplyError
    first = reason.problems[0]
    problems = [Problem(f"{first.what}; {_AS_IT_WAS}", first.where, first.hint), *reason.problems[1:]]
    if undone.left_open is not None:
        problems.append(
            Problem(f"the journal cannot be closed: {undone.left_open}", str(ledger.path), f"run {command('recover')}")
        )
    return kind.of(tuple(problems))


def _words(reason: Exception) -> str:
    if isinstance(reason, NumaplanError):
        first = reason.problems[0]
        return f"{first.where}: {first.what}"
    # Its text may repeat the XML that was in hand, secrets included.
    return f"a bug in numaplan ({type(reason).__name__})"


def _guest_line(outcome: Outcome) -> str:
    why = "" if outcome.why is None else f" ({outcome.why})"
    return f'guest "{outcome.guest}" is {_IS[outcome.fate]}{why}'


_IS: Final = {
    Fate.UNTOUCHED: "as it was",
    Fate.PUT_BACK: "as it was",
    Fate.CHANGED: "changed by somebody else since, and was left so",
    Fate.STOPPED: "not running any more, and its pins are gone with it",
    Fate.GONE: "removed by somebody else since",
    Fate.UNKNOWN: "in a state that nobody knows",
}


def _texts(ledger: Ledger, outcome: Outcome) -> str:
    """The files in which both texts are kept."""
    return f"{ledger.path}/{outcome.number:03}.old, .new"
