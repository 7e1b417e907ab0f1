"""Audit reports to audit JSON (schema ``numaplan/audit/1``)."""

from typing import Final

from numaplan.model.finding import Finding, Report, Severity
from numaplan.records.text import dump

AUDIT_SCHEMA: Final = "numaplan/audit/1"


def audit_json(report: Report) -> str:
    """The audit document of a report; findings keep their order."""
    return dump(
        {
            "schema": AUDIT_SCHEMA,
            "findings": [_finding_document(finding) for finding in report.findings],
            "not_checked": [{"rule": missed.rule, "why": missed.why} for missed in report.not_checked],
            "summary": {
                "guests": report.guests,
                **{severity.value: report.count(severity) for severity in Severity},
            },
        }
    )


def _finding_document(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "guest": finding.guest,
        "subject": finding.subject,
        "message": finding.message,
        "evidence": [{"what": fact.what, "value": fact.value, "where": fact.where} for fact in finding.evidence],
        "wanted": finding.wanted,
        "fix": finding.fix,
    }
