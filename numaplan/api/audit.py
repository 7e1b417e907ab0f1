"""Audits a host and its guests."""

from numaplan.api.inventory import take_inventory
from numaplan.api.where import Where
from numaplan.audit.audit import audit
from numaplan.model.finding import Report


def audit_host(where: Where) -> Report:
    """The findings on a host and its guests; raises InputError, BackendError."""
    return audit(take_inventory(where))
