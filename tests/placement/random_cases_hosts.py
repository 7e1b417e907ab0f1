"""What makes small hosts odd: nodes without CPUs or memory, devices in company, host networks, Open vSwitch."""

from dataclasses import replace

from hypothesis import strategies as st

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciAddress, PciDevice
from numaplan.model.host import HugepagePool, NodeId, NumaNode
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort, PmdThread, SocketMemory
from tests.hosts import GIB

# Bridges that the draws below may make; "br-none" is none of them.
BRIDGES = ("br0", "br-ovs", "br-int", "br-none")
CARD = ("10de", "2204")


def rarely() -> st.SearchStrategy[bool]:
    return st.sampled_from([False, False, False, True])


@st.composite
def oddities(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """The host with some of these."""
    for change, chance in (
        (with_memory_node, 5),
        (without_memory, 6),
        (with_cards, 3),
        (with_bridges, 2),
        (with_names_in_links_alone, 4),
        (with_busy_functions, 5),
        (with_dpdk, 4),
    ):
        if draw(st.integers(1, chance)) == 1:
            snapshot = draw(change(snapshot))
    return snapshot


@st.composite
def with_memory_node(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """One more node, of memory alone, which distances may or may not name."""
    new = NodeId(len(snapshot.nodes))
    far = draw(st.sampled_from([None, 17, 28]))
    pools = (HugepagePool(2048, 512, 512),) if draw(st.booleans()) else ()
    nodes = list(snapshot.nodes)
    own: tuple[tuple[NodeId, int], ...] = ()
    if far is not None and all(node.distances for node in nodes):
        nodes = [replace(node, distances=(*node.distances, (new, far))) for node in nodes]
        own = (*((node.id, far) for node in nodes), (new, 10))
    nodes.append(NumaNode(new, (), EMPTY, 2 * GIB, 2 * GIB, 2 * GIB, pools, own))
    return replace(snapshot, nodes=tuple(nodes))


@st.composite
def without_memory(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """One node has CPUs and no memory, or does not say how much."""
    gone = draw(st.sampled_from(snapshot.nodes))
    available = draw(st.sampled_from([0, None]))
    bare = replace(gone, available_kib=available, hugepages=())
    return replace(snapshot, nodes=tuple(bare if node == gone else node for node in snapshot.nodes))


@st.composite
def with_cards(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """One or two cards; in the IOMMU group of the first there may be its second function, or a bridge."""
    node_ids = [node.id for node in snapshot.nodes]
    pci, groups = list(snapshot.pci), list(snapshot.iommu_groups)
    for number in range(draw(st.integers(1, 2))):
        address = PciAddress(0, 0x80 + number, 0, 0)
        node = draw(st.sampled_from([*node_ids, None]))
        group = draw(st.sampled_from([IommuGroupId(80 + number), IommuGroupId(80), None]))
        pci.append(PciDevice(address, *CARD, "030000", node, iommu_group=group))
    first = next(device for device in pci if device.vendor == CARD[0])
    if first.iommu_group is not None and draw(st.booleans()):
        kind = draw(st.sampled_from(["040300", "060400"]))
        pci.append(
            PciDevice(PciAddress(0, 0x80, 0, 1), CARD[0], "1aef", kind, first.numa_node, iommu_group=first.iommu_group)
        )
    groups += [
        IommuGroup(group, tuple(sorted(d.address for d in pci if d.iommu_group == group)))
        for group in sorted({d.iommu_group for d in pci if d.vendor == CARD[0] and d.iommu_group is not None})
    ]
    return replace(snapshot, pci=tuple(sorted(pci, key=lambda device: device.address)), iommu_groups=tuple(groups))


@st.composite
def with_bridges(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """A bridge of the kernel on a VLAN or bond of the PFs or on nothing, and bridges of Open vSwitch."""
    links = {link.name: link for link in snapshot.links}
    ports = tuple(sorted(links))
    below = draw(st.sampled_from([(), ports[:1], ports[-1:], ports]))
    carrier = draw(st.sampled_from(["direct", "bond", "vlan"]))
    if carrier == "direct" or not below:
        links["br0"] = Link("br0", kind="bridge", lowers=below)
    else:
        # Some sources give a bond the function of its first member.
        pci = links[below[0]].pci if draw(st.booleans()) else None
        links["up0"] = Link("up0", kind=carrier, pci=pci, lowers=below, master="br0")
        links["br0"] = Link("br0", kind="bridge", lowers=("up0",) if draw(st.booleans()) else ())
    switch = draw(switches(ports, links))
    return replace(snapshot, links=tuple(links[name] for name in sorted(links)), openvswitch=switch)


@st.composite
def switches(draw: st.DrawFn, ports: tuple[str, ...], links: dict[str, Link]) -> OpenVswitch | None:
    """br-int leads by a patch port or a veth pair to br-ovs, which has a PF: as a link, or by its address for DPDK."""
    if draw(rarely()):
        return None
    port = draw(st.sampled_from(ports))
    polled = draw(st.booleans())
    node = draw(st.sampled_from([None, NodeId(0)]))
    uplink = OvsInterface("dpdk0", "dpdk", pci=links[port].pci, node=node) if polled else OvsInterface(port)
    patched = draw(st.booleans())
    kind, ends = ("patch", ("to-int", "to-ovs")) if patched else ("", ("veth-o", "veth-i"))
    outer, inner = (OvsInterface(name, kind, peer=peer if patched else None) for name, peer in (ends, reversed(ends)))
    if not patched:
        links |= {name: Link(name, kind="veth", peer=peer) for name, peer in (ends, tuple(reversed(ends)))}
    bridges = (
        OvsBridge("br-int", "netdev", (_port(OvsInterface("br-int", "internal")), _port(inner))),
        OvsBridge("br-ovs", "netdev", (_port(outer), _port(uplink))),
    )
    rows = [uplink, outer, inner, OvsInterface("br-int", "internal")]
    return OpenVswitch(bridges=bridges, interfaces=tuple(sorted(rows, key=lambda row: row.name)))


def _port(interface: OvsInterface) -> OvsPort:
    return OvsPort(interface.name, (interface.name,))


@st.composite
def with_dpdk(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """Open vSwitch polls on some CPUs; it has taken its hugepages, or is still to take them."""
    online = list(snapshot.cpus.online)
    cpu = st.sampled_from(online)
    running = draw(st.booleans())
    return replace(
        snapshot,
        openvswitch=replace(
            snapshot.openvswitch or OpenVswitch(),
            dpdk=running,
            dpdk_init=draw(st.sampled_from([True, True, True, False, None])),
            pmd_cpus=CpuSet([draw(cpu)]) if draw(st.booleans()) else None,
            lcore_cpus=CpuSet([CpuId(draw(cpu))]) if draw(rarely()) else None,
            pmds=(PmdThread(draw(cpu)),) if running and draw(st.booleans()) else (),
            socket_memory=tuple(
                SocketMemory(node.id, size)
                for node in snapshot.nodes
                if (size := draw(st.sampled_from([0, GIB // 2, GIB, GIB + 1024])))
            ),
        ),
    )


@st.composite
def with_names_in_links_alone(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """Functions do not name their interfaces; or links do not say their functions."""
    if draw(st.booleans()):
        return replace(snapshot, pci=tuple(replace(device, netdevs=()) for device in snapshot.pci))
    named = {name for device in snapshot.pci for name in device.netdevs}
    links = tuple(replace(link, pci=None) if link.name in named else link for link in snapshot.links)
    return replace(snapshot, links=links)


@st.composite
def with_busy_functions(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """The host uses the first VF: it bears an address, belongs to a bridge, carries a VLAN, or is driven by DPDK."""
    vfs = [device for device in snapshot.pci if device.physfn is not None]
    if not vfs:
        return snapshot
    first = vfs[0]
    use = draw(st.sampled_from(["address", "bridge", "vlan", "driver", "none"]))
    if use == "driver":
        pci = tuple(replace(d, driver="igb_uio") if d == first else d for d in snapshot.pci)
        return replace(snapshot, pci=pci)
    own = Link(
        "vf0", pci=first.address, addresses=use == "address", master="br9" if use == "bridge" else None, speed_mbps=-1
    )
    more = (Link("vf0.7", kind="vlan", lowers=("vf0",)),) if use == "vlan" else ()
    return replace(snapshot, links=tuple(sorted((*snapshot.links, own, *more), key=lambda link: link.name)))
