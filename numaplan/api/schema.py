"""The JSON Schemas of what numaplan reads and writes."""

from numaplan.records.schemas import schema
from numaplan.spec.schema import vnf_schema


def schema_of(kind: str) -> str:
    """The schema of vnf, inventory, plan or audit."""
    return vnf_schema() if kind == "vnf" else schema(kind)
