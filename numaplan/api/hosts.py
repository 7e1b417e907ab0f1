"""Places guests on each of several hosts, and says which takes them best."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from numaplan.api.clock import Clock
from numaplan.api.fixes import with_fixes
from numaplan.api.place import Answer, Asking, place
from numaplan.api.question import asked_of, read_vnf
from numaplan.api.where import Where
from numaplan.errors import ExitCode, NumaplanError
from numaplan.model.hosts import HostRanking, RankedHost, UnreadHost
from numaplan.model.plan import MAXIMIZED, Plan, Status


@dataclass(frozen=True, slots=True)
class Comparison:
    """The hosts, best first, and the whole answer of each in the same order."""

    ranking: HostRanking
    answers: tuple[Answer, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Done if a host takes the guests; infeasible only where that is proven of every host that was named."""
        if any(host.takes_it for host in self.ranking.hosts):
            return ExitCode.DONE
        proven = all(host.plan.status is Status.INFEASIBLE for host in self.ranking.hosts)
        return ExitCode.INFEASIBLE if proven and not self.ranking.unread else ExitCode.UNDECIDED


def place_on_each(vnf: Path, wheres: Sequence[Where], asking: Asking, *, host_profile: str | None) -> Comparison:
    """The guests of `vnf` on each host by itself, the time limit for each.

    A host that cannot be read is told; where none can, all of that is raised, as the kind of error of the first.
    """
    answers: list[tuple[str, Answer]] = []
    unread: list[tuple[UnreadHost, NumaplanError]] = []
    text = read_vnf(vnf)
    for where in wheres:
        name = "this machine" if where.source is None else str(where.source)
        try:
            clock = Clock(asking.time_limit_s)
            question = asked_of(where, text, str(vnf), host_profile=host_profile)
            answer = place(question, asking, clock)
            plan = with_fixes(question, answer.plan, change_topology=asking.change_topology, clock=clock)
        except NumaplanError as error:
            if error.exit_code is ExitCode.BUG:
                raise
            unread.append((UnreadHost(name, tuple(str(problem) for problem in error.problems)), error))
        else:
            answers.append((name, replace(answer, plan=plan)))
    if not answers and unread:
        problems = dict.fromkeys(problem for _, error in unread for problem in error.problems)
        raise type(unread[0][1]).of(tuple(problems))
    answers.sort(key=lambda item: preference(item[1].plan))
    hosts = tuple(RankedHost(i + 1, name, answer.plan) for i, (name, answer) in enumerate(answers))
    return Comparison(HostRanking(hosts, tuple(host for host, _ in unread)), tuple(answer for _, answer in answers))


def preference(plan: Plan) -> tuple[int, ...]:
    """Less is better: whether there is a plan, then the levels in their order."""
    match plan.status:
        case Status.OPTIMAL | Status.FEASIBLE:
            return (0, *(-level.value if level.name in MAXIMIZED else level.value for level in plan.levels))
        case Status.UNKNOWN:
            return (1,)
        case Status.INFEASIBLE:
            return (2,)
