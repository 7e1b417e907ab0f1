"""Requests drawn at random as the vnf.yaml that asks for them: keys from defaults, copies, cells as a list."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

from numaplan.api.profiles import shipped_profiles
from numaplan.api.question import Question
from numaplan.model.plan import Operation
from numaplan.model.request import (
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Request,
)
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.spec.vnf import parse_vnf
from tests.placement.random_cases import requests_and_hosts

Json = Any  # what a document holds


@st.composite
def questions(draw: st.DrawFn, *, small: bool = False) -> Question:
    """A small host and one to four guests that must be placed, often more than it can take."""
    case = draw(requests_and_hosts(existing=draw(st.sampled_from([False, False, True])), small=small))
    guests = tuple(
        replace(guest, required=draw(st.sampled_from([True, True, True, False]))) for guest in case.request.guests
    )
    document = vnf_document(replace(case.request, guests=guests))
    vms = document["vms"]
    if draw(st.booleans()):
        vm = draw(st.sampled_from(vms))
        vm["count"] = draw(st.integers(2, 4))
    for vm in vms:
        if draw(st.booleans()):
            _list_cells(vm)
    if draw(st.booleans()):
        _share(document, draw(st.sampled_from(vms)), draw(st.sets(st.sampled_from(SHARED))))
    return question(document, case.snapshot)


SHARED = ("interfaces", "emulator", "iothreads", "thread_policy", "memory_policy", "page_size", "affinity", "required")


def vnf_document(request: Request) -> Json:
    """The data of a vnf.yaml that asks for this."""
    policy = request.policy
    host: dict[str, Json] = {
        "shared_ratio": policy.shared_ratio,
        "guest_overhead": f"{policy.guest_overhead_kib}KiB",
        "reserved_memory": f"{policy.reserved_memory_kib}KiB",
        "physnets": {name: list(pfs) for name, pfs in policy.physnets},
    }
    for key, cpus in (("reserved_cpus", policy.reserved_cpus), ("shared_cpus", policy.shared_cpus)):
        if cpus is not None:
            host[key] = str(cpus)
    known = {guest.name for guest in request.guests}
    return {"apiVersion": "numaplan/v1", "host": host, "vms": [_vm(guest, known) for guest in request.guests]}


def _vm(guest: GuestRequest, known: set[str]) -> dict[str, Json]:
    emulator: Json = guest.emulator.value
    if guest.emulator is EmulatorPolicy.SET:
        emulator = {"policy": "set", "cpus": guest.emulator_cpus}
    mixed = {"dedicated_vcpus": ",".join(map(str, sorted(guest.dedicated_vcpus)))}
    return {
        "name": guest.name,
        "required": guest.required,
        "priority": guest.priority,
        "vcpus": guest.vcpus,
        "memory": f"{guest.memory_kib}KiB",
        "page_size": guest.cells[0].page_size.value,
        "memory_policy": guest.cells[0].memory_policy.value,
        "cells": _cells(guest),
        "distinct_nodes": guest.distinct_nodes,
        "cpu_policy": guest.cpu_policy.value,
        **(mixed if guest.cpu_policy is CpuPolicy.MIXED else {}),
        "thread_policy": guest.thread_policy.value,
        "emulator": emulator,
        "iothreads": {"count": guest.iothreads, "policy": guest.iothread_policy.value},
        "interfaces": [_interface(interface) for interface in guest.interfaces],
        "devices": [_device(device) for device in guest.devices],
        "affinity": [name for name in guest.affinity if name in known],
        "anti_affinity": [name for name in guest.anti_affinity if name in known],
    }


def _interface(interface: InterfaceRequest) -> dict[str, Json]:
    said: dict[str, Json] = {"name": interface.name, "type": interface.type.value}
    if interface.type is InterfaceType.SRIOV:
        said |= {"count": interface.count, "mbps": interface.mbps, "distinct_pfs": interface.distinct_pfs}
    if interface.type is InterfaceType.SRIOV or interface.bridge is not None:
        said["affinity"] = interface.affinity.value
    pf = interface.pf
    if pf is not None and interface.vf_indexes is not None:
        pf += "#" + ",".join(map(str, sorted(interface.vf_indexes)))
    chosen = {"physnet": interface.physnet, "pf": pf, "vendor": interface.vendor, "device": interface.device}
    return said | {key: value for key, value in {**chosen, "bridge": interface.bridge}.items() if value is not None}


def _device(device: DeviceRequest) -> dict[str, Json]:
    chosen = {"vendor": device.vendor, "device": device.device}
    if device.address is not None:
        chosen["address"] = str(device.address)
    said = {"name": device.name, "affinity": device.affinity.value}
    return said | {key: value for key, value in chosen.items() if value is not None}


def _cells(guest: GuestRequest) -> Json:
    first = guest.cells[0]
    if all(replace(cell, vcpus=first.vcpus) == first and len(cell.vcpus) == len(first.vcpus) for cell in guest.cells):
        return len(guest.cells)
    return [
        {
            "vcpus": ",".join(map(str, cell.vcpus)),
            "memory": f"{cell.memory_kib}KiB",
            "page_size": cell.page_size.value,
            "memory_policy": cell.memory_policy.value,
        }
        for cell in guest.cells
    ]


def _list_cells(vm: dict[str, Json]) -> None:
    """The same cells as a list, the first of which says its page size and memory policy itself."""
    count = vm["cells"]
    if isinstance(count, list):
        return
    vcpus, memory = vm.pop("vcpus"), int(vm.pop("memory").removesuffix("KiB"))
    cell = {"vcpus": vcpus // count, "memory": f"{memory // count}KiB"}
    own = {"page_size": vm["page_size"], "memory_policy": vm["memory_policy"]}
    vm["cells"] = [{**cell, **(own if k == 0 else {})} for k in range(count)]


def _share(document: Json, vm: dict[str, Json], keys: set[str]) -> None:
    """Some keys of a vm as defaults, which those of the others stand above."""
    document["defaults"] = {key: vm.pop(key) for key in sorted(keys)}
    for other in document["vms"]:
        if other is not vm and isinstance(other.get("emulator"), str):
            other["emulator"] = {"policy": other["emulator"]}


def question(document: Json, snapshot: Snapshot) -> Question:
    """What this vnf.yaml asks of the host."""
    stream = io.StringIO()
    # Through JSON: vnf.yaml has no anchors, so nothing may be there twice.
    YAML(typ="safe", pure=True).dump(json.loads(json.dumps(document)), stream)
    text = stream.getvalue()
    return Question(read_vnf(text, snapshot), snapshot, (), text, "vnf.yaml", None)


def read_vnf(text: str, snapshot: Snapshot) -> Request:
    known = frozenset(guest.name for guest in snapshot.guests)
    return parse_vnf(text, "vnf.yaml", profiles=shipped_profiles(), host_profile=None, known_guests=known)


def applied(document: Json, patch: Sequence[Operation]) -> Json:
    """The document after a JSON patch, by the letter of RFC 6902."""
    document = json.loads(json.dumps(document))
    for each in patch:
        *way, last = [step.replace("~1", "/").replace("~0", "~") for step in each.path.split("/")[1:]]
        at = document
        for step in way:
            at = at[int(step) if isinstance(at, list) else step]
        key: Json = int(last) if isinstance(at, list) else last
        if each.op in ("replace", "remove"):
            assert key < len(at) if isinstance(at, list) else key in at, f"{each.path} is not there"
            del at[key]
        if each.op in ("add", "replace"):
            assert not isinstance(at, list) or key <= len(at), f"{each.path} is past the end"
            at.insert(key, each.value) if isinstance(at, list) else at.update({key: each.value})
    return document


def after(asked: Question, fix: Any) -> Question:  # noqa: ANN401
    """The question once more, its documents patched."""
    if fix.document.value == "vnf":
        document = applied(YAML(typ="safe", pure=True).load(asked.text), fix.patch)
        return question(document, asked.snapshot)
    return on_host(asked, applied(inventory(asked), fix.patch))


def inventory(asked: Question) -> Json:
    return json.loads(inventory_json(asked.snapshot))


def on_host(asked: Question, document: Mapping[str, Json]) -> Question:
    snapshot = read_inventory(json.dumps(document), "inventory.json")
    return replace(asked, snapshot=snapshot, request=read_vnf(asked.text, snapshot))
