"""Why a guest that a plan leaves out has no place beside the guests that it places: what is missing on every way."""

from typing import Final

from numaplan.placement.why.beside import Host
from numaplan.placement.why.elsewhere import every_way, ways_there
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
    found = ways_there(host, host.beside(None), vm, ways)
    if any(way.lack is None or way.least is not None for way in found):
        return None
    return "; ".join(missing(found))
