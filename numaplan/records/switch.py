"""Open vSwitch to its part of the inventory document."""

from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, PmdThread
from numaplan.records.text import optional_address, optional_cpu_list


def switch_document(switch: OpenVswitch) -> dict[str, object]:
    """The switch of a host, every field of the noun under its own name."""
    return {
        "version": switch.version,
        "dpdk": switch.dpdk,
        "dpdk_init": switch.dpdk_init,
        "pmd_cpus": optional_cpu_list(switch.pmd_cpus),
        "lcore_cpus": optional_cpu_list(switch.lcore_cpus),
        "socket_memory": [{"node": memory.node, "size_kib": memory.size_kib} for memory in switch.socket_memory],
        "hardware_offload": switch.hardware_offload,
        "bridges": [_bridge_document(bridge) for bridge in switch.bridges],
        "interfaces": [_interface_document(interface) for interface in switch.interfaces],
        "pmds": [_pmd_document(pmd) for pmd in switch.pmds],
    }


def _bridge_document(bridge: OvsBridge) -> dict[str, object]:
    return {
        "name": bridge.name,
        "datapath": bridge.datapath,
        "ports": [{"name": port.name, "interfaces": list(port.interfaces), "vlan": port.vlan} for port in bridge.ports],
    }


def _interface_document(interface: OvsInterface) -> dict[str, object]:
    return {
        "name": interface.name,
        "type": interface.type,
        "pci": optional_address(interface.pci),
        "socket": interface.socket,
        "peer": interface.peer,
        "remote": interface.remote,
        "rx_queues": interface.rx_queues,
        "node": interface.node,
    }


def _pmd_document(pmd: PmdThread) -> dict[str, object]:
    return {
        "cpu": pmd.cpu,
        "node": pmd.node,
        "isolated": pmd.isolated,
        "queues": [{"interface": queue.interface, "queue": queue.queue} for queue in pmd.queues],
    }
