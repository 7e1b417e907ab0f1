"""What is wrong with where guests are: the cost that a rebalancing without new guests is to take away."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

from numaplan.cpuset import CpuId, CpuSet, format_id_list
from numaplan.model.host import NodeId
from numaplan.placement.facts import HostFacts
from numaplan.placement.rebalance.model import Mend
from numaplan.placement.rebalance.standing import Standing, StandingCell, is_near


def find_defects(facts: HostFacts, standing: Sequence[Standing]) -> Mend:
    """Guests that lie badly by themselves, and pairs of guests of which one must go."""
    leave = frozenset(each.guest.name for each in standing if defect(facts, each) is not None)
    return Mend(leave, _pairs(standing))


def defect(facts: HostFacts, standing: Standing) -> str | None:
    """What is wrong with a guest by itself, in words; None where nothing is."""
    guest = standing.guest
    online = facts.snapshot.cpus.online
    reached = set()
    for k, cell in enumerate(standing.cells):
        affinities = [guest.effective_vcpu_affinity(vcpu) for vcpu in cell.vcpus]
        # Who may run everywhere is left to the scheduler.
        bound = [cpus & online for cpus in affinities if cpus is not None and (len(cpus) == 1 or not online <= cpus)]
        nodes = {facts.node_of[cpu] for cpus in bound for cpu in cpus if cpu in facts.node_of}
        if len(nodes) > 1:
            return f"cell {k} has vCPUs on nodes {', '.join(str(node) for node in sorted(nodes))}"
        if _is_memory_far(facts, cell, nodes):
            lies = format_id_list(cell.memory_nodes)
            its = "its memory on node" if cell.memory_node is not None else "memory on nodes"
            return f"cell {k} has vCPUs on node {min(nodes)} and {its} {lies}"
        if cell.vcpus and not nodes:
            reached |= set(facts.nodes)
        reached |= nodes
    for address in guest.pci_addresses:
        if address not in guest.loose_devices and not is_near(facts, address, reached):
            return f"{address} is on none of its nodes"
    vcpus = standing.alone
    twice = {cpu for cpu in vcpus if vcpus.count(cpu) > 1}
    return f"CPU {min(twice)} is pinned by two of its vCPUs" if twice else None


def _is_memory_far(facts: HostFacts, cell: StandingCell, nodes: set[NodeId]) -> bool:
    """As the audit has it: not where that was chosen, nor where its vCPUs' nodes have no memory."""
    if cell.may_be_far or not nodes or set(cell.memory_nodes).isdisjoint(set(facts.nodes) - nodes):
        return False
    return any(node.memory_kib != 0 for node in facts.snapshot.nodes if node.id in nodes)


def shared_cpus(one: Standing, other: Standing) -> CpuSet:
    """The CPUs that both pin, and that a vCPU of one of them should have alone."""
    return one.held & other.held & CpuSet((*one.alone, *other.alone))


def _pairs(standing: Sequence[Standing]) -> tuple[tuple[str, str], ...]:
    """Guests that pin one CPU both, where it is a vCPU of one of them that should have it alone."""
    holders: dict[CpuId, list[str]] = defaultdict(list)
    owners: dict[CpuId, set[str]] = defaultdict(set)
    for each in standing:
        for cpu in each.held:
            holders[cpu].append(each.guest.name)
        for cpu in each.alone:
            owners[cpu].add(each.guest.name)
    found = {
        pair for cpu, names in holders.items() for pair in combinations(sorted(names), 2) if owners[cpu] & set(pair)
    }
    return tuple(sorted(found))
