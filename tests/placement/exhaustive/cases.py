"""Small hosts and requests at random, as the documents that a user has: an inventory and a vnf.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hypothesis import strategies as st

from tests.placement.exhaustive.drawn_hosts import hosts
from tests.placement.exhaustive.drawn_requests import policies, vm_documents
from tests.placement.exhaustive.limits import GIB, THEMES, Limits, rarely, seldom
from tests.placement.exhaustive.reading import Json, cpu_list, list_text
from tests.placement.exhaustive.wishes import Wish, wishes_of
from tests.placement.exhaustive.world import functions_of

NAMES: Final = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Case:
    """One host and one request."""

    inventory: Json
    vnf: Json


@st.composite
def cases(
    draw: st.DrawFn, limits: Limits | None = None, *, existing: bool = True, themes: Sequence[str] = THEMES
) -> Case:
    """A host of which a request wants a good part."""
    limits = replace(limits or Limits(), theme=draw(st.sampled_from(themes)))
    host = draw(hosts(limits))
    theme = limits.theme
    count = draw(st.sampled_from([1, 2, 2, 3, 3, limits.guests] if theme == "any" else [2, 2, 3, 3, limits.guests]))
    policy = draw(policies(host, theme))
    vms: list[Json] = []
    left = draw(st.integers(count, max(count, limits.vcpus)))
    for name in NAMES[:count]:
        most = max(1, left - (count - len(vms) - 1))
        vm = draw(vm_documents(name, NAMES[:count], min(4, most), host, policy, theme=theme))
        left -= min(most, vm["vcpus"] * vm.get("count", 1))
        vms.append(vm)
    vnf = {"apiVersion": "numaplan/v1", "host": policy, "vms": vms}
    if existing:
        host["guests"] = draw(_guests(host, wishes_of(vnf), held=theme == "choice"))
    elif any("stays" in vm.get(key, []) for vm in vms for key in ("affinity", "anti_affinity")):
        host["guests"] = [draw(_staying(host))]
    for link in host["links"]:
        if link["kind"] in ("pf", "vf"):
            link["kind"] = None
    if draw(seldom()):
        # Some sources have of a VF only that its PF lists it.
        for device in host["pci"]:
            device.pop("physfn", None)
    return Case(host, vnf)


@st.composite
def _guests(draw: st.DrawFn, host: Json, wishes: tuple[Wish, ...], *, held: bool) -> list[Json]:
    named = any("stays" in wish.affinity | wish.anti_affinity for wish in wishes)
    found = [draw(_staying(host, held=held))] if named or held or draw(rarely()) else []
    for wish in wishes[:2]:
        if draw(rarely()):
            found.append(
                draw(_returning(host, wish, [functions for guest in found for functions in functions_of(guest)]))
            )
    return sorted(found, key=lambda guest: str(guest["name"]))


@st.composite
def _staying(draw: st.DrawFn, host: Json, *, held: bool = False) -> Json:
    """A guest that stays; with a function of the host where that is to be `held`."""
    online = sorted(cpu_list(host["cpus"]["online"]))
    sets = st.one_of(
        st.sampled_from(online).map(str),
        st.sampled_from(online).map(str),
        st.sampled_from([node["cpus"] for node in host["numa_nodes"] if node["cpus"]]),
        st.just(list_text(online)),
    )
    vcpus = draw(st.integers(1, 2))
    guest: Json = {
        "name": "stays",
        "running": draw(st.sampled_from([True, False, None])),
        "vcpus": vcpus,
        "memory_kib": GIB,
        "vcpu_pins": [{"vcpu": vcpu, "cpus": draw(sets)} for vcpu in range(draw(st.integers(0, vcpus)))],
    }
    if draw(rarely()):
        guest["vcpu_cpuset"] = draw(sets)
    if draw(rarely()):
        guest["emulator_pin"] = {"cpus": draw(sets)}
    if draw(rarely()):
        guest |= {"iothreads": 1, "iothread_pins": [{"iothread": 1, "cpus": draw(sets)}]}
    vfs = [device["address"] for device in host["pci"] if device.get("physfn")]
    others = [device["address"] for device in host["pci"] if device["vendor"] == "10de"]
    if (held or draw(rarely())) and (vfs or others):
        guest["hostdevs"] = [{"pci": draw(st.sampled_from([*vfs, *others] if draw(st.booleans()) else others or vfs))}]
    return draw(_alive(guest, sets))


@st.composite
def _alive(draw: st.DrawFn, guest: Json, sets: st.SearchStrategy[str]) -> Json:
    """The guest, of which is known where some threads run now: seldom where its XML says."""
    if not draw(rarely()):
        return guest
    kinds = [("vcpu", vcpu) for vcpu in range(guest["vcpus"])] + [("emulator", None), ("iothread", 1)]
    some = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
    threads = [{"kind": kind, "index": index, "affinity": draw(sets)} for kind, index in some]
    return guest | {"live": {**guest.get("live", {}), "threads": threads}}


@st.composite
def _seen(draw: st.DrawFn, host: Json) -> list[Json]:
    """Where memory of a guest lies in fact, be it more or less than it is said to have, or elsewhere."""
    sizes = sorted({4, *(pool["size_kib"] for node in host["numa_nodes"] for pool in node.get("hugepages", []))})
    places = [(node["id"], size) for node in host["numa_nodes"] for size in sizes]
    some = draw(st.lists(st.sampled_from(places), min_size=1, max_size=2, unique=True))
    return [{"node": node, "page_size_kib": size, "size_kib": GIB * draw(st.integers(1, 2))} for node, size in some]


@st.composite
def _returning(draw: st.DrawFn, host: Json, wish: Wish, held: list[str]) -> Json:
    """A guest of the request where it is now: near what a plan could give it, or nowhere in particular."""
    online = sorted(cpu_list(host["cpus"]["online"]))
    free = list(online)
    pins: list[Json] = []
    memnodes: list[Json] = []
    shared = draw(st.sampled_from([list_text(online), *(n["cpus"] for n in host["numa_nodes"] if n["cpus"])]))
    for index, cell in enumerate(wish.cells):
        node = draw(st.sampled_from(host["numa_nodes"]))
        memnodes.append({"cell": index, "mode": "strict", "nodes": [node["id"]]})
        for vcpu in cell.vcpus:
            here = [cpu for cpu in free if cpu in cpu_list(node["cpus"])] or online
            cpu = draw(st.sampled_from(here[:2]))
            free = [other for other in free if other != cpu]
            pins.append({"vcpu": vcpu, "cpus": str(cpu) if vcpu in cell.dedicated else shared})
    guest: Json = {
        "name": wish.name,
        "running": draw(st.sampled_from([True, True, False, None])),
        "vcpus": sum(len(cell.vcpus) for cell in wish.cells),
        "memory_kib": sum(cell.memory_kib for cell in wish.cells),
        "vcpu_pins": pins[: len(pins) if draw(st.booleans()) or draw(st.booleans()) else 0],
        "memnodes": memnodes if draw(st.booleans()) or draw(st.booleans()) else [],
    }
    if len(wish.cells) > 1 or draw(st.booleans()):
        guest["cells"] = [
            {"id": i, "vcpus": list(cell.vcpus), "memory_kib": cell.memory_kib} for i, cell in enumerate(wish.cells)
        ]
    if draw(rarely()):
        guest["hugepages"] = [{"size_kib": draw(st.sampled_from([2048, GIB]))}]
    if wish.own_emulator and len(free) >= wish.own_emulator:
        guest["emulator_pin"] = {"cpus": list_text(free[: wish.own_emulator])}
        free = free[wish.own_emulator :]
    guest["iothreads"] = wish.iothreads
    if not wish.iothreads_share:
        guest["iothread_pins"] = [{"iothread": n + 1, "cpus": str(cpu)} for n, cpu in enumerate(free[: wish.iothreads])]
    if draw(rarely()):
        guest["live"] = {"memory": draw(_seen(host))}
    if draw(rarely()):
        guest |= draw(_other_cells(guest))
    vfs = [device["address"] for device in host["pci"] if device.get("physfn") and device["address"] not in held]
    count = sum(port.count for port in wish.ports if port.is_vf)
    mine = draw(st.permutations(vfs))[:count] if vfs else []
    guest["interfaces"] = [{"type": "hostdev", "pci": vf} for vf in mine]
    gpus = [
        d["address"]
        for d in host["pci"]
        if d["vendor"] == "10de" and d["class"] != "060400" and d["address"] not in held
    ]
    guest["hostdevs"] = [{"pci": gpu} for gpu in gpus[: sum(not port.is_vf for port in wish.ports)]]
    return draw(_alive(guest, st.sampled_from([*map(str, online), shared])))


@st.composite
def _other_cells(draw: st.DrawFn, guest: Json) -> Json:
    """Cells or a topology that the request does not ask for: the plan keeps to them."""
    vcpus = list(range(guest["vcpus"]))
    if draw(rarely()):
        return {"cells": [], "topology": {"sockets": 1, "cores": draw(st.integers(1, 3)), "threads": 1}}
    cut = draw(st.integers(0, len(vcpus)))
    parts = [part for part in (vcpus[:cut], vcpus[cut:]) if part]
    sizes = [draw(st.sampled_from([GIB // 2, GIB])) for _ in parts]
    cells = [{"id": i, "vcpus": p, "memory_kib": kib} for i, (p, kib) in enumerate(zip(parts, sizes, strict=True))]
    return {"cells": cells, "memory_kib": sum(sizes)}
