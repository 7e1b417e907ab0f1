"""Groups of CPUs from what each CPU says of its siblings, and one value from what several CPUs say.

CPU sets are bits of a number here: hosts have thousands of CPUs, and each of them names all of its siblings.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from numaplan.cpuset import format_id_list
from numaplan.inventory.attribute import excerpt, ids_of
from numaplan.sources.tree import HostTree

_T = TypeVar("_T")
_V = TypeVar("_V", bound=Hashable)

# Of a group whose members the kernel makes say the same, so many are asked; where these do not agree, each one is.
WITNESSES: Final = 4


@dataclass(frozen=True, slots=True)
class Grouping:
    """`groups` are disjoint and ordered by their lowest CPU.

    `disputed` are the CPUs whose own word differs from the group that they got, and those whose word made a group
    against as many others. `alone` are the CPUs that neither a mask nor an id put anywhere.
    """

    groups: tuple[int, ...]
    disputed: int
    alone: int


@dataclass(frozen=True, slots=True)
class Vote(Generic[_V]):
    """The value that most CPUs name, None where none names any, and the CPUs that name another."""

    value: _V | None
    dissenters: tuple[int, ...]


def group_siblings(cpus: int, claims: Mapping[int, int], keys: Mapping[int, Hashable]) -> Grouping:
    """Disjoint groups that cover `cpus`. `claims`: what a CPU says its siblings are; `keys`: an id of its group.

    A claim makes a group where at least half of the CPUs in it that claim anything claim the same; of two such ones
    that overlap, the larger wins, since taking siblings for strangers does more harm. CPUs that are left join the
    group of their key, else one another by it, else stand alone.
    """
    voters = sum(1 << cpu for cpu in claims)
    support = Counter(claims.values())
    accepted = [mask for mask, count in support.items() if 2 * count >= (mask & voters & cpus).bit_count()]
    groups: list[int] = []
    taken = 0
    for mask in sorted(accepted, key=lambda mask: (-mask.bit_count(), mask & -mask, mask)):
        members = mask & cpus & ~taken
        if members:
            groups.append(members)
            taken |= members
    alone = _join_by_key(groups, left=cpus & ~taken, keys=keys)
    groups.sort(key=lambda group: group & -group)
    return Grouping(tuple(groups), _disputed(groups, claims), alone)


def witnesses(group: Sequence[_T]) -> tuple[_T, ...]:
    """Those to ask of a group: the first, the last and some between them; all of a small one."""
    if len(group) <= WITNESSES:
        return tuple(group)
    return tuple(group[(len(group) - 1) * i // (WITNESSES - 1)] for i in range(WITNESSES))


def ask_witnesses(cpus: int, ask: Callable[[int], _V | None], *, members: Callable[[_V], int]) -> dict[int, _V]:
    """What each of `cpus` says; those that say nothing are left out. `members`: the group that an answer names.

    Hosts have dozens of CPUs in a package or a cache, each with files of its own that say the same: where the witnesses
    of a group give one answer, it is taken to be that of the others too. Where they do not, or the group holds CPUs
    that were in another one, each is asked.
    """
    answers: dict[int, _V | None] = {}
    left = cpus
    while left:
        first = (left & -left).bit_length() - 1
        answer = answers[first] = ask(first)
        group = 0 if answer is None else members(answer) & cpus
        sure = group >> first & 1 == 1 and not group & ~left
        left &= left - 1
        for other in witnesses(ids_of(group))[1:] if sure else ():
            answers[other] = ask(other)
            left &= ~(1 << other)
            sure = sure and answers[other] == answer
        if sure:
            answers.update(dict.fromkeys(map(int, ids_of(group & left)), answer))
            left &= ~group
    return {cpu: answer for cpu, answer in sorted(answers.items()) if answer is not None}


def vote(values: Mapping[int, _V]) -> Vote[_V]:
    """One value for several CPUs: the most frequent, of equals the one of the lowest CPU.

    Where no value has more than half of the voices, all that name another one than the rest are dissenters.
    """
    if not values:
        return Vote(None, ())
    counts = Counter(values[cpu] for cpu in sorted(values))
    winner, voices = counts.most_common(1)[0]
    if len(counts) == 1:
        return Vote(winner, ())
    undecided = 2 * voices <= len(values)
    return Vote(winner, tuple(cpu for cpu in sorted(values) if undecided or values[cpu] != winner))


def note_disputes(tree: HostTree, grouping: Grouping, *, where: Mapping[int, str]) -> None:
    """A gap for the file of each disputed CPU; `where` are these files."""
    for group in grouping.groups:
        disputed = ids_of(group & grouping.disputed)
        taken = format_id_list(ids_of(group)) if disputed else ""
        for cpu in disputed:
            said = excerpt(tree.text(where[cpu]) or "")
            tree.note(where[cpu], f"{said}, on which these CPUs do not agree; CPUs {taken} are taken")


def _join_by_key(groups: list[int], *, left: int, keys: Mapping[int, Hashable]) -> int:
    if not left:
        return 0
    by_key: dict[Hashable, int] = {}
    for index, group in enumerate(groups):
        for cpu in ids_of(group):
            if cpu in keys:
                by_key.setdefault(keys[cpu], index)
    alone = 0
    for cpu in ids_of(left):
        if cpu not in keys:
            alone |= 1 << cpu
            groups.append(1 << cpu)
        elif keys[cpu] in by_key:
            groups[by_key[keys[cpu]]] |= 1 << cpu
        else:
            by_key[keys[cpu]] = len(groups)
            groups.append(1 << cpu)
    return alone


def _disputed(groups: list[int], claims: Mapping[int, int]) -> int:
    disputed = 0
    for group in groups:
        if group & (group - 1) == 0:
            cpu = group.bit_length() - 1
            disputed |= group if claims.get(cpu, group) != group else 0
            continue
        members = [cpu for cpu in ids_of(group) if cpu in claims]
        others = [cpu for cpu in members if claims[cpu] != group]
        loud = members if 2 * len(others) >= len(members) else others
        disputed |= sum(1 << cpu for cpu in loud) if others else 0
    return disputed
