"""An audit for an engineer's eyes: findings by severity, each with what it rests on and what to do."""

from typing import assert_never

from numaplan.model.finding import Finding, Report, Severity
from numaplan.report.text import clean, count, facts


def audit_table(report: Report) -> str:
    """The findings, the gravest first, what could not be checked, and the sum in the last line."""
    sections = [
        _finding(finding) for severity in Severity for finding in report.findings if finding.severity is severity
    ]
    sections.append(
        "\n".join(f"not checked: {clean(missed.rule)}: {clean(missed.why)}" for missed in report.not_checked)
    )
    counts = ", ".join(count(report.count(severity), severity.value) for severity in Severity)
    sections.append(f"{counts} in {count(report.guests, 'guest')}")
    return "\n\n".join(section for section in sections if section) + "\n"


def _finding(finding: Finding) -> str:
    who = "host" if finding.guest is None else clean(finding.guest)
    head = f"{_symbol(finding.severity)} {finding.severity.value} {clean(finding.rule)}"
    lines = [f"{head} {who}, {clean(finding.subject)}: {clean(finding.message)}"]
    if finding.evidence:
        rows = [[clean(fact.what), f"= {clean(fact.value)}", f"({clean(fact.where)})"] for fact in finding.evidence]
        lines.append(facts(rows, indent="    "))
    lines.append(f"    wanted: {clean(finding.wanted)}")
    if finding.fix is not None:
        lines.append(f"    fix: {clean(finding.fix)}")
    return "\n".join(lines)


def _symbol(severity: Severity) -> str:
    match severity:
        case Severity.ERROR:
            return "x"
        case Severity.WARNING:
            return "!"
        case Severity.INFO:
            return "i"
        case other:
            assert_never(other)
