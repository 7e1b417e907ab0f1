"""What a host has left for one placed guest with all others held where they are, in counts, taken once for a plan."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import Core, NodeId
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, InterfaceRequest, Request, ThreadPolicy
from numaplan.placement.expand import exclusive_cpus
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, Place
from numaplan.placement.floating import idle_siblings
from numaplan.placement.kinds import core_kinds, entries
from numaplan.placement.options import build_problem
from numaplan.placement.problem import GuestClass, Problem


@dataclass(frozen=True, slots=True)
class CoreState:
    """Cores of `node` and `llc` that look the same: free threads, whether `whole`, `isolable`: as CoreKind has it."""

    node: NodeId
    llc: int | None
    free: int
    whole: bool
    isolable: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """What is left for one guest. `cores` counts cores by state, `unheld` the CPUs of a node that no thread holds.

    `pool` is how many shared vCPUs a node still takes, `capacity_kib` memory by node and page size, `devices` how many
    of each device kind, `mbps` what links still carry (those whose speed is known), `nodes` those of the others.
    `free_nodes` are those on which nothing is given or taken.
    """

    cores: Mapping[CoreState, int]
    unheld: Mapping[NodeId, int]
    pool: Mapping[NodeId, int]
    capacity_kib: Mapping[Place, int]
    devices: Mapping[int, int]
    mbps: Mapping[PciAddress, int]
    nodes: Mapping[str, frozenset[NodeId]]
    free_nodes: frozenset[NodeId]


class Host:
    """A host under a plan, from which each guest of the plan can be taken out in turn."""

    def __init__(self, request: Request, facts: HostFacts, placements: Sequence[Placement]) -> None:
        self.problem: Problem = build_problem(request, facts)
        self.placements = tuple(placements)
        self.asked: Mapping[str, GuestRequest] = {guest.name: guest for guest in request.guests}
        self.class_of: Mapping[str, GuestClass] = {
            guest.name: guests for guests in self.problem.classes for guest in guests.members
        }
        self.kind_of = {a: i for i, kind in enumerate(self.problem.device_kinds) for a in kind.members}
        self._sets = {p.vm: exclusive_cpus(self.asked[p.vm], p) for p in placements}
        self._held = CpuSet(cpu for cpus in self._sets.values() for cpu in cpus)
        self._idle = {
            name: idle_siblings(facts, cpus)
            for name, cpus in self._sets.items()
            if self.asked[name].thread_policy is ThreadPolicy.ISOLATE
        }
        self._used = {
            p.vm: {facts.node_of[cpu] for cpu in self._sets[p.vm]} | {cell.memory_node for cell in p.cells}
            for p in placements
        }
        self._core_at = {core.name: core for core in facts.snapshot.cores}
        self._cores = self._tally(facts.snapshot.cores, without=None)
        self._unheld = {node: len(facts.unheld(node) - self._held) for node in facts.nodes}
        self._pool: Counter[NodeId] = Counter(facts.pool_left)
        self._capacity: Counter[Place] = Counter(facts.capacity_kib)
        self._devices = Counter({i: len(kind.members) for i, kind in enumerate(self.problem.device_kinds)})
        self._mbps: Counter[PciAddress] = Counter(_speeds(facts))
        for placement in placements:
            self._book(placement, self._pool, self._capacity, devices=self._devices, mbps=self._mbps, sign=-1)

    def beside(self, placement: Placement | None) -> Beside:
        """What is left without `placement`; None: beside all of them."""
        facts = self.problem.facts
        vm = None if placement is None else placement.vm
        own = EMPTY if vm is None else self._sets[vm]
        pool, capacity = self._pool.copy(), self._capacity.copy()
        devices, mbps = self._devices.copy(), self._mbps.copy()
        if placement is not None:
            self._book(placement, pool, capacity, devices=devices, mbps=mbps, sign=1)
        touched = tuple(self._core_at[name] for name in sorted({facts.core_of[cpu] for cpu in own}))
        cores = self._cores.copy()
        cores.subtract(self._tally(touched, without=None))
        cores.update(self._tally(touched, without=vm))
        return Beside(
            cores={state: count for state, count in cores.items() if count},
            unheld={node: count + len(facts.online(node) & own) for node, count in self._unheld.items()},
            pool=pool,
            capacity_kib=capacity,
            devices=devices,
            mbps=mbps,
            nodes={p.vm: frozenset(p.nodes) for p in self.placements if p.vm != vm},
            free_nodes=self._free_nodes(vm),
        )

    def used(self, placement: Placement) -> frozenset[NodeId]:
        """The nodes of whose CPUs or memory it holds some."""
        return frozenset(self._used[placement.vm])

    def spans(self, placement: Placement) -> int:
        """What it counts in level llc_spans."""
        facts, guest = self.problem.facts, self.asked[placement.vm]
        vcpus = [
            CpuSet(c for v, one in cell.vcpus if v in guest.dedicated_vcpus for c in one) for cell in placement.cells
        ]
        extra = self._sets[placement.vm] - CpuSet(cpu for cpus in vcpus for cpu in cpus)
        return sum(
            len({facts.llc_of[cpu] for cpu in (*cpus, *(extra if k == 0 else ())) if cpu in facts.llc_of})
            for k, cpus in enumerate(vcpus)
            if cpus
        )

    def _free_nodes(self, without: str | None) -> frozenset[NodeId]:
        facts = self.problem.facts
        used = {node for p in self.placements if p.vm != without for node in self._used[p.vm]}
        return frozenset(node for node in facts.nodes if node not in used and not facts.online(node) & facts.taken)

    def _tally(self, cores: tuple[Core, ...], *, without: str | None) -> Counter[CoreState]:
        facts = self.problem.facts
        held = self._held if without is None else self._held - self._sets[without]
        idle = CpuSet(cpu for name, cpus in self._idle.items() if name != without for cpu in cpus)
        left = replace(
            facts,
            snapshot=replace(facts.snapshot, cores=cores),
            taken=facts.taken | held,
            free=facts.free - held - idle,
        )
        states: Counter[CoreState] = Counter()
        for kind in core_kinds(left, EMPTY):
            states[CoreState(kind.node, kind.llc, kind.free, kind.whole, kind.isolable)] += len(kind.cores)
        return states

    def _book(
        self,
        placement: Placement,
        pool: Counter[NodeId],
        capacity: Counter[Place],
        *,
        devices: Counter[int],
        mbps: Counter[PciAddress],
        sign: int,
    ) -> None:
        """Takes what a placement has beside CPUs (`sign` -1), or gives it back (1)."""
        guest = self.asked[placement.vm]
        for cell in placement.cells:
            pool[cell.numa_node] += sign * sum(vcpu not in guest.dedicated_vcpus for vcpu, _ in cell.vcpus)
            capacity[cell.memory_node, cell.page_size_kib] += sign * cell.memory_kib
        for node in placement.nodes:
            capacity[node, SMALL_PAGE_KIB] += sign * self.problem.facts.policy.guest_overhead_kib
        for entry, addresses in zip(entries(guest), placement.functions, strict=True):
            for address in addresses:
                devices[self.kind_of[address]] += sign
                pf = self.problem.facts.devices[address].physfn
                if pf is not None and pf in mbps and isinstance(entry, InterfaceRequest):
                    mbps[pf] += sign * entry.mbps


def _speeds(facts: HostFacts) -> dict[PciAddress, int]:
    """What the links carry of which the host says it, in Mbit/s."""
    known = {address: facts.link_speed(address) for address in facts.links}
    return {address: speed for address, speed in known.items() if speed is not None}
