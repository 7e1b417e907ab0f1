"""What a host could have more of, thing by thing and place by place: as a change to its snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import VcpuId
from numaplan.model.host import Core, NodeId, Package
from numaplan.model.request import HostPolicy
from numaplan.model.snapshot import Snapshot

# Above every address of a real host.
_FIRST_DOMAIN: Final = 0x10000


class Thing(StrEnum):
    """A kind of resource. A CPU is added as a core of one thread, a whole core with as many as the host's have.

    Memory is counted in pages, ordinary memory in KiB, bandwidth in Mbit/s.
    """

    CPU = "CPU"
    WHOLE_CORE = "whole core"
    PAGE = "page"
    ORDINARY = "ordinary memory"
    SHARED_VCPU = "shared vCPU"
    VF = "VF"
    BANDWIDTH = "bandwidth"


@dataclass(frozen=True, slots=True)
class Supply:
    """One thing in one place: a node, pages of `size_kib` there, or a PF, the node of which may not be known."""

    rank: int
    thing: Thing
    node: NodeId | None
    size_kib: int = 0
    pf: PciAddress | None = None

    @property
    def order(self) -> tuple[int, int, int, str]:
        """What comes first in lists; a node that is not known before all others."""
        return self.rank, -1 if self.node is None else self.node, self.size_kib, str(self.pf)


def grown(snapshot: Snapshot, more: Mapping[Supply, int], *, policy: HostPolicy, threads: int) -> Snapshot:
    """The host with so much more of each supply; the room of shared pools is no fact of the host, and left alone.

    Neither `policy` nor anybody on the host says anything of CPUs that are added.
    """
    cores = any(supply.thing in (Thing.CPU, Thing.WHOLE_CORE) for supply in more)
    beyond = _beyond(policy, snapshot) if cores else 0
    for supply, amount in sorted(more.items(), key=lambda item: item[0].order):
        if amount <= 0:
            continue
        match supply.thing:
            case Thing.CPU:
                snapshot = _with_cores(snapshot, supply.node, amount, beyond=beyond, threads=1)
            case Thing.WHOLE_CORE:
                snapshot = _with_cores(snapshot, supply.node, amount, beyond=beyond, threads=threads)
            case Thing.PAGE:
                snapshot = _with_pages(snapshot, supply, amount)
            case Thing.ORDINARY:
                snapshot = _with_memory(snapshot, supply, amount)
            case Thing.VF:
                snapshot = _with_vfs(snapshot, supply.pf, amount)
            case Thing.BANDWIDTH:
                snapshot = _with_bandwidth(snapshot, supply.pf, amount)
            case Thing.SHARED_VCPU:
                pass
    return snapshot


def _beyond(policy: HostPolicy, snapshot: Snapshot) -> int:
    """The first id above those of all CPUs that anybody names, be they there or not."""
    named = [snapshot.cpus.isolated]
    named += [cpus for cpus in (policy.reserved_cpus, policy.shared_cpus) if cpus is not None]
    if (switch := snapshot.openvswitch) is not None:
        named += [cpus for cpus in (switch.pmd_cpus, switch.lcore_cpus) if cpus is not None]
        named.append(CpuSet(pmd.cpu for pmd in switch.pmds))
    for guest in snapshot.guests:
        affinities = [guest.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(guest.vcpus)]
        affinities += [guest.effective_iothread_affinity(iothread) for iothread in guest.iothread_ids]
        named += [cpus for cpus in (*affinities, guest.effective_emulator_affinity()) if cpus is not None]
    return 1 + max((cpu for cpus in set(named) for cpu in cpus), default=-1)


def _with_cores(snapshot: Snapshot, node_id: NodeId | None, count: int, *, beyond: int, threads: int) -> Snapshot:
    node = next(node for node in snapshot.nodes if node.id == node_id)
    first = max(beyond, 1 + max((*snapshot.cpus.present, *snapshot.cpus.online)))
    sets = [CpuSet(CpuId(first + i * threads + t) for t in range(threads)) for i in range(count)]
    new = CpuSet(cpu for cpus in sets for cpu in cpus)
    package = node.packages[0] if node.packages else None
    cores = [Core(cpus, package, node.id, core_id=None, die_id=None) for cpus in sets]
    isolated = snapshot.cpus.isolated
    return replace(
        snapshot,
        cpus=replace(
            snapshot.cpus,
            present=snapshot.cpus.present | new,
            online=snapshot.cpus.online | new,
            # Where the host isolates CPUs and the site names no reserved ones, others would go to the host.
            isolated=isolated | new if isolated else isolated,
        ),
        packages=tuple(_with_cpus(one, new) if one.id == package else one for one in snapshot.packages),
        nodes=tuple(replace(one, cpus=one.cpus | new) if one.id == node.id else one for one in snapshot.nodes),
        cores=(*snapshot.cores, *cores),
    )


def _with_cpus(package: Package, new: CpuSet) -> Package:
    return replace(package, cpus=package.cpus | new)


def _with_pages(snapshot: Snapshot, supply: Supply, count: int) -> Snapshot:
    nodes = (node.with_pages(supply.size_kib, count) if node.id == supply.node else node for node in snapshot.nodes)
    return replace(snapshot, nodes=tuple(nodes))


def _with_memory(snapshot: Snapshot, supply: Supply, kib: int) -> Snapshot:
    nodes = tuple(
        replace(node, available_kib=node.available_kib + kib)
        if node.id == supply.node and node.available_kib is not None
        else node
        for node in snapshot.nodes
    )
    return replace(snapshot, nodes=nodes)


def _with_bandwidth(snapshot: Snapshot, pf: PciAddress | None, mbps: int) -> Snapshot:
    names = next((device.netdevs for device in snapshot.pci if device.address == pf), ())
    links = tuple(
        replace(link, speed_mbps=link.speed_mbps + mbps)
        if link.speed_mbps and (link.pci == pf or link.name in names)
        else link
        for link in snapshot.links
    )
    return replace(snapshot, links=links)


def new_vfs(snapshot: Snapshot, pf: PciAddress | None, count: int) -> tuple[PciAddress, ...]:
    """The addresses that `count` further VFs of a PF get in a grown host."""
    number = next((i for i, device in enumerate(snapshot.pci) if device.address == pf), 0)
    return tuple(
        PciAddress(_FIRST_DOMAIN + number, v >> 8, v >> 3 & 0x1F, v & 7)  # 256 functions a bus, 8 a slot
        for v in range(count)
    )


def _with_vfs(snapshot: Snapshot, pf: PciAddress | None, count: int) -> Snapshot:
    device = next(device for device in snapshot.pci if device.address == pf)
    like = next((vf for vf in snapshot.pci if vf.physfn == pf), None)
    new = new_vfs(snapshot, pf, count)
    vfs = [_new_vf(device, like, address) for address in new]
    sriov = device.sriov
    if sriov is not None:
        configured = sriov.configured + count
        sriov = replace(sriov, configured=configured, total=max(sriov.total, configured), vfs=(*sriov.vfs, *new))
    pci = [replace(device, sriov=sriov) if one.address == pf else one for one in snapshot.pci]
    return replace(snapshot, pci=tuple(sorted((*pci, *vfs), key=lambda one: one.address)))


def _new_vf(pf: PciDevice, like: PciDevice | None, address: PciAddress) -> PciDevice:
    """A VF as the PF has others; the first one of a PF has no ids that anything could ask for."""
    vendor, device = (like.vendor, like.device) if like is not None else ("", "")
    return PciDevice(address, vendor, device, pf.pci_class, pf.numa_node, physfn=pf.address)
