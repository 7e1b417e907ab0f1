"""Why a guest that a plan leaves out has no place beside the guests that it places: what is missing on every way."""

from typing import Final

from numaplan.placement.why.beside import Host
from numaplan.placement.why.elsewhere import UNDECIDED, every_way, way_there
from numaplan.placement.why.places import missing

# A guest of several cells that can lie in more ways is not counted through.
_MOST_WAYS: Final = 200


def what_is_missing(host: Host, vm: str) -> str | None:
    """What guest `vm`, which is not placed, lacks on every way to lie on nodes; None: not every lack was found out."""
    guests = host.class_of[vm]
    ways = every_way(host.problem, guests)
    uncounted = host.problem.truncated or any(option.keep is not None for option in guests.options)
    if not 0 < len(ways) <= _MOST_WAYS or uncounted:
        return None
    beside = host.beside(None)
    found = []
    for nodes in ways:
        way = way_there(host, beside, vm, nodes=nodes)
        if way.lack is None or way.lack.sentence == UNDECIDED:
            return None
        found.append(way)
    return "; ".join(missing(found))
