"""The ways of guests' traffic in an inventory: station by station, with the node of each, to a physical port."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Final

from numaplan.model.path import Crossing, Route, Station, TrafficPath
from numaplan.report.text import NONE, UNKNOWN, clean, grid

_WAY_WIDTH: Final = 64
_THEN: Final = " > "


def traffic(paths: Sequence[TrafficPath]) -> str:
    """A row a way; an interface with several ports has several."""
    rows = [row for path in paths for row in _rows(path)]
    return grid(["guest", "interface", "way, with nodes", "crosses nodes"], rows) if rows else ""


def _rows(path: TrafficPath) -> list[list[str]]:
    names = [clean(path.guest), clean(path.name)]
    rows = [[*names, _way(route), _crossings(route)] for route in path.routes]
    return rows + [[*names, f"{UNKNOWN} {_wrapped(clean(sentence))}", UNKNOWN] for sentence in path.unknown]


def _way(route: Route) -> str:
    return _wrapped(_THEN.join(map(_station, route.stations)))


def _wrapped(text: str) -> str:
    return "\n".join(wrap(text, _WAY_WIDTH, break_long_words=False, break_on_hyphens=False)) or NONE


def _station(station: Station) -> str:
    nodes = ",".join(map(str, station.nodes))
    name = clean(station.name).replace(" ", "_")
    kind = "" if name == station.kind.value else f"{station.kind.value}:"
    return f"{kind}{name}@{nodes}" if nodes else f"{kind}{name}"


def _crossings(route: Route) -> str:
    return "\n".join(map(_crossing, route.crossings)) or "no"


def _crossing(crossing: Crossing) -> str:
    ends = " to ".join(",".join(map(str, station.nodes)) or UNKNOWN for station in (crossing.origin, crossing.target))
    notes = [f"node {ends}"]
    if crossing.package:
        notes.append("other package")
    if crossing.distance is not None:
        low, high = crossing.distance.smallest, crossing.distance.largest
        notes.append(f"distance {low}" if low == high else f"distance {low}-{high}")
    return ("" if crossing.certain else "perhaps ") + ", ".join(notes)
