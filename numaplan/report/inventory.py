"""A host on one screen: nodes, caches, network functions, guests, and what could not be read."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.devices import NETWORK_CLASS_PREFIX, Link, PciAddress, PciDevice
from numaplan.model.guest import Guest, VcpuId
from numaplan.model.host import NumaNode
from numaplan.model.snapshot import Snapshot
from numaplan.report.text import NONE, UNKNOWN, clean, count, facts, gib, grid, known, number, page, wrap_list
from numaplan.units import format_size

_LIST_WIDTH: Final = 24
_HOST_WIDTH: Final = 72
_GAPS_SHOWN: Final = 5
_MBPS_PER_GBPS: Final = 1000


def inventory_table(snapshot: Snapshot) -> str:
    """The host for an engineer's eyes; "?" is what the host does not say, "-" is none."""
    sections = [
        _host(snapshot),
        _nodes(snapshot),
        _llcs(snapshot),
        _functions(snapshot),
        _guests(snapshot),
        _gaps(snapshot),
    ]
    return page(sections)


def _host(snapshot: Snapshot) -> str:
    host, cpus = snapshot.host, snapshot.cpus
    lines = [
        f"host {known(host.hostname)} ({host.source.value}), Linux {known(host.kernel)}, {known(host.architecture)}",
        f"KVM {_yes(host.kvm)}, IOMMU {_yes(host.iommu)}, CPU model {known(host.cpu_model)}",
    ]
    sets = {"online": cpus.online, "offline": cpus.offline, "isolated": cpus.isolated, "nohz_full": cpus.nohz_full}
    rows = [
        [f"{name} CPUs", str(len(members)), wrap_list(str(members), _HOST_WIDTH)]
        for name, members in sets.items()
        if members
    ]
    return "\n".join([*lines, facts(rows, indent="")]).rstrip()


def _yes(value: bool | None) -> str:  # noqa: FBT001  # the value to print, no option
    match value:
        case None:
            return UNKNOWN
        case True:
            return "yes"
        case False:
            return "no"


def _nodes(snapshot: Snapshot) -> str:
    if not snapshot.nodes:
        return ""
    headers = ["node", "package", "cores", "CPUs", "isolated", "GiB avail/total", "huge pages", "distances"]
    right = ["node", "GiB avail/total"]
    rows = [
        [
            str(node.id),
            ",".join(map(str, node.packages)) or (UNKNOWN if node.cpus else NONE),
            _cores(snapshot, node),
            wrap_list(str(node.cpus) or NONE, _LIST_WIDTH),
            wrap_list(str(node.cpus & snapshot.cpus.isolated) or NONE, _LIST_WIDTH),
            f"{gib(node.available_kib)}/{gib(node.memory_kib)}",
            "\n".join(f"{_page(pool.size_kib)} {pool.free}/{pool.total} free" for pool in reversed(node.hugepages))
            or NONE,
            _distances(snapshot, node),
        ]
        for node in snapshot.nodes
    ]
    if not snapshot.cpus.isolated:
        headers, rows = _without(headers, rows, "isolated")
    return grid(headers, rows, right=right)


def _without(headers: list[str], rows: list[list[str]], header: str) -> tuple[list[str], list[list[str]]]:
    at = headers.index(header)
    return [*headers[:at], *headers[at + 1 :]], [[*row[:at], *row[at + 1 :]] for row in rows]


def _page(size_kib: int) -> str:
    return format_size(size_kib).replace(" ", "")


def _cores(snapshot: Snapshot, node: NumaNode) -> str:
    """Cores by how many of their threads are online: ``16 x 2``, a line for each width."""
    widths = Counter(
        len(core.cpus) for core in snapshot.cores if core.numa_node == node.id or (core.cpus and core.cpus <= node.cpus)
    )
    return "\n".join(f"{cores} x {threads}" for threads, cores in sorted(widths.items(), reverse=True)) or NONE


def _distances(snapshot: Snapshot, node: NumaNode) -> str:
    if not node.distances:
        return UNKNOWN
    known_ones = dict(node.distances)
    ids = sorted({other.id for other in snapshot.nodes} | set(known_ones))
    return wrap_list(",".join(f"{other}:{number(known_ones.get(other))}" for other in ids), _LIST_WIDTH)


def _llcs(snapshot: Snapshot) -> str:
    """Only where they say more than the nodes do: several in one node, or one in several."""
    llcs = snapshot.llcs
    per_node = Counter(node for llc in llcs for node in llc.numa_nodes)
    if all(amount == 1 for amount in per_node.values()) and all(len(llc.numa_nodes) == 1 for llc in llcs):
        return ""
    return grid(
        ["node", "last-level cache", "size", "CPUs"],
        [
            [
                ",".join(map(str, llc.numa_nodes)) or UNKNOWN,
                f"L{llc.level}",
                UNKNOWN if llc.size_kib is None else format_size(llc.size_kib),
                wrap_list(str(llc.cpus), 2 * _LIST_WIDTH),
            ]
            for llc in llcs
        ],
        right=["node"],
    )


def _functions(snapshot: Snapshot) -> str:
    """Network functions and whatever else has VFs; the VFs themselves are counted at their PF."""
    devices = [device for device in snapshot.pci if device.physfn is None and _is_shown(device)]
    if not devices:
        return ""
    return grid(
        ["node", "PCI", "name", "driver", "link", "VFs used", "configured", "total", "IOMMU group"],
        [
            [
                number(device.numa_node),
                str(device.address),
                "\n".join(map(clean, device.netdevs)) or NONE,
                NONE if device.driver is None else clean(device.driver),
                _speed(snapshot, device),
                *_vfs(snapshot, device),
                number(device.iommu_group),
            ]
            for device in sorted(devices, key=_near_order)
        ],
        right=["node", "link", "VFs used", "configured", "total", "IOMMU group"],
    )


def _is_shown(device: PciDevice) -> bool:
    return device.sriov is not None or device.pci_class.startswith(NETWORK_CLASS_PREFIX)


def _near_order(device: PciDevice) -> tuple[bool, int, PciAddress]:
    return (device.numa_node is None, device.numa_node or 0, device.address)


def _links(snapshot: Snapshot, device: PciDevice) -> Iterator[Link]:
    return (link for link in snapshot.links if link.pci == device.address)


def _speed(snapshot: Snapshot, device: PciDevice) -> str:
    speeds = [link.speed_mbps for link in _links(snapshot, device) if link.speed_mbps is not None]
    if not speeds:
        return UNKNOWN if device.netdevs else NONE
    gbps, rest = divmod(max(speeds), _MBPS_PER_GBPS)
    return f"{max(speeds)} Mb/s" if rest else f"{gbps} Gb/s"


def _vfs(snapshot: Snapshot, device: PciDevice) -> tuple[str, str, str]:
    """How many VFs guests hold, how many there are, how many there could be."""
    sriov = device.sriov
    if sriov is None:
        return (NONE, NONE, NONE)
    held = {address for guest in snapshot.guests for address in guest.pci_addresses}
    # Without any guest we cannot tell whether there is none or nobody looked.
    used = str(sum(vf in held for vf in sriov.vfs)) if snapshot.guests or not sriov.configured else UNKNOWN
    return (used, str(sriov.configured), str(sriov.total))


def _guests(snapshot: Snapshot) -> str:
    if not snapshot.guests:
        return ""
    return grid(
        ["guest", "vCPUs", "memory", "may run on CPUs", "node", "PCI devices", "state"],
        [_guest_row(snapshot, guest) for guest in snapshot.guests],
        right=["vCPUs", "memory"],
    )


def _guest_row(snapshot: Snapshot, guest: Guest) -> list[str]:
    pins = {pin.vcpu: pin.cpus for pin in guest.vcpu_pins}
    unpinned = any(VcpuId(vcpu) not in pins for vcpu in range(guest.vcpus))
    anywhere = unpinned and guest.vcpu_cpuset is None
    bound = [*pins.values(), *([guest.vcpu_cpuset] if unpinned and guest.vcpu_cpuset is not None else [])]
    cpus = CpuSet(cpu for affinity in bound for cpu in affinity)
    match guest.running:
        case None:
            state = UNKNOWN
        case True:
            state = "running"
        case False:
            state = "shut off"
    return [
        clean(guest.name),
        str(guest.vcpus),
        format_size(guest.memory_kib),
        "any" if anywhere else wrap_list(str(cpus) or NONE, _LIST_WIDTH),
        "any" if anywhere else ",".join(str(node.id) for node in snapshot.nodes if node.cpus & cpus) or NONE,
        "\n".join(str(address) for address in guest.pci_addresses) or NONE,
        state,
    ]


def _gaps(snapshot: Snapshot) -> str:
    gaps = snapshot.gaps
    if not gaps:
        return ""
    lines = [f"{count(len(gaps), 'gap')} (what could not be read or made sense of):"]
    lines += [f"  {clean(gap.what)}: {clean(gap.why)}" for gap in gaps[:_GAPS_SHOWN]]
    if len(gaps) > _GAPS_SHOWN:
        lines.append(f"  and {len(gaps) - _GAPS_SHOWN} more; the JSON form has them all")
    return "\n".join(lines)
