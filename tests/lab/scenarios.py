"""What is tried in the lab host. A scenario yields rows: what was planned (or is true), and what was found."""

import json
from collections.abc import Callable, Iterator

from numaplan.cpuset import format_id_list, parse_id_list
from tests.lab.kernel import pools
from tests.lab.lab import Lab, Row, row
from tests.lab.placing import killed_and_recovered, meddled, pinned_again, placed_and_started, stale
from tests.lab.seeing import captured, lstopo, numactl, paths, unprivileged


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
    for ours, theirs in lstopo(lab).items():
        yield row(f"{ours}, beside lstopo", theirs, sorted(_listed(each["cpus"]) for each in host[ours]))
    cpus = {str(node["id"]): _listed(node["cpus"]) for node in host["numa_nodes"]}
    yield row("CPUs of nodes, beside numactl", numactl(lab), cpus)
    found = {
        (node["id"], pool["size_kib"]): pool["total"]
        for node in host["numa_nodes"]
        for pool in node["hugepages"]
        if pool["total"]
    }
    yield row("huge pages by node and KiB, beside the kernel", pools("nr_hugepages"), found)
    ports = [device for device in host["pci"] if device["sriov"] is not None]
    yield row("SR-IOV ports", sum(node.ports for node in lab.topology.nodes), len(ports))
    nodes = [number for number, node in enumerate(lab.topology.nodes) for _ in range(node.ports)]
    yield row("their nodes", nodes, [port["numa_node"] for port in ports])
    yield row("IOMMU", "True", host["host"]["virtualization"]["iommu"])


def _listed(cpus: str | list[int]) -> str:
    return format_id_list(parse_id_list(cpus) if isinstance(cpus, str) else cpus)


# In an order in which each finds what it needs.
SCENARIOS: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "inventory": inventory,
    "nobody": unprivileged,
    "guests": placed_and_started,
    "pins": pinned_again,
    "meddled": meddled,
    "capture": captured,
    "killed": killed_and_recovered,
    "stale": stale,
    "paths": paths,
}
