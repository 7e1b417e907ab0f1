"""Applications to apply JSON (schema ``numaplan/apply/1``)."""

from typing import Final

from numaplan.model.applied import Application
from numaplan.records.text import dump

APPLY_SCHEMA: Final = "numaplan/apply/1"


def application_json(application: Application) -> str:
    """The apply document; the same application, the same bytes."""
    return dump(
        {
            "schema": APPLY_SCHEMA,
            "transaction": application.transaction,
            "guests": [
                {"vm": change.guest, "effect": change.effect, "diff": change.diff, "pins": list(change.pins)}
                for change in application.changes
            ],
            "checks": [
                {
                    "vm": check.guest,
                    "what": check.what,
                    "planned": check.planned,
                    "found": check.found,
                    "source": check.source,
                    "holds": check.holds,
                }
                for check in application.checks
            ],
            "notes": list(application.notes),
        }
    )
