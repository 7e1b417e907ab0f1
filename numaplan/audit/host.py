"""The facts that rules ask for again and again, computed once from a snapshot: where each thread may run, which CPUs
are dedicated, which node a CPU or device is on. Nothing here judges.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from numaplan.audit.threads import GuestView, Thread, ThreadKind, view_guest
from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import Core, NodeId, NumaNode
from numaplan.model.snapshot import Snapshot

_NODES = "sys/devices/system/node"


@dataclass(frozen=True, slots=True)
class Facts:
    """A snapshot as the rules see it. `guests` are in the order of their names.

    `holders` are the threads whose affinity is one CPU, by CPU; `dedicated` the CPUs so held by a vCPU that shares
    its CPU with nobody. `unread` are the files of the host that could not be read or made sense of.
    """

    snapshot: Snapshot
    guests: tuple[GuestView, ...]
    holders: Mapping[CpuId, tuple[Thread, ...]]
    dedicated: CpuSet
    unread: frozenset[str]
    _owners: Mapping[CpuId, frozenset[int]]
    _node_ids: Mapping[CpuId, NodeId]
    _nodes: Mapping[NodeId, NumaNode]
    _cores: Mapping[CpuId, Core]
    _devices: Mapping[PciAddress, PciDevice]
    _spans: Mapping[CpuSet, frozenset[NodeId]]
    # Many guests reach the same CPUs; without this the audit is quadratic in them.
    _owners_memo: dict[CpuSet, tuple[int, ...]]

    @property
    def online(self) -> CpuSet:
        """The host's online CPUs."""
        return self.snapshot.cpus.online

    @property
    def free(self) -> CpuSet:
        """Online CPUs that no thread of a guest holds alone."""
        return self.online - CpuSet(self.holders)

    def free_near(self, nodes: Iterable[NodeId], *, isolated: bool) -> CpuSet:
        """Free CPUs of these nodes, else of all; isolated ones, too, where `isolated` says so."""
        free = self.free if isolated else self.free - self.snapshot.cpus.isolated
        return free & self.node_cpus(nodes) or free

    @property
    def several_nodes(self) -> bool:
        """Whether there is more than one node, so that something can be on the wrong one."""
        return len(self._nodes) > 1

    @property
    def hides_nodes(self) -> bool:
        """Whether its one node may be an assumption: the folder of the nodes is not there, or not as it should be."""
        return not self.several_nodes and _NODES in self.unread

    def lacks_node(self, node_id: NodeId) -> bool:
        """Whether the host has no such node, for sure: nothing about its nodes was left unread."""
        doubts = (_NODES, f"{_NODES}/online", f"{_NODES}/node{node_id}")
        return node_id not in self._nodes and self.unread.isdisjoint(doubts)

    def name(self, guest: int) -> str:
        """The name of the guest at that index."""
        return self.guests[guest].guest.name

    def node(self, node_id: NodeId) -> NumaNode | None:
        """The node of that id."""
        return self._nodes.get(node_id)

    def nodes(self, affinity: CpuSet) -> frozenset[NodeId]:
        """The nodes of a set of CPUs; those that are offline or unknown have none."""
        known = self._spans.get(affinity)
        return _span(affinity, self._node_ids) if known is None else known

    def nodes_of(self, threads: Iterable[Thread]) -> frozenset[NodeId]:
        """The nodes on which any of the threads may run, those that may run anywhere left out."""
        return frozenset(
            chain.from_iterable(self.nodes(thread.affinity) for thread in threads if thread.affinity is not None)
        )

    def node_cpus(self, nodes: Iterable[NodeId]) -> CpuSet:
        """The online CPUs of these nodes."""
        found = (self._nodes.get(node_id) for node_id in nodes)
        return CpuSet(chain.from_iterable(node.cpus for node in found if node is not None))

    def core(self, cpu: CpuId) -> Core | None:
        """The core of an online CPU; None where the host does not show it."""
        return self._cores.get(cpu)

    def device(self, address: PciAddress) -> PciDevice | None:
        """The PCI function at that address."""
        return self._devices.get(address)

    def device_node(self, device: PciDevice) -> tuple[NodeId | None, PciAddress]:
        """Its node, else its PF's, and the function that says so."""
        if device.numa_node is None and device.physfn is not None:
            physical = self._devices.get(device.physfn)
            if physical is not None and physical.numa_node is not None:
                return physical.numa_node, physical.address
        return device.numa_node, device.address

    def owners(self, cpus: CpuSet) -> tuple[int, ...]:
        """The guests to whose vCPUs any of these CPUs is dedicated."""
        known = self._owners_memo.get(cpus)
        if known is None:
            known = tuple(sorted(frozenset[int]().union(*(self.owners_of(cpu) for cpu in cpus))))
            self._owners_memo[cpus] = known
        return known

    def owners_of(self, cpu: CpuId) -> frozenset[int]:
        """The guests to whose vCPUs that CPU is dedicated."""
        return self._owners.get(cpu, frozenset())

    def distance(self, a: NodeId, b: NodeId) -> int | None:
        """The larger of the two SLIT entries; None where the host does not say."""
        entries = [
            entry
            for start, end in ((a, b), (b, a))
            if (node := self._nodes.get(start)) is not None
            for other, entry in node.distances
            if other == end
        ]
        return max(entries, default=None)


def gather(snapshot: Snapshot) -> Facts:
    """The facts of a snapshot, in time linear in its threads and their CPUs."""
    guests = tuple(
        view_guest(guest, index, snapshot.cpus.online)
        for index, guest in enumerate(sorted(snapshot.guests, key=lambda guest: (guest.name, guest.file)))
    )
    node_ids = {cpu: node.id for node in reversed(snapshot.nodes) for cpu in node.cpus}
    holders: defaultdict[CpuId, list[Thread]] = defaultdict(list)
    owners: defaultdict[CpuId, set[int]] = defaultdict(set)
    affinities: set[CpuSet] = set()
    for thread in chain.from_iterable(view.threads for view in guests):
        if thread.affinity is not None:
            affinities.add(thread.affinity)
        if thread.cpu is not None:
            holders[thread.cpu].append(thread)
            if thread.kind is ThreadKind.VCPU and not thread.shared:
                owners[thread.cpu].add(thread.guest)
    return Facts(
        snapshot=snapshot,
        guests=guests,
        holders={cpu: tuple(threads) for cpu, threads in sorted(holders.items())},
        dedicated=CpuSet(owners) if owners else EMPTY,
        unread=frozenset(gap.what for gap in snapshot.gaps),
        _owners={cpu: frozenset(indexes) for cpu, indexes in owners.items()},
        _node_ids=node_ids,
        _nodes={node.id: node for node in snapshot.nodes},
        _cores={cpu: core for core in snapshot.cores for cpu in core.cpus},
        _devices={device.address: device for device in snapshot.pci},
        _spans={affinity: _span(affinity, node_ids) for affinity in affinities},
        _owners_memo={},
    )


def _span(affinity: CpuSet, node_ids: Mapping[CpuId, NodeId]) -> frozenset[NodeId]:
    return frozenset(node_ids[cpu] for cpu in affinity if cpu in node_ids)
