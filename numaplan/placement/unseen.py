"""What of a problem is not looked at, in words: a search that does not find a thing is then no proof."""

from typing import Final

from numaplan.placement.problem import Problem
from numaplan.units import format_few

_MOST_NAMED: Final = 5


def unseen(problem: Problem, what: str) -> tuple[str, ...]:
    """Notes on what is not looked at, so that `what` is not ruled out; none where everything is."""
    vms = dict.fromkeys(guest.vm for guests in problem.classes if guests.partial for guest in guests.members)
    left_out = []
    if vms:
        left_out.append(f"not all ways of {format_few(tuple(vms), _MOST_NAMED)} to lie on nodes were looked at")
    if problem.scattered:
        left_out.append("cores with threads in several caches were not looked at as whole ones")
    return tuple(f"{said}, so {what} is not ruled out" for said in left_out)
