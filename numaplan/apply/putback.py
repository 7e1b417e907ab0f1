"""Gives the guests of a transaction what they had before it, in reverse order, by what stands in its journal."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from numaplan.apply.journal import Ledger
from numaplan.apply.step import Kind, Target
from numaplan.errors import BackendError, NumaplanError
from numaplan.model.journal import StepState

_T = TypeVar("_T")


class Fate(StrEnum):
    """What became of a guest."""

    UNTOUCHED = "as it was"
    PUT_BACK = "put back"
    CHANGED = "changed by somebody else since, and left so"
    GONE = "removed by somebody else since"
    STOPPED = "not running any more, and its pins are gone with it"
    UNKNOWN = "in a state that nobody knows"


_FINE: Final = frozenset({Fate.UNTOUCHED, Fate.PUT_BACK, Fate.STOPPED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step after the rollback; `number` leads to its texts in the journal, `why` says what was in the way."""

    number: int
    guest: str
    fate: Fate
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Undone:
    """A rollback: its outcomes in the order of the steps, and what kept the journal from being closed after it."""

    outcomes: tuple[Outcome, ...]
    left_open: NumaplanError | None = None

    @property
    def complete(self) -> bool:
        """Whether every guest is as it was before the transaction."""
        return all(outcome.fate in _FINE for outcome in self.outcomes)


def undo(ledger: Ledger, target: Target) -> Undone:
    """Puts back what the transaction wrote; writes no guest that somebody else has changed since, and raises nothing.

    Needs no room on the state directory's disk. May be run again after a crash at any point, with the same end. Only
    where every guest is as it was is the journal closed: then there is nothing left to do.
    """
    work = _PutBack(ledger, target)
    numbers = range(len(ledger.steps))
    outcomes = {number: work.settled(number) for number in reversed(numbers)}
    for number in numbers:
        if ledger.state(number) is StepState.WRITING and outcomes[number].fate is Fate.UNTOUCHED:
            # A write that nobody answered for may have come true only now.
            outcomes[number] = work.settled(number)
    undone = Undone(tuple(outcomes[number] for number in numbers))
    if not undone.complete:
        return undone
    try:
        work.settle()
        ledger.close_undone()
    except NumaplanError as error:
        return Undone(undone.outcomes, error)
    return undone


class _PutBack:
    """One pass over the guests; connects anew once, at the first failure of the target."""

    def __init__(self, ledger: Ledger, target: Target) -> None:
        self._ledger: Final = ledger
        self._target: Final = target
        self._reopened = False

    def settled(self, number: int) -> Outcome:
        """One guest's turn; whatever goes wrong in it must not keep the others from theirs."""
        if self._ledger.state(number) is StepState.PLANNED:
            return self._outcome(number, Fate.UNTOUCHED)
        try:
            return self._outcome(number, self._turn(number))
        except NumaplanError as error:
            return self._outcome(number, Fate.UNKNOWN, str(error))
        except Exception as error:  # noqa: BLE001  # a bug in one guest's turn, too
            # Not its text, which may repeat the XML that was in hand.
            return self._outcome(number, Fate.UNKNOWN, f"a bug in numaplan ({type(error).__name__})")

    def settle(self) -> None:
        """Removes what writing has left beside the guests; raises BackendError."""
        self._patiently(self._target.settle)

    def _turn(self, number: int) -> Fate:
        return self._patiently(lambda: self._put_back(number))

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Whole turns are tried again, not single calls: who was cut off does not know what it did."""
        try:
            return work()
        except BackendError:
            if self._reopened:
                raise
        self._reopened = True
        self._target.reopen()
        return work()

    def _put_back(self, number: int) -> Fate:
        """Reads, writes only what is ours, and reads again: what is told was seen."""
        step, target = self._ledger.steps[number], self._target
        now = target.read(step.guest, step.kind)
        if now is None:
            return _absent(step.kind)
        if target.same(step.kind, now, step.old):
            return Fate.UNTOUCHED
        if not self._is_ours(number, now):
            return Fate.CHANGED
        target.write(step.guest, step.kind, step.old)
        after = target.read(step.guest, step.kind)
        if after is None:
            return _absent(step.kind)
        if target.same(step.kind, after, step.old) or target.may_be(step.kind, after, old=now, written=step.old):
            return Fate.PUT_BACK
        return Fate.CHANGED

    def _is_ours(self, number: int, now: bytes) -> bool:
        """Whether `now` is what the step wrote, or what an earlier rollback made of it before a crash."""
        step, written = self._ledger.steps[number], self._ledger.written[number]
        if written is None:
            made = self._target.may_be(step.kind, now, old=step.old, written=step.new)
            return made or self._target.may_be(step.kind, now, old=step.new, written=step.old)
        if self._target.same(step.kind, now, written):
            return True
        return self._target.may_be(step.kind, now, old=written, written=step.old)

    def _outcome(self, number: int, fate: Fate, why: str | None = None) -> Outcome:
        return Outcome(number, self._ledger.steps[number].guest, fate, why)


def _absent(kind: Kind) -> Fate:
    """A guest that stopped has no pins to put back; one without a definition is no guest any more."""
    return Fate.STOPPED if kind is Kind.PINS else Fate.GONE
