"""What is tried in the lab host. A scenario yields rows: what was planned (or is true), and what was found."""

import json
import re
from collections.abc import Callable, Iterator
from xml.etree import ElementTree as ET

from numaplan.cpuset import format_id_list, parse_id_list
from tests.lab.lab import Lab, Row, row
from tests.lab.placing import killed_and_recovered, pinned_again, placed_and_started, stale
from tests.lab.seeing import captured, paths, unprivileged


def inventory(lab: Lab) -> Iterator[Row]:
    """The live host, beside what QEMU was told and what lstopo and numactl, run here too, say of it."""
    host = json.loads(lab.numaplan("inventory", "-o", "json"))
    (lab.results / "inventory.json").write_text(json.dumps(host))
    for number, node in enumerate(lab.topology.nodes):
        found = next(each for each in host["numa_nodes"] if each["id"] == number)
        offline = parse_id_list(lab.topology.offline)
        yield row(f"node {number}: CPUs", format_id_list(parse_id_list(node.cpus) - offline), found["cpus"])
        yield row(
            f"node {number}: distances",
            {str(other): distance for other, distance in enumerate(lab.topology.distances[number])},
            found["distances"],
        )
    yield from _beside_lstopo(lab, host)
    yield from _beside_numactl(lab, host)
    ports = [device for device in host["pci"] if device["sriov"] is not None]
    yield row("SR-IOV ports", sum(node.ports for node in lab.topology.nodes), len(ports))
    nodes = [number for number, node in enumerate(lab.topology.nodes) for _ in range(node.ports)]
    yield row("their nodes", nodes, [port["numa_node"] for port in ports])
    yield row("IOMMU", "True", host["host"]["virtualization"]["iommu"])


def _beside_lstopo(lab: Lab, host: dict[str, list[dict[str, object]]]) -> Iterator[Row]:
    text = lab.run("lstopo-no-graphics", "--of", "xml", "-")
    root = ET.fromstring(text[text.index("<?xml") :])  # noqa: S314 - lstopo's own output
    for kind, ours in (("Package", "packages"), ("L3Cache", "llcs"), ("Core", "cores")):
        theirs = sorted(
            _mask(element.get("cpuset") or "") for element in root.iter("object") if element.get("type") == kind
        )
        found = sorted(
            format_id_list(each["cpus"]) if isinstance(each["cpus"], list) else str(each["cpus"]) for each in host[ours]
        )
        yield row(f"{ours}, beside lstopo", theirs, found)


def _mask(text: str) -> str:
    """A list of hwloc's words of 32 bits, the highest first."""
    words = [int(word, 16) if word else 0 for word in text.split(",")]
    value = 0
    for word in words:
        value = value << 32 | word
    return format_id_list(bit for bit in range(value.bit_length()) if value >> bit & 1)


def _beside_numactl(lab: Lab, host: dict[str, list[dict[str, object]]]) -> Iterator[Row]:
    told = lab.run("numactl", "--hardware")
    theirs = {int(node): cpus.split() for node, cpus in re.findall(r"node (\d+) cpus:([ \d]*)", told)}
    ours = {int(str(node["id"])): parse_id_list(str(node["cpus"])) for node in host["numa_nodes"]}
    yield row(
        "CPUs of nodes, beside numactl",
        {node: format_id_list(map(int, cpus)) for node, cpus in theirs.items()},
        {node: format_id_list(cpus) for node, cpus in ours.items()},
    )


# In an order in which each finds what it needs.
SCENARIOS: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "inventory": inventory,
    "nobody": unprivileged,
    "guests": placed_and_started,
    "pins": pinned_again,
    "capture": captured,
    "killed": killed_and_recovered,
    "stale": stale,
    "paths": paths,
}
