"""The fewest and cheapest moves of guests that are there which make room for others, or mend what lies badly."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.host import NodeId
from numaplan.model.moves import Move, MoveKind, Moves, MovesStatus, Unmovable
from numaplan.model.plan import Level, LevelName, Limit, Placement, Plan, Status, Unplaced
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.bounds import best_anyway
from numaplan.placement.constraints import kept_cpus
from numaplan.placement.cpsat import Linear, Outcome, Solved, total
from numaplan.placement.current import is_moved
from numaplan.placement.expand import expand
from numaplan.placement.facts import HostFacts
from numaplan.placement.fingerprint import fingerprint
from numaplan.placement.objective import cross_node_cost
from numaplan.placement.problem import GuestClass, Option, Problem
from numaplan.placement.rebalance.conflict import fixed_pair, why_no_moves
from numaplan.placement.rebalance.defects import find_defects
from numaplan.placement.rebalance.kind import can_stop
from numaplan.placement.rebalance.model import Mend, StayOrMove
from numaplan.placement.rebalance.names import rename_cores
from numaplan.placement.rebalance.problem import (
    Rebalancing,
    cost_of_moves,
    facts_beside,
    live_choices,
    number_most,
    number_of_moves,
    problem_of,
    stay_or_move,
)
from numaplan.placement.rebalance.returning import ways_to_return
from numaplan.placement.rebalance.spare import facts_without
from numaplan.placement.rebalance.standing import Standing, standing_guests
from numaplan.placement.rebalance.steps import steps_of
from numaplan.placement.rebalance.unseen_memory import note_on_unseen, with_unseen_memory
from numaplan.placement.rebalance.words import Target
from numaplan.placement.recount import recount
from numaplan.placement.search import Budget, Searched, search
from numaplan.placement.unseen import unseen
from numaplan.units import format_few

# CP-SAT's deterministic time for the moves, and for the distances among equally cheap moves.
WORK: Final = 10.0
WORK_ON_DISTANCE: Final = 1.0

# How often other moves are asked for where the order makes some dearer, and the time for each.
AGAIN: Final = 3
WORK_AGAIN: Final = 2.0

# Nodes are decided by then, so there is little left to search.
PLAN_BUDGET: Final = Budget(scale=0.25)

_Way = tuple[tuple[NodeId, ...], tuple[NodeId | None, ...], bool]

_MOST_NAMED: Final = 5
_NO_ROOM: Final = "not all guests that are asked for have a place, whoever moves"
_ROOM: Final = "a way to make room"
_CHEAPER: Final = "a cheaper way"
_NO_ORDER: Final = "guests that would move wait for each other, and who is transient is gone when it stops"
_POOLS: Final = "it was not looked at that threads could float on"
_NOT_FOUND: Final = "neither moves that make room nor a proof that there are none were found within the limit"


def rebalance(asked: Request, snapshot: Snapshot, *, keep: Collection[str] = ()) -> Moves:
    """Moves that let every guest of `asked` be placed; with none asked for, moves that leave nobody lying badly.

    Guests in `keep` stay as they are. Deterministic.
    """
    question = _question(asked, snapshot, frozenset(keep))
    moves = _cheapest(question)
    notes = _notes_on_transient(question) if moves.status is not MovesStatus.NOTHING_TO_DO else ()
    return replace(moves, plan=replace(moves.plan, notes=(*notes, *moves.plan.notes)))


def _notes_on_transient(question: Rebalancing) -> tuple[str, ...]:
    """A note on guests that move only while they run."""
    there = (*question.movable, *question.returning)
    names = [each.guest.name for each in there if not can_stop(each)]
    if not names:
        return ()
    return (f"no moves were looked at that stop {format_few(names, _MOST_NAMED)}: a transient guest is gone then",)


def _cheapest(question: Rebalancing) -> Moves:
    if any(each.guest.name in question.mend.leave for each in question.fixed) or fixed_pair(question):
        return _impossible(question)
    f = stay_or_move(question)
    solved, cost, bound = _solve(f, question, work=WORK)
    notes: tuple[str, ...] = (f"{_POOLS} CPUs {f.held_pools} when their vCPUs move away",) if f.held_pools else ()
    if solved.outcome is Outcome.INFEASIBLE and not f.problem.truncated:
        if notes:
            return _unknown(question, notes)
        if _least_anyway(question, None) is None:
            return _impossible(question)
        return _unknown(question, note_on_unseen(question, _ROOM))
    if not solved.solution:
        return _unknown(question, unseen(f.problem, _ROOM))
    least = 0 if notes else (_least_anyway(question, bound) or 0) if bound else bound
    if least < bound:
        notes = notes or note_on_unseen(question, _CHEAPER)
    bound = min(bound, least)
    moves = _answer(question, f, solved, bound, notes)
    return moves if moves.cost <= cost else _less_dear(question, f, solved, moves=moves, bound=bound, notes=notes)


def _least_anyway(question: Rebalancing, known: int | None) -> int | None:
    """What no moves are cheaper than, be there memory where nobody knows of it; None: there are none even then.

    `known` is that for memory that is known of.
    """
    generous = with_unseen_memory(question)
    if generous is question:
        return known
    f = stay_or_move(generous)
    solved, _, bound = _solve(f, generous, work=WORK)
    return None if solved.outcome is Outcome.INFEASIBLE and not f.problem.truncated else bound


def _less_dear(
    question: Rebalancing, f: StayOrMove, solved: Solved, *, moves: Moves, bound: int, notes: tuple[str, ...]
) -> Moves:
    """Cheaper moves, if others are found in whose order fewer guests stop that could move while they run."""
    there = (*question.movable, *question.returning)
    best = moves
    barred: list[Linear] = []
    for _ in range(AGAIN):
        choices = live_choices(f, there, solved.solution)
        stopped = [choices[move.vm] for move in moves.moves if move.kind is MoveKind.STOP and move.vm in choices]
        if not stopped:
            break
        barred += stopped
        f = stay_or_move(question)
        f.model.at_most(total(barred), 0)
        solved, cost, _ = _solve(f, question, work=WORK_AGAIN)
        if not solved.solution or cost >= best.cost:
            break
        moves = _answer(question, f, solved, bound, notes)
        if moves.status is MovesStatus.UNKNOWN:
            break
        best = min(best, moves, key=lambda each: each.cost)
        if moves.cost <= cost:
            break
    return best


def _question(asked: Request, snapshot: Snapshot, keep: frozenset[str]) -> Rebalancing:
    facts = facts_beside(Request(asked.policy, ()), snapshot, ())
    there = standing_guests(facts, asked.guests)
    names = {guest.name: guest for guest in asked.guests}
    others = [each for each in there if each.guest.name not in names]
    fixed = tuple(each for each in others if each.guest.name in keep or not each.requests)
    mend = Mend() if asked.guests else find_defects(facts, others)
    wanted = Mend(mend.leave - keep, tuple(pair for pair in mend.pairs if not keep.issuperset(pair)))
    return Rebalancing(
        replace(asked, guests=tuple(replace(guest, required=True) for guest in asked.guests)),
        snapshot,
        tuple(
            replace(each, requests=ways_to_return(facts, names[each.guest.name], each))
            for each in there
            if each.guest.name in names
        ),
        tuple(each for each in others if each not in fixed),
        fixed,
        wanted,
    )


def _solve(f: StayOrMove, question: Rebalancing, *, work: float) -> tuple[Solved, int, int]:
    """The cheapest moves, of these the fewest, of these the nearest; what they cost; what no moves are cheaper than."""
    cost, number = cost_of_moves(f, question), number_of_moves(f)
    scale = number_most(f) + 1
    goal = cost * scale + number
    stay = {stays.terms[0][0]: 1 for stays in f.stays.values()}
    solved = f.model.solve(goal, maximize=False, work=work, hint=stay)
    if not solved.solution:
        return solved, 0, 0
    bound = max(0, -((number_most(f) - solved.bound) // scale))
    if solved.outcome is Outcome.OPTIMAL:
        bound = cost.value(solved.solution)
    least = cost.value(solved.solution)
    f.model.at_most(goal, goal.value(solved.solution))
    near = f.model.solve(
        cross_node_cost(f), maximize=False, work=WORK_ON_DISTANCE, hint=dict(enumerate(solved.solution))
    )
    return (replace(solved, solution=near.solution) if near.solution else solved), least, bound


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a solution says: who moves and who stays, fixed or not, and what is asked for then.

    `again` are the requests of those that vnf.yaml does not name and that move, or have threads float. `facts` are of
    the host beside all who stay, `room` what of it is left without the CPUs that some keep though they need not.
    """

    question: Rebalancing
    request: Request
    again: tuple[GuestRequest, ...]
    movers: tuple[Standing, ...]
    staying: tuple[Standing, ...]
    facts: HostFacts
    room: HostFacts

    @classmethod
    def of(cls, question: Rebalancing, f: StayOrMove, solution: Sequence[int]) -> "_Chosen":
        """What this solution says."""
        moved = {name for name, stays in f.stays.items() if not stays.value(solution)}
        anew = {
            name: replace(f.units[u].guest, required=True)
            for name, units in f.variants.items()
            for u in units
            if f.placed(u).value(solution)
        }
        again = tuple(anew[name] for name in f.stays if name in anew)
        asked = question.asked.guests
        request = replace(question.asked, guests=(*(anew.get(guest.name, guest) for guest in asked), *again))
        movers = tuple(each for each in question.movable if each.guest.name in moved)
        staying = (*question.fixed, *(each for each in question.movable if each.guest.name not in moved))
        kept = CpuSet(cpu for cpu, guests in kept_cpus(f).items() if guests.value(solution))
        facts = facts_beside(request, question.snapshot, staying, kept=kept)
        room = facts_without(facts, f.kept_spares(solution))
        return cls(question, request, again, movers, staying, facts, room)

    @property
    def leaving(self) -> tuple[Standing, ...]:
        """Those that are there and get a place anew, be it the one that they have."""
        return (*self.movers, *self.question.returning)

    @property
    def as_asked(self) -> Request:
        """The same as vnf.yaml has it: pages that a guest may choose need not be those that were chosen for it."""
        return replace(self.request, guests=(*self.question.asked.guests, *self.again))


def _answer(question: Rebalancing, f: StayOrMove, solved: Solved, bound: int, doubts: tuple[str, ...]) -> Moves:
    """The moves of a solution; `doubts` say why something cheaper is not ruled out."""
    chosen = _Chosen.of(question, f, solved.solution)
    problem = _narrowed(problem_of(chosen.request, chosen.room, chosen.leaving), f, solved)
    found = search(problem, PLAN_BUDGET)
    if found.formulation is None or not found.solution:
        return _unknown(question, unseen(f.problem, _ROOM))
    plain = _plan(chosen, found)
    better = _recounted(chosen, replace(plain, placements=_renamed(chosen, plain)))
    # Other names can also make a circle where there was none.
    tries = [(plan, _steps(chosen, f.problem.facts, plan)) for plan in (better, plain)]
    answers = [(plan, moves) for plan, moves in tries if moves is not None]
    if not answers:
        return _unknown(question, (_NO_ORDER,))
    plan, moves = min(answers, key=lambda answer: (sum(move.cost for move in answer[1]), len(answer[1])))
    cost = sum(move.cost for move in moves)
    # Moves below the bound would show the model to be wrong: it proves nothing then.
    bound = 0 if f.problem.truncated or cost < bound else bound
    status = MovesStatus.OPTIMAL if cost == bound else MovesStatus.FEASIBLE
    if status is MovesStatus.FEASIBLE:
        plan = replace(plan, notes=(*doubts, *unseen(f.problem, _CHEAPER), *plan.notes))
    if not moves:
        status = MovesStatus.NOTHING_TO_DO
    return Moves(status, cost, bound, moves, _unmovable(question), plan, chosen.as_asked)


def _steps(chosen: _Chosen, facts: HostFacts, plan: Plan) -> tuple[Move, ...] | None:
    """The steps to a plan; `facts` are those of the host with everybody gone who may leave."""
    question = chosen.question
    placed = {placement.vm: placement for placement in plan.placements}
    there = {each.guest.name: each for each in chosen.leaving}
    names = {guest.name for guest in question.asked.guests}
    targets = [
        Target(guest, placed[guest.name], there.get(guest.name), guest.name in names) for guest in chosen.request.guests
    ]
    gone = [*question.returning, *question.movable]
    return steps_of(facts, targets, staying=chosen.staying, returning=gone)


def _narrowed(problem: Problem, f: StayOrMove, solved: Solved) -> Problem:
    """The problem in which every guest lies on the nodes that were chosen for it."""
    chosen: dict[str, set[_Way]] = {}
    for u, unit in enumerate(f.units):
        ways = {_way(option) for option, count in f.options(u) if count.value(solved.solution)}
        for name in unit.names if ways else ():
            chosen[name] = ways

    def narrow(guests: GuestClass) -> GuestClass:
        ways = {way for guest in guests.members for way in chosen[guest.name]}
        return replace(guests, options=tuple(option for option in guests.options if _way(option) in ways))

    return replace(problem, classes=tuple(narrow(guests) for guests in problem.classes))


def _way(option: Option) -> _Way:
    return option.nodes, tuple(option.memory_node(k) for k in range(len(option.nodes))), option.keep is not None


def _plan(chosen: _Chosen, found: Searched) -> Plan:
    """The plan of all guests that are asked for or move; its nodes were chosen for cheap moves: no level is proven."""
    assert found.formulation is not None  # noqa: S101  # asked before
    expanded, notes = expand(found.formulation, found.solution)
    by_name = {placement.vm: placement for placement in expanded}
    names = {each.guest.name for each in chosen.movers}
    placements = tuple(_as_it_is(by_name[guest.name], names) for guest in chosen.request.guests)
    counted = recount(chosen.request, chosen.facts, placements)
    snapshot = chosen.question.snapshot
    return Plan(
        status=Status.FEASIBLE,
        limit=found.limit if found.limit is not Limit.NONE else Limit.WORK,
        hostname=snapshot.host.hostname,
        fingerprint=fingerprint(snapshot),
        levels=tuple(
            Level(
                bound.name,
                value := counted.get(bound.name, bound.value),
                value if bound.name is LevelName.PRIORITY else best_anyway(chosen.facts, bound.name),
                proven=False,
            )
            for bound in found.bounds
        ),
        placements=placements,
        notes=(*chosen.facts.notes, *notes),
    )


def _renamed(chosen: _Chosen, plan: Plan) -> tuple[Placement, ...]:
    """The plan's placements on those of equal cores that serve the moves best."""
    asked = {guest.name: guest for guest in chosen.request.guests}
    moved: list[Standing] = []
    unmoved: list[Standing] = []
    for each in chosen.leaving:
        name = each.guest.name
        placement = plan.placement(name)
        stays = placement is not None and not is_moved(chosen.room, asked[name], each.guest, placement)
        (unmoved if stays else moved).append(each)
    names = {each.guest.name for each in unmoved}
    return rename_cores(chosen.room, plan.placements, movers=moved, unmoved=names)


def _recounted(chosen: _Chosen, plan: Plan) -> Plan:
    """The plan with its levels as they are on the CPUs that it has now."""
    counted = recount(chosen.request, chosen.facts, plan.placements)
    levels = tuple(replace(level, value=counted.get(level.name, level.value)) for level in plan.levels)
    return replace(plan, levels=levels)


def _as_it_is(placement: Placement, movers: Collection[str]) -> Placement:
    """A guest that is moved keeps the topology that it knows."""
    return replace(placement, topology=None) if placement.vm in movers else placement


def _unknown(question: Rebalancing, notes: tuple[str, ...]) -> Moves:
    moves = _without_plan(question, MovesStatus.UNKNOWN, Status.UNKNOWN, Limit.WORK)
    return replace(moves, plan=replace(moves.plan, notes=notes))


def _impossible(question: Rebalancing) -> Moves:
    moves = _without_plan(question, MovesStatus.INFEASIBLE, Status.INFEASIBLE, Limit.NONE)
    return replace(moves, plan=replace(moves.plan, conflict=why_no_moves(question)))


def _without_plan(question: Rebalancing, status: MovesStatus, plan_status: Status, limit: Limit) -> Moves:
    reason = _NO_ROOM if plan_status is Status.INFEASIBLE else _NOT_FOUND
    plan = Plan(
        plan_status,
        limit,
        question.snapshot.host.hostname,
        fingerprint(question.snapshot),
        unplaced=tuple(Unplaced(guest.name, reason) for guest in question.asked.guests),
    )
    return Moves(status, 0, 0, (), _unmovable(question), plan, question.asked)


def _unmovable(question: Rebalancing) -> tuple[Unmovable, ...]:
    return tuple(
        Unmovable(each.guest.name, each.reason or "it is to be kept as it is (--keep)") for each in question.fixed
    )
