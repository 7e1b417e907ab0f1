"""The rows of a captured host's live sources, changed at random as a broken or hostile capture might have them."""

import copy
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from numaplan.model.host import Source
from numaplan.sources.opening import open_store
from numaplan.sources.store import Kind, Store, rows_path
from numaplan.sources.tree import HostTree

SOURCES: Final = ("netlink", "udev", "processes", "libvirt", "openvswitch")
_FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures" / "sysfs"
CAPTURE: Final = _FIXTURES / "16-2n4c2t-guests" / "capture.tar.gz"
# Words that a name, an address, a list or a path may be taken for; a terminal or XML must not see some of them.
_TEXTS: Final = (
    *("", " ", ".", "..", "a/b", "../../etc/passwd", "a\nb", "\0", "\x1b[2J", "\x85", "\u202eevil", "\u2028", "\ufffe"),
    *("\ud800", "<b>&\"'", "\u0663", "x" * 5000, "%00", "-1", "0-8191", "8192", "0-99999999", "4-5,", "NaN"),
    *(
        "00:00:00:00:00:00",
        "0000:21:00.0",
        "ffffffff:ff:1f.7",
        "lo",
        "eth0",
        "eth1",
        "br0",
        "br-int",
        "patch-int",
        "acme-fw",
        "veth",
        "bond",
    ),
)
_NUMBERS: Final = (
    *(-1, 0, 1, 2, 3, 8192, 2**16, 2**22, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64, -(2**63), 10**40),
    *(1.5, float("nan"), float("inf"), True, False),
)
_MOST_CHANGES: Final = 4

Json = Any  # what json.loads gives
Place = tuple[str | int, ...]


@dataclass
class RowStore:
    """A captured host in memory, under other rows."""

    base: Store
    rows: Mapping[str, bytes]

    def kind(self, path: str) -> Kind:
        return self.base.kind(path)

    def target(self, path: str) -> str:
        return self.base.target(path)

    def names(self, path: str) -> tuple[str, ...]:
        return tuple(self.base.names(path))

    def read(self, path: str) -> bytes:
        return self.rows[path] if path in self.rows else self.base.read(path)

    def below(self, path: str) -> Store:
        raise NotImplementedError(path)


@dataclass(frozen=True)
class Change:
    """What was changed: of which source, and whether a value became one of another type, which no reader may accept."""

    source: str
    place: Place
    mistyped: bool


@cache
def captured() -> Store:
    return open_store(CAPTURE)[0]


def real_rows() -> dict[str, Json]:
    return {name: json.loads(captured().read(rows_path(name))) for name in SOURCES}


def host_of(rows: Mapping[str, Json]) -> HostTree:
    data = {rows_path(name): json.dumps(document).encode() for name, document in rows.items()}
    return HostTree(RowStore(captured(), data), Source.CAPTURE)


def mutated(rng: random.Random, rows: Mapping[str, Json]) -> tuple[dict[str, Json], list[Change]]:
    """Rows with one to four changes."""
    changed = copy.deepcopy(dict(rows))
    return changed, [_change(rng, changed) for _ in range(rng.choice((1, 1, 2, _MOST_CHANGES)))]


def _change(rng: random.Random, rows: dict[str, Json]) -> Change:
    source = rng.choice(SOURCES)
    places = list(_places(rows[source]))
    place, old = rng.choice(places)
    # The value of another row under the same key makes doubles, and circles of pairs, masters and patch ports.
    others = [value for other, value in places if place and other and other[-1] == place[-1] and other != place]
    new = copy.deepcopy(rng.choice(others)) if others and rng.random() < 0.25 else _value(rng, old)
    _set(rows, source, place, new)
    return Change(source, place, mistyped=new is not None and type(new) is not type(old))


def _places(value: Json, place: Place = ()) -> Iterator[tuple[Place, Json]]:
    yield place, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        yield from _places(each, (*place, key))


def _value(rng: random.Random, old: Json) -> Json:
    nested: Json = old
    for _ in range(rng.choice((1, 60))):
        nested = rng.choice(([nested], {"name": nested}))
    grown: Json = []
    if old and isinstance(old, list):
        grown = [*old, *(copy.deepcopy(rng.choice(old)) for _ in range(rng.choice((1, 300))))]
    cut = f"{old[: len(old) // 2]}{rng.choice(_TEXTS)}" if isinstance(old, str) else None
    return rng.choice((None, rng.choice(_TEXTS), rng.choice(_TEXTS), rng.choice(_NUMBERS), nested, {}, grown, cut))


def _set(rows: dict[str, Json], source: str, place: Place, new: Json) -> None:
    holder: Json = rows
    keys = (source, *place)
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = new
