"""inventory_json and read_inventory."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numaplan.cpuset import CpuSet
from numaplan.errors import ExitCode, InputError
from numaplan.inventory.host import read_host
from numaplan.model.host import PackageId, Source
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.sources.tree import open_tree
from tests.corpus import corpus
from tests.depth import step
from tests.hosts import Nic, host
from tests.records.samples import EVIL, evil_snapshot, full_snapshot, without_places

HERE = Path(__file__).parent
Edit = Callable[[dict[str, Any]], object]


def document(shape: str = "2n:2c:2t") -> dict[str, Any]:
    built = host(shape, pages={"1GiB": 4}, nics=[Nic("ens1f0", 0, 2)])
    parsed = json.loads(inventory_json(built))
    assert isinstance(parsed, dict)
    return parsed


def refusal_of(edit: Edit) -> str:
    changed = document()
    edit(changed)
    with pytest.raises(InputError) as caught:
        read_inventory(json.dumps(changed), "host.json")
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return without_places(str(caught.value))


def test_the_document_is_the_contract_s(golden: Callable[[Path, str], None]) -> None:
    golden(HERE / "inventory.json", inventory_json(full_snapshot()))


@pytest.mark.parametrize("shape", ["1n:1c:1t", "2n:4c:2t", "4n:3c:1t", "8n:2c:2t", "2n:4c:4t"], ids=str)
def test_a_built_host_reads_back_equal(shape: str) -> None:
    built = host(shape, llcs_per_node=0, nics=[Nic("a", 0, 3, per_group=2), Nic("b", None, 0)], offline="1")
    assert read_inventory(inventory_json(built), "host.json") == built


def test_a_host_with_every_field_set_reads_back_equal() -> None:
    assert read_inventory(inventory_json(full_snapshot()), "host.json") == full_snapshot()


def test_captured_hosts_read_back_equal() -> None:
    captures = sorted([*corpus().glob("*/capture.*"), *corpus().glob("lab/*.tar.gz")])
    assert len(captures) > 50
    for capture in captures[:: step(3)]:
        snapshot = read_host(open_tree(capture))
        assert read_inventory(inventory_json(snapshot), "host.json") == snapshot, capture.parent.name


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_of_a_host_survives_as_ascii(text: str) -> None:
    written = inventory_json(evil_snapshot(text))
    assert written.isascii()
    assert read_inventory(written, "host.json") == evil_snapshot(text)


@given(st.text(st.characters(exclude_characters="", exclude_categories=())))
def test_any_hostname_reads_back_equal_unless_two_surrogates_pair_up(name: str) -> None:
    snapshot = host("1n:1c:1t")
    snapshot = replace(snapshot, host=replace(snapshot.host, hostname=name))
    paired = name.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    back = read_inventory(inventory_json(snapshot), "host.json")
    assert back.host.hostname == paired


def test_the_same_snapshot_gives_the_same_bytes_with_two_spaces_and_a_newline_at_the_end() -> None:
    written = inventory_json(full_snapshot())
    assert written == inventory_json(full_snapshot())
    assert written.startswith('{\n  "schema": "numaplan/inventory/1",\n  "host": {"hostname": "compute-7", ')
    assert written.endswith("}\n")
    assert not written.endswith("\n\n")


def test_a_document_with_the_contract_s_keys_alone_is_read() -> None:
    text = """{"schema": "numaplan/inventory/1",
     "host": {"hostname": null, "kernel": null, "architecture": null, "source": "capture", "cpu_model": null,
              "virtualization": {"kvm": true, "iommu": null, "sev": "Y"}},
     "packages": [{"id": null, "cpus": "0-1", "numa_nodes": [0]}],
     "numa_nodes": [{"id": 0, "packages": [], "cpus": "0-1", "memory_kib": null, "free_kib": null,
                     "available_kib": null, "hugepages": [], "distances": {}}],
     "llcs": [{"level": 3, "cpus": "0-1", "size_kib": null, "numa_nodes": [0]}],
     "cores": [{"cpus": [1], "package": null, "numa_node": null, "core_id": null, "die_id": null},
               {"cpus": [0], "package": null, "numa_node": 0, "core_id": 0, "die_id": 0}],
     "cpus": {"present": "0-2", "online": "0-1", "offline": "2", "isolated": "", "nohz_full": ""},
     "pci": [{"address": "0000:3b:02.0", "vendor": "8086", "device": "154c", "class": "020000", "numa_node": null,
              "driver": null, "iommu_group": null, "netdevs": [], "sriov": null, "physfn": "0000:3b:00.0"},
             {"address": "0000:3b:00.0", "vendor": "8086", "device": "1572", "class": "020000", "numa_node": 0,
              "driver": "i40e", "iommu_group": 12, "netdevs": ["ens1f0"],
              "sriov": {"total": 64, "configured": 1, "vfs": ["0000:3b:02.0"]}, "physfn": null}],
     "iommu_groups": [{"id": 12, "devices": ["0000:3b:00.0"]}],
     "guests": [], "links": [], "kernel": {"cmdline": ["quiet"]}, "site": {"rack": 7},
     "gaps": [{"what": "sys/x", "why": "permission denied"}]}"""
    snapshot = read_inventory(text, "host.json")
    assert snapshot.host.kvm is True
    assert snapshot.cpus.offline == CpuSet.parse("2")
    assert [core.name for core in snapshot.cores] == [0, 1]
    assert [str(device.address) for device in snapshot.pci] == ["0000:3b:00.0", "0000:3b:02.0"]
    assert snapshot.packages[0].id is None


def test_what_may_be_missing_is_none_or_empty() -> None:
    text = """{"schema": "numaplan/inventory/1", "host": {}, "numa_nodes": [{"id": 3, "cpus": "0"}],
               "cores": [{"cpus": [0]}], "cpus": {"online": "0", "offline": "4"}}"""
    snapshot = read_inventory(text, "host.json")
    assert snapshot.host.source is Source.CAPTURE
    assert (snapshot.packages, snapshot.llcs, snapshot.pci, snapshot.guests) == ((), (), (), ())
    assert snapshot.nodes[0].available_kib is None
    assert snapshot.cores[0].numa_node is None
    assert snapshot.cpus.present == CpuSet.parse("0,4")


def test_a_function_without_a_group_is_in_the_group_that_lists_it() -> None:
    changed = document()
    for device in changed["pci"]:
        device["iommu_group"] = None
    assert read_inventory(json.dumps(changed), "host.json") == read_inventory(json.dumps(document()), "host.json")


def test_ids_and_addresses_in_upper_case_are_those_in_lower_case() -> None:
    changed = document()
    changed["pci"][0].update(address="0000:3B:00.0", vendor="15B3", device="101D", **{"class": "02000A"})
    devices = {str(device.address): device for device in read_inventory(json.dumps(changed), "host.json").pci}
    device = devices["0000:3b:00.0"]
    assert (device.vendor, device.device, device.pci_class) == ("15b3", "101d", "02000a")


def test_a_guest_of_a_foreign_document_needs_a_name_vcpus_and_memory_alone() -> None:
    changed = document()
    changed["guests"] = [{"name": "b", "vcpus": 2, "memory_kib": 4}, {"name": "a", "vcpus": 1, "memory_kib": 8}]
    guests = read_inventory(json.dumps(changed), "host.json").guests
    assert [guest.name for guest in guests] == ["a", "b"]
    assert guests[0].file == "host.json"
    assert guests[0].running is None


@pytest.mark.parametrize("key", ["host", "numa_nodes", "cores", "cpus"])
def test_a_missing_part_that_nothing_can_replace_is_refused(key: str) -> None:
    assert refusal_of(lambda d: d.pop(key)) == f"host.json: {key}: is missing"


def test_the_schema_that_was_found_is_named() -> None:
    assert refusal_of(lambda d: d.update(schema="numaplan/plan/1")) == (
        "host.json: schema: expected \"numaplan/inventory/1\", found 'numaplan/plan/1'; "
        "it is a document of another kind"
    )
    assert "of another version" in refusal_of(lambda d: d.update(schema="numaplan/inventory/2"))
    assert "is missing" in refusal_of(lambda d: d.pop("schema"))
    assert "found a list" in refusal_of(lambda d: d.update(schema=[]))


WRONG_TYPES: list[tuple[Edit, str]] = [
    (lambda d: d["host"].update(hostname=3), "host.hostname: expected a string, found 3"),
    (lambda d: d["host"].update(source="dead"), "host.source: expected 'live' or 'capture', found 'dead'"),
    (lambda d: d["host"].update(source="\udc80"), "host.source: expected text, found '\\udc80'"),
    (lambda d: d["host"].update(virtualization={"kvm": 1}), "host.virtualization.kvm: expected true or false, found 1"),
    (lambda d: d["numa_nodes"][1].update(id="1"), "numa_nodes[1].id: expected a whole number, found '1'"),
    (lambda d: d["numa_nodes"][1].update(id=True), "numa_nodes[1].id: expected a whole number, found true"),
    (lambda d: d["numa_nodes"][1].update(id=1.0), "numa_nodes[1].id: expected a whole number, found 1.0"),
    (lambda d: d["numa_nodes"][0].update(id=-1), "numa_nodes[0].id: expected a number of 0 or more, found -1"),
    (lambda d: d["numa_nodes"][0].update(memory_kib=-5), "memory_kib: expected a number of 0 or more, found -5"),
    (
        lambda d: d["numa_nodes"][0].update(memory_kib=10**30),
        "memory_kib: expected a number of 281474976710656 or less",
    ),
    (lambda d: d["numa_nodes"][0].update(cpus="3-1"), "numa_nodes[0].cpus: expected a CPU list (range runs backwards"),
    (lambda d: d["numa_nodes"][0].update(cpus=None), "numa_nodes[0].cpus: expected a string, found null"),
    (lambda d: d["numa_nodes"][0].update(distances={"x": 10}), "numa_nodes[0].distances.x: expected a decimal number"),
    (lambda d: d["numa_nodes"][0].update(distances={"0": "10"}), "distances['0']: expected a whole number, found '10'"),
    (
        lambda d: d["numa_nodes"][0].update(distances={"0": 9}),
        "distances['0']: expected a number of 10 or more, found 9",
    ),
    (lambda d: d["numa_nodes"][0].update(distances=[]), "numa_nodes[0].distances: expected an object, found a list"),
    (lambda d: d["cpus"].update(online="0-8192"), "cpus.online: expected a CPU list (id 8192 is 8192 or more)"),
    (
        lambda d: d["cpus"].update(online=",".join(["0-8191"] * 5000)),
        "cpus.online: expected a CPU list (it names more CPUs than there can be)",
    ),
    (lambda d: d["cores"][0].update(cpus=[8192]), "cores[0].cpus[0]: expected a number of 8191 or less, found 8192"),
    (lambda d: d["cores"][0].update(cpus="0"), "cores[0].cpus: expected a list, found '0'"),
    (lambda d: d.update(cores=[3]), "cores[0]: expected an object, found 3"),
    (lambda d: d["pci"][0].update(address="nope\x1b"), "pci[0].address: expected a PCI address such as 0000:3b:02.0"),
    (lambda d: d["pci"][0].pop("class"), "pci[0].class: is missing"),
    (lambda d: d.update(gaps=None), "gaps: expected a list, found null"),
    (lambda d: d["host"]["virtualization"].update(nested=1), "virtualization.nested: expected true or false, found 1"),
    (lambda d: d["cores"][0].update(kind="tiny"), "cores[0].kind: expected 'performance', 'efficiency' or 'low_power'"),
    (lambda d: d["pci"][0].update(link=[]), "pci[0].link: expected an object, found a list"),
    (lambda d: d["pci"][0].update(vf={}), "pci[0].vf.index: is missing"),
    (lambda d: d["links"][0].update(mtu=-1), "links[0].mtu: expected a number of 0 or more, found -1"),
    (lambda d: d.update(irqs=None), "irqs: expected a list, found null"),
    (lambda d: d.update(irqs=[{"number": 2**31}]), "irqs[0].number: expected a number of 2147483647 or less"),
    (lambda d: d.update(irqs=[{"number": 1, "device": "x"}]), "irqs[0].device: expected a PCI address"),
    (lambda d: d.update(kernel=[]), "kernel: expected an object, found a list"),
    (lambda d: d.update(kernel={"isolcpus": {"cpus": "a"}}), "kernel.isolcpus.cpus: expected a CPU list (no CPU list"),
    (lambda d: d.update(kernel={"cpusets": [{"path": 3}]}), "kernel.cpusets[0].path: expected a string, found 3"),
    (
        lambda d: d.update(guests=[{"name": "a", "vcpus": 1, "memory_kib": 1, "thread_policy": "bogus"}]),
        "guests[0].thread_policy: expected 'prefer', 'require' or 'isolate', found 'bogus'",
    ),
    (lambda d: d.update(openvswitch={"pmds": [{"cpu": 8192}]}), "pmds[0].cpu: expected a number of 8191 or less"),
]


@pytest.mark.parametrize(("edit", "sentence"), WRONG_TYPES, ids=[sentence for _, sentence in WRONG_TYPES])
def test_a_wrong_type_or_number_is_refused_with_its_path(edit: Edit, sentence: str) -> None:
    message = refusal_of(edit)
    assert message.startswith("host.json: ")
    assert sentence in message
    assert message.isprintable()


CELL: Final[dict[str, Any]] = {"id": 0, "vcpus": [0], "memory_kib": 1}

CONTRADICTIONS: list[tuple[Edit, str]] = [
    (lambda d: d["cores"].append(d["cores"][0]), "cores[4].cpus: CPU 0 stands in cores[0] already"),
    (lambda d: d["cores"][0]["cpus"].append(0), "cores[0].cpus: CPU 0 stands in cores[0] already"),
    (lambda d: d["cores"][0].update(cpus=[]), "cores[0].cpus: a core has one CPU at least"),
    (lambda d: d["cores"][0]["cpus"].append(9), "cores[0].cpus: not online: 9"),
    (lambda d: d["cores"].pop(0), "cores: online, but of no core: 0,4"),
    (lambda d: d["cores"][0].update(numa_node=7), "cores[0].numa_node: there is no node 7"),
    (lambda d: d["numa_nodes"][0].update(cpus="0-1,4-5,9"), "numa_nodes[0].cpus: not online: 9"),
    (lambda d: d["numa_nodes"][1].update(id=0), "numa_nodes[1].id: 0 stands there twice"),
    (lambda d: d["numa_nodes"][1].update(cpus="1-3"), "numa_nodes[1].cpus: in an earlier entry too: 1"),
    (lambda d: d["llcs"].append(d["llcs"][0]), "llcs[2].cpus: in an earlier entry too: 0-1,4-5"),
    (lambda d: d["packages"][0].update(cpus="0-9"), "packages[0].cpus: not online: 8-9"),
    (lambda d: d["llcs"][0].update(cpus="0-9"), "llcs[0].cpus: not online: 8-9"),
    (lambda d: d["pci"][1].update(address="0000:10:00.0"), "pci[1].address: 0000:10:00.0 stands there twice"),
    (lambda d: d["pci"][0].update(numa_node=5), "pci[0].numa_node: there is no node 5"),
    (lambda d: d["pci"][0]["sriov"].update(vfs=["0000:11:00.0"] * 2), "pci[0].sriov.vfs[1]: 0000:11:00.0 stands"),
    (lambda d: d["iommu_groups"][1].update(id=1000), "iommu_groups[1].id: 1000 stands there twice"),
    (
        lambda d: d["iommu_groups"][1]["devices"].append(d["iommu_groups"][0]["devices"][0]),
        "iommu_groups[1].devices: 0000:10:00.0 is in group 1000 already",
    ),
    (lambda d: d["links"].append({"name": "ens1f0"}), "links[1].name: 'ens1f0' stands there twice"),
    (
        lambda d: d.update(guests=[{"name": "a", "vcpus": 1, "memory_kib": 1}] * 2),
        "guests[1].name: 'a' stands there twice",
    ),
    (lambda d: d["cpus"].update(offline="7-9"), "cpus.offline: online too: 7"),
    (lambda d: d["cpus"].update(present="0-3"), "cpus.online: not present: 4-7"),
    (
        lambda d: d["numa_nodes"][0]["hugepages"].append(d["numa_nodes"][0]["hugepages"][0]),
        "numa_nodes[0].hugepages[1].size_kib: 1048576 stands there twice",
    ),
    (
        lambda d: d["numa_nodes"][0]["hugepages"][0].update(free=2**40),
        "numa_nodes[0].hugepages[0]: 4 total and 1099511627776 free pages of 1048576 KiB are more than any host has",
    ),
    (lambda d: d["numa_nodes"][0].update(access=[{"access": 1}] * 2), "numa_nodes[0].access[1].access: 1 stands"),
    (lambda d: d.update(irqs=[{"number": 7}, {"number": 7}]), "irqs[1].number: 7 stands there twice"),
    (lambda d: d.update(kernel={"cpusets": [{"path": "/a"}] * 2}), "kernel.cpusets[1].path: '/a' stands there twice"),
    (
        lambda d: d.update(kernel={"vulnerabilities": [{"name": "mds", "status": "?"}] * 2}),
        "kernel.vulnerabilities[1].name: 'mds' stands there twice",
    ),
    *(
        (
            lambda d, key=key, entry=entry: d.update(openvswitch={key: [entry, entry]}),
            f"openvswitch.{key}[1].{sentence}",
        )
        for key, entry, sentence in (
            ("socket_memory", {"node": 0, "size_kib": 1024}, "node: 0 stands there twice"),
            ("bridges", {"name": "br0", "datapath": "system"}, "name: 'br0' stands there twice"),
            ("interfaces", {"name": "dpdk0"}, "name: 'dpdk0' stands there twice"),
            ("pmds", {"cpu": 3}, "cpu: 3 stands there twice"),
        )
    ),
    *(
        (
            lambda d, live=live: d.update(guests=[{"name": "a", "vcpus": 1, "memory_kib": 1, "live": live}]),
            f"guests[0].live.{sentence}",
        )
        for live, sentence in (
            (
                {"threads": [{"kind": "vcpu", "index": 2, "affinity": cpus} for cpus in ("1", "2")]},
                "threads[1].index: 'vcpu 2' stands there twice",
            ),
            (
                {"threads": [{"kind": kind, "tid": 9, "affinity": ""} for kind in ("vhost", "other")]},
                "threads[1].tid: 9 stands there twice",
            ),
            (
                {"memory": [{"node": 1, "page_size_kib": 4, "size_kib": size} for size in (4, 8)]},
                "memory[1]: 'node 1, 4 KiB' stands there twice",
            ),
        )
    ),
    (
        lambda d: d.update(guests=[{"name": "a", "vcpus": 1, "memory_kib": 1, "cells": [CELL, CELL | {"id": 2}]}]),
        "guests[0].cells[1].id: 2 cells are numbered from 0, this one is 2",
    ),
]


@pytest.mark.parametrize(("edit", "sentence"), CONTRADICTIONS, ids=[sentence for _, sentence in CONTRADICTIONS])
def test_a_document_that_contradicts_itself_is_refused(edit: Edit, sentence: str) -> None:
    assert f"host.json: {sentence}" in refusal_of(edit)


def test_a_document_that_would_fill_the_memory_with_cpu_sets_is_refused() -> None:
    irqs = [{"number": i, "affinity": f"{i}-8191"} for i in range(531)]
    assert refusal_of(lambda d: d.update(irqs=irqs)).startswith(
        "host.json: irqs[529].affinity: expected a CPU list "
        "(the lists of the document together name more than 4194304 CPUs), found '529-8191'\n"
    )
    same = document() | {"irqs": [{"number": i, "affinity": "0-8191"} for i in range(1000)]}
    assert len(read_inventory(json.dumps(same), "host.json").irqs) == 1000


def test_two_packages_of_one_id_are_taken_as_broken_firmware_has_them() -> None:
    built = host("2n:2c:2t")
    doubled = replace(built, packages=tuple(replace(package, id=PackageId(255)) for package in built.packages))
    assert read_inventory(inventory_json(doubled), "host.json") == doubled


def test_more_free_than_total_is_taken_as_read_at_two_moments() -> None:
    changed = document()
    changed["numa_nodes"][0]["hugepages"][0].update(free=5)
    assert read_inventory(json.dumps(changed), "host.json").nodes[0].hugepages[0].free == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "host.json:1:1: not JSON: expecting value"),
        ('{\n  "schema": 1,,\n}', "host.json:2:15: not JSON: expecting property name enclosed in double quotes"),
        ("\ufeff{}", "host.json:1:1: not JSON: unexpected UTF-8 BOM (decode using utf-8-sig)"),
        ("[]", "host.json:1:1: expected a JSON object, found a list"),
        (
            '{"a": "{a\\": [", "b": [{"a": 1}, {"a": 2,\n "\\u0061" : 2}]}',
            "host.json:2:2: JSON not accepted: the key 'a' stands twice in one object",
        ),
        ('{"a": 1E5, "NaN": [NaN]}', "host.json:1:20: JSON not accepted: NaN is not a JSON number"),
        ('{"a": -1,\n"b": -Infinity}', "host.json:2:6: JSON not accepted: -Infinity is not a JSON number"),
        ('{"a": ' + "[" * 200_000, "host.json: JSON not accepted: it is nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "host.json: JSON not accepted: a number has thousands of digits"),
        (" " * (16 * 1024 * 1024 + 1), "host.json: the document has 16777217 characters; at most 16777216 are read"),
    ],
    ids=["empty", "comma", "bom", "list", "twice", "nan", "infinity", "deep", "digits", "large"],
)
def test_what_is_no_json_object_of_ours_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_inventory(text, "host.json")
    assert str(caught.value) == message


def test_all_mistakes_are_told_at_once_up_to_twenty() -> None:
    def edit(changed: dict[str, Any]) -> None:
        changed["gaps"] = [{"what": 1, "why": 2}] * 50

    lines = refusal_of(edit).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "host.json: and 80 more mistakes"
