"""What carrying a plan out changes, or changed, as tables."""

from typing import Final

from numaplan.model.applied import Application, Check
from numaplan.report.text import NONE, clean, grid, page

_CHANGES: Final = ("guest", "definition", "pins", "holds")
_CHECKS: Final = ("guest", "what", "planned", "found", "by", "")


def application_table(application: Application) -> str:
    """One line a guest, then one a thing that was read back: what is not as planned is marked."""
    changes = [
        (clean(change.guest), "changed" if change.diff else NONE, str(len(change.pins) or NONE), change.effect)
        for change in application.changes
    ]
    checks = [
        (*map(clean, (check.guest, check.what, check.planned, check.found, check.source)), _mark(check))
        for check in application.checks
    ]
    tables = [grid(headings, rows) for headings, rows in ((_CHANGES, changes), (_CHECKS, checks)) if rows]
    return page(tables) if tables else ""


def change_lines(application: Application) -> tuple[str, ...]:
    """What a user should know of the changes before they are made: when each holds, which threads move, what else."""
    return (
        *(f"{clean(change.guest)}: {change.effect}" for change in application.changes),
        *(f"{clean(change.guest)}: {clean(pin)}" for change in application.changes for pin in change.pins),
        *(f"note: {clean(note)}" for note in application.notes),
    )


def outcome_lines(application: Application, *, undo: str | None) -> tuple[str, ...]:
    """What was done, what differs from the plan, and what to do next; `undo` takes it back, None: nothing was done."""
    if not application.changes:
        return ("nothing to do: every guest is as the plan wants it",)
    if undo is None:
        return ("dry run: nothing was changed; --yes carries it out",)
    lines = [f"DIFFERS: {_difference(check)}" for check in application.differences]
    if application.checks:
        held = sum(check.holds for check in application.checks)
        lines.append(f"read back: {held} of {len(application.checks)} are as planned")
    return (*lines, f"done; to undo it: {undo}")


def _difference(check: Check) -> str:
    guest = f"{clean(check.guest)}: " if check.guest else ""
    return f"{guest}{check.what}: planned {clean(check.planned)}, {check.source} says {clean(check.found)}"


def _mark(check: Check) -> str:
    return "" if check.holds else "DIFFERS"
