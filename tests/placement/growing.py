"""What a shortage says is missing, added to a host: written apart from the code that finds shortages."""

from collections.abc import Callable
from dataclasses import replace

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.capacity import Shortage
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import Core, HugepagePool, NumaNode
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot

SIZES = {"1 GiB pages": 1 << 20, "2 MiB pages": 2048}


def with_more(request: Request, snapshot: Snapshot, row: Shortage, amount: int) -> tuple[Request, Snapshot]:
    """The site with `amount` more of what `row` names, in its place."""
    what, _, name = row.resource.partition(" of ")
    grown = snapshot
    if amount == 0:
        pass
    elif row.resource == "shared vCPUs":
        grown = _more_cores(request, snapshot, row, -(-amount // request.policy.shared_ratio), 1)
        shared = (request.policy.shared_cpus or CpuSet()) | (grown.cpus.online - snapshot.cpus.online)
        request = replace(request, policy=replace(request.policy, shared_cpus=shared))
    elif row.resource in ("CPUs", "cores of their own", "whole cores"):
        width = max(len(core.cpus) for core in snapshot.cores)
        grown = _more_cores(request, snapshot, row, amount, width if what == "whole cores" else 1)
    elif row.resource in SIZES:
        grown = _at_node(snapshot, row, lambda node: _more_pages(node, SIZES[row.resource], amount))
    elif row.resource == "ordinary memory":
        grown = _at_node(snapshot, row, lambda node: replace(node, available_kib=(node.available_kib or 0) + amount))
    elif what == "VFs":
        grown = _more_vfs(snapshot, name, amount)
    else:
        assert what == "Mbit/s", row
        links = [
            replace(link, speed_mbps=(link.speed_mbps or 0) + amount) if link.name == name else link
            for link in snapshot.links
        ]
        grown = replace(snapshot, links=tuple(links))
    return request, grown


def _at_node(snapshot: Snapshot, row: Shortage, change: Callable[[NumaNode], NumaNode]) -> Snapshot:
    nodes = tuple(change(node) if node.id == row.numa_node else node for node in snapshot.nodes)
    return replace(snapshot, nodes=nodes)


def _more_cores(request: Request, snapshot: Snapshot, row: Shortage, amount: int, width: int) -> Snapshot:
    named = request.policy.reserved_cpus or CpuSet(), request.policy.shared_cpus or CpuSet()
    first = max(cpu for cpus in (snapshot.cpus.present, *named) for cpu in cpus) + 1
    new = [CpuSet(CpuId(first + width * i + t) for t in range(width)) for i in range(amount)]
    every = CpuSet(cpu for cpus in new for cpu in cpus)
    node = next(node for node in snapshot.nodes if node.id == row.numa_node)
    cores = [Core(cpus, node.packages[0], node.id, core_id=None, die_id=None) for cpus in new]
    states = snapshot.cpus
    states = replace(
        states,
        present=states.present | every,
        online=states.online | every,
        isolated=states.isolated | every if states.isolated else states.isolated,
    )
    grown = _at_node(snapshot, row, lambda one: replace(one, cpus=one.cpus | every))
    return replace(grown, cpus=states, cores=(*snapshot.cores, *cores))


def _more_pages(node: NumaNode, size: int, amount: int) -> NumaNode:
    pools = {pool.size_kib: pool for pool in node.hugepages}
    old = pools.get(size, HugepagePool(size, 0, 0))
    pools[size] = replace(old, total=old.total + amount, free=old.free + amount)
    return replace(node, hugepages=tuple(pools[key] for key in sorted(pools)))


def _more_vfs(snapshot: Snapshot, name: str, amount: int) -> Snapshot:
    pf = next(device for device in snapshot.pci if name in device.netdevs and device.sriov is not None)
    assert pf.sriov is not None
    new = [PciAddress(0xFFFF, 0, i // 8, i % 8) for i in range(amount)]
    like = next(device for device in snapshot.pci if device.physfn == pf.address)
    vfs = [PciDevice(a, like.vendor, like.device, like.pci_class, pf.numa_node, physfn=pf.address) for a in new]
    sriov = replace(pf.sriov, configured=pf.sriov.configured + amount, vfs=(*pf.sriov.vfs, *new))
    others = [device for device in snapshot.pci if device != pf]
    return replace(
        snapshot, pci=tuple(sorted((*others, replace(pf, sriov=sriov), *vfs), key=lambda device: device.address))
    )
