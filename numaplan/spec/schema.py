"""The JSON Schema of vnf.yaml for editors, made of the models that read it."""

import json
from typing import Any, Final

from numaplan.spec.models import FileKeys

_NULL: Final = {"type": "null"}


def vnf_schema() -> str:
    """Pretty JSON, draft 2020-12. It accepts whatever parse_vnf does; what several keys must agree on it cannot say."""
    schema = FileKeys.model_json_schema(by_alias=True, mode="validation")
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("title", None)
        for value in part["properties"].values():
            value.pop("title", None)
        _allow_null(part)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "vnf.yaml of numaplan",
    }
    return json.dumps(document, indent=2, sort_keys=False) + "\n"


def _allow_null(part: dict[str, Any]) -> None:
    """A null means what no key means, so every key that may be absent may be null."""
    needed = part.get("required", [])
    for name, value in part.get("properties", {}).items():
        if name in needed:
            continue
        about = {key: value.pop(key) for key in ("description", "default") if value.get(key) is not None}
        value.pop("default", None)
        forms = [form for form in value.get("anyOf", [value]) if form != _NULL]
        part["properties"][name] = {**about, "anyOf": [*forms, _NULL]}
