"""An audit as text; the room that writes a form is imported for that form alone."""

from typing import assert_never

from numaplan.cli.forms import AuditFormat
from numaplan.model.finding import Report


def audit_text(report: Report, form: AuditFormat) -> str:
    """An audit."""
    match form:
        case AuditFormat.TABLE:
            from numaplan.report.tables import audit_table

            return audit_table(report)
        case AuditFormat.JSON:
            from numaplan.records.audit import audit_json

            return audit_json(report)
    assert_never(form)
