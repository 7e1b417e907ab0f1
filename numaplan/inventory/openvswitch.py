"""Open vSwitch (ovs-vswitchd.conf.db(5)): bridges, ports, what stands behind them, and the threads that poll them."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from numaplan.cpuset import CPU_LIMIT, CpuId, CpuSet
from numaplan.inventory.ovsdb import OvsdbRow
from numaplan.model.devices import Link, PciAddress
from numaplan.model.host import NodeId
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort, PmdQueue, PmdThread, SocketMemory
from numaplan.sources.tree import HostTree

SOURCE: Final = "openvswitch"

# The kernel's own limit is 1024 nodes (CONFIG_NODES_SHIFT at most 10); a queue id has 16 bits in DPDK.
_NODE_LIMIT: Final = 1024
_QUEUE_LIMIT: Final = 1 << 16
# Each thread has a few lines of its own, each queue one; a host has some thousands.
_PMD_LINES: Final = 1 << 16
_VLAN_LIMIT: Final = 4095
_KIB_PER_MIB: Final = 1024
_MIB_LIMIT: Final = 1 << 32

_HEX_MASK = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,2048})", re.ASCII)
_THREAD = re.compile(r"pmd thread numa_id (-?[0-9]{1,10}) core_id ([0-9]{1,10}):", re.ASCII)
_PORT = re.compile(r"port: (?P<name>\S.*?)\s+queue-id:(?P<queues>(?:\s+[0-9]{1,5})+)(?:\s.*)?", re.ASCII)
_MAC = re.compile(r"(?:^|,)mac=([0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5})(?:,|$)", re.ASCII)

_VHOST_SERVER: Final = "dpdkvhostuser"

_T = TypeVar("_T")


def read_openvswitch(tree: HostTree, links: Sequence[Link] = ()) -> OpenVswitch | None:
    """The switch of the host; None where it has none, or nobody could ask it.

    Among `links` stands the function of a DPDK port that is named by its MAC address alone.
    """
    document = tree.rows(SOURCE)
    if document is None:
        return None
    tables = document.get("tables") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(tables, dict):
        tree.note(SOURCE, "expected an object with tables")
        return None
    globals_ = _each(tree, tables, table="Open_vSwitch", parse=lambda row: row)
    settings = globals_[0] if globals_ else OvsdbRow({})
    options = _patiently(tree, lambda: settings.map("other_config")) or {}
    sockets = _patiently(tree, lambda: _socket_folder(settings))
    interfaces = _each(
        tree, tables, table="Interface", parse=lambda row: (row.uuid(), parse_interface(row, links, sockets=sockets))
    )
    names = {uuid: interface.name for uuid, interface in interfaces}
    unplugged: set[str | None] = set(names)
    ports = dict(_each(tree, tables, table="Port", parse=lambda row: (row.uuid(), _port(row, names, unplugged))))
    loose = set(ports)
    bridges = _each(tree, tables, table="Bridge", parse=lambda row: _bridge(row, ports, loose))
    return OpenVswitch(
        version=_patiently(tree, lambda: settings.text("ovs_version")),
        dpdk=_patiently(tree, lambda: settings.flag("dpdk_initialized")),
        dpdk_init=_patiently(tree, lambda: _dpdk_init(options)),
        pmd_cpus=_patiently(tree, lambda: _mask(options, "pmd-cpu-mask")),
        lcore_cpus=_patiently(tree, lambda: _mask(options, "dpdk-lcore-mask")),
        socket_memory=_patiently(tree, lambda: parse_socket_memory(options.get("dpdk-socket-mem", ""))) or (),
        hardware_offload={"true": True, "false": False}.get(options.get("hw-offload", "")),
        bridges=_by_name(tree, bridges),
        interfaces=_by_name(tree, [interface for _, interface in interfaces]),
        pmds=_read_pmds(tree, document, wanted=any(bridge.datapath == "netdev" for bridge in bridges)),
    )


def parse_interface(row: OvsdbRow, links: Sequence[Link] = (), *, sockets: str | None = None) -> OvsInterface:
    """A row of the table Interface; `sockets` is the folder of vhost-user sockets. Raises ValueError."""
    name = row.name()
    kind = row.text("type") or ""
    options, status = row.map("options"), row.map("status")
    socket = options.get("vhost-server-path")
    if socket is None and kind == _VHOST_SERVER and sockets is not None:
        socket = f"{sockets}/{name}"
    node = status.get("numa_id", status.get("numa"))
    queues = status.get("n_rxq", options.get("n_rxq"))
    return OvsInterface(
        name=name,
        type="" if kind == "system" else kind,
        pci=parse_devargs(options["dpdk-devargs"], links) if "dpdk-devargs" in options else None,
        socket=socket,
        peer=options.get("peer") if kind == "patch" else None,
        remote=options.get("remote_ip"),
        rx_queues=None if queues is None else _number("n_rxq", queues, limit=_QUEUE_LIMIT),
        # DPDK says -1 (SOCKET_ID_ANY) where it does not know.
        node=None if node in {None, "-1"} else NodeId(_number("numa_id", node or "", limit=_NODE_LIMIT)),
    )


def parse_devargs(text: str, links: Sequence[Link] = ()) -> PciAddress | None:
    """The PCI function of a DPDK port, None for a virtual driver.

    ``0000:3b:00.0,representor=[0-3]`` names it; ``class=eth,mac=00:11:22:33:44:55`` is the function of that interface
    of the host (Open vSwitch, "DPDK Physical Ports"). DPDK lets the bus stand before it: ``pci:0000:3b:00.0``.
    """
    first = text.partition(",")[0].strip()
    try:
        return PciAddress.parse(first.removeprefix("pci:"))
    except ValueError:
        mac = _MAC.search(text)
    if mac is None:
        return None
    # The interfaces of a bond share one address; then it does not tell which one is meant.
    found = {link.pci for link in links if link.pci is not None and (link.mac or "").lower() == mac[1].lower()}
    return next(iter(found)) if len(found) == 1 else None


def parse_socket_memory(text: str) -> tuple[SocketMemory, ...]:
    """MiB of each node in its order, with commas between them; raises ValueError."""
    if not text.strip():
        return ()
    sizes = [_number("dpdk-socket-mem", part, limit=_MIB_LIMIT) for part in text.split(",")]
    if len(sizes) > _NODE_LIMIT:
        raise ValueError(f"dpdk-socket-mem: more than {_NODE_LIMIT} nodes")
    return tuple(SocketMemory(NodeId(node), size * _KIB_PER_MIB) for node, size in enumerate(sizes) if size)


def parse_pmd_rxq_show(text: str) -> tuple[PmdThread, ...]:
    """``ovs-appctl dpif-netdev/pmd-rxq-show``, by CPU; raises ValueError.

    Up to 2.8 a port's queues stand on one line; later each has its own, behind which follow its state (2.12) and load.
    """
    threads: dict[CpuId, tuple[NodeId | None, list[str]]] = {}
    body: list[str] | None = None
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("pmd thread"):
            node, cpu = _thread(line)
            body = threads.setdefault(cpu, (node, []))[1]
        elif body is not None:
            body.append(line)
    if sum(len(lines) for _, lines in threads.values()) > _PMD_LINES:
        raise ValueError(f"more than {_PMD_LINES} lines of polling threads")
    return tuple(
        PmdThread(
            cpu=cpu,
            node=node,
            isolated=any(re.fullmatch(r"isolated ?: ?true", line) for line in lines),
            queues=tuple(
                sorted(
                    {queue for line in lines if line.startswith("port:") for queue in _queues(line)},
                    key=lambda queue: (queue.interface, queue.queue),
                )
            ),
        )
        for cpu, (node, lines) in sorted(threads.items())
    )


def _thread(line: str) -> tuple[NodeId | None, CpuId]:
    match = _THREAD.fullmatch(line)
    if match is None or int(match[2]) >= CPU_LIMIT:
        raise ValueError(f"no thread: {line[:80]!r}")
    node = int(match[1])
    # OVS_NUMA_UNSPEC, INT_MAX, stands for a node that it does not know.
    return NodeId(node) if 0 <= node < _NODE_LIMIT else None, CpuId(int(match[2]))


def _queues(line: str) -> list[PmdQueue]:
    match = _PORT.fullmatch(line)
    if match is None:
        raise ValueError(f"no port: {line[:80]!r}")
    return [PmdQueue(match["name"], int(queue)) for queue in match["queues"].split()]


def _read_pmds(tree: HostTree, document: Mapping[str, object], *, wanted: bool) -> tuple[PmdThread, ...]:
    """Without a bridge in user space the daemon has nothing to say, and its refusal is no gap."""
    text = document.get("pmd_rxq_show")
    if isinstance(text, str):
        return _patiently(tree, lambda: parse_pmd_rxq_show(text)) or ()
    if wanted:
        tree.note(SOURCE, f"polling threads are not known: {document.get('pmd_rxq_fault') or 'nothing is said'}")
    return ()


def _socket_folder(settings: OvsdbRow) -> str | None:
    """Where sockets of type dpdkvhostuser stand: other_config:vhost-sock-dir below external_ids:rundir (2.8)."""
    run = settings.map("external_ids").get("rundir")
    if not run:
        return None
    below = settings.map("other_config").get("vhost-sock-dir", "").strip("/")
    return f"{run.rstrip('/')}/{below}".rstrip("/")


def _own(row: OvsdbRow, column: str, known: Collection[str | None], free: set[str | None]) -> set[str]:
    """The rows that it alone refers to: an interface is of one port, a port of one bridge. Raises ValueError."""
    uuids = {uuid for uuid in row.uuids(column) if uuid in known}
    if not uuids <= free:
        raise ValueError(f"{row.name()[:80]!r} has {column} that another has too")
    free -= uuids
    return uuids


def _port(row: OvsdbRow, interfaces: Mapping[str | None, str], free: set[str | None]) -> OvsPort:
    names = {interfaces[uuid] for uuid in _own(row, "interfaces", interfaces, free)}
    return OvsPort(row.name(), tuple(sorted(names)), row.integer("tag", lowest=0, highest=_VLAN_LIMIT))


def _bridge(row: OvsdbRow, ports: Mapping[str | None, OvsPort], free: set[str | None]) -> OvsBridge:
    own = {ports[uuid].name: ports[uuid] for uuid in sorted(_own(row, "ports", ports, free))}
    return OvsBridge(row.name(), row.text("datapath_type") or "system", tuple(own[name] for name in sorted(own)))


def _dpdk_init(options: Mapping[str, str]) -> bool | None:
    """Whether DPDK is to be started: "true", or "try", which goes on without it where that fails; any case will do."""
    text = options.get("dpdk-init")
    if text is None:
        return None
    asked = {"true": True, "try": True, "false": False}.get(text.strip().lower())
    if asked is None:
        raise ValueError(f"dpdk-init: expected true, try or false, found {text[:40]!r}")
    return asked


def _mask(options: Mapping[str, str], key: str) -> CpuSet | None:
    """A hexadecimal mask of any length, the lowest bit being CPU 0."""
    text = options.get(key)
    if text is None:
        return None
    match = _HEX_MASK.fullmatch(text.strip())
    bits = 0 if match is None else int(match[1], 16)
    if match is None or bits.bit_length() > CPU_LIMIT:
        raise ValueError(f"{key}: expected a CPU mask, found {text[:40]!r}")
    return CpuSet(i for i in range(bits.bit_length()) if bits >> i & 1)


def _number(key: str, text: str, *, limit: int) -> int:
    stripped = text.strip()
    if not re.fullmatch(r"[0-9]{1,12}", stripped, re.ASCII) or int(stripped) >= limit:
        raise ValueError(f"{key}: expected a number below {limit}, found {text[:40]!r}")
    return int(stripped)


def _each(tree: HostTree, tables: Mapping[str, object], *, table: str, parse: Callable[[OvsdbRow], _T]) -> list[_T]:
    """What `parse` makes of every row of a table; a row that it refuses costs that row and leaves a gap."""
    rows = tables.get(table)
    if not isinstance(rows, list):
        tree.note(SOURCE, f"{table}: expected a list of rows")
        return []
    found = []
    for row in rows:
        if not isinstance(row, dict):
            tree.note(SOURCE, f"{table}: expected a row")
            continue
        try:
            found.append(parse(OvsdbRow(row)))
        except ValueError as error:
            tree.note(SOURCE, f"{table}: {error}")
    return found


def _patiently(tree: HostTree, action: Callable[[], _T]) -> _T | None:
    try:
        return action()
    except ValueError as error:
        tree.note(SOURCE, str(error))
        return None


_Named = TypeVar("_Named", OvsBridge, OvsInterface)


def _by_name(tree: HostTree, found: Sequence[_Named]) -> tuple[_Named, ...]:
    """OVSDB keeps names unique; a capture might not."""
    kept: dict[str, _Named] = {}
    for item in found:
        if kept.setdefault(item.name, item) is not item:
            tree.note(SOURCE, f"{item.name[:80]!r} is named twice")
    return tuple(kept[name] for name in sorted(kept))
