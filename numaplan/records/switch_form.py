"""Open vSwitch as the inventory document has it, and the noun that it makes."""

from pydantic import Field

from numaplan.cpuset import CpuId
from numaplan.model.host import NodeId
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort, PmdQueue, PmdThread, SocketMemory
from numaplan.records.document import Form
from numaplan.records.fields import Address, CpuList, CpuNumber, Id, Size, Text


class SocketMemoryForm(Form):
    """An entry of ``openvswitch.socket_memory``."""

    node: Id
    size_kib: Size


class PortForm(Form):
    """An entry of ``openvswitch.bridges[].ports``."""

    name: Text
    interfaces: list[Text] = Field(default_factory=list)
    vlan: Id | None = None


class BridgeForm(Form):
    """An entry of ``openvswitch.bridges``."""

    name: Text
    datapath: Text
    ports: list[PortForm] = Field(default_factory=list)


class OvsInterfaceForm(Form):
    """An entry of ``openvswitch.interfaces``; `type` "" is a network interface of the host."""

    name: Text
    type: Text = ""
    pci: Address | None = None
    socket: Text | None = None
    peer: Text | None = None
    remote: Text | None = None
    rx_queues: Id | None = None
    node: Id | None = None


class PmdQueueForm(Form):
    """An entry of ``openvswitch.pmds[].queues``."""

    interface: Text
    queue: Id


class PmdForm(Form):
    """An entry of ``openvswitch.pmds``."""

    cpu: CpuNumber
    node: Id | None = None
    isolated: bool = False
    queues: list[PmdQueueForm] = Field(default_factory=list)


class SwitchForm(Form):
    """``openvswitch``."""

    version: Text | None = None
    dpdk: bool | None = None
    dpdk_init: bool | None = None
    pmd_cpus: CpuList | None = None
    lcore_cpus: CpuList | None = None
    socket_memory: list[SocketMemoryForm] = Field(default_factory=list)
    hardware_offload: bool | None = None
    bridges: list[BridgeForm] = Field(default_factory=list)
    interfaces: list[OvsInterfaceForm] = Field(default_factory=list)
    pmds: list[PmdForm] = Field(default_factory=list)


def to_switch(form: SwitchForm) -> OpenVswitch:
    """The noun of ``openvswitch``."""
    return OpenVswitch(
        version=form.version,
        dpdk=form.dpdk,
        dpdk_init=form.dpdk_init,
        pmd_cpus=form.pmd_cpus,
        lcore_cpus=form.lcore_cpus,
        socket_memory=tuple(SocketMemory(NodeId(memory.node), memory.size_kib) for memory in form.socket_memory),
        hardware_offload=form.hardware_offload,
        bridges=tuple(OvsBridge(bridge.name, bridge.datapath, _to_ports(bridge.ports)) for bridge in form.bridges),
        interfaces=tuple(map(_to_interface, form.interfaces)),
        pmds=tuple(map(_to_pmd, form.pmds)),
    )


def _to_ports(forms: list[PortForm]) -> tuple[OvsPort, ...]:
    return tuple(OvsPort(form.name, tuple(form.interfaces), form.vlan) for form in forms)


def _to_interface(form: OvsInterfaceForm) -> OvsInterface:
    return OvsInterface(
        form.name,
        type=form.type,
        pci=form.pci,
        socket=form.socket,
        peer=form.peer,
        remote=form.remote,
        rx_queues=form.rx_queues,
        node=_to_node(form.node),
    )


def _to_pmd(form: PmdForm) -> PmdThread:
    queues = tuple(PmdQueue(queue.interface, queue.queue) for queue in form.queues)
    return PmdThread(CpuId(form.cpu), _to_node(form.node), form.isolated, queues)


def _to_node(id_: int | None) -> NodeId | None:
    return None if id_ is None else NodeId(id_)
