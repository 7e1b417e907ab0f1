"""How many copies of a vm a host takes, and what one more would need."""

from dataclasses import dataclass

from numaplan.model.host import NodeId
from numaplan.model.plan import Placement


@dataclass(frozen=True, slots=True)
class Shortage:
    """A resource of which there is too little for one more copy; memory in pages, ordinary memory in KiB.

    `need` less `have` is the least addition of it that makes room. `need` is what has to be free there; `have` is what
    of it everybody else leaves once one more copy has its place, less what is added.
    """

    resource: str
    numa_node: NodeId | None
    have: int
    need: int

    @property
    def missing(self) -> int:
        """How much more of it has to be there."""
        return self.need - self.have


@dataclass(frozen=True, slots=True)
class NextCopy:
    """Why one copy more has no place: in words, and what it takes to give it one, all of `short` together.

    `short` is empty where nothing that is added helps, or where no answer was found within the limit.
    """

    sentence: str
    short: tuple[Shortage, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """`fit` copies of `vm` find a place at once; `proven`: and no more than that.

    `copies` are the names of the copies in `placements`, which holds the other guests of the request too.
    """

    vm: str
    fit: int
    proven: bool
    next: NextCopy
    copies: tuple[str, ...] = ()
    placements: tuple[Placement, ...] = ()
    notes: tuple[str, ...] = ()
