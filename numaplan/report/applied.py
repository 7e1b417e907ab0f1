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


def application_notes(application: Application, *, dry: bool) -> str:
    """What a user should know beside the data: when each change holds, what differs, what to do next."""
    lines = [f"{clean(change.guest)}: {change.effect}" for change in application.changes]
    lines += [f"{clean(change.guest)}: {pin}" for change in application.changes for pin in map(clean, change.pins)]
    lines += [f"note: {clean(note)}" for note in application.notes]
    if not application.changes:
        lines.append("nothing to do: every guest is as the plan wants it")
    elif dry:
        lines.append("dry run: nothing was changed; --yes carries it out")
    elif application.transaction is not None:
        lines += [
            f"DIFFERS: {clean(check.guest)}: {check.what}: planned {clean(check.planned)}, {check.source} says"
            f" {clean(check.found)}"
            for check in application.differences
        ]
        held = sum(check.holds for check in application.checks)
        if application.checks:
            lines.append(f"read back: {held} of {len(application.checks)} are as planned")
        lines.append(f"done; to undo it: numaplan rollback {application.transaction}")
    return "".join(f"{line}\n" for line in lines)


def _mark(check: Check) -> str:
    return "" if check.holds else "DIFFERS"
