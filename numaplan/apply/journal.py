"""The journals of transactions, a directory each: ``<id>.open`` while one runs or after a crash, ``<id>`` once all its
guests are new for good, ``<id>.undone`` once they are old again, ``<id>.accepted`` where a user left them as they were.

What a crash or power cut leaves at any moment can be told from these names and what stands in ``journal.json``.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from numaplan.apply.step import Kind, Step, Target
from numaplan.errors import BackendError, InputError, NumaplanError, Problem, RollbackError
from numaplan.model.journal import Journal, JournalStep, StepState
from numaplan.records.journal import journal_json, read_journal
from numaplan.records.journal_form import ID_PATTERN
from numaplan.sources.folder import Folder, temporary_name
from numaplan.sources.lock import lock_file
from numaplan.sources.state import OPEN, TRANSACTIONS, command, find_state, new_id, open_state

_JOURNAL: Final = "journal.json"
_LOCK: Final = "lock"
# Not yet a journal: no guest has been touched.
_HALF: Final = ".tmp"
_UNDONE: Final = ".undone"
_ACCEPTED: Final = ".accepted"
_TEXT_LIMIT: Final = 16 << 20
_ID: Final = re.compile(ID_PATTERN, re.ASCII)


class Standing(StrEnum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    UNDONE = "rolled back"
    ACCEPTED = "accepted"


_SUFFIXES: Final = {OPEN: Standing.OPEN, _UNDONE: Standing.UNDONE, _ACCEPTED: Standing.ACCEPTED}


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction that there is; `journal` is None where it is damaged."""

    id: str
    standing: Standing
    journal: Journal | None


class Ledger:
    """The journal of one transaction, with the texts of its steps; `written` is what was read back of each."""

    def __init__(self, store: Folder, folder: Folder, journal: Journal, steps: tuple[Step, ...]) -> None:
        self.journal = journal
        self.steps: Final = steps
        self.written: Final[list[bytes | None]] = [None] * len(steps)
        self._store: Final = store
        self._folder: Final = folder

    @property
    def path(self) -> Path:
        """Where it stands while it is open."""
        return self._store.path / f"{self.journal.id}{OPEN}"

    def state(self, number: int) -> StepState:
        """How far a step is."""
        return self.journal.steps[number].state

    def note_writing(self, number: int) -> None:
        """On return it is on disk that the step may have begun: only then may its guest be written."""
        self._note(number, StepState.WRITING, None)

    def withdraw(self, number: int) -> None:
        """Takes `note_writing` back for this process, which knows that it wrote nothing."""
        self._set(number, StepState.PLANNED, None)

    def note_written(self, number: int, data: bytes) -> None:
        """On return it is on disk what was read back after the step: only then may the next one begin."""
        self.written[number] = data
        self._folder.create(_text_name(number, "written"), data)
        self._note(number, StepState.WRITTEN, _digest(data))

    def commit(self) -> None:
        """The commit point: before the rename a crash is rolled back, after it there is nothing left to undo.

        Where it fails the journal is open again. Where even that fails every guest is new and the journal says so:
        that is a commit.
        """
        name = self.journal.id
        try:
            self._store.rename(self.path.name, name)
            self._store.sync()
        except NumaplanError:
            if self._store.has(name):
                try:
                    self._store.rename(name, self.path.name)
                except NumaplanError:
                    return
                with suppress(NumaplanError):
                    self._store.sync()
            raise

    def close_undone(self) -> None:
        """Every guest is old again. A crash before the rename is harmless: recovery finds nothing to do."""
        self._folder.discard(temporary_name(_JOURNAL))
        self._store.rename(self.path.name, f"{self.journal.id}{_UNDONE}")
        self._store.sync()

    def _note(self, number: int, state: StepState, written: str | None) -> None:
        before = self.journal
        self._set(number, state, written)
        try:
            self._folder.replace(_JOURNAL, journal_json(self.journal).encode())
        except NumaplanError:
            self.journal = before
            raise

    def _set(self, number: int, state: StepState, written: str | None) -> None:
        steps = list(self.journal.steps)
        steps[number] = replace(steps[number], state=state, written=written)
        self.journal = replace(self.journal, steps=tuple(steps))


class JournalStore:
    """All journals of one state directory."""

    def __init__(self, state: Folder, transactions: Folder) -> None:
        self._state: Final = state
        self._transactions: Final = transactions
        self._held = False

    @property
    def path(self) -> Path:
        """Where the journals stand."""
        return self._transactions.path

    @contextmanager
    def locked(self, *, timeout_s: float) -> Iterator[None]:
        """Keeps every other run with this state directory out; raises BackendError that names the one at work."""
        with lock_file(self._state, _LOCK, timeout_s=timeout_s):
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def demand_lock(self) -> None:
        """Raises RuntimeError where the caller forgot it."""
        if not self._held:
            raise RuntimeError("a transaction needs the lock of its journals")

    def begin(self, target: Target, steps: Sequence[Step], *, undoes: str | None) -> Ledger:
        """A journal that is on disk as a whole, its name and the texts of its steps with it, on return.

        Raises BackendError where it cannot be: then there is none, or one that plans and has begun nothing.
        """
        self.demand_lock()
        identity = new_id()
        half = f"{identity}{_HALF}"
        journal = Journal(identity, target.address, undoes, tuple(_planned(step, target) for step in steps))
        try:
            folder = self._transactions.make_folder(half)
            for number, step in enumerate(steps):
                folder.create(_text_name(number, "old"), step.old)
                folder.create(_text_name(number, "new"), step.new)
            folder.create(_JOURNAL, journal_json(journal).encode())
            folder.sync()
            self._transactions.rename(half, f"{identity}{OPEN}")
            self._transactions.sync()
            # Its own name, and that of its directory, may be as new as the journal.
            self._state.sync()
        except BaseException:
            with suppress(NumaplanError):
                # As a half one first: what is removed file by file must not pass for a damaged journal.
                if self._transactions.has(f"{identity}{OPEN}"):
                    self._transactions.rename(f"{identity}{OPEN}", half)
                if self._transactions.has(half):
                    self._transactions.discard_folder(half)
            raise
        return Ledger(self._transactions, folder, journal, tuple(steps))

    def tidy(self) -> None:
        """Removes journals that a crash left half made: their transactions have touched no guest."""
        self.demand_lock()
        for name in self._transactions.names():
            if name.endswith(_HALF):
                self._transactions.discard_folder(name)

    def open_ids(self) -> tuple[str, ...]:
        """The transactions that are not over, oldest first."""
        names = self._transactions.names()
        return tuple(name.removesuffix(OPEN) for name in names if name.endswith(OPEN))

    def refuse_open(self) -> None:
        """Raises BackendError where a transaction is not over: another one on top could not be told from it."""
        if found := self.open_ids():
            raise BackendError(
                f"the transaction {found[0]} is not over: a crash, or a change by somebody else, left it open",
                str(self.path / f"{found[0]}{OPEN}"),
                f"run {command('recover')}",
            )

    def entries(self) -> tuple[Entry, ...]:
        """Every transaction, oldest first; one that another took back counts as rolled back, whatever its name."""
        found = []
        for name in self._transactions.names():
            standing = _standing(name)
            if standing is not None:
                found.append(Entry(_identity(name), standing, self._journal_or_none(name)))
        undone = {
            entry.journal.undoes
            for entry in found
            if entry.journal is not None and entry.standing is Standing.COMMITTED
        }
        return tuple(
            replace(entry, standing=Standing.UNDONE)
            if entry.standing is Standing.COMMITTED and entry.id in undone
            else entry
            for entry in found
        )

    def load(self, identity: str, standing: Standing) -> Ledger:
        """A journal with every text that it names, each as it was written; raises RollbackError where it is damaged."""
        name = self._name(identity, standing)
        folder = self._transactions.folder(name)
        try:
            journal = self._journal(name, folder)
        except InputError as error:
            raise _damaged(folder.path, tuple(problem.what for problem in error.problems)) from error
        lacking: list[str] = []
        steps = []
        written: list[bytes | None] = []
        for number, step in enumerate(journal.steps):
            old = _text(folder, number, "old", step.old, lacking)
            new = _text(folder, number, "new", step.new, lacking)
            steps.append(Step(step.guest, Kind(step.kind), old, new))
            back = step.written
            written.append(None if back is None else _text(folder, number, "written", back, lacking))
        if lacking:
            raise _damaged(folder.path, tuple(lacking))
        ledger = Ledger(self._transactions, folder, journal, tuple(steps))
        ledger.written[:] = written
        return ledger

    def mark_undone(self, identity: str) -> None:
        """A committed transaction was taken back by another; raises BackendError, and `entries` knows all the same."""
        self.demand_lock()
        self._transactions.rename(identity, f"{identity}{_UNDONE}")
        self._transactions.sync()

    def accept(self, identity: str) -> None:
        """Closes an open transaction, damaged or not, and leaves its guests as they are; the texts stay."""
        self.demand_lock()
        self._transactions.rename(f"{identity}{OPEN}", f"{identity}{_ACCEPTED}")
        self._transactions.sync()

    def path_of(self, identity: str, standing: Standing) -> Path:
        """Where a journal stands."""
        return self._transactions.path / self._name(identity, standing)

    def _name(self, identity: str, standing: Standing) -> str:
        """A transaction that counts as rolled back may still have the name of a committed one."""
        named = {other: suffix for suffix, other in _SUFFIXES.items()}
        name = f"{identity}{named.get(standing, '')}"
        return name if self._transactions.has(name) else identity

    def _journal(self, name: str, folder: Folder) -> Journal:
        try:
            data = folder.read(_JOURNAL, limit=_TEXT_LIMIT)
        except BackendError as error:
            raise InputError(f"{_JOURNAL}: {error.problems[0].what}", str(folder.path)) from error
        if data is None:
            raise InputError(f"{_JOURNAL} is missing", str(folder.path))
        journal = read_journal(data.decode("utf-8", "replace"), str(folder.path / _JOURNAL))
        if journal.id != _identity(name):
            raise InputError(f"{_JOURNAL} is that of {journal.id}", str(folder.path))
        return journal

    def _journal_or_none(self, name: str) -> Journal | None:
        try:
            return self._journal(name, self._transactions.folder(name))
        except NumaplanError:
            return None


def open_store() -> JournalStore:
    """The journals of the state directory, which is made where there is none; raises BackendError."""
    state = open_state()
    if not state.has(TRANSACTIONS):
        # Two at once: the other one has made it.
        with suppress(BackendError):
            state.make_folder(TRANSACTIONS)
    return _store(state)


def find_store() -> JournalStore | None:
    """The journals where there are any; raises BackendError where their directory is not safe."""
    state = find_state()
    return None if state is None or not state.has(TRANSACTIONS) else _store(state)


def _store(state: Folder) -> JournalStore:
    transactions = state.folder(TRANSACTIONS)
    transactions.make_private()
    return JournalStore(state, transactions)


def _planned(step: Step, target: Target) -> JournalStep:
    file = target.file_of(step.guest)
    return JournalStep(step.guest, step.kind.value, file, StepState.PLANNED, _digest(step.old), _digest(step.new))


def _text_name(number: int, what: str) -> str:
    return f"{number:03}.{what}"


def _text(folder: Folder, number: int, what: str, digest: str, lacking: list[str]) -> bytes:
    name = _text_name(number, what)
    try:
        data = folder.read(name, limit=_TEXT_LIMIT)
    except BackendError as error:
        lacking.append(f"{name}: {error.problems[0].what}")
        return b""
    if data is None:
        lacking.append(f"{name} is missing")
        return b""
    if _digest(data) != digest:
        lacking.append(f"{name} is not what was written")
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _standing(name: str) -> Standing | None:
    """What a directory's name says; None for one that is no journal."""
    for suffix, standing in _SUFFIXES.items():
        if name.endswith(suffix):
            return standing
    return Standing.COMMITTED if _ID.fullmatch(name) else None


def _identity(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _damaged(path: Path, lacking: tuple[str, ...]) -> NumaplanError:
    hint = (
        "no guest was touched now; what is there of their XML before and after stands there: set them right by hand,"
        f" then {command('recover', '--accept', _identity(path.name))}"
    )
    return RollbackError.of(
        (
            Problem("the journal is damaged, so nothing can be put back by it", str(path), hint),
            *(Problem(each, str(path)) for each in lacking),
        )
    )
