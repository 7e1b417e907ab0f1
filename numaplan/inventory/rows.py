"""Rows of a live source (netlink, libvirt, OVSDB...), with every value's type checked: they may come from a capture."""

import json
from collections.abc import Mapping
from typing import Final

from numaplan.sources.tree import HostTree

ROW_LIMIT: Final = 1 << 18
_INTEGER_LIMIT: Final = 2**63
_EXCERPT: Final = 40


class Row:
    """One JSON object. A key that is absent or null is None, or empty; a value of another type raises ValueError."""

    def __init__(self, data: Mapping[str, object], where: str) -> None:
        self._data = data
        self.where = where

    def text(self, key: str) -> str | None:
        """A string."""
        value = self._data.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self._refusal(key, "a string")

    def integer(self, key: str, *, lowest: int = -_INTEGER_LIMIT, highest: int = _INTEGER_LIMIT) -> int | None:
        """A whole number between the two."""
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        raise self._refusal(key, f"a whole number from {lowest} to {highest}")

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._data.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self._refusal(key, "true or false")

    def row(self, key: str) -> "Row | None":
        """An object."""
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, dict):
            return Row(value, f"{self.where}.{key}")
        raise self._refusal(key, "an object")

    def rows(self, key: str, *, required: bool = False) -> "tuple[Row, ...]":
        """A list of objects; `required`: a document without it says nothing, and raises ValueError too."""
        if required and self._data.get(key) is None:
            raise self._refusal(key, "a list of objects")
        values = self._list(key)
        if not all(isinstance(value, dict) for value in values):
            raise self._refusal(key, "a list of objects")
        return tuple(
            Row(value, f"{self.where}.{key}[{i}]") for i, value in enumerate(values) if isinstance(value, dict)
        )

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise self._refusal(key, "a list of strings")
        return tuple(value for value in values if isinstance(value, str))

    def _list(self, key: str) -> list[object]:
        value = self._data.get(key)
        if value is None:
            return []
        if isinstance(value, list) and len(value) <= ROW_LIMIT:
            return value
        raise self._refusal(key, f"a list of at most {ROW_LIMIT}")

    def _refusal(self, key: str, expected: str) -> ValueError:
        found = json.dumps(self._data.get(key))
        found = found if len(found) <= _EXCERPT else f"{found[:_EXCERPT]}..."
        return ValueError(f"{self.where}.{key}: expected {expected}, found {found}")


def read_rows(tree: HostTree, name: str) -> Row | None:
    """The document of a source; None where it said nothing, and with a gap where it is no object."""
    document = tree.rows(name)
    if document is None:
        return None
    if isinstance(document, dict):
        return Row(document, name)
    tree.note(name, "expected an object")
    return None
