"""What to do about transactions of before: finish the rollback of those that a crash left open, or take one back."""

from collections.abc import Callable
from dataclasses import dataclass

from numaplan.apply.journal import Entry, JournalStore, Ledger, Standing
from numaplan.apply.putback import Outcome, Undone, undo
from numaplan.apply.step import Kind, Step, Target
from numaplan.apply.transaction import Transaction, carry_out, rollback_error
from numaplan.errors import BackendError, InputError, NumaplanError, Problem, RollbackError, StaleError
from numaplan.sources.state import command

_LISTED = 10


@dataclass(frozen=True, slots=True)
class Recovered:
    """One open transaction after its recovery: what became of each guest, and why it is still open, if it is.

    `target` is None and there are no outcomes where the journal is damaged.
    """

    id: str
    target: str | None
    outcomes: tuple[Outcome, ...]
    error: NumaplanError | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A transaction that was taken back by another one; None: it had been rolled back before."""

    id: str
    target: str | None
    by: Transaction | None


def recover(
    store: JournalStore, open_target: Callable[[str], Target], *, lock_timeout_s: float
) -> tuple[Recovered, ...]:
    """Puts back what open transactions wrote, the latest first; under the lock of `store`.

    A crash in it is recovered by running it again. What is in the way of one transaction is told in its outcome, and
    keeps no other one from its turn. Raises BackendError where the journals cannot be read.
    """
    store.tidy()
    return tuple(
        _recovered(store, identity, open_target, lock_timeout_s=lock_timeout_s)
        for identity in reversed(store.open_ids())
    )


def roll_back(
    store: JournalStore,
    identity: str,
    open_target: Callable[[str], Target],
    *,
    lock_timeout_s: float,
    interrupted: Callable[[], bool],
) -> RolledBack:
    """Gives the guests of a committed transaction what they had before it, in a transaction of its own.

    The pins of a guest that does not run any more are gone with it, and are left out.

    Raises InputError for an id that is none of a transaction (with those that are), StaleError where a guest was
    changed since, and what `carry_out` raises.
    """
    store.tidy()
    entry = _entry(store, identity)
    if entry.standing is Standing.UNDONE:
        return RolledBack(identity, None if entry.journal is None else entry.journal.target, None)
    ledger = store.load(identity, entry.standing)
    target = open_target(ledger.journal.target)
    with target.locked(timeout_s=lock_timeout_s):
        target.locate(_files(ledger))
        steps = _reverse(ledger, target)
        if not steps:
            raise StaleError("none of its guests runs any more: there is nothing to put back", ledger.journal.target)
        done = carry_out(steps, target, store, interrupted=interrupted, undoes=identity)
    try:
        store.mark_undone(identity)
    except BackendError:
        # The other one says it too.
        return RolledBack(identity, ledger.journal.target, done)
    return RolledBack(identity, ledger.journal.target, done)


def _recovered(
    store: JournalStore, identity: str, open_target: Callable[[str], Target], *, lock_timeout_s: float
) -> Recovered:
    try:
        ledger = store.load(identity, Standing.OPEN)
    except NumaplanError as error:
        return Recovered(identity, None, (), error)
    address = ledger.journal.target
    try:
        target = open_target(address)
        with target.locked(timeout_s=lock_timeout_s):
            target.locate(_files(ledger))
            undone = undo(ledger, target)
    except NumaplanError as error:
        stays = Problem(f"the transaction {identity} stays open", str(ledger.path), f"then run {command('recover')}")
        return Recovered(identity, address, (), type(error).of((*error.problems, stays)))
    return Recovered(identity, address, undone.outcomes, _still_open(ledger, undone))


def _still_open(ledger: Ledger, undone: Undone) -> NumaplanError | None:
    if not undone.complete:
        return rollback_error("a transaction was left open", ledger, undone)
    return undone.left_open


def _entry(store: JournalStore, identity: str) -> Entry:
    entries = store.entries()
    entry = next((each for each in entries if each.id == identity), None)
    if entry is None:
        listed = ", ".join(each.id for each in entries[-_LISTED:]) or "none"
        raise InputError(f"there is no transaction {identity[:80]!a}", str(store.path), f"there are: {listed}")
    match entry.standing:
        case Standing.OPEN:
            path = str(store.path_of(identity, Standing.OPEN))
            raise BackendError(f"the transaction {identity} is not over", path, f"run {command('recover')}")
        case Standing.ACCEPTED:
            path = str(store.path_of(identity, Standing.ACCEPTED))
            raise RollbackError(
                f"the transaction {identity} failed, and its guests were accepted as they were",
                path,
                "what they had before stands there; put it back by hand",
            )
        case _:
            return entry


def _reverse(ledger: Ledger, target: Target) -> tuple[Step, ...]:
    """The steps back, the last one first, without those that have nothing to go back on."""
    steps = zip(ledger.steps, ledger.written, strict=True)
    back = [Step(step.guest, step.kind, step.new if data is None else data, step.old) for step, data in steps]
    return tuple(
        step for step in reversed(back) if step.kind is not Kind.PINS or target.read(step.guest, step.kind) is not None
    )


def _files(ledger: Ledger) -> dict[str, str]:
    return {step.guest: step.file for step in ledger.journal.steps if step.file is not None}
