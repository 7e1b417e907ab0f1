"""Requests to JSON, as they stand in a plan document; the way back is `request_form`."""

from numaplan.cpuset import format_id_list
from numaplan.model.request import (
    CellRequest,
    DeviceRequest,
    GuestRequest,
    HostPolicy,
    InterfaceRequest,
    MemoryBackingRequest,
    Request,
)
from numaplan.records.text import optional_address, optional_cpu_list


def request_document(request: Request) -> dict[str, object]:
    """Everything of a request, defaults too, as what JSON can hold."""
    return {
        "host": _policy_document(request.policy),
        "guests": [_guest_document(guest) for guest in request.guests],
    }


def _policy_document(policy: HostPolicy) -> dict[str, object]:
    costs = policy.costs
    return {
        "reserved_cpus": optional_cpu_list(policy.reserved_cpus),
        "shared_cpus": optional_cpu_list(policy.shared_cpus),
        "shared_ratio": policy.shared_ratio,
        "reserved_memory_kib": policy.reserved_memory_kib,
        "physnets": {name: list(pfs) for name, pfs in policy.physnets},
        "costs": {"vf": costs.vf, "cell": costs.cell, "memory_gib": costs.memory_gib},
        "guest_overhead_kib": policy.guest_overhead_kib,
    }


def _guest_document(guest: GuestRequest) -> dict[str, object]:
    realtime = guest.realtime
    return {
        "name": guest.name,
        "vm": guest.vm,
        "cells": [_cell_document(cell) for cell in guest.cells],
        "required": guest.required,
        "priority": guest.priority,
        "distinct_nodes": guest.distinct_nodes,
        "cpu_policy": guest.cpu_policy.value,
        "dedicated_vcpus": format_id_list(guest.dedicated_vcpus),
        "thread_policy": guest.thread_policy.value,
        "emulator": guest.emulator.value,
        "emulator_cpus": guest.emulator_cpus,
        "iothreads": guest.iothreads,
        "iothread_policy": guest.iothread_policy.value,
        "interfaces": [_interface_document(interface) for interface in guest.interfaces],
        "devices": [_device_document(device) for device in guest.devices],
        "affinity": list(guest.affinity),
        "anti_affinity": list(guest.anti_affinity),
        "realtime": None
        if realtime is None
        else {"vcpus": format_id_list(realtime.vcpus), "priority": realtime.priority},
        "memory_backing": _backing_document(guest.memory_backing),
        "cpu_cache": None if guest.cpu_cache is None else guest.cpu_cache.value,
        "memballoon": guest.memballoon.value,
        "device_locality": guest.device_locality.value,
    }


def _cell_document(cell: CellRequest) -> dict[str, object]:
    return {
        "vcpus": format_id_list(cell.vcpus),
        "memory_kib": cell.memory_kib,
        "page_size": cell.page_size.value,
        "memory_policy": cell.memory_policy.value,
    }


def _interface_document(interface: InterfaceRequest) -> dict[str, object]:
    return {
        "name": interface.name,
        "type": interface.type.value,
        "physnet": interface.physnet,
        "pf": interface.pf,
        "vf_indexes": None if interface.vf_indexes is None else format_id_list(interface.vf_indexes),
        "vendor": interface.vendor,
        "device": interface.device,
        "count": interface.count,
        "affinity": interface.affinity.value,
        "mbps": interface.mbps,
        "distinct_pfs": interface.distinct_pfs,
        "mac": interface.mac,
        "vlan": interface.vlan,
        "trust": interface.trust,
        "bridge": interface.bridge,
        "queues": interface.queues,
    }


def _device_document(device: DeviceRequest) -> dict[str, object]:
    return {
        "name": device.name,
        "vendor": device.vendor,
        "device": device.device,
        "address": optional_address(device.address),
        "affinity": device.affinity.value,
    }


def _backing_document(backing: MemoryBackingRequest) -> dict[str, object]:
    return {
        "nosharepages": backing.nosharepages,
        "locked": backing.locked,
        "hard_limit_kib": backing.hard_limit_kib,
        "allocation": None if backing.allocation is None else backing.allocation.value,
        "access": None if backing.access is None else backing.access.value,
    }
