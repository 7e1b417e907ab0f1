"""Why no moves help: a smallest set of guests that have no place together, wherever they go."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final, assert_never

from numaplan.cpuset import format_id_list
from numaplan.model.plan import Conflict, ConflictMember
from numaplan.model.request import GuestRequest, IothreadPolicy, PageSize
from numaplan.placement.conflict.entry import choice
from numaplan.placement.conflict.reasons import why_not_alone
from numaplan.placement.conflict.subsets import smallest
from numaplan.placement.cpsat import ZERO, Outcome
from numaplan.placement.kinds import entries
from numaplan.placement.options import build_problem
from numaplan.placement.rebalance.defects import defect, shared_cpus
from numaplan.placement.rebalance.problem import Rebalancing, facts_beside, stay_or_move
from numaplan.placement.rebalance.standing import Standing
from numaplan.units import format_count, format_size

# How often a set is tried to be made smaller, and the deterministic time of each try.
MAX_PROBES: Final = 40
_WORK: Final = 1.0


def why_no_moves(question: Rebalancing) -> Conflict:
    """Guests that cannot all be on this host; with very many the set may not be the smallest: see MAX_PROBES."""
    stuck = [each for each in question.fixed if each.guest.name in question.mend.leave]
    if stuck:
        return Conflict((_stuck(question, stuck[0]),))
    if (pair := fixed_pair(question)) is not None:
        return Conflict(tuple(_stuck_together(one, other, pair) for one, other in (pair, pair[::-1])))
    names = [guest.name for guest in question.asked.guests]
    names += [each.guest.name for each in question.movable]
    prober = _Prober(question)
    found = smallest(names, prober.impossible)
    members = (_member(question, name, alone=len(found) == 1) for name in names if name in found)
    return Conflict(tuple(replace(member, proven=prober.sure) for member in members))


def fixed_pair(question: Rebalancing) -> tuple[Standing, Standing] | None:
    """Two guests that cannot be moved and one of whom must go."""
    fixed = {each.guest.name: each for each in question.fixed}
    return next(
        ((fixed[one], fixed[other]) for one, other in question.mend.pairs if {one, other} <= fixed.keys()), None
    )


class _Prober:
    """Tells sets of guests that have no place; `sure` as long as every other set was found to have one."""

    def __init__(self, question: Rebalancing) -> None:
        self.sure = True
        self._question = question
        self._left = MAX_PROBES

    def impossible(self, names: Collection[str]) -> bool:
        """Whether it is proven that these have no place."""
        outcome = Outcome.UNKNOWN
        if self._left:
            self._left -= 1
            f = stay_or_move(self._question.only(names))
            solved = f.model.solve(ZERO, maximize=False, work=_WORK).outcome
            outcome = Outcome.UNKNOWN if solved is Outcome.INFEASIBLE and f.problem.truncated else solved
        self.sure = self.sure and outcome is not Outcome.UNKNOWN
        return outcome is Outcome.INFEASIBLE


def _stuck(question: Rebalancing, standing: Standing) -> ConflictMember:
    facts = facts_beside(question.asked, question.snapshot, ())
    wrong = defect(facts, standing) or "it lies badly"
    name = standing.guest.name
    sentence = f"{wrong}, and it cannot be moved: {standing.reason}; --keep {name} leaves it as it is"
    return ConflictMember(name, "stays", sentence)


def _stuck_together(standing: Standing, other: Standing, pair: tuple[Standing, Standing]) -> ConflictMember:
    reason = standing.reason or "it is to be kept as it is"
    keep = " ".join(f"--keep {each.guest.name}" for each in pair)
    sentence = f"{_together(standing, other)}, and it cannot be moved: {reason}; {keep} leaves both as they are"
    return ConflictMember(standing.guest.name, "stays", sentence)


def _member(question: Rebalancing, name: str, *, alone: bool) -> ConflictMember:
    asked = next((guest for guest in question.asked.guests if guest.name == name), None)
    if asked is None:
        standing = next(each for each in question.movable if each.guest.name == name)
        facts = facts_beside(question.asked, question.snapshot, ())
        # Where room is made for others, a guest may lie as it does.
        wrong = defect(facts, standing) if name in question.mend.leave else _shared(question, standing)
        if alone and (reason := _no_place(question, replace(standing.requests[-1], required=True))):
            badly = f"lies badly: {wrong}" if wrong else "cannot stay as it is"
            return ConflictMember(name, "placed", f"is there and {badly}; it has no other place: {reason}")
        why = f"is there and lies badly: {wrong}" if wrong else "is there, and has to stay on the host"
        return ConflictMember(name, "placed", f"{why}; {_needs(standing.requests[-1])}")
    if alone and (reason := _no_place(question, asked)):
        return ConflictMember(name, "placed", f"has no place even with every other guest gone that may move: {reason}")
    return ConflictMember(name, "placed", f"is to be placed; {_needs(asked)}")


def _shared(question: Rebalancing, standing: Standing) -> str | None:
    """The CPU that a guest must not share with another one, one of whom must go."""
    there = {each.guest.name: each for each in (*question.fixed, *question.movable)}
    name = standing.guest.name
    for pair in question.mend.pairs:
        if name in pair:
            other = next(one for one in pair if one != name)
            return _together(standing, there[other])
    return None


def _together(standing: Standing, other: Standing) -> str:
    return f'it has {shared_cpus(standing, other).named} together with "{other.guest.name}"'


def _no_place(question: Rebalancing, guest: GuestRequest) -> str | None:
    """Why a guest has no place beside the guests that are fixed alone."""
    request = replace(question.asked, guests=(guest,))
    snapshot = question.only({guest.name}).snapshot
    facts = facts_beside(request, snapshot, question.fixed)
    problem = build_problem(request, facts)
    reason = why_not_alone(request, problem, problem.classes[0])
    return None if reason is None else reason.sentence


def _needs(guest: GuestRequest) -> str:
    """What a guest asks of the host, in numbers."""
    alone = len(guest.dedicated_vcpus)
    shared = guest.vcpus - alone
    words = [
        format_count(alone, "dedicated vCPU") if alone else "",
        format_count(shared, "shared vCPU") if shared else "",
    ]
    own = guest.iothreads if guest.iothread_policy is IothreadPolicy.DEDICATED else 0
    words += [
        f"{format_count(count, 'CPU')} for its {threads}"
        for count, threads in ((guest.own_emulator_cpus, "emulator"), (own, "iothreads"))
        if count
    ]
    words += _memory(guest)
    words += [choice(entry, getattr(entry, "count", 1)) for entry in entries(guest)]
    return "needs " + ", ".join(word for word in words if word)


def _memory(guest: GuestRequest) -> list[str]:
    """The memory of its cells and the pages that it is to be in: cells that ask for the same stand together."""
    asked: dict[tuple[int, PageSize], list[int]] = {}
    for number, cell in enumerate(guest.cells):
        asked.setdefault((cell.memory_kib, cell.page_size), []).append(number)
    words = []
    for (memory_kib, pages), cells in asked.items():
        whose = f"{'cell' if len(cells) == 1 else 'cells'} {format_id_list(cells)}: " if len(guest.cells) > 1 else ""
        each = " each" if len(cells) > 1 else ""
        words.append(f"{whose}{format_size(memory_kib)}{each} in {_pages(pages)}")
    return words


def _pages(size: PageSize) -> str:
    match size:
        case PageSize.LARGE:
            return "huge pages"
        case PageSize.ANY:
            return "pages of any size"
        case PageSize.SMALL | PageSize.HUGE_2M | PageSize.HUGE_1G:
            return f"{format_size(size.size_kib or 0)} pages"
        case unknown:
            assert_never(unknown)
