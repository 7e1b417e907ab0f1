"""Captures of a lab host against what other tools said on that same host while it ran."""

import json
import re
from typing import Any

import pytest
from lxml import etree

from numaplan.cpuset import CpuSet
from tests.inventory.trees import fresh, snapshot

HOSTS = ["host-flat", "host-snc", "host-cxl"]


def extra(name: str, file: str) -> str:
    text = fresh(name).text(f"extra/{file}")
    assert text is not None, f"{name} has no extra/{file}"
    return text


def ids(cpus: CpuSet) -> list[int]:
    return [int(cpu) for cpu in cpus]


def lstopo_cpus(element: Any) -> list[int]:  # noqa: ANN401 - lxml-stubs know no type for it
    bits = int("".join(word.removeprefix("0x").zfill(8) for word in element.get("cpuset").split(",")), 16)
    return [i for i in range(bits.bit_length()) if bits >> i & 1]


@pytest.mark.parametrize("name", HOSTS)
def test_nothing_of_a_whole_capture_is_a_gap(name: str) -> None:
    assert not snapshot(name).gaps


@pytest.mark.parametrize("name", HOSTS)
def test_lstopo_sees_the_same_packages_cores_and_caches(name: str) -> None:
    read = snapshot(name)
    root = etree.fromstring(extra(name, "lstopo.xml").encode(), etree.XMLParser(load_dtd=False, resolve_entities=False))

    def objects(kind: str) -> list[list[int]]:
        return sorted(lstopo_cpus(element) for element in root.iterfind(f".//object[@type='{kind}']"))

    assert sorted(ids(package.cpus) for package in read.packages) == objects("Package")
    assert sorted(ids(core.cpus) for core in read.cores) == objects("Core")
    assert sorted(ids(llc.cpus) for llc in read.llcs) == objects("L3Cache")
    sizes = {int(element.get("cache_size") or 0) for element in root.iterfind(".//object[@type='L3Cache']")}
    assert {(llc.size_kib or 0) * 1024 for llc in read.llcs} == sizes


@pytest.mark.parametrize("name", HOSTS)
def test_lscpu_sees_the_same_cpus(name: str) -> None:
    read = snapshot(name)
    rows = [line.split() for line in extra(name, "lscpu-e.txt").splitlines()[1:]]
    assert ids(read.cpus.online) == [int(row[0]) for row in rows if row[-1] == "yes"]
    assert ids(read.cpus.offline) == [int(row[0]) for row in rows if row[-1] == "no"]
    node_of = {cpu: node.id for node in read.nodes for cpu in node.cpus}
    package_of = {cpu: package.id for package in read.packages for cpu in package.cpus}
    for row in rows:
        if row[-1] == "yes":
            assert (node_of[int(row[0])], package_of[int(row[0])]) == (int(row[1]), int(row[2]))  # type: ignore[index]


@pytest.mark.parametrize("name", HOSTS)
def test_numactl_sees_the_same_nodes(name: str) -> None:
    read = snapshot(name)
    text = extra(name, "numactl-H.txt")
    cpus = {int(match[1]): match[2].split() for match in re.finditer(r"^node (\d+) cpus:(.*)$", text, re.MULTILINE)}
    sizes = {int(match[1]): int(match[2]) for match in re.finditer(r"^node (\d+) size: (\d+) MB$", text, re.MULTILINE)}
    rows = {int(match[1]): match[2].split() for match in re.finditer(r"^ +(\d+): +(.*)$", text, re.MULTILINE)}
    assert {node.id: ids(node.cpus) for node in read.nodes} == {id_: list(map(int, each)) for id_, each in cpus.items()}
    assert {node.id: (node.memory_kib or 0) // 1024 for node in read.nodes} == sizes
    assert {node.id: [value for _, value in node.distances] for node in read.nodes} == {
        id_: list(map(int, each)) for id_, each in rows.items()
    }


@pytest.mark.parametrize("name", HOSTS)
def test_lspci_sees_the_same_devices(name: str) -> None:
    read = snapshot(name)
    pattern = re.compile(r"^([0-9a-f:.]+) .*?\[([0-9a-f]{4})\]: .*?\[([0-9a-f]{4}):([0-9a-f]{4})\]", re.MULTILINE)
    theirs = [
        (f"0000:{match[1]}"[-12:], match[2], match[3], match[4])
        for match in pattern.finditer(extra(name, "lspci-nnvv.txt"))
    ]
    assert [(str(each.address), each.pci_class[:4], each.vendor, each.device) for each in read.pci] == theirs


@pytest.mark.parametrize("name", HOSTS)
def test_every_vf_has_its_node_its_pf_its_driver_its_group_and_its_interface(name: str) -> None:
    read = snapshot(name)
    lines = []
    for device in read.pci:
        if device.physfn is None:
            continue
        node = -1 if device.numa_node is None else device.numa_node
        lines.append(
            f"{device.address} node={node} pf={device.physfn} drv={device.driver or ''} "
            f"grp={device.iommu_group} net={','.join(device.netdevs)}"
        )
    assert lines == extra(name, "vfs.txt").splitlines()


@pytest.mark.parametrize("name", HOSTS)
def test_a_pf_lists_the_vfs_that_name_it(name: str) -> None:
    read = snapshot(name)
    for device in read.pci:
        named = [each.address for each in read.pci if each.physfn == device.address]
        assert list(device.sriov.vfs if device.sriov else ()) == named


@pytest.mark.parametrize("name", HOSTS)
def test_ip_sees_the_same_interfaces(name: str) -> None:
    rows = json.loads(extra(name, "ip-link.json"))
    theirs = sorted((row["ifname"], row.get("parentdev")) for row in rows)
    ours = [(link.name, None if link.pci is None else str(link.pci)) for link in snapshot(name).links]
    assert ours == theirs
    assert {link.kind for link in snapshot(name).links} == {"loopback", "physical"}


def test_a_node_without_cpus_and_one_without_memory() -> None:
    nodes = {int(node.id): node for node in snapshot("host-cxl").nodes}
    assert (str(nodes[3].cpus), nodes[3].packages) == ("", ())
    assert nodes[3].memory_kib
    assert (str(nodes[1].cpus), nodes[1].memory_kib, nodes[1].available_kib) == ("4-5", 0, 0)


def test_the_iommu_is_there_and_kvm_lacks_the_module_of_a_vendor() -> None:
    identity = snapshot("host-flat").host
    assert (identity.kvm, identity.iommu, identity.architecture) == (False, True, "x86_64")
