"""JSON Schemas (draft 2020-12) of our documents, made from the forms that read them."""

import json
from enum import StrEnum
from typing import Final

from numaplan.records.applied import APPLY_SCHEMA
from numaplan.records.applied_form import ApplicationForm
from numaplan.records.audit import AUDIT_SCHEMA
from numaplan.records.audit_form import AuditForm
from numaplan.records.capacity import CAPACITY_SCHEMA
from numaplan.records.capacity_form import CapacityForm
from numaplan.records.document import Form
from numaplan.records.hosts import HOSTS_SCHEMA
from numaplan.records.hosts_form import HostsForm
from numaplan.records.inventory import INVENTORY_SCHEMA
from numaplan.records.inventory_form import InventoryForm
from numaplan.records.moves import MOVES_SCHEMA
from numaplan.records.moves_form import MovesForm
from numaplan.records.plan_form import PLAN_SCHEMA, PlanForm


class DocumentKind(StrEnum):
    """The documents that have a schema here; vnf.yaml has its own."""

    INVENTORY = "inventory"
    PLAN = "plan"
    AUDIT = "audit"
    CAPACITY = "capacity"
    HOSTS = "hosts"
    MOVES = "moves"
    APPLY = "apply"


_FORMS: Final[dict[DocumentKind, tuple[type[Form], str]]] = {
    DocumentKind.INVENTORY: (InventoryForm, INVENTORY_SCHEMA),
    DocumentKind.PLAN: (PlanForm, PLAN_SCHEMA),
    DocumentKind.AUDIT: (AuditForm, AUDIT_SCHEMA),
    DocumentKind.CAPACITY: (CapacityForm, CAPACITY_SCHEMA),
    DocumentKind.HOSTS: (HostsForm, HOSTS_SCHEMA),
    DocumentKind.MOVES: (MovesForm, MOVES_SCHEMA),
    DocumentKind.APPLY: (ApplicationForm, APPLY_SCHEMA),
}


def schema(kind: str) -> str:
    """The JSON Schema of a kind of document, by its word in DocumentKind; raises ValueError for any other word."""
    return _schema(*_FORMS[DocumentKind(kind)])


def _schema(form: type[Form], identity: str) -> str:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": identity}
    return json.dumps(head | form.model_json_schema(by_alias=True, mode="validation"), indent=2) + "\n"
