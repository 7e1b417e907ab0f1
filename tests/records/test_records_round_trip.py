"""Any snapshot through its document and back; documents of before, and what is written but not read."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from numaplan.errors import InputError
from numaplan.model.host import HostIdentity, Source
from numaplan.model.kernel import UNKNOWN_KERNEL
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.records.schemas import schema
from tests.records.nouns import any_host
from tests.records.samples import full_snapshot

NounT = TypeVar("NounT")

CHECK = Draft202012Validator(json.loads(schema("inventory")))
# What the first documents of this schema did not have.
LATER = {
    "host": ("cpu_flags",),
    "virtualization": ("nested",),
    "numa_nodes": ("access",),
    "cores": ("kind", "capacity"),
    "pci": ("name", "vf", "link", "resets", "guests"),
    "links": ("mac", "mtu", "up", "vlan", "peer"),
    "guests": (
        "state",
        "persistent",
        "managed_save",
        "live",
        "current_vcpus",
        "schedulers",
        "cachetunes",
        "backing",
        "memory_limit_kib",
        "controllers",
        "memballoon",
        "machine",
        "architecture",
        "cpu_mode",
        "cpu_cache",
        "emulator",
        "owner",
    ),
    "cells": ("memory_access", "distances"),
    "interfaces": ("target", "socket", "model", "queues", "address", "managed"),
    "hostdevs": ("address", "managed"),
}


def full_document() -> dict[str, Any]:
    parsed = json.loads(inventory_json(full_snapshot()))
    assert isinstance(parsed, dict)
    return parsed


def read(document: dict[str, Any]) -> Snapshot:
    return read_inventory(json.dumps(document), "host.json")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_host())
def test_any_host_reads_back_equal_and_is_valid_by_our_schema(snapshot: Snapshot) -> None:
    written = inventory_json(snapshot)
    assert read_inventory(written, "host.json") == snapshot
    CHECK.validate(json.loads(written))


def older(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it was before all that came later."""
    entries = {
        "host": [document["host"]],
        "virtualization": [document["host"]["virtualization"]],
        **{
            key: [entry for guest in document["guests"] for entry in guest[key]]
            for key in ("cells", "interfaces", "hostdevs")
        },
        **{key: document[key] for key in ("numa_nodes", "cores", "pci", "links", "guests")},
    }
    for part, keys in LATER.items():
        for entry in entries[part]:
            for key in keys:
                del entry[key]
    document["kernel"] = {}
    del document["irqs"], document["openvswitch"]
    return document


def without(noun: NounT, part: str) -> NounT:
    """The noun as if nobody had said what came later."""
    assert is_dataclass(noun)
    unsaid = {field.name: field.default for field in fields(noun) if field.name in LATER[part]}
    return cast("NounT", replace(noun, **unsaid))  # type: ignore[type-var]  # it is one, asserted above


def test_a_document_of_before_is_read_and_says_nothing_of_what_came_later() -> None:
    snapshot = read(older(full_document()))
    assert snapshot.host == HostIdentity(
        Source.LIVE, "compute-7", "6.12.0-1", "x86_64", "Xeon(R) CPU", kvm=True, iommu=False
    )
    assert (snapshot.kernel, snapshot.irqs, snapshot.openvswitch) == (UNKNOWN_KERNEL, (), None)
    assert {node.access for node in snapshot.nodes} == {()}
    assert {(core.kind, core.capacity) for core in snapshot.cores} == {(None, None)}
    assert {(device.link, device.resets, device.name, device.vf) for device in snapshot.pci} == {(None, (), None, None)}
    assert {(link.mac, link.mtu, link.up, link.vlan, link.peer) for link in snapshot.links} == {(None,) * 5}
    assert snapshot.guests == tuple(
        replace(
            without(guest, "guests"),
            cells=tuple(without(cell, "cells") for cell in guest.cells),
            interfaces=tuple(without(interface, "interfaces") for interface in guest.interfaces),
            hostdevs=tuple(without(hostdev, "hostdevs") for hostdev in guest.hostdevs),
        )
        for guest in full_snapshot().guests
    )


def test_a_null_is_as_good_as_a_missing_kernel_or_switch() -> None:
    document = full_document() | {"kernel": None, "openvswitch": None}
    snapshot = read(document)
    assert (snapshot.kernel, snapshot.openvswitch) == (UNKNOWN_KERNEL, None)
    document["kernel"] = {"smt": None, "ksm": None, "transparent_hugepages": None, "rcu_nocbs": None}
    assert read(document).kernel == UNKNOWN_KERNEL


def test_a_function_names_the_guests_that_hold_it_and_nobody_reads_it_there() -> None:
    document = full_document()
    held = {device["address"]: device["guests"] for device in document["pci"]}
    assert held["0000:11:00.0"] == ["fw1"]
    assert held["0000:10:00.0"] == []
    for device in document["pci"]:
        device["guests"] = {"nobody": 7}
    assert read(document) == full_snapshot()


def test_lists_by_number_are_read_in_order() -> None:
    document = full_document()
    document["irqs"].reverse()
    document["numa_nodes"][0]["access"].reverse()
    document["numa_nodes"][0]["access"][0]["initiators"].reverse()
    document["guests"][0]["live"]["allowed_nodes"].reverse()
    assert read(document) == full_snapshot()


def test_what_has_an_order_of_its_own_keeps_it() -> None:
    document = full_document()
    for key in ("bridges", "interfaces"):
        document["openvswitch"][key].reverse()
    document["kernel"]["parameters"].reverse()
    document["guests"][0]["live"]["threads"].reverse()
    snapshot, full = read(document), full_snapshot()
    assert snapshot.kernel.parameters == full.kernel.parameters[::-1]
    assert snapshot.openvswitch is not None
    assert [bridge.name for bridge in snapshot.openvswitch.bridges] == ["br-phy", "br-int"]
    live = snapshot.guests[0].live
    assert live is not None
    assert live.threads[0].name == "worker"


def slots(node: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, str | int]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in pairs:
        yield node, key
        if isinstance(value, dict | list):
            yield from slots(value)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_one_value_is_replaced_by_a_snapshot_or_an_input_error_comes_out(data: st.DataObject) -> None:
    document = full_document()
    places = list(slots(document))
    holder, key = places[data.draw(st.integers(0, len(places) - 1))]
    holder[key] = data.draw(
        st.sampled_from([None, True, -1, 1.5, 2**70, "", "\x1b\udc80", "0-8191", [], {}, [[]], {"": None}])
    )
    try:
        snapshot = read(document)
    except InputError as error:
        assert str(error).startswith("host.json:1:")  # noqa: PT017  # either outcome is right
    else:
        assert read_inventory(inventory_json(snapshot), "host.json") == snapshot
