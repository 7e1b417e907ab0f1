"""Flavors for Nova."""

import re
from dataclasses import replace

from hypothesis import given, settings

from numaplan.cpuset import format_id_list, parse_id_list, parse_libvirt_list
from numaplan.model.plan import DevicePlacement, InterfacePlacement, Placement
from numaplan.model.request import (
    Affinity,
    CpuPolicy,
    DeviceRequest,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Realtime,
)
from numaplan.targets.nova import render
from tests.requests import guest, vfs
from tests.targets.drawn import EXAMPLES, HOST, NAMES, VFS, functions, plans
from tests.targets.small import placed
from tests.targets.words import commands, run_by_sh

# The patterns by which Nova checks them (nova/api/validation/extra_specs).
IDS = r"\^?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*"
KNOWN = {
    "hw:cpu_policy": "dedicated|shared|mixed",
    "hw:cpu_thread_policy": "prefer|isolate|require",
    "hw:emulator_threads_policy": "isolate|share",
    "hw:cpu_realtime": "yes",
    "hw:cpu_realtime_mask": IDS,
    "hw:cpu_dedicated_mask": IDS,
    "hw:cpu_sockets": r"[1-9]\d*",
    "hw:cpu_cores": r"[1-9]\d*",
    "hw:cpu_threads": r"[1-9]\d*",
    "hw:numa_nodes": r"[1-9]\d*",
    "hw:numa_cpus.N": IDS,
    "hw:numa_mem.N": r"[1-9]\d*",
    "hw:mem_page_size": r"large|small|any|\d+",
    "hw:locked_memory": "true",
    "hw:pci_numa_affinity_policy": "required|preferred|socket",
    "pci_passthrough:alias": r"[^:]+:\d+(?:,[^:]+:\d+)*",
}


def specs(text: str) -> dict[str, str]:
    """The extra specs that the second command sets."""
    create, settle = commands(text)
    assert create[:3] == ["openstack", "flavor", "create"]
    assert settle[:3] == ["openstack", "flavor", "set"]
    assert create[-2:] == settle[-2:]
    pairs = [word.removeprefix("--property=").partition("=") for word in settle[3:-2]]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_the_flavor_says_what_the_plan_says_of_cells_and_pages(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    text = render(request, placement, HOST, None).text
    said = specs(text)
    assert said["hw:numa_nodes"] == str(len(placement.cells))
    for cell in placement.cells:
        assert parse_id_list(said[f"hw:numa_cpus.{cell.id}"]) == {int(vcpu) for vcpu, _ in cell.vcpus}
        assert int(said[f"hw:numa_mem.{cell.id}"]) == -(-cell.memory_kib // 1024)
    ram = sum(int(value) for name, value in said.items() if name.startswith("hw:numa_mem."))
    assert f"--ram={ram}" in text
    assert f"--vcpus={request.vcpus}" in text
    sizes = {cell.page_size_kib for cell in placement.cells}
    if len(sizes) == 1:
        assert said["hw:mem_page_size"] == ("small" if sizes == {4} else str(max(sizes)))


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_every_spec_is_one_that_nova_takes_beside_the_others(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    said = specs(render(request, placement, HOST, None).text)
    for name, value in said.items():
        assert re.fullmatch(KNOWN[re.sub(r"\d+$", "N", name)], value), name
    if said["hw:cpu_policy"] == "shared":
        refused = ("hw:cpu_thread_policy", "hw:emulator_threads_policy", "hw:cpu_realtime", "hw:cpu_dedicated_mask")
        assert not any(name in said for name in refused)
    if said["hw:cpu_policy"] == "mixed":
        assert ("hw:cpu_dedicated_mask" in said) != ("hw:cpu_realtime" in said)
        assert parse_id_list(said.get("hw:cpu_dedicated_mask", "")) <= request.dedicated_vcpus
    else:
        assert "hw:cpu_dedicated_mask" not in said


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_the_pins_and_the_functions_are_said_to_be_nobodys_promise(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    cannot = render(request, placement, HOST, None).cannot
    for cell in placement.cells:
        assert f"cell {cell.id} on node {cell.numa_node} (vCPU " in cannot[0]
        assert all(f"{vcpu} on {cpus}" in cannot[0] for vcpu, cpus in cell.vcpus)
    assert all(any(str(address) in sentence for sentence in cannot[1:]) for address in functions(placement))
    assert all(any(f'"{interface.name}"' in sentence for sentence in cannot) for interface in request.interfaces)


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans(NAMES.filter(lambda name: "\0" not in name and "\x01" not in name)))
def test_a_hostile_name_stays_one_word(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    create, settle = run_by_sh(render(request, placement, HOST, None).text, ["openstack"])
    assert create[-2:] == settle[-2:] == ["--", request.name]


def test_realtime_vcpus_are_named_by_those_that_are_none() -> None:
    request = replace(guest("fw", 4), realtime=Realtime(frozenset({1, 2}), 3))  # type: ignore[arg-type]  # ints will do
    said = specs(render(request, placed(request), HOST, None).text)
    assert said["hw:cpu_realtime_mask"] == "^0,^3"
    assert parse_libvirt_list("0-3," + said["hw:cpu_realtime_mask"]) == {1, 2}
    all_of_them = replace(request, realtime=Realtime(request.dedicated_vcpus))
    assert "hw:cpu_realtime_mask" not in specs(render(all_of_them, placed(request), HOST, None).text)


def test_realtime_of_a_mixed_guest_is_that_of_its_dedicated_vcpus_or_none() -> None:
    request = guest("fw", 4, cpu_policy=CpuPolicy.MIXED, dedicated=(2, 3))
    one = replace(request, realtime=Realtime(frozenset(list(request.dedicated_vcpus)[:1])))
    rendered = render(one, placed(request), HOST, None)
    assert specs(rendered.text)["hw:cpu_dedicated_mask"] == "2-3"
    assert any("takes all dedicated vCPUs for realtime ones" in sentence for sentence in rendered.cannot)
    both = specs(render(replace(request, realtime=Realtime(request.dedicated_vcpus)), placed(request), HOST, None).text)
    assert both["hw:cpu_realtime_mask"] == "^0-1"
    assert "hw:cpu_dedicated_mask" not in both


def test_vfs_are_ports_and_the_command_for_each_is_said() -> None:
    wan = replace(vfs("wan", "phys0", 2, physnet=True), mac="52:54:00:aa:00:01", trust=True, vlan=5)
    mgmt = InterfaceRequest("mgmt", InterfaceType.VIRTIO, bridge="br0", queues=2)
    request = guest("fw", 2, interfaces=[wan, mgmt])
    placement = replace(placed(request), interfaces=(InterfacePlacement("wan", VFS[:2]),))
    cannot = render(request, placement, HOST, None).cannot
    wan_is = 'interface "wan" is a port, and its VF Nova\'s choice (the plan has'
    rest = "--binding-profile=trusted=true --network=NETWORK-OF-phys0"
    start = "openstack port create --vnic-type=direct --numa-policy-required"
    assert [sentence for sentence in cannot if "interface" in sentence] == [
        f"{wan_is} {VFS[0]}): {start} --mac-address=52:54:00:aa:00:01 {rest} -- wan-1",
        f"{wan_is} {VFS[1]}): {start} {rest} -- wan-2",
        'interface "wan": VLAN 5 is its network\'s provider:segmentation_id',
        'interface "mgmt" is a port: openstack port create --vnic-type=normal --network=NETWORK -- mgmt',
        'interface "mgmt": 2 queues: Nova makes one for each vCPU, or one',
    ]


def test_devices_are_aliases_and_one_affinity_is_the_flavors() -> None:
    devices = tuple(DeviceRequest(name, affinity=Affinity.SOCKET) for name in ("gpu", "a:b"))
    request = replace(guest("fw", 2), devices=devices)
    placement = replace(placed(request), devices=(DevicePlacement("gpu", VFS[0]), DevicePlacement("a:b", VFS[1])))
    rendered = render(request, placement, HOST, None)
    assert specs(rendered.text)["pci_passthrough:alias"] == "gpu:1"
    assert specs(rendered.text)["hw:pci_numa_affinity_policy"] == "socket"
    assert any('"a:b"' in sentence and "no colon or comma" in sentence for sentence in rendered.cannot)
    mixed = replace(request, devices=(request.devices[0], DeviceRequest("a:b")))
    assert "hw:pci_numa_affinity_policy" not in specs(render(mixed, placement, HOST, None).text)


def test_pages_of_several_sizes_are_one_word_of_nova_and_said_in_full() -> None:
    request = guest("db", [2, 2])
    placement = placed(request)
    cells = (replace(placement.cells[0], page_size_kib=2048), replace(placement.cells[1], page_size_kib=1 << 20))
    rendered = render(request, replace(placement, cells=cells), HOST, None)
    assert specs(rendered.text)["hw:mem_page_size"] == "large"
    assert any("cell 0 2048 KiB, cell 1 1048576 KiB" in sentence for sentence in rendered.cannot)
    assert format_id_list(v for v, _ in cells[0].vcpus) == specs(rendered.text)["hw:numa_cpus.0"]
