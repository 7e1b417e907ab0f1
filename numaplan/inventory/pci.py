"""PCI functions and their SR-IOV state (/sys/bus/pci/devices, Documentation/ABI/testing/sysfs-bus-pci)."""

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from numaplan.inventory.attribute import (
    bits_of,
    parse_cpu_bits,
    parse_id,
    parse_integer,
    parse_mask_bits,
    read_attribute,
)
from numaplan.inventory.pcie import note_lacking_links, read_pcie_link, read_resets
from numaplan.inventory.siblings import WITNESSES
from numaplan.model.devices import IommuGroupId, PciAddress, PciDevice, Sriov
from numaplan.model.host import NodeId, NumaNode
from numaplan.sources.tree import HostTree
from numaplan.units import format_count

PCI_DEVICES: Final = "sys/bus/pci/devices"
DEVICE_LIMIT: Final = 65536

_ROOT_BUS = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}", re.ASCII)
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.ASCII)
_VF_LINK = re.compile(r"virtfn(0|[1-9][0-9]{0,4})", re.ASCII)
_ID = re.compile(r"0x([0-9a-f]{4})", re.ASCII)
_CLASS = re.compile(r"0x([0-9a-f]{6})", re.ASCII)
_MODALIAS = re.compile(
    r"pci:v0000([0-9A-F]{4})d0000([0-9A-F]{4})sv[0-9A-F]{8}sd[0-9A-F]{8}bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-Fa-f]{2})",
    re.ASCII,
)
_GROUP = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_AHEAD: Final = ("modalias", "numa_node")
_COUNTS: Final = frozenset({"sriov_totalvfs", "sriov_numvfs"})
# The SR-IOV capability counts VFs in 16 bits.
_MOST_VFS: Final = 65535


@dataclass(frozen=True, slots=True)
class _Locality:
    """Nodes by id, and by their CPUs where that is unambiguous."""

    ids: frozenset[int]
    by_cpus: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Ids:
    """What a function is: hexadecimal digits, in lower case."""

    vendor: str
    device: str
    pci_class: str


def read_pci(
    tree: HostTree, folders: Mapping[PciAddress, str], nodes: Sequence[NumaNode], *, exposed: bool
) -> tuple[PciDevice, ...]:
    """Every PCI function in `folders`, by address; `nodes` are the host's, `exposed` whether it shows them."""
    locality = _locality(nodes, exposed=exposed)
    kin: dict[str, list[Ids | None]] = {}
    found: dict[PciAddress, PciDevice] = {}
    vf_links: dict[PciAddress, tuple[PciAddress, ...]] = {}
    for address, folder in folders.items():
        names = tree.names(folder)
        physfn = _read_link(tree, folder, name="physfn", names=names)
        if physfn is None:
            tree.read_ahead(folder, _AHEAD)
            ids = _read_ids(tree, folder, names=names)
        else:
            ids = _read_vf_ids(tree, folder, names=names, kin=kin.setdefault(physfn, []))
        if ids is not None:
            found[address] = _read_device(tree, folder, address=address, ids=ids, physfn=physfn, locality=locality)
            vf_links[address] = _read_vf_links(tree, folder, names=names)
    _note_lacking_nodes(tree, folders, found)
    note_lacking_links(tree, [folders[address] for address, device in found.items() if device.physfn is None])
    devices = []
    for address, device in found.items():
        folder, links = folders[address], vf_links[address]
        sriov = None
        if links or not _COUNTS.isdisjoint(tree.names(folder)):
            sriov = _read_sriov(tree, folder, links=links, known=found)
        devices.append(device if sriov is None else replace(device, sriov=sriov))
    return tuple(devices)


@lru_cache(maxsize=4096)
def parse_pci_id(text: str) -> str:
    """Four hexadecimal digits of "0x8086"; raises ValueError."""
    match = _ID.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("no PCI id")
    return match[1]


@lru_cache(maxsize=4096)
def parse_pci_class(text: str) -> str:
    """Six hexadecimal digits of "0x020000"; raises ValueError."""
    match = _CLASS.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("no PCI class")
    return match[1]


@lru_cache(maxsize=4096)
def parse_modalias(text: str) -> Ids | None:
    """The ids in "pci:v00008086d00001572sv00008086sd00000001bc02sc00i00"; None for what is none of that form.

    modalias_show() in drivers/pci/pci-sysfs.c, of the same fields as the files vendor, device and class. Older
    kernels wrote the last two digits in lower case.
    """
    match = _MODALIAS.fullmatch(text.rstrip("\n\0"))
    return match and Ids(match[1].lower(), match[2].lower(), f"{match[3]}{match[4]}{match[5]}".lower())


@lru_cache(maxsize=DEVICE_LIMIT)  # the bus, its PF, its group and its interfaces all name a VF
def parse_pci_name(name: str) -> PciAddress | None:
    """The address that a folder's name is; None for any other name."""
    return PciAddress.parse(name) if _ADDRESS.fullmatch(name) else None


def parse_group(name: str) -> IommuGroupId | None:
    """The IOMMU group that a folder's name is; None for any other name."""
    return IommuGroupId(int(name)) if _GROUP.fullmatch(name) else None


def parse_vf_count(text: str) -> int:
    """A number of VFs; raises ValueError."""
    return parse_integer(text, highest=_MOST_VFS)


def _locality(nodes: Sequence[NumaNode], *, exposed: bool) -> _Locality:
    by_cpus: dict[int, int] = {}
    for node in nodes if exposed and len(nodes) > 1 else ():
        if node.cpus:
            by_cpus[bits_of(node.cpus)] = node.id
    return _Locality(frozenset(node.id for node in nodes), by_cpus)


def read_pci_folders(tree: HostTree) -> dict[PciAddress, str]:
    """Folders of all functions: those that the bus lists, or where a capture lacks the bus, those below the roots."""
    folders: dict[PciAddress, str] = {}
    listed = tree.names(PCI_DEVICES)
    for name in listed:
        address = parse_pci_name(name)
        real = tree.resolve(f"{PCI_DEVICES}/{name}")
        if address is None:
            tree.note(f"{PCI_DEVICES}/{name}", "no PCI address")
        elif real is None:
            tree.note(f"{PCI_DEVICES}/{name}", "the device that it links to is not there")
        else:
            folders[address] = real
    if not listed:
        folders = _search_folders(tree)
    if len(folders) > DEVICE_LIMIT:
        tree.note(PCI_DEVICES, f"{len(folders)} devices: all but {DEVICE_LIMIT} are left out")
    return dict(sorted(folders.items())[:DEVICE_LIMIT])


def _search_folders(tree: HostTree) -> dict[PciAddress, str]:
    """Functions hang below their bridge, and a domain of its own (VMD) below a function."""
    folders: dict[PciAddress, str] = {}
    todo = [f"sys/devices/{name}" for name in tree.names("sys/devices") if _ROOT_BUS.fullmatch(name)]
    while todo and len(folders) <= DEVICE_LIMIT:
        folder = todo.pop()
        for name in tree.names(folder):
            address = parse_pci_name(name)
            if address is not None:
                folders.setdefault(address, f"{folder}/{name}")
            elif not _ROOT_BUS.fullmatch(name):
                continue
            if tree.link_name(f"{folder}/{name}") is None:  # virtfnN and its kin lead in circles
                todo.append(f"{folder}/{name}")
    return folders


def _read_vf_ids(tree: HostTree, folder: str, *, names: Collection[str], kin: list[Ids | None]) -> Ids | None:
    """Ids of a VF; `kin`: those that were read of VFs of its PF, which speak for it where they agree.

    A VF has its vendor and device of its PF (pci_iov_add_virtfn() in drivers/pci/iov.c), and as its class that of the
    PF's first VF (pci_class() in drivers/pci/probe.c); hosts have thousands.
    """
    if len(kin) >= WITNESSES and kin[0] is not None and kin.count(kin[0]) == len(kin):
        return kin[0]
    ids = _read_ids(tree, folder, names=names)
    kin.append(ids)
    return ids


def _read_ids(tree: HostTree, folder: str, *, names: Collection[str]) -> Ids | None:
    """By modalias, which has all of them in one file, else by a file for each.

    None, with a gap, for a folder without one of them: all PCI functions have them.
    """
    alias = tree.text(f"{folder}/modalias", spare=True) if "modalias" in names else None
    ids = None if alias is None else parse_modalias(alias)
    if ids is not None:
        return ids
    vendor = read_attribute(tree, f"{folder}/vendor", parse_pci_id, expected=True)
    device = read_attribute(tree, f"{folder}/device", parse_pci_id, expected=True)
    pci_class = read_attribute(tree, f"{folder}/class", parse_pci_class, expected=True)
    if vendor is None or device is None or pci_class is None:
        tree.note(folder, "its vendor, device or class is not known: the device is left out")
        return None
    return Ids(vendor, device, pci_class)


def _read_device(
    tree: HostTree, folder: str, *, address: PciAddress, ids: Ids, physfn: str | None, locality: _Locality
) -> PciDevice:
    names = tree.names(folder)
    group = _read_link(tree, folder, name="iommu_group", names=names)
    return PciDevice(
        address=address,
        vendor=ids.vendor,
        device=ids.device,
        pci_class=ids.pci_class,
        numa_node=_read_numa_node(tree, folder, locality=locality),
        driver=_read_link(tree, folder, name="driver", names=names),
        iommu_group=None if group is None else _group_or_note(tree, f"{folder}/iommu_group", name=group),
        netdevs=_read_netdevs(tree, folder, names=names),
        physfn=None if physfn is None else _address_or_note(tree, f"{folder}/physfn", name=physfn),
        link=read_pcie_link(tree, folder, names=names) if physfn is None else None,
        resets=read_resets(tree, folder, names=names),
    )


def _read_link(tree: HostTree, folder: str, *, name: str, names: Sequence[str]) -> str | None:
    if name not in names:
        return None
    target = tree.link_name(f"{folder}/{name}")
    if target is None:
        tree.note(f"{folder}/{name}", "no link that names anything")
    return target


def _group_or_note(tree: HostTree, path: str, *, name: str) -> IommuGroupId | None:
    group = parse_group(name)
    if group is None:
        tree.note(path, f"no IOMMU group: {name[:40]!r}")
    return group


def _address_or_note(tree: HostTree, path: str, *, name: str) -> PciAddress | None:
    address = parse_pci_name(name)
    if address is None:
        tree.note(path, f"no PCI address: {name[:40]!r}")
    return address


def _read_numa_node(tree: HostTree, folder: str, *, locality: _Locality) -> NodeId | None:
    """-1 is the kernel's word for not knowing, whatever the device's local CPUs may say."""
    path = f"{folder}/numa_node"
    text = tree.text(path)
    if text is None:
        return _infer_numa_node(tree, folder, locality=locality)
    node = read_attribute(tree, path, parse_id)
    if node is None or node < 0:
        return None
    if node not in locality.ids:
        tree.note(path, f"node {node} is not one of the host's")
        return None
    return NodeId(node)


def _note_lacking_nodes(
    tree: HostTree, folders: Mapping[PciAddress, str], found: Mapping[PciAddress, PciDevice]
) -> None:
    """A gap for each function of no known node that lacks the file which other functions have."""
    lacking = [address for address in found if "numa_node" not in tree.names(folders[address])]
    for address in lacking if len(lacking) < len(found) else ():
        if found[address].numa_node is None:
            tree.note(f"{folders[address]}/numa_node", "not there, but other functions have it")


def _infer_numa_node(tree: HostTree, folder: str, *, locality: _Locality) -> NodeId | None:
    """A kernel without numa_node for the device may still say which CPUs are local to it."""
    if not locality.by_cpus:
        return None
    for name, parse in (("local_cpulist", parse_cpu_bits), ("local_cpus", parse_mask_bits)):
        path = f"{folder}/{name}"
        cpus = read_attribute(tree, path, parse)
        if cpus is None:
            continue
        node = locality.by_cpus.get(cpus)
        if node is None:
            return None
        tree.note(f"{folder}/numa_node", f"not there; {name} names exactly the CPUs of node {node}, which is taken")
        return NodeId(node)
    return None


def _read_netdevs(tree: HostTree, folder: str, *, names: Sequence[str]) -> tuple[str, ...]:
    """Network interfaces of the function: its own, and those of a virtio device on it."""
    found = set(tree.names(f"{folder}/net")) if "net" in names else set()
    for name in _starting(names, "virtio"):
        found.update(tree.names(f"{folder}/{name}/net"))
    found.update(name.removeprefix("net:") for name in _starting(names, "net:"))  # Linux before 2.6.26
    return tuple(sorted(found))


def _starting(names: Sequence[str], prefix: str) -> list[str]:
    """Those of sorted names that begin so; nearly always none of thirty."""
    found = []
    for name in names[bisect_left(names, prefix) :]:
        if not name.startswith(prefix):
            break
        found.append(name)
    return found


def _read_vf_links(tree: HostTree, folder: str, *, names: Sequence[str]) -> tuple[PciAddress, ...]:
    """Targets of virtfnN, in the order of N: that is the VF's index, which its address does not tell."""
    indexes = sorted(int(match[1]) for name in _starting(names, "virtfn") if (match := _VF_LINK.fullmatch(name)))
    addresses = []
    for index in indexes:
        path = f"{folder}/virtfn{index}"
        address = _address_or_note(tree, path, name=tree.link_name(path) or "")
        if address is not None:
            addresses.append(address)
    return tuple(addresses)


def _read_sriov(
    tree: HostTree, folder: str, *, links: Sequence[PciAddress], known: Mapping[PciAddress, PciDevice]
) -> Sriov | None:
    path = f"{folder}/sriov_totalvfs"
    total = read_attribute(tree, path, parse_vf_count, expected=True)
    vfs = tuple(address for address in links if address in known)
    for address in links:
        if address not in known:
            tree.note(folder, f"its VF {address} is not among the host's devices")
    if total is None and not links:
        return None
    if total is None:
        tree.note(path, f"not there, but the device has {format_count(len(links), 'VF')}")
        total = len(links)
    counted = f"{folder}/sriov_numvfs"
    configured = read_attribute(tree, counted, parse_vf_count, expected=True)
    if configured is None:
        if links:
            tree.note(counted, f"does not say how many VFs are configured; {len(links)} are there")
        configured = len(links)
    elif configured != len(vfs):
        said = "1 VF is configured" if configured == 1 else f"{configured} VFs are configured"
        tree.note(counted, f"{said}, {len(vfs)} {'is' if len(vfs) == 1 else 'are'} there")
    return Sriov(total=max(total, 0), configured=configured, vfs=vfs)
