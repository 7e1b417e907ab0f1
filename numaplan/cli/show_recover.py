"""Prints transactions: which there are, and what became of the guests of one."""

from numaplan.apply.journal import Entry
from numaplan.apply.recover import Recovered, RolledBack
from numaplan.errors import NumaplanError, RollbackError
from numaplan.report.text import clean, grid
from numaplan.sources.state import command


def entries_text(entries: tuple[Entry, ...]) -> str:
    """A table of transactions, the latest first."""
    if not entries:
        return "no transactions\n"
    rows = [
        (
            entry.id,
            when(entry.id),
            entry.standing.value,
            *(("?", "?") if entry.journal is None else (clean(entry.journal.target), _guests(entry))),
        )
        for entry in reversed(entries)
    ]
    text = grid(("transaction", "when (UTC)", "standing", "target", "guests"), rows) + "\n"
    return text + ("\n? = its journal is damaged\n" if any(entry.journal is None for entry in entries) else "")


def recovered_text(recovered: tuple[Recovered, ...]) -> str:
    """A line for each guest of each transaction that was open."""
    if not recovered:
        return "nothing to recover\n"
    lines = []
    for each in recovered:
        end = "still open" if each.error is not None else "rolled back"
        lines.append(f"transaction {each.id}: {end}: {clean(each.target or 'its journal is damaged')}")
        lines += [f"  {clean(outcome.guest)}: {outcome.fate.value}" for outcome in each.outcomes]
    return "\n".join(lines) + "\n"


def rolled_back_text(done: RolledBack) -> str:
    """A line for each guest that was put back, and how to take that back."""
    target = clean(done.target or "its journal is damaged")
    if done.by is None:
        return f"transaction {done.id}: was rolled back already: {target}\n"
    lines = [f"transaction {done.id}: rolled back: {target}"]
    lines += [f"  {clean(each.guest)}: put back" for each in done.by.written]
    return "\n".join([*lines, f"to take this back: {command('rollback', done.by.id)}"]) + "\n"


def when(identity: str) -> str:
    """The time in a transaction's id, as people write it."""
    return f"{identity[:4]}-{identity[4:6]}-{identity[6:8]} {identity[9:11]}:{identity[11:13]}:{identity[13:15]}"


def error_of(recovered: tuple[Recovered, ...]) -> NumaplanError | None:
    """One error for all transactions that are still open; the worst of them says the exit code."""
    errors = [each.error for each in recovered if each.error is not None]
    if not errors:
        return None
    worst = next((error for error in errors if isinstance(error, RollbackError)), errors[0])
    return type(worst).of(tuple(problem for error in errors for problem in error.problems))


def _guests(entry: Entry) -> str:
    names = [] if entry.journal is None else list(dict.fromkeys(step.guest for step in entry.journal.steps))
    return ", ".join(clean(name) for name in names)
