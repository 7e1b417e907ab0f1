"""A rebalancing as a model: which guests may move, in which ways, and what each way costs."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import Final

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.host import NodeId, NumaNode
from numaplan.model.moves import MoveKind
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.cpsat import ZERO, Linear, total
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, host_facts
from numaplan.placement.floating import floating_cpus
from numaplan.placement.formulation import Unit
from numaplan.placement.options import build_problem
from numaplan.placement.problem import GuestClass, Option, Problem
from numaplan.placement.rebalance.model import Mend, StayOrMove
from numaplan.placement.rebalance.returning import names_its_functions, names_pages
from numaplan.placement.rebalance.spare import spares_of
from numaplan.placement.rebalance.standing import Place, Standing
from numaplan.placement.rebalance.steps import kind_of_move, memory_nodes, price, same_shape

_ONE: Final = Linear(constant=1)


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
                nodes=_with_memory_of(gone, self.snapshot.nodes),
                guests=tuple(guest for guest in self.snapshot.guests if guest.name in kept),
            ),
            tuple(each for each in self.returning if each.guest.name in names),
            tuple(each for each in self.movable if each.guest.name in names),
            self.fixed,
            Mend(self.mend.leave & kept, tuple(pair for pair in self.mend.pairs if kept.issuperset(pair))),
        )

    @property
    def everybody(self) -> Request:
        """The request for all guests that are asked for or may move, who is there in each way to ask for it."""
        there = {each.guest.name: each.requests for each in self.returning}
        asked = (way for guest in self.asked.guests for way in there.get(guest.name, (guest,)))
        again = (request for each in self.movable for request in each.requests)
        return replace(self.asked, guests=(*asked, *again))


def _with_memory_of(gone: Collection[Standing], nodes: Sequence[NumaNode]) -> tuple[NumaNode, ...]:
    """The nodes with the memory free that guests hold who are gone."""
    back: Counter[Place] = Counter()
    for each in gone:
        back.update(dict(each.memory))
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
        guests = replace(guests, options=tuple(options))
        return _memory_left(_as_it_lies(guests, by_name[name]), by_name[name])

    problem = build_problem(request, facts)
    return replace(problem, classes=tuple(map(with_ways, problem.classes)))


def stay_or_move(question: Rebalancing) -> StayOrMove:
    """The model of a rebalancing, all that must be in it."""
    everybody = question.everybody
    facts = facts_beside(everybody, question.snapshot, question.fixed)
    there = (*question.movable, *question.returning)
    problem = problem_of(everybody, facts, there)
    spares = spares_of(problem, question.movable, question.returning)
    nothing_to_give = {each.guest.name for each in question.movable if not spares[each.guest.name].floating}
    f = StayOrMove(_never_kept(problem, nothing_to_give), question.movable, spares, question.fixed)
    f.demand(question.mend)
    return f


def _never_kept(problem: Problem, names: Collection[str]) -> Problem:
    """Who of `names` is placed moves; another one may also let no more go than the CPU of its emulator or iothreads."""

    def moving(guests: GuestClass) -> GuestClass:
        return replace(guests, options=tuple(option for option in guests.options if option.keep is None))

    classes = (moving(guests) if guests.request.name in names else guests for guests in problem.classes)
    return replace(problem, classes=tuple(classes))


def cost_of_moves(f: StayOrMove, question: Rebalancing) -> Linear:
    """What the moves cost, in the prices of `PRICES`."""
    there = {each.guest.name: each for each in (*question.movable, *question.returning)}
    parts = []
    for u, unit in enumerate(f.units):
        name = unit.guest.name
        for option, count in f.options(u):
            if name in f.standing and option.keep is None:
                parts.append(count * price(f.standing[name], _kind_of_going(f, u, option)))
            elif name in f.standing and name not in f.keeps_cpus:
                parts.append(count * _price_of_floating(f, f.standing[name], option))
            elif name in there:
                parts.append(_price_of_return(f, there[name], unit, option=option, chosen=count))
    return total(parts)


def _price_of_floating(f: StayOrMove, standing: Standing, option: Option) -> int:
    """What it takes to have the threads of a guest that keeps its vCPUs float on the pool, be it one CPU."""
    pool, _ = floating_cpus(f.problem.facts, option.nodes, held=EMPTY, idle=EMPTY)
    changes = len(pool) > 1 or f.spares[standing.guest.name].floating != pool
    return price(standing, MoveKind.REPIN) if changes and standing.guest.running is not False else 0


def live_choices(f: StayOrMove, there: Collection[Standing], solution: Sequence[int]) -> dict[str, Linear]:
    """The choice that was made for each guest of `there` which is to go elsewhere while it runs."""
    by_name = {each.guest.name: each for each in there}
    found = {}
    for u, unit in enumerate(f.units):
        name = unit.guest.name
        for option, count in f.options(u):
            if name in by_name and option.keep is None and count.value(solution):
                own = names_its_functions(f.problem.facts, unit.guest, by_name[name])
                returning = name not in f.standing
                kind = (
                    _kind_of_return(by_name[name], unit, option, keeps_functions=own)
                    if returning
                    else _kind_of_going(f, u, option)
                )
                if kind is not MoveKind.RESTART:
                    found[name] = count
    return found


def _kind_of_going(f: StayOrMove, u: int, option: Option) -> MoveKind:
    """A guest that may move, and goes."""
    name = f.units[u].guest.name
    return kind_of_move(f.standing[name], option.nodes, devices_change=u != f.variants[name][0])


def number_of_moves(f: StayOrMove) -> Linear:
    """How many guests that are there get another place, or give up what they could do without.

    Of as many changes those are better in which fewer go that could do with letting a CPU go: they count on top of all
    changes, each of which weighs more than all of them.
    """
    moved = (stays * -1 + 1 for stays in f.stays.values())
    keeping = (*f.keeps_cpus.items(), *f.keeps_devices.items())
    given = (keeps * -1 - f.stays.get(name, ZERO) + 1 for name, keeps in keeping)
    returning = (u for name, units in f.variants.items() if name not in f.stays for u in units)
    anew = (count for u in returning for option, count in f.options(u) if option.keep is None)
    away = (
        count for name in f.letting_go for u in f.variants[name] for option, count in f.options(u) if not option.keep
    )
    return total((*moved, *given, *anew)) * (len(f.letting_go) + 1) + total(away)


def number_most(f: StayOrMove) -> int:
    """What `number_of_moves` comes to at most."""
    least = len(f.variants) + len(f.keeps_cpus) + len(f.keeps_devices)
    return least * (len(f.letting_go) + 1) + len(f.letting_go)


def _price_of_return(f: StayOrMove, standing: Standing, unit: Unit, *, option: Option, chosen: Linear) -> Linear:
    """What a guest that is asked for and was there pays for that way, and for functions that others get."""
    own = option.keep is not None or names_its_functions(f.problem.facts, unit.guest, standing)
    kind, dearer = (_kind_of_return(standing, unit, option, keeps_functions=keeps) for keeps in (own, False))
    low, high = (0 if each is None else price(standing, each) for each in (kind, dearer))
    keeps_devices = f.keeps_devices.get(unit.guest.name, _ONE)
    paid = chosen * low
    if high > low:
        paid += _at_least(f, chosen - keeps_devices) * (high - low)
    if kind is None and unit.guest.name in f.keeps_cpus and standing.guest.running is not False:
        # Devices that go are paid for with the CPUs.
        alone = chosen - f.keeps_cpus[unit.guest.name] + keeps_devices - 1
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
    nodes: Sequence[NodeId] = option.nodes
    if option.keep is not None:
        if same and keeps_functions:
            return None
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
    if nodes is None or len(nodes) != len(guests.cells) or any(option.nodes == nodes for option in guests.options):
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
