"""Audits a host and its guests."""

from pathlib import Path

from numaplan.api.inventory import take_inventory
from numaplan.audit.audit import audit
from numaplan.model.finding import Report


def audit_host(source: Path | None, domains: Path | None) -> Report:
    """The findings on the host of `source` with the guests of `domains`; raises InputError, BackendError."""
    return audit(take_inventory(source, domains))
