"""The same case told otherwise, or with more to give: what that may and may not do to the levels of the best plan."""

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Final

from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.compare import plan_of, question
from tests.placement.exhaustive.reading import Json, cpu_list, list_text
from tests.placement.exhaustive.wishes import wishes_of
from tests.placement.exhaustive.world import World, seen_memory

# What numbers the other names sort before those drawn, and the other way round.
RENAMED: Final = {"a": "z", "b": "y", "c": "x", "d": "w", "stays": "never"}


def wrong_values(case: Case, seed: int) -> list[str]:
    """What is wrong with numaplan's answers to the variants of a case, beside its answer to the case itself."""
    random = Random(seed)  # noqa: S311  # picks cases
    found: list[str] = []
    before = _answer(case)
    for tell in (renamed, renumbered, split):
        variant = tell(deepcopy(case), random)
        if variant is not None:
            found += _unlike(f"as {tell.__name__}", before, _answer(variant))
    for add in (more_cpus, more_pages, more_vfs):
        richer = add(deepcopy(case), random)
        if richer is not None:
            found += _worse(f"with {add.__name__}", before, _answer(richer))
    if before["status"] == "optimal":
        again = _answer(carried_out(deepcopy(case), before["placements"]))
        found += _unlike("carried out", before, again, count=6)
        if again["status"] == "optimal" and again["levels"][6]["value"]:
            found.append(f"carried out, {again['levels'][6]['value']} guests move")
    return found


def _answer(case: Case) -> Json:
    _, document = plan_of(question(case))
    return document


def _proven(document: Json) -> list[int]:
    """The values of the levels that are proven."""
    return [level["value"] for level in document["levels"] if level["proven"]]


def _unlike(what: str, before: Json, after: Json, *, count: int = 7) -> list[str]:
    if "infeasible" in (before["status"], after["status"]):
        same = before["status"] == after["status"] or "unknown" in (before["status"], after["status"])
        return [] if same else [f"{what}: {after['status']}, before {before['status']}"]
    one, two = _proven(before)[:count], _proven(after)[:count]
    common = min(len(one), len(two))
    return [] if one[:common] == two[:common] else [f"{what}: levels {two}, before {one}"]


def _worse(what: str, before: Json, after: Json) -> list[str]:
    if before["status"] == "infeasible" or not before["levels"]:
        return []
    if after["status"] == "infeasible":
        return [f"{what}: infeasible, before {before['status']}"]
    one, two = _proven(before)[:2], _proven(after)[:2]
    ranks = [(-values[0], *values[1:]) for values in (one, two) if len(values) == 2]
    return [f"{what}: priority and cost {two}, before {one}"] if len(ranks) == 2 and ranks[1] > ranks[0] else []


def renamed(case: Case, _: Random) -> Case:
    """Every guest by another name, in another order."""
    for vm in case.vnf["vms"]:
        vm["name"] = RENAMED[vm["name"]]
        for key in ("affinity", "anti_affinity"):
            if key in vm:
                vm[key] = [RENAMED[name] for name in vm[key]]
    for guest in case.inventory["guests"]:
        name, dash, copy = guest["name"].partition("-")
        guest["name"] = f"{RENAMED[name]}{dash}{copy}"
    return case


def renumbered(case: Case, random: Random) -> Case:
    """Every node and CPU with the number of another."""
    nodes = {node["id"]: node["id"] for node in case.inventory["numa_nodes"]}
    nodes = dict(zip(nodes, random.sample(list(nodes), len(nodes)), strict=True))
    cpus = sorted(cpu_list(case.inventory["cpus"]["present"]))
    number = dict(zip(cpus, random.sample(cpus, len(cpus)), strict=True))
    inventory = _walk(case.inventory, nodes, number, _CPU_KEYS)
    inventory["numa_nodes"].sort(key=lambda node: node["id"])
    inventory["llcs"].sort(key=lambda llc: min(cpu_list(llc["cpus"])))
    return Case(inventory, _walk(case.vnf, {}, number, _POLICY_KEYS))


_POLICY_KEYS: Final = frozenset({"reserved_cpus", "shared_cpus"})
_CPU_KEYS: Final = frozenset(
    {"cpus", "present", "online", "isolated", "vcpu_cpuset", "affinity", "pmd_cpus", "lcore_cpus", "cpu"}
)
_NODE_KEYS: Final = frozenset({"numa_nodes", "nodes", "numa_node", "node"})


def _walk(document: Json, nodes: dict[int, int], number: dict[int, int], cpu_keys: frozenset[str]) -> Json:
    """A document with other numbers wherever it names nodes or CPUs."""

    def cpus(value: object) -> object:
        if isinstance(value, str):
            return list_text(number[cpu] for cpu in cpu_list(value))
        if isinstance(value, int):
            return number[value]
        return sorted(number[cpu] for cpu in value) if isinstance(value, list) else told(value)

    def ids(value: object) -> object:
        if isinstance(value, list) and all(isinstance(item, int) for item in value):
            return sorted(nodes[item] for item in value)
        return nodes[value] if isinstance(value, int) else told(value)

    def told(value: object) -> object:
        if isinstance(value, list):
            return [told(item) for item in value]
        if not isinstance(value, dict):
            return value
        found: Json = {}
        for key, item in value.items():
            found[key] = cpus(item) if key in cpu_keys else ids(item) if key in _NODE_KEYS else told(item)
        if "distances" in found:
            found["distances"] = {str(nodes[int(node)]): entry for node, entry in found["distances"].items()}
            found["id"] = nodes[found["id"]]
        return found

    found = told(document)
    assert isinstance(found, dict)
    return found


def split(case: Case, _: Random) -> Case | None:
    """Every vm of several copies as that many vms."""
    vms = case.vnf["vms"]
    names = {
        vm["name"]: [f"{vm['name']}-{n}" for n in range(1, vm["count"] + 1)] for vm in vms if vm.get("count", 1) > 1
    }
    if not names:
        return None
    found = []
    for vm in vms:
        for key in ("affinity", "anti_affinity"):
            if key in vm:
                vm[key] = [copy for name in vm[key] for copy in names.get(name, [name])]
        found += [{**vm, "name": copy, "count": 1} for copy in names.get(vm["name"], [vm["name"]])]
    case.vnf["vms"] = found
    return case


def more_cpus(case: Case, random: Random) -> Case | None:
    """One more core on a node that has CPUs already, as wide as the widest, with a cache of its own where any has."""
    inventory = case.inventory
    nodes = [node for node in inventory["numa_nodes"] if node["cpus"]]
    if not nodes:
        return None
    node = random.choice(nodes)
    first = max(cpu_list(inventory["cpus"]["present"])) + 1
    core = list(range(first, first + max(len(core["cpus"]) for core in inventory["cores"])))
    added = list_text(core)
    for states in (node, inventory["cpus"]):
        for key in ("cpus", "present", "online", "isolated"):
            if states.get(key):
                states[key] = f"{states[key]},{added}"
    for package in inventory["packages"]:
        if node["id"] in package["numa_nodes"]:
            package["cpus"] = f"{package['cpus']},{added}".lstrip(",")
    inventory["cores"].append({"cpus": core, "package": node["packages"][0], "numa_node": node["id"]})
    if inventory["llcs"]:
        inventory["llcs"].append({"level": 3, "cpus": added, "size_kib": None, "numa_nodes": [node["id"]]})
    return case


def more_pages(case: Case, random: Random) -> Case | None:
    """Room for one more guest in one of the pools that a node has."""
    node = random.choice(case.inventory["numa_nodes"])
    pools = node["hugepages"]
    if pools and random.random() < 0.6:
        pool = random.choice(pools)
        pool["free"] += max(1, (1 << 20) // pool["size_kib"])
        pool["total"] = max(pool["total"], pool["free"])
    elif node["available_kib"] is not None:
        node["available_kib"] += 1 << 20
    return case


def more_vfs(case: Case, random: Random) -> Case | None:
    """One more VF of a PF that has some, in an IOMMU group of its own."""
    inventory = case.inventory
    pfs = [device for device in inventory["pci"] if (device.get("sriov") or {}).get("vfs")]
    if not pfs:
        return None
    pf = random.choice(pfs)
    vfs = pf["sriov"]["vfs"]
    like = next(device for device in inventory["pci"] if device["address"] == vfs[0])
    address = f"{vfs[0][:-1]}7"
    vfs.append(address)
    pf["sriov"]["configured"] += 1
    added = {key: like[key] for key in ("vendor", "device", "class", "numa_node", "physfn") if key in like}
    inventory["pci"].append({**added, "address": address, "driver": "iavf", "iommu_group": 999, "netdevs": []})
    inventory["iommu_groups"].append({"id": 999, "devices": [address]})
    return case


def carried_out(case: Case, placements: Sequence[Json]) -> Case:
    """The host after the plan: its guests run where it says, and what they hold is free no more."""
    inventory = case.inventory
    vnf = case.vnf
    names = {wish.name for wish in wishes_of(vnf)}
    nodes = {node["id"]: node for node in inventory["numa_nodes"]}
    world = World(inventory, vnf.get("host", {}), names)
    for guest in inventory["guests"]:
        if guest["name"] in names and guest.get("running") is True:
            own = [(node, 4, world.overhead_kib) for node in world.lies_on(guest)]
            _account(nodes, [*_held_now(guest), *own], sign=1)
    stay = [guest for guest in inventory["guests"] if guest["name"] not in names]
    placed = [_as_xml(placement) for placement in placements]
    for guest, placement in zip(placed, placements, strict=True):
        own = [(node, 4, world.overhead_kib) for node in sorted({cell["numa_node"] for cell in placement["cells"]})]
        _account(nodes, [*_held_now(guest), *own], sign=-1)
    inventory["guests"] = sorted([*stay, *placed], key=lambda guest: str(guest["name"]))
    return case


def _account(nodes: dict[int, Json], held: list[tuple[int, int, int]], *, sign: int) -> None:
    for node, page_kib, kib in held:
        if page_kib == 4 and nodes[node]["available_kib"] is not None:
            nodes[node]["available_kib"] = max(0, nodes[node]["available_kib"] + sign * kib)
        for pool in nodes[node]["hugepages"]:
            if pool["size_kib"] == page_kib:
                pool["free"] += sign * (kib // page_kib)
                pool["total"] = max(pool["total"], pool["free"])


def _held_now(guest: Json) -> list[tuple[int, int, int]]:
    """(node, page size, KiB) of memory that was seen on a node, else of what is bound to one."""
    if seen := seen_memory(guest):
        return [(node, page_kib, kib) for (node, page_kib), kib in seen]
    cells = guest.get("cells") or [{"id": 0, "memory_kib": guest["memory_kib"]}]
    bound = {memnode["cell"]: memnode["nodes"][0] for memnode in guest["memnodes"]}
    pages = {
        cell: page["size_kib"]
        for page in guest.get("hugepages", [])
        for cell in (page.get("cells") or [cell["id"] for cell in cells])
    }
    return [(bound[cell["id"]], pages.get(cell["id"], 4), cell["memory_kib"]) for cell in cells if cell["id"] in bound]


def _as_xml(placement: Json) -> Json:
    """The guest of the inventory that has what a placement gives."""
    cells = placement["cells"]
    vcpus = {int(vcpu): cpus for cell in cells for vcpu, cpus in cell["vcpus"].items()}
    return {
        "name": placement["vm"],
        "running": True,
        "vcpus": len(vcpus),
        "memory_kib": sum(cell["memory_kib"] for cell in cells),
        "cells": [
            {"id": cell["id"], "vcpus": [int(vcpu) for vcpu in cell["vcpus"]], "memory_kib": cell["memory_kib"]}
            for cell in cells
        ],
        "vcpu_pins": [{"vcpu": vcpu, "cpus": cpus} for vcpu, cpus in sorted(vcpus.items())],
        "emulator_pin": {"cpus": placement["emulator"]},
        "iothreads": len(placement["iothreads"]),
        "iothread_pins": [{"iothread": int(n), "cpus": cpus} for n, cpus in placement["iothreads"].items()],
        "memnodes": [{"cell": cell["id"], "mode": "strict", "nodes": [cell["memory_node"]]} for cell in cells],
        "hugepages": [
            {"size_kib": cell["page_size_kib"], "cells": [cell["id"]]} for cell in cells if cell["page_size_kib"] > 4
        ],
        "interfaces": [
            {"type": "hostdev", "pci": vf, "alias": f"{entry['name']}-{n}"}
            for entry in placement["interfaces"]
            for n, vf in enumerate(entry["vfs"])
        ],
        "hostdevs": [{"pci": device["address"], "alias": device["name"]} for device in placement["devices"]],
    }
