"""Open vSwitch on a host: bridges, ports, and with DPDK the threads that poll them."""

from dataclasses import dataclass

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId


@dataclass(frozen=True, slots=True)
class OvsInterface:
    """A row of OVSDB's Interface table (ovs-vswitchd.conf.db(5)).

    `type` "" is a network interface of the host; `pci` the function of a DPDK port; `socket` of a vhost-user port;
    `peer` the other end of a patch port; `remote` of a tunnel.
    """

    name: str
    type: str = ""
    pci: PciAddress | None = None
    socket: str | None = None
    peer: str | None = None
    remote: str | None = None
    rx_queues: int | None = None
    node: NodeId | None = None


@dataclass(frozen=True, slots=True)
class OvsPort:
    """A port of a bridge; more than one interface makes it a bond. `vlan` is its access VLAN."""

    name: str
    interfaces: tuple[str, ...]
    vlan: int | None = None


@dataclass(frozen=True, slots=True)
class OvsBridge:
    """A bridge; `datapath` is "system" (the kernel's) or "netdev" (user space, DPDK)."""

    name: str
    datapath: str
    ports: tuple[OvsPort, ...]


@dataclass(frozen=True, slots=True)
class PmdQueue:
    """An rx queue and the interface that it belongs to."""

    interface: str
    queue: int


@dataclass(frozen=True, slots=True)
class PmdThread:
    """A poll-mode thread: its CPU, that CPU's node, and what it polls (ovs-appctl dpif-netdev/pmd-rxq-show)."""

    cpu: CpuId
    node: NodeId | None = None
    isolated: bool = False
    queues: tuple[PmdQueue, ...] = ()


@dataclass(frozen=True, slots=True)
class SocketMemory:
    """What DPDK takes of a node's hugepages (other_config:dpdk-socket-mem)."""

    node: NodeId
    size_kib: int


@dataclass(frozen=True, slots=True)
class OpenVswitch:
    """The switch of a host. `dpdk_init` (whether DPDK is asked for), `pmd_cpus` and `lcore_cpus` (masks) are
    other_config's; None where they are not set. `dpdk`: it is initialised.
    """

    version: str | None = None
    dpdk: bool | None = None
    dpdk_init: bool | None = None
    pmd_cpus: CpuSet | None = None
    lcore_cpus: CpuSet | None = None
    socket_memory: tuple[SocketMemory, ...] = ()
    hardware_offload: bool | None = None
    bridges: tuple[OvsBridge, ...] = ()
    interfaces: tuple[OvsInterface, ...] = ()
    pmds: tuple[PmdThread, ...] = ()

    @property
    def has_dpdk(self) -> bool:
        """Whether DPDK runs or is asked for: without either, masks are left over from other days."""
        return bool(self.dpdk or self.dpdk_init)

    @property
    def polling_cpus(self) -> CpuSet:
        """CPUs that poll-mode threads burn: those that run, else with DPDK those that the mask asks for."""
        if self.pmds:
            return CpuSet(pmd.cpu for pmd in self.pmds)
        return (self.pmd_cpus or EMPTY) if self.has_dpdk else EMPTY
