"""The names of the graph's nodes, and the kinds of its nodes and edges."""

from enum import StrEnum

from numaplan.cpuset import CpuId
from numaplan.model.devices import IommuGroupId, PciAddress
from numaplan.model.host import Core, DieId, LlcDomain, NodeId, Package

HOST = "host"
OPENVSWITCH = "openvswitch"


class Vertex(StrEnum):
    """What a graph node stands for (its ``kind``)."""

    HOST = "host"
    PACKAGE = "package"
    DIE = "die"
    NODE = "node"
    LLC = "llc"
    CORE = "core"
    CPU = "cpu"
    POOL = "pool"
    PCI = "pci"
    IOMMU_GROUP = "iommu_group"
    LINK = "link"
    OPENVSWITCH = "openvswitch"
    OVS_BRIDGE = "ovs_bridge"
    OVS_PORT = "ovs_port"
    OVS_INTERFACE = "ovs_interface"
    PMD = "pmd"
    GUEST = "guest"
    INTERFACE = "interface"


class Edge(StrEnum):
    """What an edge says (its ``kind``).

    ``contains``: the larger and the smaller part of the host, of the switch, of a guest. ``near``: a device or thread
    and its node. ``distance``: two nodes, with the larger of their two SLIT entries as ``weight``.
    ``member``: of an IOMMU group, or of a bridge, bond or VLAN, or of a bridge or port of Open vSwitch; ``of`` names
    the whole. ``backs``: a PF and its VF. ``link``: a network interface and the function behind it, two interfaces
    that are the ends of one wire (veth pair, patch, a guest's interface and its tap), or that are one and the same.
    ``pins``: a guest, or a thread that polls, and a CPU that it is confined to. ``polls``: such a thread and an
    interface. ``binds``: a guest, or the switch, and a node that its memory is bound to. ``uses``: a guest and a
    device handed to it.
    """

    CONTAINS = "contains"
    NEAR = "near"
    DISTANCE = "distance"
    MEMBER = "member"
    BACKS = "backs"
    LINK = "link"
    PINS = "pins"
    POLLS = "polls"
    BINDS = "binds"
    USES = "uses"


def package_key(package: Package, position: int) -> str:
    """``package:0``; a package without an id is named by its place among the packages: ``package:?1``."""
    return f"package:?{position}" if package.id is None else f"package:{package.id}"


def die_key(package: str, die: DieId) -> str:
    """``die:package:0:1``: the key of its package, and the id that is unique in there."""
    return f"die:{package}:{die}"


def node_key(node: NodeId) -> str:
    """``node:0``."""
    return f"node:{node}"


def llc_key(llc: LlcDomain) -> str:
    """``llc:3:8``: the level and the CPUs."""
    return f"llc:{llc.level}:{llc.cpus}"


def core_key(core: Core) -> str:
    """``core:5``, by its lowest CPU."""
    return f"core:{core.name}"


def cpu_key(cpu: CpuId) -> str:
    """``cpu:5``."""
    return f"cpu:{cpu}"


def pool_key(node: NodeId, size_kib: int) -> str:
    """``pool:0:1048576``: the node and the page size in KiB."""
    return f"pool:{node}:{size_kib}"


def pci_key(address: PciAddress) -> str:
    """``pci:0000:3b:00.0``."""
    return f"pci:{address}"


def iommu_group_key(group: IommuGroupId) -> str:
    """``iommu_group:12``."""
    return f"iommu_group:{group}"


def link_key(name: str) -> str:
    """``link:ens1f0``."""
    return f"link:{name}"


def ovs_bridge_key(name: str) -> str:
    """``ovs_bridge:br-int``."""
    return f"ovs_bridge:{name}"


def ovs_port_key(name: str) -> str:
    """``ovs_port:bond0``."""
    return f"ovs_port:{name}"


def ovs_interface_key(name: str) -> str:
    """``ovs_interface:dpdk0``."""
    return f"ovs_interface:{name}"


def pmd_key(cpu: CpuId) -> str:
    """``pmd:3``, by its CPU."""
    return f"pmd:{cpu}"


def guest_key(name: str) -> str:
    """``guest:fw1``."""
    return f"guest:{name}"


def interface_key(guest: str, position: int) -> str:
    """``interface:fw1:0``: the guest and the interface's place in its XML."""
    return f"interface:{guest}:{position}"
