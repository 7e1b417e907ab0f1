"""What a rule of the audit is: its id, its texts for `numaplan explain`, and its check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from numaplan.audit.host import Facts
from numaplan.model.finding import Finding, NotChecked, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """A check of the guests of a host.

    `severity` is the gravest that it gives, `title` what a hit means in a few words, `what` all that it looks at and
    when a hit is less grave, `why` what it costs, `bad` and `good` elements of a domain XML.
    """

    id: str
    name: str
    severity: Severity
    title: str
    what: str
    why: str
    bad: str
    good: str
    fix: str
    check: Callable[[Facts], Iterator[Finding | NotChecked]]
    since: str = "0.1.0"
