"""Where the values of a JSON text stand, for messages: found by walking along the paths that are asked for, once."""

import json
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from typing import Final

Location = tuple[int | str, ...]

# How pydantic says that it is the key of an entry, not its value, that is wrong.
KEY_ITSELF: Final = "[key]"

_SPACE: Final = re.compile(r"[ \t\n\r]*")
# So many items of a list, none of which holds a list or object that holds one: a text of 16 MiB may have millions.
_STRIDE: Final = 500
_STRING: Final = r'"(?:[^"\\]++|\\.)*+"'
_FLAT: Final = rf'[^\[\]{{}}",]++|{_STRING}'
_ITEMS: Final = re.compile(rf"(?:(?:{_FLAT}|[\[{{](?:{_FLAT}|,)*+[\]}}])++,){{{_STRIDE}}}+")
_KEYS: Final = re.compile(rf"({_STRING})[ \t\n\r]*+:|{_STRING}|[{{}}]")
_NAMES: Final = re.compile(rf"{_STRING}|(NaN|-?Infinity)")
_decode: Final = json.JSONDecoder().raw_decode


def steps(path: str) -> Location:
    """The location that a path such as ``cores[0].numa_node`` names."""
    return tuple(int(step) if step.isdecimal() else step for step in re.findall(r"\w+", path))


def wheres(text: str, file: str, locations: Sequence[Location]) -> list[str]:
    """``file:line:column`` of each location's value in `text`, which must be JSON; else of what would hold it."""
    start = _past_space(text, 0)
    found = [start] * len(locations)
    # What is skipped may be nested as deeply as could just be read: what was found until there must do.
    with suppress(RecursionError):
        _walk(text, start, dict(enumerate(locations)), found)
    return [_where(text, file, at) for at in found]


def where_again(text: str, file: str) -> tuple[str, str]:
    """The first key that stands in an object of `text` for the second time, and where; there must be one."""
    objects: list[set[str]] = []
    for match in _KEYS.finditer(text):
        if match[0] == "{":
            objects.append(set())
        elif match[0] == "}":
            objects.pop()
        elif match[1] is not None:
            key: str = json.loads(match[1])
            if key in objects[-1]:
                return key, _where(text, file, match.start())
            objects[-1].add(key)
    raise ValueError("no key stands twice in one object")


def where_named(text: str, file: str) -> str:
    """Where the first number with a name stands: NaN, Infinity or -Infinity; there must be one."""
    return next(_where(text, file, match.start()) for match in _NAMES.finditer(text) if match[1])


def _where(text: str, file: str, at: int) -> str:
    return f"{file}:{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


def _walk(text: str, start: int, wanted: dict[int, Location], found: list[int]) -> None:
    """Notes for each of the `wanted`, by its number, where it stands in the value at `start`."""
    by_step: dict[int | str, dict[int, Location]] = {}
    for number, location in wanted.items():
        if location:
            by_step.setdefault(location[0], {})[number] = location[1:]
    if not by_step:
        return
    for step, key_at, value_at in _entries(text, start, by_step):
        if inside := by_step.pop(step, None):
            for number, location in inside.items():
                found[number] = key_at if location == (KEY_ITSELF,) else value_at
            _walk(text, value_at, {n: rest for n, rest in inside.items() if rest != (KEY_ITSELF,)}, found)
            if not by_step:
                return


def _entries(text: str, at: int, wanted: Container[int | str]) -> Iterator[tuple[int | str, int, int]]:
    """Of each entry of the object or list at `at`: its key or index, where that stands, and where its value does.

    Items far from those that are `wanted` may be left out.
    """
    opening = text[at]
    if opening not in "{[":
        return
    at = _past_space(text, at + 1)
    index = 0
    while text[at] not in "}]":
        if opening == "[" and index % _STRIDE == 0 and (end := _past_items(text, at, index, wanted)):
            at, index = end, index + _STRIDE
            continue
        step: int | str = index
        key_at = at
        if opening == "{":
            step, at = _decode(text, at)
            at = _past_space(text, _past_space(text, at) + 1)
        yield step, key_at, at
        _, at = _decode(text, at)
        at = _past_space(text, at)
        if text[at] == ",":
            at = _past_space(text, at + 1)
        index += 1


def _past_items(text: str, at: int, index: int, wanted: Container[int | str]) -> int | None:
    """Where the item stands that is a stride behind that of `index`, where that can be told at once."""
    if any(i in wanted for i in range(index, index + _STRIDE)):
        return None
    items = _ITEMS.match(text, at)
    return None if items is None else _past_space(text, items.end())


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at) if text[at] in " \t\n\r" else None
    return at if match is None else match.end()
