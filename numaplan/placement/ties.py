"""Affinity and anti-affinity: which guests are tied to which, by the wish of either, and what that demands of a model.

Hundreds of copies may be tied to hundreds of others. Guests that are tied to the same ones are demanded as one set, so
that a model grows with the guests and not with their pairs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, product
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.request import GuestRequest
from numaplan.placement.cpsat import Linear, total
from numaplan.placement.formulation import Formulation


class Wish(StrEnum):
    """A word of a guest's request that ties it to others."""

    TOGETHER = "affinity"
    APART = "anti_affinity"


_PAIR: Final = 2

# Whom each is tied to, as the bits of a number: sets would fill the memory where thousands of copies name each other.
Ties = Sequence[int]


def nested(mine: AbstractSet[NodeId], theirs: AbstractSet[NodeId]) -> bool:
    """Whether guests on these nodes lie together: the nodes of the one contain those of the other."""
    return mine <= theirs or theirs <= mine


@dataclass(frozen=True, slots=True)
class TiedSet:
    """All `members` are tied to the same others, and `mutual`, to each other."""

    members: tuple[int, ...]
    mutual: bool


def ties(groups: Sequence[Sequence[GuestRequest]], wish: Wish) -> Ties:
    """Whom each group is tied to: other groups by their numbers; guests that are in none have the numbers behind.

    Guests of one group are not tied to each other.
    """
    number = {guest.name: i for i, guests in enumerate(groups) for guest in guests}
    tied = [0] * len(groups)
    # Copies that are tied to each other say the same, each with the others' names beside its own.
    saying: dict[frozenset[str], list[int]] = defaultdict(list)
    for i, guests in enumerate(groups):
        for guest in guests:
            if names := getattr(guest, wish):
                saying[frozenset((guest.name, *names))].append(i)
    for names, who in saying.items():
        # Behind all groups, of which several can have one name: copies of a vm in capacity's model.
        others = [number.setdefault(name, len(groups) + len(number)) for name in sorted(names)]
        them, us = _number(others), _number(who)
        for i in who:
            tied[i] |= them & ~(1 << i)
        for other in others:
            if other < len(groups):
                tied[other] |= us & ~(1 << other)
    return tied


def _number(bits: Iterable[int]) -> int:
    number = 0
    for bit in bits:
        number |= 1 << bit
    return number


def tied_groups(tied: Ties, i: int) -> Iterator[int]:
    """The groups that one is tied to: none that is in no group."""
    return _bits(tied[i] & ~(-1 << len(tied)))


def tied_sets(tied: Ties) -> list[TiedSet]:
    """Those that are tied to anybody, in as few sets as can be, in the order of their first members."""
    alike: dict[int, list[int]] = defaultdict(list)
    mutual: dict[int, list[int]] = defaultdict(list)
    for i, mine in enumerate(tied):
        if mine:
            alike[mine].append(i)
            # What it is tied to in the eyes of a copy that it is tied to; nobody has copies of both sorts.
            mutual[mine | 1 << i].append(i)
    sets = []
    for i, mine in enumerate(tied):
        if mine:
            copies = mutual[mine | 1 << i]
            members, is_mutual = (copies, True) if len(copies) > 1 else (alike[mine], False)
            if members[0] == i:
                sets.append(TiedSet(tuple(members), is_mutual))
    return sets


def affinity(f: Formulation) -> None:
    """A guest and its partner: the nodes of one contain those of the other."""
    for u, nodes in _staying(f, Wish.TOGETHER):
        for option, count in f.options(u):
            own = frozenset(option.nodes)
            if not nested(own, nodes):
                f.model.equal(count)
    for mine, theirs in _tied_to_each_other(_ties_of(f, Wish.TOGETHER)):
        if mine is theirs and len(mine) > _PAIR:
            _lie_within(f, mine)
            continue
        pairs = list(combinations(mine, 2) if mine is theirs else product(mine, theirs))
        if len(pairs) > 1 and _are_on_as_many_nodes(f, (*mine, *theirs)):
            _share_nodes(f, mine, theirs)
        else:
            for u, partner in pairs:
                _contain(f, u, partner)


def anti_affinity(f: Formulation) -> None:
    """A guest is on no node of its partner."""
    for u, nodes in _staying(f, Wish.APART):
        for option, count in f.options(u):
            if nodes & frozenset(option.nodes):
                f.model.equal(count)
    used: dict[tuple[tuple[int, ...], NodeId], Linear] = {}
    for mine, theirs in _tied_to_each_other(_ties_of(f, Wish.APART)):
        for node in f.problem.facts.nodes:
            if mine is theirs:
                used[mine, node] = total(f.uses(u, node) for u in mine)
                f.model.at_most(used[mine, node], 1)
                continue
            for units in (mine, theirs):
                if (units, node) not in used:
                    used[units, node] = f.any_of([f.uses(u, node) for u in units])
            f.model.at_most(used[mine, node] + used[theirs, node], 1)


def _contain(f: Formulation, u: int, partner: int) -> None:
    inside = f.model.boolean()
    for node in f.problem.facts.nodes:
        mine, theirs = f.uses(u, node), f.uses(partner, node)
        f.model.at_most(mine - theirs + inside, 1)
        f.model.at_most(theirs - mine - inside, 0)


def _lie_within(f: Formulation, units: Sequence[int]) -> None:
    """All are tied to each other: those on so many nodes share them, and those on fewer lie within.

    Of any two the nodes of one contain those of the other, so those on one node, on two and so on make a chain.
    """
    ways = [(u, frozenset(option.nodes), count) for u in units for option, count in f.options(u)]
    inner: dict[NodeId, Linear] = {}
    for size in sorted({len(nodes) for _, nodes, _ in ways}):
        shared = {node: f.model.boolean() for node in f.problem.facts.nodes}
        f.model.at_most(total(shared.values()), size)
        for node, there in inner.items():
            f.model.at_most(there - shared[node], 0)
        used: dict[tuple[int, NodeId], list[Linear]] = defaultdict(list)
        for u, nodes, count in ways:
            if len(nodes) == size:
                for node in sorted(nodes):
                    used[u, node].append(count)
        for (_, node), counts in used.items():
            f.model.at_most(total(counts) - shared[node], 0)
        inner = shared


def _share_nodes(f: Formulation, mine: Sequence[int], theirs: Sequence[int]) -> None:
    """Where one of `mine` is, all those of `theirs` are that are placed; each guest is on as many nodes."""
    for node in f.problem.facts.nodes:
        there = f.any_of([f.uses(u, node) for u in mine])
        for partner in theirs:
            f.model.at_most(there + f.placed(partner) - f.uses(partner, node), 1)


def _are_on_as_many_nodes(f: Formulation, units: Sequence[int]) -> bool:
    return len({len(set(option.nodes)) for u in units for option, _ in f.options(u)}) <= 1


def _ties_of(f: Formulation, wish: Wish) -> Ties:
    return ties([unit.guests.members[unit.first : unit.first + unit.count] for unit in f.units], wish)


def _tied_to_each_other(tied: Ties) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Sets of which each member of one is tied to each of the other; a set that is `mutual` with itself first."""
    sets = tied_sets(tied)
    set_of = {i: each for each in sets for i in each.members}
    for each in sets:
        if each.mutual:
            yield each.members, each.members
    for each in sets:
        others = dict.fromkeys(set_of[i].members for i in _bits(tied[each.members[0]]) if i in set_of)
        yield from ((each.members, other) for other in others if other > each.members)


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _staying(f: Formulation, wish: Wish) -> Iterator[tuple[int, frozenset[NodeId]]]:
    """(unit, the nodes of a partner that stays where it is). Guests that are tied are units of one."""
    asked = {name for unit in f.units for name in unit.names}
    for u, unit in enumerate(f.units):
        for name in getattr(unit.guests.request, wish):
            if name not in asked and f.problem.facts.guest_nodes.get(name):
                yield u, f.problem.facts.guest_nodes[name]
