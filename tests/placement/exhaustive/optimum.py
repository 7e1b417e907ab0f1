"""The best plan found by trying everything: nodes, memory and functions first, then concrete CPUs, tier by tier.

A tier is a priority and a cost. The best tier in which CPUs can be had holds the optimum, and all of it is looked at.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations, product

from tests.placement.exhaustive.check import broken, cpus_moved, free_counts, given_cpus, policy_kept, spans, values
from tests.placement.exhaustive.reading import Cpus, Json, list_text
from tests.placement.exhaustive.resources import STATE_LIMIT, Nodes, Shared, TooLargeError, shared_out, without_cpus
from tests.placement.exhaustive.wishes import Wish
from tests.placement.exhaustive.world import World, affinities

# Priority, free nodes, free LLCs and free cores count upwards; the rest counts downwards.
SIGNS = (-1, 1, 1, -1, -1, -1, 1)


@dataclass(frozen=True)
class Best:
    """The values of the levels, and placements that have them."""

    values: tuple[int, ...]
    placements: tuple[Json, ...]


@dataclass(frozen=True)
class CpuChoice:
    """Concrete CPUs for each thread of a guest: of vCPUs by number, the emulator, the iothreads in order."""

    vcpus: tuple[tuple[int, int], ...]
    emulator: tuple[int, ...]
    iothreads: tuple[int, ...]
    cpus: Cpus
    idle: Cpus
    spans: int
    unmoved: bool


@dataclass(frozen=True)
class CpuState:
    """What all guests so far hold; siblings in `idle` go to nobody."""

    choices: tuple[CpuChoice | None, ...] = ()
    cpus: Cpus = frozenset()
    idle: Cpus = frozenset()
    spans: int = 0
    unmoved: frozenset[int] = frozenset()


def rank(found: Sequence[int]) -> tuple[int, ...]:
    """Less is better, level by level."""
    return tuple(sign * value for sign, value in zip(SIGNS, found, strict=True))


def optimum(world: World, wishes: Sequence[Wish]) -> Best | None:
    """The best of all plans; None where required guests cannot all be placed. Raises TooLargeError."""
    search = _CpuSearch(world, wishes)
    possible = [
        [
            nodes
            for nodes in product(world.nodes, repeat=len(wish.cells))
            if not (wish.distinct_nodes and len(set(nodes)) < len(nodes)) and search.choices(index, nodes)
        ]
        for index, wish in enumerate(wishes)
    ]
    tiers: dict[tuple[int, int], list[Shared]] = {}
    for state in shared_out(world, wishes, possible):
        placed = sum(wish.priority for wish, share in zip(wishes, state.shares, strict=True) if share is not None)
        tiers.setdefault((-placed, state.cost), []).append(state)
    for tier in sorted(tiers):
        found = [(search.best(state), state) for state in tiers[tier]]
        complete = [(score, cpus, state) for one, state in found if one is not None for score, cpus in [one]]
        if complete:
            score, cpus, state = min(complete, key=lambda item: item[0])
            best = search.named(state, cpus)
            assert not broken(world, wishes, best), broken(world, wishes, best)
            assert rank(values(world, wishes, best)) == (*tier, *score)
            return Best(values(world, wishes, best), best)
    return None


class _CpuSearch:
    def __init__(self, world: World, wishes: Sequence[Wish]) -> None:
        self.world = world
        self.wishes = wishes
        named = {cpu for guest in world.returning for cpus in affinities(guest) if cpus for cpu in cpus}
        self.looks = {
            cpu: (
                world.node_of(cpu),
                tuple(cpu in llc for llc in world.llcs),
                cpu in world.free,
                cpu in world.reserved,
                cpu in world.shared,
                cpu in world.taken,
                cpu if cpu in named else -1,
            )
            for cpu in world.online
        }
        numbers = {look: number for number, look in enumerate(sorted(set(self.looks.values()), key=repr))}
        self.numbers = {cpu: numbers[look] for cpu, look in self.looks.items()}
        self._choices: dict[tuple[int, Nodes], list[CpuChoice]] = {}
        self._ends: dict[tuple[Nodes | None, ...], list[CpuState]] = {}

    def best(self, state: Shared) -> tuple[tuple[int, ...], CpuState] | None:
        """The best score of the levels below cost, and the CPUs; None where there are none."""
        there = {index for index, wish in enumerate(self.wishes) if wish.name in self.world.there}
        found = []
        for end in self._all(state.nodes):
            nodes, llcs, cores = free_counts(self.world, end.cpus, state.memory_nodes)
            moves = len(there - (end.unmoved & state.unmoved))
            found.append(((end.spans, -nodes, -llcs, -cores, moves), end))
        return min(found, key=lambda item: item[0], default=None)

    def choices(self, index: int, nodes: Nodes) -> list[CpuChoice]:
        """Every choice of concrete CPUs for a guest on these nodes, were it alone."""
        key = (index, nodes)
        if key not in self._choices:
            self._choices[key] = list(self._alone(self.wishes[index], nodes))
        return self._choices[key]

    def named(self, state: Shared, cpus: CpuState) -> tuple[Json, ...]:
        """The placements with CPUs, and with threads that share afloat."""
        held = cpus.cpus | self.world.taken
        found = []
        for wish, share, choice in zip(self.wishes, state.shares, cpus.choices, strict=True):
            if share is not None and choice is not None:
                placement = _dressed(share.placement, choice)
                rung = self.world.ladder(share.nodes)
                if rung is None:
                    rung = frozenset(cpu for node in share.nodes for cpu in self.world.cpus_of[node]) - held
                if not wish.own_emulator:
                    placement["emulator"] = list_text(rung)
                if wish.iothreads_share:
                    placement["iothreads"] = {iothread: list_text(rung) for iothread in placement["iothreads"]}
                found.append(placement)
        return tuple(found)

    def _all(self, nodes: tuple[Nodes | None, ...]) -> list[CpuState]:
        """Everything that the guests can hold on these nodes; of what looks the same the one of fewest spans."""
        if nodes not in self._ends:
            states = [CpuState()]
            for index, place in enumerate(nodes):
                choices = [None] if place is None else self.choices(index, place)
                found: dict[object, CpuState] = {}
                for state in states:
                    for choice in choices:
                        more = _with(state, choice, index)
                        if more is not None:
                            key = (self._look(more), more.unmoved)
                            if key not in found or more.spans < found[key].spans:
                                found[key] = more
                        if len(found) > STATE_LIMIT:
                            raise TooLargeError
                states = list(found.values())
            self._ends[nodes] = [state for state in states if self._afloat(nodes, state)]
        return self._ends[nodes]

    def _afloat(self, nodes: tuple[Nodes | None, ...], state: CpuState) -> bool:
        """Whether threads that share have somewhere to run."""
        held = state.cpus | self.world.taken
        return all(
            place is None
            or not wish.floats
            or self.world.ladder(place) is not None
            or any(not self.world.cpus_of[node] <= held for node in place)
            for wish, place in zip(self.wishes, nodes, strict=True)
        )

    def _look(self, state: CpuState) -> object:
        """What is held, but for the names of threads and cores that look the same."""
        return tuple(
            sorted(
                tuple(sorted((self.numbers[cpu], cpu in state.cpus, cpu in state.idle) for cpu in core))
                for core in self.world.cores
            )
        )

    def _alone(self, wish: Wish, nodes: Nodes) -> Iterator[CpuChoice]:
        """Each set of free CPUs for each cell, handed out in one way, and as the XML has it; see `_handed_out`."""
        sets = [
            list(combinations(sorted(self.world.free & self.world.cpus_of[node]), wish.cpus(index)))
            for index, node in enumerate(nodes)
        ]
        bare = without_cpus(self.world, wish, nodes, [(node, 4) for node in nodes], [()] * len(wish.ports))
        seen = set()
        for handed in (*self._as_there(wish, nodes), *(self._handed_out(wish, some) for some in product(*sets))):
            vcpus, emulator, iothreads = handed
            choice = self._choice(wish, bare, vcpus, emulator, iothreads)
            if choice is not None and (choice.cpus, tuple(vcpus), emulator) not in seen:
                seen.add((choice.cpus, tuple(vcpus), emulator))
                yield choice

    def _handed_out(
        self, wish: Wish, sets: Sequence[tuple[int, ...]]
    ) -> tuple[list[tuple[int, int]], tuple[int, ...], tuple[int, ...]]:
        """vCPUs first, on the cores of which the set has the most: which thread is where matters for nothing else.

        But to a guest that is there: it can be left where it is, and that way is tried too.
        """
        vcpus: list[tuple[int, int]] = []
        rest: list[int] = []
        for index, cpus in enumerate(sets):
            core = self.world.core_of
            order = sorted(cpus, key=lambda cpu: (-len(core[cpu] & frozenset(cpus)), min(core[cpu]), cpu))
            dedicated = wish.cells[index].dedicated
            vcpus += zip(dedicated, order, strict=False)
            rest += order[len(dedicated) :]
        return vcpus, tuple(rest[: wish.own_emulator]), tuple(rest[wish.own_emulator :])

    def _as_there(
        self, wish: Wish, nodes: Nodes
    ) -> Iterator[tuple[list[tuple[int, int]], tuple[int, ...], tuple[int, ...]]]:
        guest = self.world.there.get(wish.name)
        if guest is None:
            return
        now = affinities(guest)
        dedicated = [(vcpu, node) for cell, node in zip(wish.cells, nodes, strict=True) for vcpu in cell.dedicated]
        count = 0 if wish.iothreads_share else wish.iothreads
        emulator = tuple(sorted(now[guest["vcpus"]] or ())) if wish.own_emulator else ()
        threads = [now[vcpu] if vcpu < guest["vcpus"] else None for vcpu, _ in dedicated]
        threads += now[guest["vcpus"] + 1 :][:count]
        if len(threads) < len(dedicated) + count or any(len(cpus or ()) != 1 for cpus in threads):
            return
        single = [min(cpus) for cpus in threads if cpus]
        where = [node for _, node in dedicated] + [nodes[0]] * (count + len(emulator))
        all_cpus = [*single, *emulator]
        if len(emulator) == wish.own_emulator and all(
            cpu in self.world.free & self.world.cpus_of[node] for cpu, node in zip(all_cpus, where, strict=True)
        ):
            vcpus = [(vcpu, cpu) for (vcpu, _), cpu in zip(dedicated, single, strict=False)]
            yield vcpus, emulator, tuple(single[len(dedicated) :])

    def _choice(
        self,
        wish: Wish,
        bare: Json,
        vcpus: Sequence[tuple[int, int]],
        emulator: tuple[int, ...],
        iothreads: tuple[int, ...],
    ) -> CpuChoice | None:
        """The choice with what it means; None where it breaks the thread policy all by itself."""
        all_cpus = [cpu for _, cpu in vcpus] + [*emulator, *iothreads]
        cpus = frozenset(all_cpus)
        if len(cpus) < len(all_cpus):
            return None
        of_vcpu = dict(vcpus)
        held = cpus | self.world.taken
        for index, cell in enumerate(wish.cells):
            mine = [of_vcpu[vcpu] for vcpu in cell.dedicated]
            others = [*emulator, *iothreads] if index == 0 else []
            if not policy_kept(self.world, wish, vcpus=mine, others=others, held=held):
                return None
        idle = frozenset(cpu for one in cpus for cpu in self.world.core_of[one] - cpus)
        idle = idle if wish.thread_policy == "isolate" else frozenset()
        choice = CpuChoice(tuple(vcpus), emulator, iothreads, cpus, idle, spans=0, unmoved=False)
        placement = _dressed(bare, choice)
        assert sorted(given_cpus(wish, placement)) == sorted(all_cpus)
        unmoved = wish.name in self.world.there and not cpus_moved(self.world, wish, placement)
        return replace(choice, spans=spans(self.world, wish, placement), unmoved=unmoved)


def _with(state: CpuState, choice: CpuChoice | None, index: int) -> CpuState | None:
    if choice is None:
        return CpuState((*state.choices, None), state.cpus, state.idle, state.spans, state.unmoved)
    if choice.cpus & (state.cpus | state.idle) or choice.idle & state.cpus:
        return None
    return CpuState(
        (*state.choices, choice),
        state.cpus | choice.cpus,
        state.idle | choice.idle,
        state.spans + choice.spans,
        state.unmoved | {index} if choice.unmoved else state.unmoved,
    )


def _dressed(bare: Json, choice: CpuChoice) -> Json:
    """A placement with the CPUs of a choice in it."""
    placement = deepcopy(bare)
    of_vcpu = {str(vcpu): str(cpu) for vcpu, cpu in choice.vcpus}
    for cell in placement["cells"]:
        cell["vcpus"] |= {vcpu: of_vcpu[vcpu] for vcpu in cell["vcpus"] if vcpu in of_vcpu}
    placement["emulator"] = list_text(choice.emulator)
    if choice.iothreads:
        placement["iothreads"] = {str(n): str(cpu) for n, cpu in enumerate(choice.iothreads, 1)}
    return placement
