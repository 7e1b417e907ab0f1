"""Guests to and from their part of the inventory document."""

from collections.abc import Mapping

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import (
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestHostdev,
    GuestInterface,
    GuestTopology,
    HugepageRequest,
    IothreadId,
    IothreadPin,
    MemoryBinding,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import NodeId
from numaplan.records.guest_form import GuestForm, MemoryBindingForm, TopologyForm


def guest_document(guest: Guest) -> Mapping[str, object]:
    """A guest as plain JSON values, every field of the noun under its own name."""
    return {
        "name": guest.name,
        "uuid": guest.uuid,
        "file": guest.file,
        "running": guest.running,
        "vcpus": guest.vcpus,
        "vcpu_cpuset": _optional(guest.vcpu_cpuset),
        "vcpu_line": guest.vcpu_line,
        "auto_placement": guest.auto_placement,
        "memory_kib": guest.memory_kib,
        "topology": topology_document(guest.topology),
        "cells": [
            {"id": cell.id, "vcpus": list(cell.vcpus), "memory_kib": cell.memory_kib, "line": cell.line}
            for cell in guest.cells
        ],
        "vcpu_pins": [{"vcpu": pin.vcpu, "cpus": str(pin.cpus), "line": pin.line} for pin in guest.vcpu_pins],
        "emulator_pin": None
        if guest.emulator_pin is None
        else {"cpus": str(guest.emulator_pin.cpus), "line": guest.emulator_pin.line},
        "iothreads": guest.iothreads,
        "iothread_pins": [
            {"iothread": pin.iothread, "cpus": str(pin.cpus), "line": pin.line} for pin in guest.iothread_pins
        ],
        "memory": None if guest.memory is None else _binding_document(guest.memory),
        "memnodes": [_binding_document(binding) for binding in guest.memnodes],
        "hugepages": [
            {
                "size_kib": request.size_kib,
                "cells": None if request.cells is None else list(request.cells),
                "line": request.line,
            }
            for request in guest.hugepages
        ],
        "interfaces": [_interface_document(interface) for interface in guest.interfaces],
        "hostdevs": [
            {"pci": str(hostdev.pci), "alias": hostdev.alias, "line": hostdev.line} for hostdev in guest.hostdevs
        ],
        "thread_policy": guest.thread_policy,
        "shared_vcpus": list(guest.shared_vcpus),
        "loose_devices": [str(address) for address in guest.loose_devices],
    }


def topology_document(topology: GuestTopology | None) -> Mapping[str, int] | None:
    """``{sockets, dies, cores, threads}``, or null."""
    if topology is None:
        return None
    return {
        "sockets": topology.sockets,
        "dies": topology.dies,
        "cores": topology.cores,
        "threads": topology.threads,
    }


def to_topology(form: TopologyForm | None) -> GuestTopology | None:
    """The noun of a form."""
    return None if form is None else GuestTopology(form.sockets, form.dies, form.cores, form.threads)


def to_guest(form: GuestForm, file: str) -> Guest:
    """The noun of a form; `file` names the document where the guest does not name a file of its own."""
    return Guest(
        name=form.name,
        file=file if form.file is None else form.file,
        vcpus=form.vcpus,
        memory_kib=form.memory_kib,
        uuid=form.uuid,
        vcpu_line=form.vcpu_line,
        vcpu_cpuset=form.vcpu_cpuset,
        auto_placement=form.auto_placement,
        topology=to_topology(form.topology),
        cells=tuple(
            GuestCell(CellId(cell.id), tuple(VcpuId(vcpu) for vcpu in sorted(cell.vcpus)), cell.memory_kib, cell.line)
            for cell in form.cells
        ),
        vcpu_pins=tuple(VcpuPin(VcpuId(pin.vcpu), pin.cpus, pin.line) for pin in form.vcpu_pins),
        emulator_pin=None if form.emulator_pin is None else EmulatorPin(form.emulator_pin.cpus, form.emulator_pin.line),
        iothreads=form.iothreads,
        iothread_pins=tuple(IothreadPin(IothreadId(pin.iothread), pin.cpus, pin.line) for pin in form.iothread_pins),
        memory=None if form.memory is None else _to_binding(form.memory),
        memnodes=tuple(_to_binding(binding) for binding in form.memnodes),
        hugepages=tuple(
            HugepageRequest(
                page.size_kib, None if page.cells is None else tuple(CellId(cell) for cell in page.cells), page.line
            )
            for page in form.hugepages
        ),
        interfaces=tuple(
            GuestInterface(
                interface.type,
                interface.line,
                mac=interface.mac,
                alias=interface.alias,
                source=interface.source,
                pci=interface.pci,
                vlan=interface.vlan,
            )
            for interface in form.interfaces
        ),
        hostdevs=tuple(GuestHostdev(hostdev.pci, hostdev.line, hostdev.alias) for hostdev in form.hostdevs),
        thread_policy=form.thread_policy,
        running=form.running,
        shared_vcpus=tuple(VcpuId(vcpu) for vcpu in sorted(form.shared_vcpus)),
        loose_devices=tuple(form.loose_devices),
    )


def _optional(value: CpuSet | PciAddress | None) -> str | None:
    return None if value is None else str(value)


def _binding_document(binding: MemoryBinding) -> Mapping[str, object]:
    return {
        "cell": binding.cell,
        "mode": binding.mode,
        "nodes": None if binding.nodes is None else list(binding.nodes),
        "line": binding.line,
    }


def _interface_document(interface: GuestInterface) -> Mapping[str, object]:
    return {
        "type": interface.type,
        "mac": interface.mac,
        "alias": interface.alias,
        "source": interface.source,
        "pci": _optional(interface.pci),
        "vlan": interface.vlan,
        "line": interface.line,
    }


def _to_binding(form: MemoryBindingForm) -> MemoryBinding:
    cell = None if form.cell is None else CellId(form.cell)
    nodes = None if form.nodes is None else tuple(NodeId(node) for node in form.nodes)
    return MemoryBinding(cell, form.mode, nodes, form.line)
