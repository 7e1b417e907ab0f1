"""Several hosts as a table, the best one first, and why not for those that do not take the guests."""

from collections.abc import Iterator
from typing import Final

from numaplan.model.hosts import HostRanking, RankedHost
from numaplan.model.plan import LevelName
from numaplan.report.plan import conflict_text
from numaplan.report.text import NONE, clean, grid, known, page
from numaplan.report.unplaced import unplaced_lines

_LEVELS: Final = (
    (LevelName.PRIORITY, "priority"),
    (LevelName.CROSS_NODE_COST, "cost"),
    (LevelName.LLC_SPANS, "spans"),
    (LevelName.FREE_NODES, "free nodes"),
    (LevelName.FREE_LLCS, "free LLCs"),
    (LevelName.FREE_CORES, "free cores"),
    (LevelName.MOVES, "moves"),
)
_NOT_READ: Final = "not read"


def hosts_table(ranking: HostRanking) -> str:
    """One line a host; levels as docs/objective.md has them, "-" where there is no plan."""
    names = [heading for _, heading in _LEVELS]
    rows = [_row(host) for host in ranking.hosts]
    rows += [[NONE, NONE, clean(host.snapshot), _NOT_READ, *(NONE for _ in _LEVELS)] for host in ranking.unread]
    table = grid(["rank", "host", "source", "verdict", *names], rows, right=["rank", *names])
    return page([table, *(_why_not(host) for host in ranking.hosts), "\n".join(_unread(ranking))])


def _row(host: RankedHost) -> list[str]:
    values = {level.name: str(level.value) for level in host.plan.levels}
    levels = [values.get(name, NONE) for name, _ in _LEVELS]
    return [str(host.rank), known(host.plan.hostname), clean(host.snapshot), host.plan.status.value, *levels]


def _why_not(host: RankedHost) -> str:
    """What stands in the way on a host without a plan, and who is left out on one with a plan."""
    left_out = [f"  {line}" for line in unplaced_lines(host.plan.unplaced)]
    if host.takes_it:
        return "\n".join([f"left out on {clean(host.snapshot)}:", *left_out]) if left_out else ""
    lines = [f"why not {clean(host.snapshot)}:", *left_out]
    if host.plan.conflict is not None:
        lines += [f"  {line}" for line in conflict_text(host.plan.conflict).splitlines()]
    return "\n".join(lines)


def _unread(ranking: HostRanking) -> Iterator[str]:
    for host in ranking.unread:
        yield from (f"not read: {clean(problem)}" for problem in host.problems)
