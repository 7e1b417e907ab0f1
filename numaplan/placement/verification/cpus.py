"""CPUs: given once, allocatable, on the cell's node; where emulators, iothreads and shared vCPUs float."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.guest import CellId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import EmulatorPolicy, GuestRequest, IothreadPolicy
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import Grant, grants, is_dedicated
from numaplan.placement.verification.objective import is_moved
from numaplan.placement.verification.threads import thread_violations
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count


def cpu_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Everything that a plan can do wrong with which CPUs it gives; how many they are is a matter of its shape."""
    asked = [(guest, placement) for placement in placements if (guest := facts.asked(placement.vm)) is not None]
    given = [grant for guest, placement in asked for grant in grants(guest, placement)]
    held = facts.taken | CpuSet(grant.cpu for grant in given)
    yield from _distinct(given)
    for guest, placement in asked:
        nodes = {cell.id: cell.numa_node for cell in placement.cells}
        own = tuple(grant for grant in given if grant.vm == guest.name)
        existing = facts.existing(guest.name)
        # Who is on a core that another guest has to itself may stay, as it is.
        stays = existing is not None and not is_moved(facts, guest, existing, placement=placement)
        yield from _allocatable(facts, own, nodes, stays=stays)
        yield from thread_violations(facts, guest, placement, own=own, held=held)
        yield from _sharing(facts, guest, placement, held=held)
    yield from pool_violations(facts, placements)


def pool_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """What shared vCPUs do wrong: they float on the pool of their cell's node, within its ratio."""
    asked = [(guest, placement) for placement in placements if (guest := facts.asked(placement.vm)) is not None]
    for guest, placement in asked:
        for cell in placement.cells:
            yield from _shared_cell(facts, guest, cell)
    yield from _pools(facts, asked)


def _distinct(given: Sequence[Grant]) -> Iterator[Violation]:
    holders: defaultdict[CpuId, list[Grant]] = defaultdict(list)
    for grant in given:
        holders[grant.cpu].append(grant)
    for cpu, several in sorted(holders.items()):
        if len(several) > 1:
            who = " and ".join(str(grant) for grant in several)
            yield Violation(
                several[1].vm, "cpu_distinct", f"cpu {cpu} is given {len(several)} times, to {who}; it can go to one"
            )


def _allocatable(
    facts: Facts, own: Sequence[Grant], nodes: dict[CellId, NodeId], *, stays: bool
) -> Iterator[Violation]:
    for grant in own:
        refused = _why_not(facts, grant.cpu, stays=stays)
        if refused is not None:
            yield Violation(grant.vm, "cpu_not_allocatable", f"cpu {grant.cpu} of {grant} {refused}")
            continue
        node = nodes.get(grant.cell)
        if node is not None and facts.node(node) is not None and grant.cpu not in facts.cpus([node]):
            yield Violation(
                grant.vm,
                "cpu_node",
                f"cpu {grant.cpu} of {grant} is not on node {node}, the node of its cell {grant.cell}",
            )


def _why_not(facts: Facts, cpu: CpuId, *, stays: bool) -> str | None:
    if cpu not in facts.online:
        return "is offline" if cpu in facts.snapshot.cpus.present else "is not on the host"
    if cpu in facts.reserved:
        return "is reserved for the host"
    if cpu in facts.shared:
        return "is in the shared pool"
    if (taker := facts.taker(cpu)) is not None:
        return f"is taken by {taker}"
    isolated = None if stays else facts.isolated_for(cpu)
    return None if isolated is None else f'is on a core that guest "{isolated}" has to itself (thread_policy isolate)'


def _sharing(facts: Facts, guest: GuestRequest, placement: Placement, *, held: CpuSet) -> Iterator[Violation]:
    """An emulator and iothreads that float with others."""
    threads = [("emulator", "emulator", placement.emulator)] if guest.emulator is EmulatorPolicy.SHARE else []
    if guest.iothread_policy is IothreadPolicy.SHARE:
        threads += [("iothreads", f"iothread {iothread}", cpus) for iothread, cpus in placement.iothreads]
    for constraint, thread, cpus in threads:
        problem = _floats_wrongly(facts, placement, cpus, held=held)
        if problem is not None:
            yield Violation(guest.name, constraint, f'guest "{guest.name}" {thread} {problem}')


def _floats_wrongly(facts: Facts, placement: Placement, cpus: CpuSet, *, held: CpuSet) -> str | None:
    """Why a thread that shares may not float on `cpus`; where the host names no CPUs for it, any that none holds do."""
    rung = facts.share_ladder(placement.nodes)
    if rung is not None:
        return None if cpus == rung else f'floats on CPUs "{cpus}"; it needs "{rung}"'
    free = facts.cpus(placement.nodes) - held
    if cpus and cpus <= free:
        return None
    return f'floats on CPUs "{cpus}"; it needs some of "{free}", the CPUs of its nodes that nobody holds'


def _shared_cell(facts: Facts, guest: GuestRequest, cell: CellPlacement) -> Iterator[Violation]:
    floating = [(vcpu, cpus) for vcpu, cpus in cell.vcpus if not is_dedicated(guest, vcpu)]
    if not floating or facts.node(cell.numa_node) is None:
        return
    where = f'guest "{guest.name}" cell {cell.id}'
    pool = facts.shared & facts.cpus([cell.numa_node])
    if not pool:
        yield Violation(
            guest.name,
            "shared_pool",
            f"node {cell.numa_node} has 0 shared CPUs; {where} needs a pool for {format_count(len(floating), 'vCPU')}",
        )
        return
    for vcpu, cpus in floating:
        if cpus != pool:
            yield Violation(
                guest.name,
                "shared_pool",
                f'{where} vCPU {vcpu} floats on CPUs "{cpus}"; it needs "{pool}", the pool of node {cell.numa_node}',
            )


def _pools(facts: Facts, asked: Sequence[tuple[GuestRequest, Placement]]) -> Iterator[Violation]:
    loads: defaultdict[NodeId, int] = defaultdict(int)
    last: dict[NodeId, str] = {}
    for guest, placement in asked:
        for cell in placement.cells:
            floating = sum(not is_dedicated(guest, vcpu) for vcpu, _ in cell.vcpus)
            if floating:
                loads[cell.numa_node] += floating
                last[cell.numa_node] = guest.name
    for node, planned in sorted(loads.items()):
        pool = facts.shared & facts.cpus([node])
        room = facts.request.policy.shared_ratio * len(pool)
        load = planned + facts.floating_vcpus(node)
        if pool and load > room:
            yield Violation(
                last[node],
                "shared_pool",
                f"node {node} has room for {format_count(room, 'shared vCPU')} on {format_count(len(pool), 'CPU')};"
                f" its guests need {load}",
            )
