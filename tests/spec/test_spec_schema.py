import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from numaplan.spec.schema import vnf_schema
from tests.spec.reading import read, vm
from tests.spec.test_spec_vnf import CONTRACT, LEAST

SCHEMA = json.loads(vnf_schema())
CHECK = Draft202012Validator(SCHEMA)
CASES = Path(__file__).parent / "refused"

ACCEPTED = [
    LEAST,
    CONTRACT.replace("    profile: dpdk-forwarder\n", ""),
    vm(host="{reserved_cpus: 0, shared_cpus: 4-7, reserved_memory: 0, physnets: {1: [2]}, costs: {vf: 0}}"),
    vm(host="{reserved_cpus: '', shared_cpus: '0-7:2/4, 9', reserved_memory: 0KiB, guest_overhead: 256MiB}"),
    vm(host="", defaults=""),
    vm(defaults="{priority: 3, emulator: isolate, iothreads: 2}"),
    vm("count: 3\nanti_affinity: [fw1, fw1-2]\nprofile: ~\nmemory: 16 GiB"),
    vm("cells:\n- {vcpus: '0-3', memory: 8GiB}\n- {vcpus: '4,5-7', memory: 8GiB, page_size: any, memory_policy: null}"),
    vm("cells: [{vcpus: 8, memory: 16GiB}]"),
    vm("emulator: {policy: set, cpus: 2}\niothreads: {count: 1, policy: dedicated}"),
    vm("cpu_policy: mixed\ndedicated_vcpus: 0"),
    vm("realtime: {vcpus: 1-3, priority: 99}\nmemory_backing: {locked: true, hard_limit: 17GiB, access: shared}"),
    vm("realtime: null\nmemory_backing: {nosharepages: true, hard_limit: null, allocation: immediate}"),
    vm("memory_backing: {}\ncpu_cache: passthrough\nmemballoon: keep\ndevice_locality: never"),
    vm(
        "interfaces:\n- {name: 1, vendor: 8086, device: 0x1889}\n- {name: b, vendor: '8086', device: 10e8}\n"
        "- {name: c, pf: ens1f0#0-7, mac: 52:54:00:12:34:56, vlan: 0, trust: True, affinity: socket}\n"
        "- {name: d, type: virtio, bridge: br0, queues: 2, affinity: required}\n"
        "- {name: g, type: vhostuser, bridge: br-dpdk, affinity: null}\n"
        "devices: [{name: e, address: 0000:3b:00.0}, {name: f, address: 05:00.1, affinity: preferred}]"
    ),
]


def as_an_editor_sees_it(text: str) -> object:
    value = YAML(typ="safe", pure=True).load(text)
    # JSON knows no keys but texts.
    return json.loads(json.dumps(value))


def test_the_schema_is_a_valid_one_of_draft_2020_12() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_the_parser_accepts_the_schema_accepts(text: str) -> None:
    assert read(text)
    assert [error.message for error in CHECK.iter_errors(as_an_editor_sees_it(text))] == []


@pytest.mark.parametrize("case", ["many-mistakes", "no-vms", "wide"])
def test_the_schema_refuses_wrong_keys_and_values(case: str) -> None:
    assert not CHECK.is_valid(as_an_editor_sees_it((CASES / f"{case}.yaml").read_text()))


@pytest.mark.parametrize(
    "keys",
    [
        "vcpu: 4",
        "vcpus: 0",
        "vcpus: '8'",
        "memory: 16",
        "memory: 16GB",
        "page_size: 2MB",
        "required: maybe",
        "cells: 0",
        "cells: [{vcpus: 4}]",
        "emulator: shared",
        "dedicated_vcpus: x",
        "interfaces: [{name: a, mac: 53:54:00:12:34:56}]",
        "interfaces: [{name: a, vlan: 4095}]",
        "interfaces: [{type: sriov}]",
        "devices: [{name: a, address: 3b:20.0}]",
        "affinity: fw1",
        "realtime: 1-3",
        "realtime: {vcpus: 1, priority: 100}",
        "realtime: {priority: 1}",
        "memory_backing: {access: both}",
        "memory_backing: {hard_limit: 17}",
        "cpu_cache: host",
        "memballoon: virtio",
        "device_locality: true",
    ],
)
def test_the_schema_refuses_a_single_mistake(keys: str) -> None:
    assert CHECK.is_valid(as_an_editor_sees_it(vm()))
    assert not CHECK.is_valid(as_an_editor_sees_it(vm(keys)))


def test_every_key_is_described_and_defaults_are_those_of_the_contract() -> None:
    models = [SCHEMA, *SCHEMA["$defs"].values()]
    for model in models:
        for name, value in model["properties"].items():
            assert value.get("description"), name
    keys = SCHEMA["$defs"]["VmKeys"]["properties"]
    assert keys["page_size"]["default"] == "4KiB"
    assert keys["cells"]["default"] == 1
    assert (keys["memballoon"]["default"], keys["device_locality"]["default"]) == ("auto", "auto")
    assert "default" not in keys["realtime"]
    host = SCHEMA["$defs"]["HostKeys"]["properties"]
    assert (host["reserved_memory"]["default"], host["guest_overhead"]["default"]) == ("2GiB", "0KiB")


def test_the_schema_is_the_same_each_time_and_says_no_word_of_the_code() -> None:
    assert vnf_schema() == vnf_schema()
    assert vnf_schema().endswith("}\n")
    assert not re.search(r"pydantic|ruamel|YamlScalar", vnf_schema())
