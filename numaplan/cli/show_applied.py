"""A plan carried out, as text; the room that writes a form is imported for that form alone."""

from typing import assert_never

from numaplan.cli.forms import ApplyFormat
from numaplan.model.applied import Application


def application_text(application: Application, form: ApplyFormat) -> str:
    """The diffs of all guests, tables, or apply JSON."""
    match form:
        case ApplyFormat.DIFF:
            return "".join(change.diff for change in application.changes)
        case ApplyFormat.TABLE:
            from numaplan.report.applied import application_table

            return application_table(application)
        case ApplyFormat.JSON:
            from numaplan.records.applied import application_json

            return application_json(application)
    assert_never(form)
