"""What an audit says: a rule's hit, with its evidence."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact that the finding rests on, its `value`, and `where` it stands: file:line or a path in the host."""

    what: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's hit. `subject` names the thing ("cell 0", "0000:61:10.0"); `wanted` says what should be, `fix` how.

    `guest` is None for the host's own findings.
    """

    rule: str
    severity: Severity
    guest: str | None
    subject: str
    message: str
    evidence: tuple[Evidence, ...]
    wanted: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A rule that could not be judged, and why."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one audit, the gravest first; `guests` is how many were looked at."""

    findings: tuple[Finding, ...]
    not_checked: tuple[NotChecked, ...]
    guests: int

    def count(self, severity: Severity) -> int:
        """How many findings have that severity."""
        return sum(finding.severity is severity for finding in self.findings)
