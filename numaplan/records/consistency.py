"""What an inventory document must not contradict itself in: what the search takes for granted."""

from collections.abc import Hashable, Iterator
from typing import Final

from numaplan.cpuset import CpuId, CpuSet
from numaplan.records.document import doubles
from numaplan.records.guest_form import GuestForm
from numaplan.records.host_form import NodeForm
from numaplan.records.inventory_form import InventoryForm
from numaplan.records.kernel_form import KernelForm
from numaplan.records.live_form import LiveForm
from numaplan.records.switch_form import SwitchForm

# More memory than any address space of today, so that a sum over 1024 nodes stays within 64 bits.
POOL_LIMIT_KIB: Final = 1 << 50


def mistakes_of(form: InventoryForm) -> list[tuple[str, str]]:
    """(JSON path, sentence) of every contradiction, in the order of the document."""
    return [
        *_packages(form),
        *_nodes(form),
        *_llcs(form),
        *_cores(form),
        *_cpus(form),
        *_devices(form),
        *doubles("links", "name", (link.name for link in form.links)),
        *doubles("guests", "name", (guest.name for guest in form.guests)),
        *(mistake for i, guest in enumerate(form.guests) for mistake in _guest(f"guests[{i}]", guest)),
        *doubles("irqs", "number", (irq.number for irq in form.irqs)),
        *(() if form.kernel is None else _kernel(form.kernel)),
        *(() if form.openvswitch is None else _switch(form.openvswitch)),
    ]


def _packages(form: InventoryForm) -> Iterator[tuple[str, str]]:
    # Broken firmware gives two packages one id (a gap says so), so an id that stands twice is no contradiction here.
    for i, package in enumerate(form.packages):
        path = f"packages[{i}]"
        yield from _not_online(f"{path}.cpus", package.cpus, form.cpus.online)
        yield from doubles(f"{path}.numa_nodes", "", package.numa_nodes)


def _nodes(form: InventoryForm) -> Iterator[tuple[str, str]]:
    yield from doubles("numa_nodes", "id", (node.id for node in form.numa_nodes))
    for i, node in enumerate(form.numa_nodes):
        path = f"numa_nodes[{i}]"
        yield from _not_online(f"{path}.cpus", node.cpus, form.cpus.online)
        yield from doubles(f"{path}.packages", "", node.packages)
        yield from _pools(path, node)
        yield from doubles(f"{path}.access", "access", (access.access for access in node.access))
    yield from _overlaps("numa_nodes", [node.cpus for node in form.numa_nodes])


def _pools(path: str, node: NodeForm) -> Iterator[tuple[str, str]]:
    yield from doubles(f"{path}.hugepages", "size_kib", (pool.size_kib for pool in node.hugepages))
    for i, pool in enumerate(node.hugepages):
        if pool.size_kib * max(pool.total, pool.free) > POOL_LIMIT_KIB:
            amount = f"{pool.total} total and {pool.free} free pages of {pool.size_kib} KiB"
            yield f"{path}.hugepages[{i}]", f"{amount} are more than any host has"


def _llcs(form: InventoryForm) -> Iterator[tuple[str, str]]:
    for i, llc in enumerate(form.llcs):
        yield from _not_online(f"llcs[{i}].cpus", llc.cpus, form.cpus.online)
        yield from doubles(f"llcs[{i}].numa_nodes", "", llc.numa_nodes)
    yield from _overlaps("llcs", [llc.cpus for llc in form.llcs])


def _overlaps(path: str, parts: list[CpuSet]) -> Iterator[tuple[str, str]]:
    seen: set[CpuId] = set()
    for i, cpus in enumerate(parts):
        if twice := CpuSet(cpu for cpu in cpus if cpu in seen):
            yield f"{path}[{i}].cpus", f"in an earlier entry too: {twice}"
        seen.update(cpus)


def _cores(form: InventoryForm) -> Iterator[tuple[str, str]]:
    nodes = {node.id for node in form.numa_nodes}
    core_of: dict[int, int] = {}
    for i, core in enumerate(form.cores):
        path = f"cores[{i}]"
        if not core.cpus:
            yield f"{path}.cpus", "a core has one CPU at least"
        yield from _not_online(f"{path}.cpus", CpuSet(map(CpuId, core.cpus)), form.cpus.online)
        if core.numa_node is not None and core.numa_node not in nodes:
            yield f"{path}.numa_node", f"there is no node {core.numa_node}"
        for cpu in core.cpus:
            if cpu in core_of:
                yield f"{path}.cpus", f"CPU {cpu} stands in cores[{core_of[cpu]}] already"
            core_of[cpu] = i
    if coreless := form.cpus.online - CpuSet(map(CpuId, core_of)):
        yield "cores", f"online, but of no core: {coreless}"


def _cpus(form: InventoryForm) -> Iterator[tuple[str, str]]:
    if form.cpus.offline is not None and (both := form.cpus.offline & form.cpus.online):
        yield "cpus.offline", f"online too: {both}"
    if form.cpus.present is not None and (absent := form.cpus.online - form.cpus.present):
        yield "cpus.online", f"not present: {absent}"


def _devices(form: InventoryForm) -> Iterator[tuple[str, str]]:
    nodes = {node.id for node in form.numa_nodes}
    yield from doubles("pci", "address", (device.address for device in form.pci))
    for i, device in enumerate(form.pci):
        if device.sriov is not None:
            yield from doubles(f"pci[{i}].sriov.vfs", "", device.sriov.vfs)
        if device.numa_node is not None and device.numa_node not in nodes:
            yield f"pci[{i}].numa_node", f"there is no node {device.numa_node}"
    yield from _groups(form)


def _groups(form: InventoryForm) -> Iterator[tuple[str, str]]:
    yield from doubles("iommu_groups", "id", (group.id for group in form.iommu_groups))
    group_of: dict[Hashable, int] = {d.address: d.iommu_group for d in form.pci if d.iommu_group is not None}
    for i, group in enumerate(form.iommu_groups):
        path = f"iommu_groups[{i}].devices"
        yield from doubles(path, "", group.devices)
        for address in group.devices:
            if group_of.setdefault(address, group.id) != group.id:
                yield path, f"{address} is in group {group_of[address]} already"


def _guest(path: str, guest: GuestForm) -> Iterator[tuple[str, str]]:
    yield from doubles(f"{path}.vcpu_pins", "vcpu", (pin.vcpu for pin in guest.vcpu_pins))
    yield from doubles(f"{path}.iothread_pins", "iothread", (pin.iothread for pin in guest.iothread_pins))
    yield from doubles(f"{path}.iothread_ids", "", guest.iothread_ids)
    if guest.iothread_ids and len(guest.iothread_ids) != guest.iothreads:
        yield f"{path}.iothread_ids", f"{guest.iothreads} iothreads have {len(guest.iothread_ids)} ids"
    yield from doubles(f"{path}.cells", "id", (cell.id for cell in guest.cells))
    for i, cell in enumerate(guest.cells):
        if cell.id >= len(guest.cells):
            yield f"{path}.cells[{i}].id", f"{len(guest.cells)} cells are numbered from 0, this one is {cell.id}"
    if guest.live is not None:
        yield from _live(f"{path}.live", guest.live)


def _live(path: str, live: LiveForm) -> Iterator[tuple[str, str]]:
    # An index above the vCPUs of the XML is none: the XML may say what holds after the next start.
    yield from doubles(f"{path}.threads", "tid", (thread.tid for thread in live.threads))
    numbered = (f"{thread.kind.value} {thread.index}" if thread.index is not None else None for thread in live.threads)
    yield from doubles(f"{path}.threads", "index", numbered)
    sizes = (f"node {part.node}, {part.page_size_kib} KiB" for part in live.memory)
    yield from doubles(f"{path}.memory", "", sizes)


def _kernel(kernel: KernelForm) -> Iterator[tuple[str, str]]:
    yield from doubles("kernel.vulnerabilities", "name", (leak.name for leak in kernel.vulnerabilities))
    yield from doubles("kernel.cpusets", "path", (cpuset.path for cpuset in kernel.cpusets))


def _switch(switch: SwitchForm) -> Iterator[tuple[str, str]]:
    path = "openvswitch"
    yield from doubles(f"{path}.socket_memory", "node", (memory.node for memory in switch.socket_memory))
    yield from doubles(f"{path}.bridges", "name", (bridge.name for bridge in switch.bridges))
    yield from doubles(f"{path}.interfaces", "name", (interface.name for interface in switch.interfaces))
    yield from doubles(f"{path}.pmds", "cpu", (pmd.cpu for pmd in switch.pmds))


def _not_online(path: str, cpus: CpuSet, online: CpuSet) -> Iterator[tuple[str, str]]:
    if offline := cpus - online:
        yield path, f"not online: {offline}"
