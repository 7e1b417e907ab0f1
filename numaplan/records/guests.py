"""Guests to their part of the inventory document."""

from numaplan.model.guest import (
    Guest,
    GuestCell,
    GuestController,
    GuestInterface,
    GuestTopology,
    MemoryBacking,
    MemoryBinding,
    RunningGuest,
    ThreadScheduler,
)
from numaplan.records.text import cpu_list, optional_address, optional_cpu_list, optional_list


def guest_document(guest: Guest) -> dict[str, object]:
    """A guest as plain JSON values, every field of the noun under its own name."""
    return {
        "name": guest.name,
        "uuid": guest.uuid,
        "file": guest.file,
        "running": guest.running,
        "state": guest.state,
        "persistent": guest.persistent,
        "managed_save": guest.managed_save,
        "vcpus": guest.vcpus,
        "current_vcpus": guest.current_vcpus,
        "vcpu_cpuset": optional_cpu_list(guest.vcpu_cpuset),
        "vcpu_line": guest.vcpu_line,
        "auto_placement": guest.auto_placement,
        "memory_kib": guest.memory_kib,
        "topology": topology_document(guest.topology),
        "cells": [_cell_document(cell) for cell in guest.cells],
        "vcpu_pins": [{"vcpu": pin.vcpu, "cpus": cpu_list(pin.cpus), "line": pin.line} for pin in guest.vcpu_pins],
        "emulator_pin": None
        if guest.emulator_pin is None
        else {"cpus": cpu_list(guest.emulator_pin.cpus), "line": guest.emulator_pin.line},
        "iothreads": guest.iothreads,
        "iothread_ids": list(guest.listed_iothreads) or list(range(1, guest.iothreads + 1)),
        "iothread_pins": [
            {"iothread": pin.iothread, "cpus": cpu_list(pin.cpus), "line": pin.line} for pin in guest.iothread_pins
        ],
        "memory": None if guest.memory is None else _binding_document(guest.memory),
        "memnodes": [_binding_document(binding) for binding in guest.memnodes],
        "hugepages": [
            {
                "size_kib": request.size_kib,
                "cells": optional_list(request.cells),
                "line": request.line,
            }
            for request in guest.hugepages
        ],
        "interfaces": [_interface_document(interface) for interface in guest.interfaces],
        "hostdevs": [
            {
                "pci": str(hostdev.pci),
                "alias": hostdev.alias,
                "address": optional_address(hostdev.address),
                "managed": hostdev.managed,
                "line": hostdev.line,
            }
            for hostdev in guest.hostdevs
        ],
        "thread_policy": guest.thread_policy,
        "shared_vcpus": list(guest.shared_vcpus),
        "loose_devices": [str(address) for address in guest.loose_devices],
        "schedulers": [_scheduler_document(scheduler) for scheduler in guest.schedulers],
        "cachetunes": [
            {
                "vcpus": list(tune.vcpus),
                "caches": [
                    {"id": number, "level": level, "type": kind, "size_kib": size_kib}
                    for number, level, kind, size_kib in tune.caches
                ],
                "line": tune.line,
            }
            for tune in guest.cachetunes
        ],
        "backing": None if guest.backing is None else _backing_document(guest.backing),
        "memory_limit_kib": guest.memory_limit_kib,
        "controllers": [_controller_document(controller) for controller in guest.controllers],
        "memballoon": guest.memballoon,
        "machine": guest.machine,
        "architecture": guest.architecture,
        "cpu_mode": guest.cpu_mode,
        "cpu_cache": guest.cpu_cache,
        "emulator": guest.emulator,
        "owner": None if guest.owner is None else guest.owner.value,
        "live": None if guest.live is None else _live_document(guest.live),
    }


def topology_document(topology: GuestTopology | None) -> dict[str, int] | None:
    """``{sockets, dies, cores, threads}``, or null."""
    if topology is None:
        return None
    return {
        "sockets": topology.sockets,
        "dies": topology.dies,
        "cores": topology.cores,
        "threads": topology.threads,
    }


def _cell_document(cell: GuestCell) -> dict[str, object]:
    return {
        "id": cell.id,
        "vcpus": list(cell.vcpus),
        "memory_kib": cell.memory_kib,
        "memory_access": cell.memory_access,
        "distances": {str(other): distance for other, distance in cell.distances},
        "line": cell.line,
    }


def _scheduler_document(scheduler: ThreadScheduler) -> dict[str, object]:
    return {
        "kind": scheduler.kind.value,
        "threads": list(scheduler.threads),
        "policy": scheduler.policy,
        "priority": scheduler.priority,
        "line": scheduler.line,
    }


def _backing_document(backing: MemoryBacking) -> dict[str, object]:
    return {
        "nosharepages": backing.nosharepages,
        "locked": backing.locked,
        "discard": backing.discard,
        "source": backing.source,
        "access": backing.access,
        "allocation": backing.allocation,
        "allocation_threads": backing.allocation_threads,
        "line": backing.line,
    }


def _controller_document(controller: GuestController) -> dict[str, object]:
    return {
        "type": controller.type,
        "index": controller.index,
        "model": controller.model,
        "cell": controller.cell,
        "bus_number": controller.bus_number,
        "address": optional_address(controller.address),
        "line": controller.line,
    }


def _binding_document(binding: MemoryBinding) -> dict[str, object]:
    return {
        "cell": binding.cell,
        "mode": binding.mode,
        "nodes": optional_list(binding.nodes),
        "line": binding.line,
    }


def _interface_document(interface: GuestInterface) -> dict[str, object]:
    return {
        "type": interface.type,
        "mac": interface.mac,
        "alias": interface.alias,
        "source": interface.source,
        "pci": optional_address(interface.pci),
        "vlan": interface.vlan,
        "target": interface.target,
        "socket": interface.socket,
        "model": interface.model,
        "queues": interface.queues,
        "address": optional_address(interface.address),
        "managed": interface.managed,
        "line": interface.line,
    }


def _live_document(live: RunningGuest) -> dict[str, object]:
    return {
        "pid": live.pid,
        "threads": [
            {
                "kind": thread.kind.value,
                "index": thread.index,
                "affinity": cpu_list(thread.affinity),
                "tid": thread.tid,
                "name": thread.name,
            }
            for thread in live.threads
        ],
        "memory": [
            {"node": part.node, "page_size_kib": part.page_size_kib, "size_kib": part.size_kib} for part in live.memory
        ],
        "allowed_nodes": optional_list(live.allowed_nodes),
    }
