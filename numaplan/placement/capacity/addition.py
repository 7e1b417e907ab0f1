"""The least addition to a host that makes room for one copy more, proven on the host as it would be."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.request import Request, ThreadPolicy
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.elastic import Stretch, grown_facts
from numaplan.placement.capacity.model import CopiesProblem, WaysTaken, copies_problem, formulate_copies
from numaplan.placement.capacity.room import NOT_SETTLED, WORK, Room, find_room
from numaplan.placement.capacity.supply import Supply, Thing
from numaplan.placement.cpsat import ZERO, Outcome
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.levels import MANY_NODES
from numaplan.placement.switch import memory_to_come

# After so many searches without an answer what is known is told.
_MOST_UNKNOWN: Final = 2
# Of equal nodes and PFs one is as good as another.
_TRIED_OF_A_KIND: Final = 2


@dataclass(frozen=True, slots=True)
class Addition:
    """So much more of each supply is enough; `proven`: with one less of any it is not. The copies have `room` then."""

    more: Mapping[Supply, int]
    proven: bool
    room: Room = NOT_SETTLED


@dataclass(frozen=True, slots=True)
class Grown:
    """The host as it would be with additions, asked for room for `count` copies; `held`: where one less lie."""

    request: Request
    snapshot: Snapshot
    asked: CopiesProblem
    held: WaysTaken
    count: int

    def room(self, more: Mapping[Supply, int], *, node: NodeId | None = None) -> Room:
        """Whether the copies find a place, one of them on `node`."""
        around = frozenset(supply.node for supply in more if supply.node is not None)
        return find_room(self._with(more), self.count, start=self.held, around=around, node=node)

    def floats_on_last(self, more: Mapping[Supply, int], supply: Supply) -> bool:
        """Whether the last of some CPUs is for threads of a copy to float on: without these one less would do."""
        if not self.asked.guests.floats:
            return False
        less = _floating_nowhere(self._with({**more, supply: more[supply] - 1}))
        return find_room(less, self.count, start=self.held, around=frozenset()).outcome is Outcome.OPTIMAL

    def cores_taken(self, more: Mapping[Supply, int], node: NodeId, way: tuple[NodeId, ...]) -> int:
        """How many whole cores of a node go to a copy that lies this way, its odd threads and what floats included.

        Odd threads may be on a core that others have opened: those that others leave are counted, as all are needed.
        """
        here = [k for k, other in enumerate(way) if other == node]
        cells = [self.asked.guests.cells[k] for k in here]
        least = sum(cell.whole for cell in cells)
        if self.asked.guests.request.thread_policy is not ThreadPolicy.REQUIRE:
            return least
        width = self.asked.problem.facts.threads
        odd = sum(-(-(cell.part + cell.threads) // width) for cell in cells) + self.asked.guests.floats
        counts = range(least + odd, least, -1)
        return next((count for count in counts if self._leaves(more, count, here, way)), least)

    def _leaves(self, more: Mapping[Supply, int], count: int, here: Sequence[int], way: tuple[NodeId, ...]) -> bool:
        """Whether all but one copy leave `count` whole cores to it where it has the cells `here`."""
        asked = _floating_nowhere(self._with(more))
        only = {k: replace(asked.guests.cells[k], whole=0, part=0, threads=0) for k in here}
        only[here[0]] = replace(only[here[0]], whole=count)
        last = replace(
            asked.guests,
            members=(replace(asked.guests.request, required=True),),
            cells=tuple(only.get(k, cell) for k, cell in enumerate(asked.guests.cells)),
            options=tuple(option for option in asked.guests.options if option.nodes == way),
        )
        asked = replace(asked, problem=replace(asked.problem, classes=(*asked.problem.classes, last)))
        f, placed = formulate_copies(asked, self.count - 1)
        f.model.at_least(placed, self.count - 1)
        return f.model.solve(ZERO, maximize=False, work=WORK).outcome is Outcome.OPTIMAL

    def free_kib(self, supply: Supply, more: int) -> int:
        """What there is of memory where so much more of it is added: with enough, nothing is hidden below zero."""
        facts = grown_facts(self.request, self.snapshot, {supply: more}, threads=self.asked.problem.facts.threads)
        return 0 if supply.node is None else facts.capacity_kib.get((supply.node, supply.size_kib or SMALL_PAGE_KIB), 0)

    def exceeds(self, more: Mapping[Supply, int]) -> bool:
        """Whether counting alone shows that they find none."""
        return self._with(more).exceeds(self.count)

    def _with(self, more: Mapping[Supply, int]) -> CopiesProblem:
        facts = grown_facts(self.request, self.snapshot, more, threads=self.asked.problem.facts.threads)
        return copies_problem(self.request, facts, self.asked.copies)


def _floating_nowhere(asked: CopiesProblem) -> CopiesProblem:
    """The copies without threads that need a CPU to float on."""
    classes = enumerate(asked.problem.classes)
    changed = tuple(replace(guests, floats=guests.floats and not asked.is_copy(c)) for c, guests in classes)
    return replace(asked, problem=replace(asked.problem, classes=changed))


def least_addition(host: Grown, stretch: Stretch, needs: Mapping[Supply, int]) -> Addition | None:
    """The least addition, of one supply where one is enough; without `more` where none helps, None: not settled.

    As a rule it lets the others lie where they do, or is less of the same. On many nodes no more than a few places are
    tried alone.
    """
    found = _brought_down(host, stretch.least(needs, single=True, held=host.held).added)
    if found is not None and found.proven:
        return found
    if len(stretch.asked.problem.facts.nodes) >= MANY_NODES:
        # A choice among all supplies is out of reach there.
        found = found or _first(host, _in_one_place(stretch.least(needs, single=False, held=host.held).added))
        if found is not None:
            return found
    moved = stretch.least(needs, single=True)
    if moved.outcome not in (Outcome.OPTIMAL, Outcome.INFEASIBLE):
        return _first(host, _in_turn(stretch)) or found
    if moved.outcome is Outcome.INFEASIBLE:
        moved = stretch.least(needs, single=False)
    if moved.outcome is Outcome.INFEASIBLE:
        return Addition({}, proven=True)
    settled = _brought_down(host, moved.added)
    return settled if settled is not None and (settled.proven or found is None) else found


def _first(host: Grown, offers: Iterable[Mapping[Supply, int]]) -> Addition | None:
    """The least of the first offer that makes room and of which it is proven, else of the first that makes room."""
    found = None
    for more in offers:
        other = _brought_down(host, more)
        if other is not None and other.proven:
            return other
        found = found or other
    return found


def _in_one_place(more: Mapping[Supply, int]) -> Iterator[Mapping[Supply, int]]:
    """What is enough in several places: all of it in the one and the other, as far as it is the same; then as it is."""
    if len(more) > 1 and len({(supply.thing, supply.size_kib) for supply in more}) == 1:
        yield from ({supply: sum(more.values())} for supply in list(more)[:_TRIED_OF_A_KIND])
    yield more


def _in_turn(stretch: Stretch) -> Iterator[Mapping[Supply, int]]:
    """As much as a copy asks for, for a few supplies of each kind."""
    seen: Counter[tuple[Thing, int]] = Counter()
    for supply in stretch.supplies:
        kind = supply.thing, supply.size_kib
        most = stretch.of_copy(supply)
        if most and seen[kind] < _TRIED_OF_A_KIND:
            seen[kind] += 1
            yield {supply: most}


def _brought_down(host: Grown, more: Mapping[Supply, int]) -> Addition | None:
    """An addition brought down to what is just enough, supply by supply; None where it is not, or is none."""
    room = host.room(more) if more else None
    if room is None or room.outcome is not Outcome.OPTIMAL:
        return None
    least = Addition(more, proven=True, room=room)
    for supply in more:
        least = _less(host, least, supply)
    return least


def _less(host: Grown, enough: Addition, supply: Supply) -> Addition:
    """An addition with the least of one supply that is enough beside the others."""
    amounts = _amounts(host, supply, enough.more[supply])
    # That nothing at all is not enough is known already.
    low, high = 0 if len(enough.more) == 1 else -1, len(amounts) - 1
    least, proven = enough.room, True
    tried, is_counted, unknown = high - 1, False, 0

    def beside(i: int) -> Mapping[Supply, int]:
        return {other: more for other, more in {**enough.more, supply: amounts[i]}.items() if more}

    while high - low > 1 and unknown < _MOST_UNKNOWN:
        room = host.room(beside(tried))
        if room.outcome is Outcome.OPTIMAL:
            high, least = tried, room
        else:
            low, proven = tried, room.outcome is Outcome.INFEASIBLE
            unknown += not proven
        tried = (low + high) // 2
        if not is_counted and high - low > 1:
            # What counting does not rule out often is enough.
            low += bisect_left(range(low + 1, high), 1, key=lambda i: 0 if host.exceeds(beside(i)) else 1)
            tried, is_counted = low + 1, True
    proven = enough.proven and proven and high - low <= 1
    return Addition(beside(high), proven=proven, room=least)


def _amounts(host: Grown, supply: Supply, most: int) -> Sequence[int]:
    """Nothing, `most`, and what lies between them and makes a difference: what is there and more is a sum of uses."""
    problem = host.asked.problem
    there, uses, each = 0, set[int](), 1
    if supply.thing is Thing.BANDWIDTH:
        there = problem.facts.link_speed(supply.pf) or 0
        uses = {demand.mbps for guests in problem.classes for demand in guests.devices}
    elif supply.thing in (Thing.PAGE, Thing.ORDINARY) and supply.node is not None:
        size, each = (supply.size_kib, supply.size_kib) if supply.thing is Thing.PAGE else (SMALL_PAGE_KIB, 1)
        there = host.free_kib(supply, most) - most * each
        uses = {cell.memory_kib for guests in problem.classes for cell in guests.cells if size in cell.page_sizes_kib}
        uses |= {problem.facts.policy.guest_overhead_kib} if size == SMALL_PAGE_KIB else set()
    step = max(1, gcd(*uses) // each)
    if supply.thing is Thing.PAGE and supply.node in memory_to_come(host.snapshot.openvswitch):
        # What the switch takes of one size it leaves of another.
        step = 1
    return [0, *range(step - there // each % step, most, step), most]
