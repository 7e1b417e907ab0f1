"""Whole domains, each with the vnf.yaml that asks for its plan: vendors' settings, and each element that is written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from numaplan.domxml.patch import Patched, patch_guest
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import NodeId
from numaplan.model.snapshot import Snapshot
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.spec.vnf import parse_vnf
from tests.corpus import corpus
from tests.hosts import Nic, host

CASES = Path(__file__).parent / "cases"
PROFILES = Path(__file__).resolve().parents[2] / "profiles"
SCHEMAS = ("schemas-11.3.0", "schemas-9.0.0")


def with_device(snapshot: Snapshot, address: str, node: int) -> Snapshot:
    """The host with one more PCI device."""
    device = PciDevice(PciAddress.parse(address), "8086", "4940", "0b4000", NodeId(node))
    return replace(snapshot, pci=tuple(sorted((*snapshot.pci, device), key=lambda one: one.address)))


NICS = (Nic("ens1f0", 0, 4), Nic("ens2f0", 1, 4))
PAGES = {"1GiB": 64, "2MiB": 8192}
# Two packages of two nodes each.
PAIRS = [[10, 12, 32, 32], [12, 10, 32, 32], [32, 32, 10, 12], [32, 32, 12, 10]]
SMALL = with_device(host("2n:8c:2t", pages=PAGES, nics=NICS), "0000:30:00.0", 1)


@dataclass(frozen=True)
class Case:
    """On which host the plan is made, and whether the guest's topology may change."""

    host: Snapshot = SMALL
    change_topology: bool = False


GOLDEN: dict[str, Case] = {
    "juniper-vmx-vfp": Case(with_device(host("2n:16c:1t", pages=PAGES), "0000:30:00.0", 1), change_topology=True),
    "fortigate": Case(host("2n:18c:2t", pages=PAGES, nics=NICS)),
    "ovs-dpdk": Case(),
    "vpp-vhost": Case(change_topology=True),
    "nokia-vsr": Case(host("2n:16c:2t", pages=PAGES, nics=NICS)),
    "oracle-sbc": Case(),
    "generic-pinned": Case(),
    "locality": Case(change_topology=True),
    "locality-withheld": Case(),
    "locality-i440fx": Case(change_topology=True),
    "locality-never": Case(change_topology=True),
    "realtime": Case(),
    "shared-ordinary": Case(),
    "distances": Case(host("4n:4c:1t", pages=PAGES, distances=PAIRS), change_topology=True),
    "two-cells": Case(),
}


@cache
def patched_case(name: str) -> Patched:
    """The patch of a case, and the proof that doing it again changes nothing."""
    case = GOLDEN[name]
    file = f"{name}-vnf.yaml"
    profiles = {path.stem: path.read_text(encoding="utf-8") for path in PROFILES.glob("*.yaml")}
    text = (CASES / file).read_text(encoding="utf-8")
    request = parse_vnf(text, file, profiles=profiles, host_profile=None, known_guests=frozenset())
    plan = solve(request, case.host, budget=Budget())
    (guest,) = request.guests
    placement = plan.placement(guest.name)
    assert placement is not None

    def carried_out(data: bytes) -> Patched:
        return patch_guest(
            data, name, request=guest, placement=placement, host=case.host, change_topology=case.change_topology
        )

    result = carried_out((CASES / f"{name}-in.xml").read_bytes())
    again = carried_out(result.data)
    assert again.data == result.data
    assert again.noticed == ()
    return result


@cache
def rules(schema: str) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(corpus() / schema / "domain.rng")))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_patched_domain_reads_as_its_golden_file(name: str, golden: Callable[[Path, str], None]) -> None:
    result = patched_case(name)
    golden(CASES / f"{name}-out.xml", result.data.decode())
    golden(CASES / f"{name}-notes.txt", "".join(f"{remark}\n" for remark in result.remarks))


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("name", GOLDEN)
def test_it_is_valid_before_and_after(name: str, schema: str) -> None:
    rules(schema).assertValid(etree.fromstring((CASES / f"{name}-in.xml").read_bytes()))
    rules(schema).assertValid(etree.fromstring(patched_case(name).data))


def test_every_case_is_there_in_full() -> None:
    named = {path.name.removesuffix("-vnf.yaml") for path in CASES.glob("*-vnf.yaml")}
    assert named == set(GOLDEN)


@pytest.mark.libvirt
@pytest.mark.parametrize("name", GOLDEN)
def test_libvirt_takes_it(name: str) -> None:
    import libvirt  # noqa: PLC0415 - it is not installed everywhere

    connection = libvirt.open("test:///default")
    taken = connection.defineXMLFlags(patched_case(name).data.decode(), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    assert taken.name() in (CASES / f"{name}-out.xml").read_text(encoding="utf-8")
    connection.close()


def said(name: str, path: str) -> list[dict[str, str]]:
    """The attributes of every element at a path of what a case comes to."""
    found = etree.fromstring(patched_case(name).data).iterfind(path)
    return [{str(key): str(value) for key, value in element.attrib.items()} for element in found]


def pins(name: str) -> list[str]:
    return [pin["cpuset"] for pin in said(name, "cputune/vcpupin")]


def test_juniper_forwarding_has_one_node_with_its_nic_an_emulator_cpu_and_pages_that_are_never_merged() -> None:
    assert pins("juniper-vmx-vfp") == [str(cpu) for cpu in range(17, 28)]
    assert said("juniper-vmx-vfp", "cputune/emulatorpin") == [{"cpuset": "28"}]
    assert said("juniper-vmx-vfp", "numatune/memory") == [{"mode": "strict", "nodeset": "1"}]
    assert said("juniper-vmx-vfp", "memoryBacking/nosharepages") == [{}]
    assert said("juniper-vmx-vfp", "cpu/topology") == [{"sockets": "1", "cores": "11", "threads": "1"}]


def test_fortinet_has_sibling_pairs_of_the_node_of_its_nic() -> None:
    assert pins("fortigate") == ["18", "54", "19", "55", "20", "56", "21", "57"]
    assert said("fortigate", "numatune/memory") == [{"mode": "strict", "nodeset": "1"}]


@pytest.mark.parametrize("name", ["ovs-dpdk", "vpp-vhost"])
def test_a_vhost_user_switch_may_map_the_cells_huge_pages(name: str) -> None:
    assert [cell["memAccess"] for cell in said(name, "cpu/numa/cell")] == ["shared"]
    assert said(name, "memoryBacking/hugepages/page")[0]["size"] in {"2", "2048"}
    assert said(name, "memoryBacking/source") == []


def test_nokia_has_memory_and_cpus_of_its_own() -> None:
    assert len(set(pins("nokia-vsr"))) == 8
    assert said("nokia-vsr", "memoryBacking/locked") == [{}]
    assert said("nokia-vsr", "vcpu") == [{"placement": "static"}]


def test_oracle_has_a_core_for_each_vcpu_and_nothing_automatic() -> None:
    assert pins("oracle-sbc") == ["8", "9", "10", "11"]
    assert said("oracle-sbc", "vcpu") == [{"placement": "static"}]
    assert said("oracle-sbc", "numatune/memory") == [{"mode": "strict", "nodeset": "1"}]


def test_a_pinned_guest_has_no_balloon_and_keeps_vcpus_for_later() -> None:
    assert said("generic-pinned", "vcpu") == [{"placement": "static", "current": "4"}]
    assert said("generic-pinned", "devices/memballoon") == [{"model": "none"}]
