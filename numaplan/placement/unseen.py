"""What of a problem is not looked at, in words: a search that does not find a thing is then no proof."""

from typing import Final

from numaplan.placement.facts import held_memory
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


def ungiven_memory(problem: Problem) -> tuple[str, ...]:
    """A note on guests of the request that are there and whose memory counts as needed once more."""
    asked = {guest.name for guests in problem.classes if guests.exists for guest in guests.members}
    snapshot = problem.facts.snapshot
    there = [guest for guest in snapshot.guests if guest.name in asked and guest.running is not False]
    names = [guest.name for guest in there if guest.running is None or not held_memory(guest, snapshot)]
    if not names:
        return ()
    whose = format_few(names, _MOST_NAMED)
    return (f"memory of {whose} counts as needed anew: nobody knows that it is in use, and on which node",)
