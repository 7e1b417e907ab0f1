"""An order of changes in which every step is possible: nothing is held twice and no pool is exceeded in between.

Guests that wait for each other in a circle are parted by a stop that is paid for anyway, a place for the moment, or a
stop that costs a restart, in this order.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from numaplan.model.moves import MoveKind
from numaplan.placement.rebalance.changes import PRICES, Action, Change, Held, Step, World
from numaplan.placement.rebalance.situation import Phase, Situation, State

# Beyond so many states, or changes in all that follow them, one way is gone without looking back.
MAX_STATES: Final = 2_000
MAX_WORK: Final = 1_000_000


def order(changes: Sequence[Change], world: World) -> tuple[Step, ...] | None:
    """Steps that are possible one after the other, where the whole outcome is: the cheapest that are found.

    Where that search takes too long, guests are stopped one by one until the others can go. None: not all of those that
    wait for each other may stop, and no other order was found.
    """
    run = _Order(changes, world)
    found = run.cheapest()
    return run.straight_on() if found is None else found


class _Trail(NamedTuple):
    """The last step on a way, and those before it."""

    step: Step
    before: "_Trail | None"


class _Rank(NamedTuple):
    """What is looked at first: what costs least beyond the price of the changes, stops little, and is furthest on."""

    extra: int
    stops: int
    left: int
    number: int


class _Order:
    """The changes and their world, asked what can follow a state."""

    def __init__(self, changes: Sequence[Change], world: World) -> None:
        self.changes = tuple(changes)
        self.world = world
        self.staying = Held(world.staying)
        self.memory = Counter(world.free_kib)
        for change in changes:
            self.memory.update(dict(change.before.memory))

    def cheapest(self) -> tuple[Step, ...] | None:
        """The cheapest way to the end; None where it is not found within the limits."""
        queue: list[tuple[_Rank, State, _Trail | None]] = [(_Rank(0, 0, 0, 0), State.first(self.changes), None)]
        seen: set[State] = set()
        number = work = 0
        while queue and len(seen) < MAX_STATES and work < MAX_WORK:
            rank, state, trail = heapq.heappop(queue)
            if not state.pending:
                return _steps(trail)
            if state in seen:
                continue
            seen.add(state)
            for extra, step, following in self.successors(state):
                number += 1
                work += len(self.changes)
                stops = rank.stops + (step.action is Action.STOP)
                place = _Rank(rank.extra + extra, stops, rank.left - 1, number)
                heapq.heappush(queue, (place, following, _Trail(step, trail)))
            work += len(self.changes)
        return None

    def straight_on(self) -> tuple[Step, ...] | None:
        """Whatever can be done is done; where nothing can, the cheapest is taken that lets another guest go on.

        It comes to an end where all may stop: whoever is stopped can start when all others are stopped or done.
        """
        state = State.first(self.changes)
        steps: list[Step] = []
        while state.pending:
            ways = sorted(self.successors(state, again=True), key=lambda way: way[0])
            now = self._situation(state)
            helping = (way for way in ways if way[1].action in _ENDS or self._helps(now, way[2]))
            stops = (way for way in ways if way[1].action is Action.STOP)
            way = next(helping, None) or next(stops, None)
            if way is None and not all(change.may_stop for change in self.changes):
                return None
            if way is None:
                return (*steps, *(self._done(state, i) for i in state.pending))
            _, step, state = way
            steps.append(step)
        return tuple(steps)

    def successors(self, state: State, *, again: bool = False) -> Iterator[tuple[int, Step, State]]:
        """What can be done next, and its cost beyond the change's price; what harms nobody is done before all else.

        `again`: who waits somewhere may also be stopped.
        """
        now = self._situation(state)
        able = [i for i in now.pending if now.fits(i)]
        harmless = next((i for i in able if now.is_harmless(i)), None)
        for i in able if harmless is None else [harmless]:
            yield 0, self._done(state, i), state.to(i, Phase.AFTER)
        if harmless is not None:
            return
        restart = PRICES[MoveKind.RESTART]
        for i in now.pending:
            change = self.changes[i]
            phase = state.phases[i]
            if change.may_stop and (phase is Phase.BEFORE or (again and phase is Phase.PARKED)):
                yield restart - change.price, Step(change.vm, Action.STOP, restart), state.to(i, Phase.DOWN)
        cost = PRICES[MoveKind.REPIN]
        # Everybody's best place comes before anybody's next one.
        for places in zip_longest(*(now.parkings(i) for i in now.pending)):
            for i, place in zip(now.pending, places, strict=True):
                if place is not None:
                    yield cost, Step(self.changes[i].vm, Action.PARK, cost, place), state.to(i, Phase.PARKED, place)

    def _situation(self, state: State) -> Situation:
        return Situation(self.changes, self.world, state, staying=self.staying, total=self.memory)

    def _helps(self, now: Situation, following: State) -> bool:
        """Whether somebody else can be brought to its end then."""
        (i,) = (i for i in now.pending if now.state.phases[i] is not following.phases[i])
        if following.phases[i] is Phase.DOWN:
            return now.lets_go(i)
        then = self._situation(following)
        return any(then.fits(j) for j in then.pending if j != i)

    def _done(self, state: State, i: int) -> Step:
        change = self.changes[i]
        if state.phases[i] is Phase.DOWN:
            return Step(change.vm, Action.START, 0)
        return Step(change.vm, Action.DO, change.price)


_ENDS: Final = (Action.DO, Action.START)


def _steps(trail: _Trail | None) -> tuple[Step, ...]:
    steps = []
    while trail is not None:
        steps.append(trail.step)
        trail = trail.before
    return tuple(reversed(steps))
