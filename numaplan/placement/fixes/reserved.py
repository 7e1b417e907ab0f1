"""Which reserved CPUs the host could do without: a lever a node, and in parts of it one for what is alike there."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.change import Edit
from numaplan.model.plan import Document
from numaplan.placement.facts import HostFacts
from numaplan.placement.fixes import lever as price
from numaplan.placement.fixes.lever import Case, Group, Levels, Lever

Cpus = tuple[CpuId, ...]


class _Kind(NamedTuple):
    """Cores of a node that guests can use alike: so many of a core's CPUs are free, given up, taken, of how many.

    `apart`: the core, where its CPUs lie in several nodes or LLCs.
    """

    free: int
    given: int
    taken: int
    cpus: int
    apart: CpuId | None


def reserved_cpus(facts: HostFacts) -> Group:
    """One lever a node: cores with free CPUs first, then its highest ones, siblings together.

    In parts: one for each thread of a kind of core. They are in the order in which the host gets them back: second
    threads before first ones, and last those that make a core whole. The host keeps its first core.
    """
    kept = facts.reserved & next((core.cpus for core in facts.snapshot.cores if core.cpus & facts.reserved), CpuSet())
    named = facts.policy.reserved_cpus
    reserved = facts.reserved if named is None else named
    nodes: list[Cpus] = []
    alike: list[list[Cpus]] = []
    parts: list[tuple[bool, int, Cpus]] = []
    for node in facts.nodes:
        kinds = _kinds(facts, (facts.reserved - kept) & facts.online(node))
        ranked = sorted((kind.free == 0, place, core) for kind, cores in kinds.items() for place, core in cores)
        if ranked:
            nodes.append(tuple(cpu for _, _, core in ranked for cpu in core))
        alike += ([core for _, core in cores] for _, cores in sorted(kinds.items(), key=lambda item: item[0].given))
        for kind, cores in kinds.items():
            threads = zip(*(core for _, core in cores), strict=True)
            parts += [(kind.free > 0, -thread, cpus) for thread, cpus in enumerate(threads)]
    pieces = [cpus for _, _, cpus in sorted(parts, key=lambda part: part[:2])]

    def in_parts(levels: Levels) -> dict[int, int]:
        return among({cpu for number, level in levels.items() for cpu in nodes[number][:level]})

    def among(given: Collection[CpuId]) -> dict[int, int]:
        found = {number: len(set(cpus).intersection(given)) for number, cpus in enumerate(pieces)}
        return {number: level for number, level in found.items() if level}

    return Group(
        "reserved_cpus",
        Document.VNF,
        tuple(_giving_up(cpus, reserved) for cpus in nodes),
        parts=tuple(_giving_up(cpus, reserved) for cpus in pieces),
        in_parts=in_parts,
        ways=lambda steps: (among(cpus) for cpus in _ways(alike, steps)),
    )


def _ways(alike: Sequence[Sequence[Cpus]], count: int, most: int | None = None) -> Iterator[Cpus]:
    """All ways to give up so many CPUs, `most` of a core, of lists of cores that are alike: whole cores first."""
    if not count:
        yield ()
    elif alike:
        (core, *others), *rest = alike[0], *alike[1:]
        for given in range(min(count, len(core), count if most is None else most), 0, -1):
            again = [others, *rest] if others else rest
            yield from (core[:given] + more for more in _ways(again, count - given, given if others else None))
        yield from _ways(rest, count)


def _kinds(facts: HostFacts, given: CpuSet) -> dict[_Kind, list[tuple[int, Cpus]]]:
    """The `given` CPUs core by core, the highest first, each with its place in that order."""
    kinds: dict[_Kind, list[tuple[int, Cpus]]] = defaultdict(list)
    cores = sorted(facts.snapshot.cores, key=lambda core: core.name, reverse=True)
    for place, core in enumerate(cores):
        if cpus := core.cpus & given:
            places = {(facts.node_of.get(cpu), facts.llc_of.get(cpu)) for cpu in core.cpus}
            apart = core.name if len(places) > 1 else None
            kind = _Kind(len(core.cpus & facts.free), len(cpus), len(core.cpus & facts.taken), len(core.cpus), apart)
            kinds[kind].append((place, tuple(sorted(cpus))))
    return kinds


def _giving_up(given: Cpus, reserved: CpuSet) -> Lever:
    def pull(case: Case, level: int) -> Case:
        policy = case.request.policy
        now = reserved if policy.reserved_cpus is None else policy.reserved_cpus
        return case.with_policy(replace(policy, reserved_cpus=now - CpuSet(given[:level])))

    return Lever(
        most=len(given),
        pull=pull,
        sentence=lambda level: ("reserve {} no longer", CpuSet(given[:level])),
        price=lambda level: price.RESERVED_CPU * level,
        edits=lambda case, _level: (Edit(None, ("reserved_cpus",), str(case.request.policy.reserved_cpus)),),
    )
