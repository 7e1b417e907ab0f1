"""A mistake in a document of ours is told at its line and column."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numaplan.errors import InputError
from numaplan.records.places import Location, steps, wheres
from numaplan.records.plan import plan_json, read_plan
from numaplan.records.read import read_inventory
from tests.records.samples import full_plan

KEYS = st.text('}{, "\\\n]:a\u20ac', max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
INVENTORY = """{"schema": "numaplan/inventory/1",
 "host": {"hostname": "a"},
 "cpus": {"online": "0"},
 "cores": [
  {"cpus": [0],
   "numa_node": 7}],
 "numa_nodes": [
  {"id": 0, "cpus": "0", "hugepages": [
    {"total": 4, "free": 4},
    {"size_kib": "x", "total": 4, "free": 4}]}]
}
"""


def test_a_contradiction_is_told_at_the_value_that_is_meant() -> None:
    text = INVENTORY.replace('{"total": 4, "free": 4},', "").replace('"x"', "2048")
    assert _refusal_of(read_inventory, text) == "a.json:6:17: cores[0].numa_node: there is no node 7"


def test_what_is_missing_is_told_at_what_should_hold_it() -> None:
    assert _refusal_of(read_inventory, INVENTORY).splitlines() == [
        "a.json:9:5: numa_nodes[0].hugepages[0].size_kib: is missing",
        "a.json:10:18: numa_nodes[0].hugepages[1].size_kib: expected a whole number, found 'x'",
    ]
    assert _refusal_of(read_inventory, '\n {"a": 1}').startswith("a.json:2:2: schema: is missing")
    assert _refusal_of(read_inventory, '{\n "schema": 1}').startswith("a.json:2:12: schema: expected")


def test_a_wrong_key_is_told_where_it_stands() -> None:
    text = plan_json(full_plan()).replace('"0": "', '"zero": "', 1)
    before = text[: text.index('"zero"')]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert _refusal_of(read_plan, text).startswith(f"a.json:{line}:{column}: placements[0].cells[0].vcpus.zero: ")


@given(VALUES, st.sampled_from((None, 0, 2)))
def test_every_value_is_found_however_the_text_is_laid_out(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    values = list(_values(value, ()))
    lines = text.split("\n")
    for (_, here), where in zip(values, wheres(text, "a", [location for location, _ in values]), strict=True):
        _, line, column = where.split(":")
        rest = "\n".join(lines[int(line) - 1 :])
        assert json.JSONDecoder().raw_decode(rest, int(column) - 1)[0] == here


def test_an_item_far_behind_in_a_list_is_found() -> None:
    items = [{"a": [1, {"b": []}]}, 1, '],\\",', [], {"{": "}, "}, [2, "x"]]
    values = [items[i % (1 if 600 < i < 700 else 5) + 1 * (i > 700)] for i in range(4_000)]
    far = [(3_999,), (2_400,), (1,), (650, "a", 1, "b")]
    text = json.dumps(values)
    for location, where in zip(far, wheres(text, "a", far), strict=True):
        here: Any = values
        for step in location:
            here = here[step]
        assert json.JSONDecoder().raw_decode(text, int(where.rpartition(":")[2]) - 1)[0] == here


def test_what_is_skipped_may_be_nested_as_deeply_as_can_be_read() -> None:
    deep = "[" * 900 + "]" * 900
    text = INVENTORY.replace('{"hostname"', f'{{"deep": {deep}, "hostname"')
    assert _refusal_of(read_inventory, text).startswith(("a.json:9:5: ", "a.json:1:1: "))
    endless = "[" * 100_000 + "]" * 100_000
    assert wheres(f'{{"a": {endless}, "b": 1}}', "a", [("b",)]) == ["a:1:1"]


@pytest.mark.parametrize("path", ["cores", "cores[0].numa_node", "guests[12].live.threads[0]"])
def test_a_path_is_its_steps(path: str) -> None:
    told = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps(path))
    assert told.removeprefix(".") == path


def _refusal_of(read: Callable[[str, str], object], text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(text, "a.json")
    return str(caught.value)


def _values(value: Any, location: Location) -> Iterator[tuple[Location, object]]:  # noqa: ANN401  # any JSON value
    yield location, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inside:
        yield from _values(each, (*location, step))
