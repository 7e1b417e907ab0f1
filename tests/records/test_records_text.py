"""How documents are laid out."""

import json
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from numaplan.records.text import dump

TEXTS = st.text('}{, "\\\n]\u20ac', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_any_document_is_what_it_was(document: dict[str, Any]) -> None:
    assert json.loads(dump(document)) == document


@given(st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), min_size=1, max_size=4))
def test_every_entry_of_a_list_has_a_line_whatever_it_says(entries: list[dict[str, str]]) -> None:
    head, opened, *lines, closed, tail, after = dump({"list": entries}).split("\n")
    assert (head, opened, closed, tail, after) == ("{", '  "list": [', "  ]", "}", "")
    assert [json.loads(line.removesuffix(",")) for line in lines] == entries


def test_what_holds_entries_is_laid_out_and_all_else_is_one_line() -> None:
    document = {
        "schema": "x/1",
        "host": {"name": "a", "flags": ["vmx"], "has": {"kvm": True}},
        "nodes": [{"id": 0, "pools": [{"free": 1}, {"free": 2}]}, {"id": 1, "pools": []}],
        "none": [],
        "numbers": [1, 2],
        "kernel": {"smt": {}, "words": [{"name": "quiet"}]},
    }
    assert dump(document) == (
        "{\n"
        '  "schema": "x/1",\n'
        '  "host": {"name": "a", "flags": ["vmx"], "has": {"kvm": true}},\n'
        '  "nodes": [\n'
        "    {\n"
        '      "id": 0,\n'
        '      "pools": [\n'
        '        {"free": 1},\n'
        '        {"free": 2}\n'
        "      ]\n"
        "    },\n"
        '    {"id": 1, "pools": []}\n'
        "  ],\n"
        '  "none": [],\n'
        '  "numbers": [1, 2],\n'
        '  "kernel": {\n'
        '    "smt": {},\n'
        '    "words": [\n'
        '      {"name": "quiet"}\n'
        "    ]\n"
        "  }\n"
        "}\n"
    )


def test_writing_an_inventory_or_a_report_imports_no_pydantic() -> None:
    probe = "import sys, numaplan.records.inventory, numaplan.records.audit; print('pydantic' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
