"""The notation of OVSDB (RFC 7047, section 5.1): ``["set", [...]]`` or its one atom, ``["map", [...]]``."""

from collections.abc import Mapping
from typing import Final

_ATOMS: Final = (str, int, float, bool)
_EXCERPT: Final = 40


class OvsdbRow:
    """One row of a table. A column that is absent is empty; a value of another type raises ValueError."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self._data = data

    def text(self, column: str) -> str | None:
        """A string; None for an empty set."""
        value = self._atom(column)
        if value is None or isinstance(value, str):
            return value
        raise _refusal(column, value, "a string")

    def name(self) -> str:
        """The column "name", which no row is without."""
        name = self.text("name")
        if not name:
            raise _refusal("name", name, "a name")
        return name

    def flag(self, column: str) -> bool | None:
        """True or false; None for an empty set."""
        value = self._atom(column)
        if value is None or isinstance(value, bool):
            return value
        raise _refusal(column, value, "true or false")

    def integer(self, column: str, *, lowest: int, highest: int) -> int | None:
        """A whole number between the two; None for an empty set."""
        value = self._atom(column)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        raise _refusal(column, value, f"a whole number from {lowest} to {highest}")

    def uuid(self) -> str | None:
        """Its own id."""
        return next(iter(self.uuids("_uuid")), None)

    def uuids(self, column: str) -> tuple[str, ...]:
        """The ids of the rows that it refers to, in their order."""
        found = []
        for value in self._members(column):
            match value:
                case ["uuid", str(uuid)]:
                    found.append(uuid)
                case _:
                    raise _refusal(column, value, "ids of rows")
        return tuple(found)

    def map(self, column: str) -> Mapping[str, str]:
        """A map of strings."""
        value = self._data.get(column)
        match value:
            case None:
                return {}
            case ["map", list(pairs)]:
                return dict(_pair(column, pair) for pair in pairs)
        raise _refusal(column, value, "a map")

    def _atom(self, column: str) -> object:
        members = self._members(column)
        if len(members) > 1:
            raise _refusal(column, members, "one value at most")
        return members[0] if members else None

    def _members(self, column: str) -> list[object]:
        value = self._data.get(column)
        match value:
            case None:
                return []
            case ["set", list(members)]:
                return members
            case ["uuid", str()]:
                return [value]
            case _ if isinstance(value, _ATOMS):
                return [value]
        raise _refusal(column, value, "a set or one value")


def _pair(column: str, pair: object) -> tuple[str, str]:
    match pair:
        case [str(key), str(value)]:
            return key, value
    raise _refusal(column, pair, "a pair of strings")


def _refusal(column: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{column}: expected {expected}, found {repr(value)[:_EXCERPT]}")
