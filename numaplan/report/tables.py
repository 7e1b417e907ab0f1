"""The tables that verbs print, one function a document; nothing is cut off, and nothing here needs colour."""

from numaplan.report.audit import audit_table
from numaplan.report.hosts import hosts_table
from numaplan.report.inventory import inventory_table
from numaplan.report.plan import plan_table

__all__ = ["audit_table", "hosts_table", "inventory_table", "plan_table"]
