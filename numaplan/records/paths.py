"""Traffic paths to JSON. They follow from the rest of the document, so they are written and never read back."""

from numaplan.model.path import Crossing, Route, Station, TrafficPath
from numaplan.records.text import cpu_list


def path_document(path: TrafficPath) -> dict[str, object]:
    """An entry of ``traffic_paths``."""
    return {
        "guest": path.guest,
        "interface": path.interface,
        "name": path.name,
        "uplinks": [station.name for station in path.uplinks],
        "routes": [_route_document(route) for route in path.routes],
        "unknown": list(path.unknown),
    }


def _route_document(route: Route) -> dict[str, object]:
    return {
        "uplink": None if route.uplink is None else route.uplink.name,
        "stations": [_station_document(station) for station in route.stations],
        "crossings": [_crossing_document(crossing) for crossing in route.crossings],
    }


def _station_document(station: Station) -> dict[str, object]:
    return {
        "kind": station.kind.value,
        "name": station.name,
        "numa_nodes": list(station.nodes),
        "cpus": cpu_list(station.cpus),
        "pci": None if station.pci is None else str(station.pci),
    }


def _crossing_document(crossing: Crossing) -> dict[str, object]:
    distance = crossing.distance
    return {
        "from": crossing.origin.name,
        "to": crossing.target.name,
        "certain": crossing.certain,
        "package": crossing.package,
        "distance": None if distance is None else [distance.smallest, distance.largest],
    }
