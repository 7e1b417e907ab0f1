"""The audit: every rule on one snapshot, and what a rule is about in plain text."""

import textwrap

from numaplan.audit.host import gather
from numaplan.audit.rule import Rule
from numaplan.audit.rules import RULES
from numaplan.errors import InputError
from numaplan.model.finding import Finding, NotChecked, Report, Severity
from numaplan.model.snapshot import LIBVIRT, Snapshot

# With its indent a paragraph fits a terminal of 80 columns.
_WIDTH = 76
_ALL_RULES = "all rules"
_RANK = {severity: rank for rank, severity in enumerate((Severity.ERROR, Severity.WARNING, Severity.INFO))}


def audit(snapshot: Snapshot) -> Report:
    """All findings on the guests of a snapshot, the gravest first, then by rule, guest and subject."""
    facts = gather(snapshot)
    findings: list[Finding] = []
    # Who is not known is not judged by any rule.
    not_checked = {NotChecked(_ALL_RULES, gap.why) for gap in snapshot.gaps if gap.what == LIBVIRT}
    for rule in RULES:
        for hit in rule.check(facts):
            match hit:
                case Finding():
                    findings.append(hit)
                case NotChecked():
                    not_checked.add(hit)
    findings.sort(key=lambda hit: (_RANK[hit.severity], hit.rule, hit.guest or "", hit.subject, hit.message))
    return Report(
        findings=tuple(findings),
        not_checked=tuple(sorted(not_checked, key=lambda entry: (entry.rule, entry.why))),
        guests=len(snapshot.guests),
    )


def explanation(rule_id: str) -> str:
    """What a rule checks, why, and how to do better, for ``numaplan explain``; raises InputError for an unknown id."""
    rule = next((rule for rule in RULES if rule.id == rule_id.strip().upper()), None)
    if rule is None:
        known = ", ".join(rule.id for rule in RULES)
        raise InputError(f"no rule {rule_id[:80]!r}", "rule id", f"known: {known}")
    return _explain(rule)


def _explain(rule: Rule) -> str:
    sections = (
        ("What it checks", _filled(rule.what)),
        ("Why it matters", _filled(rule.why)),
        ("Bad", rule.bad),
        ("Good", rule.good),
        ("How to fix", _filled(rule.fix)),
    )
    head = f"{rule.id} {rule.name} ({rule.severity}, since {rule.since})\n{_filled(rule.title)}\n"
    return head + "".join(f"\n{title}:\n{_indented(text)}\n" for title, text in sections)


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_on_hyphens=False, break_long_words=False)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip().splitlines())
