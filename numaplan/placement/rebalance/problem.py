"""A rebalancing as a model: which guests may move, in which ways, and what each way costs."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import Final

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.guest import CellId, Guest, MemoryBinding
from numaplan.model.host import NodeId, NumaNode
from numaplan.model.moves import MoveKind
from numaplan.model.request import MemoryPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.cpsat import ONE, ZERO, Linear, total
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, Place, host_facts
from numaplan.placement.floating import floating_cpus
from numaplan.placement.formulation import Unit
from numaplan.placement.options import build_problem
from numaplan.placement.problem import GuestClass, Option, Problem
from numaplan.placement.rebalance.kind import (
    binds_anew,
    can_stop,
    kind_of_move,
    memory_nodes,
    moves_memory,
    price,
    same_shape,
)
from numaplan.placement.rebalance.model import Mend, StayOrMove
from numaplan.placement.rebalance.returning import names_its_functions, names_pages
from numaplan.placement.rebalance.spare import Spare, spares_of
from numaplan.placement.rebalance.standing import Standing

# What a guest adds at most that could let CPUs go: it moves, and its emulator and iothreads have lost theirs.
_WORST: Final = 5


@dataclass(frozen=True, slots=True)
class Rebalancing:
    """What is asked of which host.

    `asked` guests are all to be placed; `returning` are those of them that are there, their requests the ways to ask
    for them. `movable` guests may move or stay, `fixed` ones stay; `mend` says which may not stay both, or at all.
    """

    asked: Request
    snapshot: Snapshot
    returning: tuple[Standing, ...]
    movable: tuple[Standing, ...]
    fixed: tuple[Standing, ...]
    mend: Mend

    def only(self, names: Collection[str]) -> "Rebalancing":
        """The same with these guests and the fixed ones alone on the host, which has back what all others hold."""
        kept = {*names, *(each.guest.name for each in self.fixed)}
        gone = [each for each in (*self.returning, *self.movable) if each.guest.name not in kept]
        return Rebalancing(
            replace(self.asked, guests=tuple(guest for guest in self.asked.guests if guest.name in names)),
            replace(
                self.snapshot,
                nodes=with_memory(sum((Counter(dict(each.memory)) for each in gone), Counter()), self.snapshot.nodes),
                guests=tuple(guest for guest in self.snapshot.guests if guest.name in kept),
            ),
            tuple(each for each in self.returning if each.guest.name in names),
            tuple(each for each in self.movable if each.guest.name in names),
            self.fixed,
            Mend(self.mend.leave & kept, tuple(pair for pair in self.mend.pairs if kept.issuperset(pair))),
        )

    def held_pools(self, facts: HostFacts) -> CpuSet:
        """The CPUs that no thread could float on while all stay who may move, where these leave nothing of any pool.

        Counted as held by them even where they move, which leaves out what could float there then.
        """
        pools = facts.shared | facts.reserved
        held = pools & CpuSet(cpu for each in self.movable for cpu in each.alone)
        return held if facts.has_pools and pools <= facts.vcpus | held else EMPTY

    @property
    def everybody(self) -> Request:
        """The request for all guests that are asked for or may move, who is there in each way to ask for it."""
        there = {each.guest.name: each.requests for each in self.returning}
        asked = (way for guest in self.asked.guests for way in there.get(guest.name, (guest,)))
        again = (request for each in self.movable for request in each.requests)
        return replace(self.asked, guests=(*asked, *again))


def with_memory(back: Mapping[Place, int], nodes: Sequence[NumaNode]) -> tuple[NumaNode, ...]:
    """The nodes with so many KiB more free."""
    back = Counter(back)
    return tuple(
        replace(
            node,
            available_kib=None if node.available_kib is None else node.available_kib + back[node.id, SMALL_PAGE_KIB],
            hugepages=tuple(
                replace(pool, free=pool.free + back[node.id, pool.size_kib] // pool.size_kib) for pool in node.hugepages
            ),
        )
        for node in nodes
    )


def facts_beside(
    request: Request, snapshot: Snapshot, staying: Collection[Standing], *, kept: CpuSet | None = None
) -> HostFacts:
    """The host for `request`, siblings that a guest of `staying` keeps idle left alone.

    Unlike where guests are placed, who is on such a sibling already may stay there. Where it is known which CPUs are
    `kept` by those who do, the others are left alone too.
    """
    facts = host_facts(request, snapshot)
    idle = CpuSet(cpu for each in staying for cpu in each.idle)
    if kept is not None:
        idle |= CpuSet(cpu for each in staying for cpu in each.joined) - kept
    free = (facts.allocatable & CpuSet(facts.node_of)) - facts.taken - idle
    # Who may stay beside one that is isolated does so in a way of its own.
    return replace(facts, idle=EMPTY, free=free)


def problem_of(request: Request, facts: HostFacts, there: Collection[Standing]) -> Problem:
    """The counts of `request`; who is `there` may also change its CPUs alone."""
    by_name = {each.guest.name: each for each in there}

    def with_ways(guests: GuestClass) -> GuestClass:
        name = guests.request.name
        if name not in by_name:
            return guests
        # A function that changes is paid for, be it no move to `place`.
        options = (option for option in guests.options if option.keep is None or option.keep.exact)
        guests = replace(guests, options=tuple(option for way in options for option in _memory_moved(guests, way)))
        return _memory_left(_as_it_lies(guests, by_name[name]), by_name[name])

    problem = build_problem(request, _bound_as_it_lies(request, facts, by_name))
    return replace(problem, facts=facts, classes=tuple(map(with_ways, problem.classes)))


def _bound_as_it_lies(request: Request, facts: HostFacts, there: Mapping[str, Standing]) -> HostFacts:
    """The host with guests bound to the node where their memory lies, and so kept with it there.

    They are bound to none where it must go from: one that is strict and on another node, or what lies on several.
    """
    strict = {
        guest.name: [cell.memory_policy is MemoryPolicy.STRICT for cell in guest.cells] for guest in request.guests
    }

    def bound(guest: Guest) -> Guest:
        standing = there.get(guest.name)
        if standing is None or len(strict[guest.name]) != len(standing.cells):
            return guest
        ids = [cell.id for cell in guest.cells] or [CellId(0)]
        bindings = []
        for number, cell, is_strict in zip(ids, standing.cells, strict[guest.name], strict=True):
            stays = cell.memory_node is not None and not (is_strict and cell.memory_node != cell.node)
            nodes = (cell.memory_node,) if stays and cell.memory_node is not None else None
            if cell.memory_nodes:
                bindings.append(MemoryBinding(number, "strict", nodes, line=0))
        others = (binding for binding in guest.memnodes if binding.cell not in {one.cell for one in bindings})
        return replace(guest, memnodes=(*bindings, *others))

    return replace(facts, snapshot=replace(facts.snapshot, guests=tuple(map(bound, facts.snapshot.guests))))


def _memory_moved(guests: GuestClass, option: Option) -> tuple[Option, ...]:
    """A way to stay, and the same with memory moved that may lie on any node."""
    if option.keep is None or all(cell.strict for cell in guests.cells):
        return (option,)
    nodes = tuple(None if not cell.strict else node for cell, node in zip(guests.cells, option.nodes, strict=True))
    moved = replace(option, keep=replace(option.keep, memory_nodes=nodes))
    return (option,) if moved == option else (option, moved)


def stay_or_move(question: Rebalancing) -> StayOrMove:
    """The model of a rebalancing, all that must be in it."""
    everybody = question.everybody
    facts = facts_beside(everybody, question.snapshot, question.fixed)
    held = question.held_pools(facts)
    facts = replace(facts, vcpus=facts.vcpus | held, taken=facts.taken | held)
    there = (*question.movable, *question.returning)
    problem = problem_of(everybody, facts, there)
    spares = spares_of(problem, question.movable, question.returning)
    f = StayOrMove(_letting_go(problem, question.movable, spares), question.movable, spares, question.fixed, held)
    f.demand(question.mend)
    _without_stops(f, question)
    return f


def _without_stops(f: StayOrMove, question: Rebalancing) -> None:
    """Who is gone when it is stopped is not restarted."""
    there = {each.guest.name: each for each in (*question.movable, *question.returning) if not can_stop(each)}
    for u, unit in enumerate(f.units):
        name = unit.guest.name
        for option, count in f.options(u) if name in there else ():
            kind, dearer = _kinds(f, u, option, there[name])
            if kind is MoveKind.RESTART:
                f.model.equal(count)
            elif dearer is MoveKind.RESTART:
                f.model.at_most(count - f.keeps_devices.get(name, ONE), 0)


def _letting_go(problem: Problem, movable: Collection[Standing], spares: Mapping[int, Spare]) -> Problem:
    """Who of `movable` is placed moves; or it lets but CPUs of its emulator or iothreads go, where that helps anybody.

    Whose memory is found elsewhere than its vCPUs moves.
    """
    by_name = {each.guest.name: each for each in movable}

    def ways(number: int, guests: GuestClass) -> GuestClass:
        standing = by_name.get(guests.request.name)
        if standing is None:
            return guests
        stays_on = memory_nodes(standing) if spares[number].floating else None
        options = (option for option in guests.options if option.keep is None or option.nodes == stays_on)
        return replace(guests, options=tuple(options))

    return replace(problem, classes=tuple(ways(number, guests) for number, guests in enumerate(problem.classes)))


def cost_of_moves(f: StayOrMove, question: Rebalancing) -> Linear:
    """What the moves cost, in the prices of `PRICES`."""
    there = {each.guest.name: each for each in (*question.movable, *question.returning)}
    parts = []
    for u, unit in enumerate(f.units):
        name = unit.guest.name
        for option, count in f.options(u):
            if name in f.standing and option.keep is None:
                parts.append(count * price(f.standing[name], _kind_of_going(f, u, option)))
            elif name in f.standing and u not in f.keeps_cpus:
                parts.append(count * _price_of_floating(f, u, option))
            elif name in there:
                parts.append(_price_of_return(f, there[name], u, option=option, chosen=count))
    return total(parts)


def _price_of_floating(f: StayOrMove, u: int, option: Option) -> int:
    """What it takes to have the threads of a guest that keeps its vCPUs float on the pool, be it one CPU."""
    standing = f.standing[f.units[u].guest.name]
    pool, _ = floating_cpus(f.problem.facts, option.nodes, held=EMPTY, idle=EMPTY)
    changes = len(pool) > 1 or f.spares[u].floating != pool or binds_anew(standing, option.nodes)
    return price(standing, MoveKind.REPIN) if changes and standing.guest.running is not False else 0


def live_choices(f: StayOrMove, there: Collection[Standing], solution: Sequence[int]) -> dict[str, Linear]:
    """The choice that was made for each guest of `there` which is to go elsewhere while it runs."""
    by_name = {each.guest.name: each for each in there}
    found = {}
    for u, unit in enumerate(f.units):
        name = unit.guest.name
        for option, count in f.options(u):
            if name in by_name and count.value(solution):
                kind, _ = _kinds(f, u, option, by_name[name])
                if kind not in (None, MoveKind.RESTART):
                    found[name] = count
    return found


def _kinds(f: StayOrMove, u: int, option: Option, standing: Standing) -> tuple[MoveKind | None, MoveKind | None]:
    """What a way takes of a guest that is there, and what if others get functions that it does not name; None: nothing.

    Threads that float from now on are apart.
    """
    unit = f.units[u]
    if unit.guest.name in f.standing:
        kind = _kind_of_going(f, u, option) if option.keep is None else None
        return kind, kind
    own = option.keep is not None or names_its_functions(f.problem.facts, unit.guest, standing)
    return (
        _kind_of_return(standing, unit, option, keeps_functions=own),
        _kind_of_return(standing, unit, option, keeps_functions=False),
    )


def _kind_of_going(f: StayOrMove, u: int, option: Option) -> MoveKind:
    """A guest that may move, and goes."""
    guest = f.units[u].guest
    devices_change = guest.interfaces != f.with_all(guest.name).interfaces
    return kind_of_move(f.standing[guest.name], option.nodes, devices_change=devices_change)


def number_of_moves(f: StayOrMove) -> Linear:
    """How many guests that are there get another place, or give up what they could do without.

    Of as many changes those are better after which fewer emulators and iothreads have lost CPUs of their own, and of
    these those in which fewer guests go that could do with letting a CPU go: they count on top of all changes, each of
    which weighs more than all of them.
    """
    moved = (stays * -1 + 1 for stays in f.stays.values())
    devices = (keeps * -1 - f.stays.get(name, ZERO) + 1 for name, keeps in f.keeps_devices.items())
    given = (f.placed(u) - keeps for u, keeps in f.keeps_cpus.items())
    returning = (u for name, units in f.variants.items() if name not in f.stays for u in units)
    anew = (count for u in returning for option, count in f.options(u) if option.keep is None)
    worse = (
        count * (2 * f.threads_let_go(u) + (option.keep is None))
        for name in f.letting_go
        for u in f.variants[name]
        for option, count in f.options(u)
    )
    return total((*moved, *given, *devices, *anew)) * (_WORST * len(f.letting_go) + 1) + total(worse)


def number_most(f: StayOrMove) -> int:
    """What `number_of_moves` comes to at most."""
    least = len(f.variants) + len(f.keeps_cpus) + len(f.keeps_devices)
    worst = _WORST * len(f.letting_go)
    return least * (worst + 1) + worst


def _price_of_return(f: StayOrMove, standing: Standing, u: int, *, option: Option, chosen: Linear) -> Linear:
    """What a guest that is asked for and was there pays for that way, and for functions that others get."""
    unit = f.units[u]
    kind, dearer = _kinds(f, u, option, standing)
    low, high = (0 if each is None else price(standing, each) for each in (kind, dearer))
    keeps_devices = f.keeps_devices.get(unit.guest.name, ONE)
    paid = chosen * low
    if high > low:
        paid += _at_least(f, chosen - keeps_devices) * (high - low)
    if kind is None and u in f.keeps_cpus and standing.guest.running is not False:
        # Devices that go are paid for with the CPUs.
        alone = chosen - f.keeps_cpus[u] + keeps_devices - 1
        paid += _at_least(f, alone) * price(standing, MoveKind.REPIN)
    return paid


def _at_least(f: StayOrMove, amount: Linear) -> Linear:
    """A switch that is no less than `amount`, which is 1 at most; 0 at best where it is never 1."""
    if f.model.upper(amount) <= 0:
        return ZERO
    switch = f.model.boolean()
    f.model.at_least(switch - amount, 0)
    return switch


def _kind_of_return(standing: Standing, unit: Unit, option: Option, *, keeps_functions: bool) -> MoveKind | None:
    """A guest that is asked for and was there; None: it stays."""
    same = same_shape(standing, unit.guest) and names_pages(unit.guest)
    nodes: Sequence[NodeId | None] = option.nodes
    if option.keep is not None:
        strict = (option.nodes[k] if cell.strict else None for k, cell in enumerate(unit.guests.cells))
        bound = (option.memory_node(k) for k in range(len(option.nodes)))
        wanted = [other if node is None else node for node, other in zip(bound, strict, strict=True)]
        if moves_memory(standing, wanted):
            nodes = wanted
        elif same and keeps_functions and not binds_anew(standing, wanted):
            return None
        else:
            nodes = memory_nodes(standing) or nodes
    elif not all(cell.strict for cell in unit.guests.cells):
        # Memory may go anywhere; that it stays is a way of its own.
        nodes = option.memory or ()
    kind = kind_of_move(standing, nodes, devices_change=not keeps_functions)
    return kind if kind is MoveKind.CONFIGURE or same else MoveKind.RESTART


def _as_it_lies(guests: GuestClass, standing: Standing) -> GuestClass:
    """Also with its cells in the order of the nodes on which their memory is: then they need not be moved.

    Of equal cells the options have the lower one on the lower node.
    """
    nodes = memory_nodes(standing)
    if (
        nodes is None
        or len(nodes) != len(guests.cells)
        or any(option.nodes == nodes and option.keep is None for option in guests.options)
    ):
        return guests
    equal = groupby(range(len(nodes)), key=lambda k: guests.cells[k])
    ordered = tuple(chain.from_iterable(sorted(nodes[k] for k in cells) for _, cells in equal))
    like = [replace(option, nodes=nodes) for option in guests.options if option.nodes == ordered and not option.keep]
    return replace(guests, options=(*guests.options, *like))


def _memory_left(guests: GuestClass, standing: Standing) -> GuestClass:
    """Also with its memory left where it is, where a cell may have it on another node than its vCPUs."""
    nodes = memory_nodes(standing)
    free = not all(cell.strict for cell in guests.cells)
    if nodes is None or not free or not names_pages(guests.request) or not same_shape(standing, guests.request):
        return guests
    strict = [k for k, cell in enumerate(guests.cells) if cell.strict]
    moved = [option for option in guests.options if option.keep is None]
    left = [replace(option, memory=nodes) for option in moved if all(option.nodes[k] == nodes[k] for k in strict)]
    return replace(guests, options=(*guests.options, *left))
