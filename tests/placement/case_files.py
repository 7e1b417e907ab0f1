"""The cases of tests/cases: a host in short form to a Snapshot, a vnf as a map to a Request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.guest import Guest, VcpuId, VcpuPin
from numaplan.model.host import Core, CpuStates, DieId, HugepagePool, LlcDomain, NodeId, NumaNode, Package, PackageId
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.spec.vnf import parse_vnf
from tests.hosts import GIB, SIZES, Nic, host

HERE = Path(__file__).resolve().parents[1] / "cases"

Map = Mapping[str, Any]


def cases() -> list[Path]:
    """Every case, in the order of the names."""
    return sorted(HERE.glob("*.yaml"))


def load(path: Path) -> Map:
    """A case as it is written."""
    loaded: Map = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return loaded


def request_of(case: Map, snapshot: Snapshot) -> Request:
    """The case's vnf, read as any vnf.yaml is: JSON is YAML too."""
    text = json.dumps({"apiVersion": "numaplan/v1"} | case["vnf"])
    guests = frozenset(guest.name for guest in snapshot.guests)
    return parse_vnf(text, "vnf.yaml", profiles={}, host_profile=None, known_guests=guests)


def snapshot_of(case: Map) -> Snapshot:
    """The case's host."""
    short: Sequence[Map] = case["host"]["nodes"]
    count = len(short)
    slit = case["host"].get("distances") or [[10 if a == b else 21 for b in range(count)] for a in range(count)]
    every = CpuSet(cpu for node in short for cpu in CpuSet.parse(str(node["cpus"])))
    nics = [_nic(nic, n) for n, node in enumerate(short) for nic in node.get("nics", ())]
    nics += [_nic(nic, None) for nic in case["host"].get("nics", ())]
    devices = host("1n:1c:1t", nics=nics)
    nodes = tuple(_node(node, n, slit[n]) for n, node in enumerate(short))
    return replace(
        devices,
        cpus=CpuStates(every, every),
        packages=tuple(
            Package(
                package,
                CpuSet(cpu for node in nodes if node.packages == (package,) for cpu in node.cpus),
                tuple(node.id for node in nodes if node.packages == (package,)),
            )
            for package in sorted({node.packages[0] for node in nodes})
        ),
        nodes=nodes,
        llcs=tuple(
            LlcDomain(3, CpuSet.parse(str(cpus)), 32768, (NodeId(n),))
            for n, node in enumerate(short)
            for cpus in node.get("llcs", [node["cpus"]])
        ),
        cores=tuple(sorted((core for n, node in enumerate(short) for core in _cores(node, n)), key=lambda c: c.name)),
        guests=_staying(CpuSet.parse(str(case["host"].get("taken", "")))),
    )


def _nic(short: Map, node: int | None) -> Nic:
    return Nic(short["name"], node, short["vfs"], short.get("mbps", 25000))


def _node(short: Map, number: int, distances: Sequence[int]) -> NumaNode:
    memory = int(short.get("memory", 64) * GIB)
    pools = tuple(HugepagePool(SIZES[size], short[size], short[size]) for size in ("2MiB", "1GiB") if size in short)
    return NumaNode(
        NodeId(number),
        (PackageId(short.get("package", number)),),
        CpuSet.parse(str(short["cpus"])),
        memory_kib=memory,
        free_kib=memory,
        available_kib=memory,
        hugepages=pools,
        distances=tuple((NodeId(other), value) for other, value in enumerate(distances)),
    )


def _cores(short: Map, node: int) -> list[Core]:
    threads = [CpuSet(CpuId(cpu) for cpu in core) for core in short.get("cores", ())]
    alone = CpuSet.parse(str(short["cpus"])) - CpuSet(cpu for core in threads for cpu in core)
    threads += [CpuSet([cpu]) for cpu in alone]
    package = PackageId(short.get("package", node))
    return [Core(core, package, NodeId(node), core_id=i, die_id=DieId(0)) for i, core in enumerate(threads)]


def _staying(taken: CpuSet) -> tuple[Guest, ...]:
    """A guest that has each of these CPUs for a vCPU of its own."""
    pins = tuple(VcpuPin(VcpuId(v), CpuSet([cpu]), line=1) for v, cpu in enumerate(taken))
    return (Guest("stays", "stays.xml", len(pins), GIB, vcpu_pins=pins, running=True),) if pins else ()
