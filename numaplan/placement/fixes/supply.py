"""What the host could have more of: huge pages, ordinary memory, VFs; the levers of its inventory."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from numaplan.model.devices import IommuGroup, IommuGroupId, PciAddress, PciDevice
from numaplan.model.host import HugepagePool, NodeId, NumaNode
from numaplan.model.plan import Document
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest, MemoryPolicy, PageSize
from numaplan.model.snapshot import Snapshot
from numaplan.placement.busy_devices import HOST_DPDK_DRIVERS
from numaplan.placement.facts import SMALL_PAGE_KIB, USUAL_PAGE_KIB, HostFacts
from numaplan.placement.fixes import lever as price
from numaplan.placement.fixes.lever import Case, Group, Increment, Lever, Sentence, begun
from numaplan.placement.kinds import entries, matching_devices, unusable
from numaplan.placement.lacks import huge_sizes_kib
from numaplan.placement.switch import switch_share
from numaplan.units import GIB_KIB, format_count, format_size

# Steps in which ordinary memory is added.
_STEP_KIB: Final = GIB_KIB // 4
_LAST_FUNCTION: Final = 0xFFFF
_UNKNOWN_MODEL: Final = "0000"
# More pages than anybody takes.
_PLENTY: Final = 1 << 40


def supply_groups(named: Sequence[GuestRequest], everyone: Sequence[GuestRequest], facts: HostFacts) -> list[Group]:
    """Levers of the host that could help the guests `named`; `everyone` of the request may want room beside them."""
    sizes = sorted(_page_sizes(named, facts), reverse=True)
    groups = [
        Group(f"{size} KiB pages", Document.INVENTORY, _pages(facts, size, everyone))
        for size in sizes
        if size != SMALL_PAGE_KIB and _need_kib(named, size)
    ]
    # Memory that is preferred may all lie on one node, wherever its cells do.
    overhead = facts.policy.guest_overhead_kib * len(named)
    if need := _need_kib(named, SMALL_PAGE_KIB) + overhead:
        levers = tuple(
            _memory(node.id, need + max(0, facts.policy.reserved_memory_kib - node.available_kib))
            for node in facts.snapshot.nodes
            if node.available_kib is not None
        )
        groups.append(Group("ordinary memory", Document.INVENTORY, levers))
    certain, possible = _wanted_whole(facts, everyone)
    vfs = [(address, lever) for address, lever in _vfs(facts, named) if address not in certain]
    # Where one of several PFs is to stay whole, VFs on one may help where VFs on all do not.
    harmless = possible.isdisjoint(address for address, _ in vfs)
    groups.append(Group("VFs", Document.INVENTORY, tuple(lever for _, lever in vfs), joint=harmless))
    return groups


def _page_sizes(guests: Sequence[GuestRequest], facts: HostFacts) -> set[int]:
    """Those that the kernel lists, as it does for each size that it can have; where it lists none, those asked for.

    And the usual one beside 1 GiB: a host that is only considered lists what is said of it alone.
    """
    listed = set(huge_sizes_kib(facts))
    asked = {cell.page_size.size_kib for guest in guests for cell in guest.cells}
    usual = {USUAL_PAGE_KIB} if listed <= {GIB_KIB} else set()
    return (listed or {size for size in asked if size is not None}) | usual


def _need_kib(guests: Sequence[GuestRequest], size_kib: int) -> int:
    """The memory of all cells that may lie in pages of a size."""
    return sum(
        cell.memory_kib
        for guest in guests
        for cell in guest.cells
        if _may_use(cell.page_size, size_kib) and cell.memory_kib % size_kib == 0
    )


def _on_one_node_kib(guest: GuestRequest) -> int:
    """The ordinary memory that a guest may want of one node."""
    cells = [cell for cell in guest.cells if _may_use(cell.page_size, SMALL_PAGE_KIB)]
    # Only one of several cells lies there where each has a node of its own; what is preferred elsewhere may do so too.
    bound = [cell.memory_kib for cell in cells if guest.distinct_nodes and cell.memory_policy is MemoryPolicy.STRICT]
    return sum(cell.memory_kib for cell in cells) - sum(bound) + max(bound, default=0)


def _ordinary_kib(guests: Sequence[GuestRequest], facts: HostFacts) -> int:
    """The same of all, and of QEMU itself."""
    overhead = facts.policy.guest_overhead_kib * len(guests)
    return overhead + sum(_on_one_node_kib(guest) for guest in guests)


def _may_use(wanted: PageSize, size_kib: int) -> bool:
    return wanted is PageSize.ANY or (
        wanted.size_kib == size_kib if wanted is not PageSize.LARGE else size_kib > SMALL_PAGE_KIB
    )


def _pages(facts: HostFacts, size: int, everyone: Sequence[GuestRequest]) -> tuple[Lever, ...]:
    need = begun(_need_kib([guest for guest in everyone if guest.required], size), size)
    first = _switch_pages(facts, size)
    # What guests may want of ordinary memory is not made into huge pages.
    ordinary = _ordinary_kib(everyone, facts) + facts.policy.reserved_memory_kib
    return tuple(
        _more_pages(node, size, need + first.get(node.id, 0), kept_kib=ordinary) for node in _with_memory(facts)
    )


def _switch_pages(facts: HostFacts, size: int) -> dict[NodeId, int]:
    """The most pages of a size that Open vSwitch with DPDK will take of each node, however many there are."""
    pools = (HugepagePool(size, total=_PLENTY, free=_PLENTY),)
    nodes = tuple(replace(node, hugepages=pools) for node in facts.snapshot.nodes)
    share = switch_share(replace(facts.snapshot, nodes=nodes), facts.reserved)
    return {node: count for (node, _), count in share.pages}


def _with_memory(facts: HostFacts) -> list[NumaNode]:
    return [node for node in facts.snapshot.nodes if node.memory_kib != 0]


def _more_pages(node: NumaNode, size: int, most: int, *, kept_kib: int) -> Lever:
    """The pages are made of the node's ordinary memory but for what is `kept`, and of memory that it has not."""
    spare = max(0, (node.available_kib or 0) - kept_kib)

    def missing(level: int) -> int:
        return max(0, level * size - spare)

    def sentence(level: int) -> Sentence:
        said = f"{format_count(level, f'more {format_size(size)} page')} on node {node.id}"
        need = f" (which needs {format_size(missing(level))} more memory there)" if missing(level) else ""
        return "reserve {}", said + need

    def add(old: NumaNode, level: int) -> NumaNode:
        made = level * size - missing(level)
        return replace(
            old.with_pages(size, level),
            memory_kib=None if old.memory_kib is None else old.memory_kib + missing(level),
            free_kib=None if old.free_kib is None else max(0, old.free_kib - made),
            available_kib=None if old.available_kib is None else old.available_kib - made,
        )

    def within(case: Case) -> Lever:
        """Pages of another size may have taken the spare memory."""
        now = next(other for other in case.snapshot.nodes if other.id == node.id)
        return _more_pages(now, size, most, kept_kib=kept_kib)

    return Lever(
        most=most,
        pull=lambda case, level: _with_node(case, node.id, lambda old: add(old, level)),
        sentence=sentence,
        price=lambda level: (
            price.PAGES_GIB * begun(level * size, GIB_KIB) + price.MEMORY_GIB * begun(missing(level), GIB_KIB)
        ),
        within=within,
        adds=Increment(node.id, size, each_kib=size, spare_kib=spare),
    )


def _memory(node: NodeId, most_kib: int) -> Lever:
    def add(old: NumaNode, level: int) -> NumaNode:
        more = level * _STEP_KIB
        return replace(
            old,
            memory_kib=None if old.memory_kib is None else old.memory_kib + more,
            free_kib=None if old.free_kib is None else old.free_kib + more,
            available_kib=(old.available_kib or 0) + more,
        )

    return Lever(
        most=begun(most_kib, _STEP_KIB),
        pull=lambda case, level: _with_node(case, node, lambda old: add(old, level)),
        sentence=lambda level: ("have {}", f"{format_size(level * _STEP_KIB)} more ordinary memory on node {node}"),
        price=lambda level: price.MEMORY_GIB * begun(level * _STEP_KIB, GIB_KIB),
        adds=Increment(node, SMALL_PAGE_KIB, each_kib=_STEP_KIB),
    )


def _with_node(case: Case, node: NodeId, change: Callable[[NumaNode], NumaNode]) -> Case:
    nodes = tuple(change(old) if old.id == node else old for old in case.snapshot.nodes)
    return replace(case, snapshot=replace(case.snapshot, nodes=nodes))


def _vfs(facts: HostFacts, guests: Sequence[GuestRequest]) -> list[tuple[PciAddress, Lever]]:
    """One for each PF of which some guest could use more VFs, as long as it can have more."""
    any_of, up_to = _vfs_asked_for(facts, guests)
    levers = []
    for address in sorted({*any_of, *up_to}):
        pf = facts.devices.get(address)
        if pf is None or pf.sriov is None:
            continue
        like = _pf_that_shows_how(facts, pf)
        if like is None and (pf.sriov.vfs or pf.sriov.configured):
            continue
        # A VF of a range is there only with all before it.
        more = any_of[address] + max(0, up_to[address] - len(pf.sriov.vfs))
        new = _fresh(facts, pf, like, min(more, pf.sriov.total - pf.sriov.configured))
        if new:
            model = _unknown_vf(pf) if like is None else _model_vf(facts, pf, like)
            levers.append((address, _more_vfs(pf, model, new)))
    return levers


def _vfs_asked_for(facts: HostFacts, guests: Sequence[GuestRequest]) -> tuple[Counter[PciAddress], Counter[PciAddress]]:
    """How many VFs of each PF may be wanted whatever their index is; and how many it has with the last of any range."""
    any_of, up_to = Counter[PciAddress](), Counter[PciAddress]()
    for guest in guests:
        for entry in entries(guest):
            indexes = entry.vf_indexes if isinstance(entry, InterfaceRequest) else None
            for address in _pfs(facts, entry):
                if indexes is None:
                    any_of[address] += entry.count if isinstance(entry, InterfaceRequest) else 1
                else:
                    up_to[address] = max(up_to[address], 1 + max(indexes, default=-1))
    return any_of, up_to


def _wanted_whole(facts: HostFacts, guests: Sequence[GuestRequest]) -> tuple[set[PciAddress], set[PciAddress]]:
    """Devices that required guests need as they are: those that nothing else can stand in for, and all that may be."""
    would_do = Counter[frozenset[PciAddress]]()
    possible: set[PciAddress] = set()
    for entry in (entry for guest in guests if guest.required for entry in guest.devices):
        found = frozenset(d.address for d in matching_devices(facts, entry) if unusable(facts, d) is None)
        possible |= found
        # A new VF can stand in where VFs are accepted.
        would_do[found] += not _pfs(facts, entry)
    certain = {address for devices, wanted in would_do.items() if wanted >= len(devices) for address in devices}
    return certain, possible


def _pfs(facts: HostFacts, entry: InterfaceRequest | DeviceRequest) -> set[PciAddress]:
    """The PFs whose VFs an entry accepts, and those that it names and that have none yet."""
    pfs = {device.physfn for device in matching_devices(facts, entry) if device.physfn is not None}
    if isinstance(entry, InterfaceRequest):
        names = (entry.pf,) if entry.pf else dict(facts.policy.physnets).get(entry.physnet or "", ())
        pfs |= {address for address in facts.devices if facts.goes_by(address, names)}
    return pfs


def _pf_that_shows_how(facts: HostFacts, pf: PciDevice) -> PciDevice | None:
    """The PF itself where it has VFs, else one of the same model that has; None where nobody knows their address."""
    alike = [
        device
        for device in facts.snapshot.pci
        if device.sriov is not None
        and device.sriov.vfs
        and (device.vendor, device.device) == (pf.vendor, pf.device)
        and all(vf in facts.devices for vf in device.sriov.vfs)
    ]
    return pf if pf in alike else None if pf.sriov is None or pf.sriov.vfs else next(iter(alike), None)


def _model_vf(facts: HostFacts, pf: PciDevice, like: PciDevice) -> PciDevice:
    """A VF that the new ones are like."""
    vfs = [facts.devices[address] for address in (() if like.sriov is None else like.sriov.vfs)]
    usable = [device for device in vfs if device.driver not in HOST_DPDK_DRIVERS]
    model = usable[0] if usable else replace(vfs[0], driver=None)
    return model if pf == like else replace(model, physfn=pf.address, numa_node=pf.numa_node)


def _unknown_vf(pf: PciDevice) -> PciDevice:
    """A VF of a PF that never had any: which model it is shows only then, so that who asks for one gets none."""
    return PciDevice(
        pf.address,
        pf.vendor,
        _UNKNOWN_MODEL,
        pf.pci_class,
        pf.numa_node,
        iommu_group=pf.iommu_group,
        physfn=pf.address,
    )


def _fresh(facts: HostFacts, pf: PciDevice, like: PciDevice | None, count: int) -> tuple[PciAddress, ...]:
    """Addresses for further VFs, in the stride of those that are there and past what is taken.

    VF n of a PF is at its own routing id + offset + n x stride (PCI Express, SR-IOV, First VF Offset and VF Stride).
    Where nobody shows these two, they count as 1.
    """
    ids = [_routing_id(address) for address in (() if like is None or like.sriov is None else like.sriov.vfs)]
    stride = max(1, ids[1] - ids[0]) if len(ids) > 1 else 1
    taken = {_routing_id(address) for address in facts.devices if address.domain == pf.address.domain}
    if like is None:
        at = _routing_id(pf.address) + 1
    else:
        at = ids[-1] + stride if pf == like else ids[0] - _routing_id(like.address) + _routing_id(pf.address)
    found: list[PciAddress] = []
    while len(found) < count and 0 <= at <= _LAST_FUNCTION:
        if at not in taken:
            found.append(PciAddress(pf.address.domain, at >> 8, at >> 3 & 0x1F, at & 7))
        at += stride
    return tuple(found)


def _routing_id(address: PciAddress) -> int:
    return address.bus << 8 | address.slot << 3 | address.function


def _more_vfs(pf: PciDevice, model: PciDevice, new: tuple[PciAddress, ...]) -> Lever:
    name = next(iter(pf.netdevs), str(pf.address))
    return Lever(
        most=len(new),
        pull=lambda case, level: replace(case, snapshot=_with_vfs(case.snapshot, pf.address, model, new[:level])),
        sentence=lambda level: ("configure {}", f"{format_count(level, 'more VF')} on {name}"),
        price=lambda level: price.VF * level,
        adds=Increment(vfs=new),
    )


def _with_vfs(snapshot: Snapshot, pf: PciAddress, model: PciDevice, new: tuple[PciAddress, ...]) -> Snapshot:
    """The host with these VFs; each has an IOMMU group of its own where the others have any."""
    groups = {group.id for group in snapshot.iommu_groups} | {d.iommu_group or 0 for d in snapshot.pci}
    first = max(groups, default=0) + 1
    made = []
    pci = []
    for device in snapshot.pci:
        if device.address != pf or device.sriov is None:
            pci.append(device)
            continue
        sriov = device.sriov
        pci.append(
            replace(device, sriov=replace(sriov, configured=sriov.configured + len(new), vfs=(*sriov.vfs, *new)))
        )
        for number, address in enumerate(new):
            group = None if model.iommu_group is None else IommuGroupId(first + number)
            settings = None if model.vf is None else replace(model.vf, index=len(sriov.vfs) + number, mac=None)
            made.append(replace(model, address=address, iommu_group=group, netdevs=(), vf=settings))
    listed = [IommuGroup(d.iommu_group, (d.address,)) for d in made if d.iommu_group is not None]
    return replace(
        snapshot,
        pci=tuple(sorted((*pci, *made), key=lambda device: device.address)),
        iommu_groups=tuple(sorted((*snapshot.iommu_groups, *listed), key=lambda group: group.id)),
    )
