"""What the site could change in its policy for the host: the levers of ``host``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.change import Edit
from numaplan.model.host import Core, NodeId
from numaplan.model.plan import Document
from numaplan.model.request import GuestRequest, HostPolicy
from numaplan.placement.facts import HostFacts
from numaplan.placement.fixes import lever as price
from numaplan.placement.fixes.lever import Case, Group, Lever, begun
from numaplan.placement.fixes.reserved import reserved_cpus
from numaplan.units import GIB_KIB, format_size

# Steps in which reserved memory is given up.
_STEP_KIB: Final = GIB_KIB // 4
_RATIO_LIMIT: Final = 4096


def policy_groups(guests: Sequence[GuestRequest], facts: HostFacts) -> list[Group]:
    """Levers of the policy that could help `guests`."""
    groups = [
        reserved_cpus(facts),
        Group("reserved_memory", Document.VNF, _reserved_memory(facts.policy)),
    ]
    wanted = sum(guest.vcpus - len(guest.dedicated_vcpus) for guest in guests)
    floats = not facts.has_pools and any(guest.has_floating_threads for guest in guests)
    if wanted or floats:
        # What is shared is not there for dedicated vCPUs: less of it may help where all of it does not.
        groups.append(Group("shared_cpus", Document.VNF, _shared_cpus(facts, wanted, floats=floats), joint=False))
    if wanted:
        groups.append(Group("shared_ratio", Document.VNF, _shared_ratio(facts, wanted)))
    return groups


def _reserved_memory(policy: HostPolicy) -> tuple[Lever, ...]:
    have = policy.reserved_memory_kib
    if not have:
        return ()

    def left(level: int) -> int:
        return max(0, have - level * _STEP_KIB)

    def said(level: int) -> str:
        return format_size(left(level)) if left(level) else "none"

    return (
        Lever(
            most=begun(have, _STEP_KIB),
            pull=lambda case, level: case.with_policy(replace(case.request.policy, reserved_memory_kib=left(level))),
            sentence=lambda level: (
                "reserve {} of memory on each node",
                f"{said(level)} instead of {format_size(have)}",
            ),
            price=lambda level: price.RESERVED_GIB * begun(have - left(level), GIB_KIB),
            edits=lambda _case, level: (Edit(None, ("reserved_memory",), f"{left(level)}KiB"),),
        ),
    )


def _shared_cpus(facts: HostFacts, wanted: int, *, floats: bool) -> tuple[Lever, ...]:
    """One a node; `floats`: any shared CPU is of use to a thread. Where some are shared the ratio may change too."""
    ratio = facts.policy.shared_ratio
    levers = []
    for node in facts.nodes:
        given = _least_useful_first(facts, facts.free & facts.online(node))
        # What guests that stay have there beyond what the pool takes comes first.
        owed = facts.pool_owed[node] if wanted else 0
        least = 1 if floats or facts.shared else owed // ratio + 1
        if len(given) >= least:
            levers.append(_sharing(facts, given[: max(least, begun(wanted + owed, ratio))], node, least))
    return tuple(levers)


def _least_useful_first(facts: HostFacts, cpus: CpuSet) -> tuple[CpuId, ...]:
    """The CPUs, those of cores that no guest can have whole first; of these, those on which others are already."""
    core_of = {cpu: core.cpus for core in facts.snapshot.cores for cpu in core.cpus}

    def rank(cpu: CpuId) -> tuple[bool, bool, int, CpuId]:
        core = core_of.get(cpu, CpuSet((cpu,)))
        return not core & facts.taken, core <= facts.free, -facts.core_of.get(cpu, cpu), cpu

    return tuple(sorted(cpus, key=rank))


def _sharing(facts: HostFacts, given: tuple[CpuId, ...], node: NodeId, least: int) -> Lever:
    """The first level is the `least` number of CPUs that can help."""

    def cpus(level: int) -> CpuSet:
        return CpuSet(given[: least - 1 + level])

    def pull(case: Case, level: int) -> Case:
        policy = case.request.policy
        return case.with_policy(replace(policy, shared_cpus=(policy.shared_cpus or CpuSet()) | cpus(level)))

    return Lever(
        most=len(given) - least + 1,
        pull=pull,
        sentence=lambda level: ("add {} to shared_cpus", f"{cpus(level).named} of node {node}"),
        price=lambda level: price.SHARED_CPU * len(cpus(level)),
        edits=lambda case, _level: (Edit(None, ("shared_cpus",), str(case.request.policy.shared_cpus)),),
        nested=False,
        eased=lambda case: _with_cpus_to_share(case, node, len(given), facts.reserved),
    )


def _with_cpus_to_share(case: Case, node: NodeId, count: int, reserved: CpuSet) -> Case:
    """So many shared CPUs more on a node, of which nobody else could have had any."""
    snapshot, policy = case.snapshot, case.request.policy
    first = max(snapshot.cpus.present) + 1
    new = CpuSet(CpuId(first + number) for number in range(count))
    snapshot = replace(
        snapshot,
        nodes=tuple(replace(old, cpus=old.cpus | new) if old.id == node else old for old in snapshot.nodes),
        cores=(*snapshot.cores, *(Core(CpuSet((cpu,)), None, node, None, None) for cpu in new)),
        cpus=replace(snapshot.cpus, present=snapshot.cpus.present | new, online=snapshot.cpus.online | new),
    )
    shared = (policy.shared_cpus or CpuSet()) | new
    reserved = reserved if policy.reserved_cpus is None else policy.reserved_cpus
    case = case.with_policy(replace(policy, shared_cpus=shared, reserved_cpus=reserved))
    return replace(case, snapshot=snapshot)


def _shared_ratio(facts: HostFacts, wanted: int) -> tuple[Lever, ...]:
    now = facts.policy.shared_ratio
    owed = max((facts.pool_owed[node] for node in facts.nodes if facts.shared & facts.online(node)), default=0)
    most = min(wanted + owed, _RATIO_LIMIT - now)
    if not facts.shared or most <= 0:
        return ()
    return (
        Lever(
            most=most,
            pull=lambda case, level: case.with_policy(replace(case.request.policy, shared_ratio=now + level)),
            sentence=lambda level: ("let {} be " + str(now + level), "shared_ratio"),
            price=lambda level: price.SHARED_RATIO * level,
            edits=lambda _case, level: (Edit(None, ("shared_ratio",), now + level),),
        ),
    )
