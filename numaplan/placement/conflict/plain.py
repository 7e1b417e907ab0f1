"""The plainest that can be said of guests that cannot all be placed: few kinds of aspect that are too much in all."""

from numaplan.model.request import HostPolicy
from numaplan.placement.conflict.aspects import PLAIN
from numaplan.placement.conflict.classes import fewest_counted
from numaplan.placement.conflict.counted import is_counted_out
from numaplan.placement.conflict.shares import Shares, kinds_of, only, relaxed_problem
from numaplan.placement.facts import HostFacts
from numaplan.placement.problem import Problem


def plainly(policy: HostPolicy, facts: HostFacts, shares: Shares) -> Shares:
    """All shares in plain kinds of aspect alone, if counting proves these impossible; else as they are.

    Guests that ask for little are often equal, and there is little to be found out about them. But where fewer guests
    exceed a count that is only seen of all that they ask for, theirs is the better conflict.
    """
    few = fewest_counted(relaxed_problem(policy, facts, shares))
    tried = {kinds_of(shares)}
    for kinds in PLAIN:
        fewer = only(shares, kinds)
        if kinds_of(fewer) not in tried and _is_impossible(relaxed_problem(policy, facts, fewer), few):
            return fewer
        tried.add(kinds_of(fewer))
    return shares


def _is_impossible(problem: Problem, few: int | None) -> bool:
    """Whether no more than `few` guests exceed a count; None: whether they are too many by any way of counting."""
    if few is None:
        return is_counted_out(problem)
    counted = fewest_counted(problem)
    return counted is not None and counted <= few
