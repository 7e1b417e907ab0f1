"""Which of several hosts takes a VNF: the plans for each, the best one first."""

from dataclasses import dataclass

from numaplan.model.plan import Plan, Status


@dataclass(frozen=True, slots=True)
class RankedHost:
    """A host's plan; `snapshot` names the host as it was asked for, `rank` counts from 1."""

    rank: int
    snapshot: str
    plan: Plan

    @property
    def takes_it(self) -> bool:
        """Whether every required guest has a place there."""
        return self.plan.status in (Status.OPTIMAL, Status.FEASIBLE)


@dataclass(frozen=True, slots=True)
class UnreadHost:
    """A host that could not be read, or not with this request, and why."""

    snapshot: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostRanking:
    """All hosts that were asked: those with a plan first, then those of which nothing is known, then the impossible."""

    hosts: tuple[RankedHost, ...]
    unread: tuple[UnreadHost, ...] = ()
