"""Where threads run that get no CPU of their own: emulators and iothreads with policy share."""

from collections.abc import Iterable

from numaplan.cpuset import CpuSet
from numaplan.model.host import NodeId
from numaplan.placement.facts import HostFacts


def floating_cpus(
    facts: HostFacts, nodes: Iterable[NodeId], *, held: CpuSet, idle: CpuSet
) -> tuple[CpuSet, str | None]:
    """The CPUs that such threads of a guest on `nodes` float on, and a note where these are none that one would choose.

    `held` CPUs are dedicated to somebody; `idle` ones are kept idle beside an isolated core, and are the last resort.
    """
    near = CpuSet(cpu for node in nodes for cpu in facts.online(node))
    for pool in facts.float_pools:
        if pool & near:
            return pool & near, None
    for name, pool in zip(("shared", "reserved"), facts.float_pools, strict=True):
        if pool:
            return pool, f"no shared or reserved CPU on its nodes: its floating threads run on the {name} CPUs {pool}"
    unheld = near - facts.taken - held
    if unheld <= idle:
        return unheld, f"its floating threads run on {unheld.named}, kept idle beside isolated ones: no other is free"
    return unheld - idle, None


def idle_siblings(facts: HostFacts, isolated: CpuSet) -> CpuSet:
    """The other threads of the cores that `isolated` CPUs are on."""
    return CpuSet(cpu for core in facts.snapshot.cores for cpu in core.cpus - isolated if core.cpus & isolated)
