"""The whole host at once: every reader of this room in turn, and what they say joined to one `Snapshot`."""

from collections.abc import Sequence
from dataclasses import replace

from numaplan.inventory.attribute import is_cut_short
from numaplan.inventory.caches import read_llcs
from numaplan.inventory.cpus import read_cpu_states
from numaplan.inventory.folding import fold_gaps
from numaplan.inventory.hmat import with_access
from numaplan.inventory.hybrid import with_kinds
from numaplan.inventory.identity import read_identity
from numaplan.inventory.iommu import merge_groups, read_iommu_groups
from numaplan.inventory.irqs import read_irqs
from numaplan.inventory.kernel import read_kernel
from numaplan.inventory.links import read_links
from numaplan.inventory.names import with_names
from numaplan.inventory.nodes import read_nodes
from numaplan.inventory.openvswitch import read_openvswitch
from numaplan.inventory.pci import read_pci, read_pci_folders
from numaplan.inventory.topology import read_topology
from numaplan.inventory.vfs import with_vf_settings
from numaplan.model.devices import Link, PciDevice
from numaplan.model.host import NumaNode, Package
from numaplan.model.snapshot import Snapshot
from numaplan.sources.tree import HostTree


def read_host(tree: HostTree) -> Snapshot:
    """Everything that `tree` says of its host, without guests; what could not be read or made sense of is a gap."""
    cpus = read_cpu_states(tree)
    nodes = read_nodes(tree, cpus.online)
    topology = read_topology(tree, cpus.online, nodes.node_of)
    llcs = read_llcs(tree, cpus.online, cores=topology.cores, node_of=nodes.node_of)
    folders = read_pci_folders(tree)
    devices = read_pci(tree, folders, nodes.nodes, exposed=nodes.exposed)
    groups, devices = merge_groups(tree, read_iommu_groups(tree, devices), devices)
    links = read_links(tree)
    devices = with_names(tree, with_vf_settings(tree, devices, links))
    openvswitch = read_openvswitch(tree, links)
    kernel = read_kernel(tree, cpus=cpus)
    irqs = read_irqs(tree, folders, devices, nodes.nodes)
    grouped = any(device.iommu_group is not None for device in devices)
    identity = read_identity(tree, device_groups=grouped)
    cores = with_kinds(tree, topology.cores)
    known = _with_packages(with_access(tree, nodes.nodes), topology.packages)
    _note_cut_files(tree)
    return Snapshot(
        host=identity,
        cpus=cpus,
        packages=topology.packages,
        nodes=known,
        llcs=llcs,
        cores=cores,
        pci=_with_netdevs(devices, links),
        iommu_groups=groups,
        links=links,
        kernel=kernel,
        irqs=irqs,
        openvswitch=openvswitch,
        gaps=fold_gaps(tree.gaps),
    )


def _with_packages(nodes: Sequence[NumaNode], packages: Sequence[Package]) -> tuple[NumaNode, ...]:
    named = [(package.id, package) for package in packages if package.id is not None]
    return tuple(
        replace(node, packages=tuple(sorted({id_ for id_, package in named if node.id in package.numa_nodes})))
        for node in nodes
    )


def _with_netdevs(devices: Sequence[PciDevice], links: Sequence[Link]) -> tuple[PciDevice, ...]:
    """An interface belongs to its function from either end; a capture may hold only one of the two."""
    names: dict[object, set[str]] = {}
    for link in links:
        if link.pci is not None:
            names.setdefault(link.pci, set()).add(link.name)
    return tuple(
        replace(device, netdevs=tuple(sorted({*device.netdevs, *names[device.address]})))
        if device.address in names
        else device
        for device in devices
    )


def _note_cut_files(tree: HostTree) -> None:
    """Every attribute ends in a newline, so one that does not was cut, unless the capture strips them all."""
    cut = [path for path, text in tree.texts.items() if not text.endswith("\n") and is_cut_short(text)]
    if 2 * len(cut) < len(tree.texts):
        for path in cut:
            tree.note(path, "does not end in a newline: it may be cut short")
