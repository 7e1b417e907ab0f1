"""Requests at random for a host, as vnf.yaml documents: a policy for the host, and vms with any key that there is."""

from hypothesis import strategies as st

from tests.placement.exhaustive.drawn_networks import bridges_of
from tests.placement.exhaustive.limits import rarely, seldom
from tests.placement.exhaustive.reading import Json, cpu_list, list_text


@st.composite
def policies(draw: st.DrawFn, host: Json, theme: str) -> Json:
    ports = [link["name"] for link in host["links"] if link["kind"] == "pf"]
    online = sorted(cpu_list(host["cpus"]["present"]))
    most = 0 if theme == "floating" else 3
    named = draw(st.lists(st.sampled_from(online), min_size=int(theme == "pool"), max_size=most, unique=True))
    split = draw(st.integers(0, len(named) - (theme == "pool")))
    policy: Json = {"reserved_memory": draw(st.sampled_from(["0KiB"] * 8 + ["512MiB", "2GiB"]))}
    if theme == "overhead" or draw(seldom()):
        policy["guest_overhead"] = draw(st.sampled_from(["256MiB", "512MiB", "512MiB", "3MiB"]))
    if (theme != "floating" and draw(st.booleans())) or named[:split]:
        policy["reserved_cpus"] = list_text(named[:split])
    if named[split:]:
        policy["shared_cpus"] = list_text(named[split:])
    if theme == "pool" or draw(st.sampled_from([True, True, True, False])):
        policy["shared_ratio"] = draw(st.sampled_from([1, 2, 2, 3] if theme == "pool" else [1, 1, 2, 3]))
    if ports:
        policy["physnets"] = {"all": ports, "first": ports[:1]}
    if draw(rarely()):
        policy["costs"] = {key: draw(st.sampled_from([0, 1, 10, 25])) for key in ("vf", "cell", "memory_gib")}
    return policy


@st.composite
def vm_documents(
    draw: st.DrawFn, name: str, names: tuple[str, ...], most: int, host: Json, policy: Json, *, theme: str
) -> Json:
    """A vm with any key of vnf.yaml; what is at its default is mostly left out, and what cannot be had too."""
    ports = policy.get("physnets", {}).get("all", [])
    vm: Json = {"name": name, "vcpus": draw(st.integers(1, most)), "memory": draw(_memory_sizes())}
    if theme in {"links", "groups", "pool", "network", "choice"}:
        vm = {"name": name, "vcpus": draw(st.integers(1, min(2, most))), "memory": "512MiB"}
    if draw(st.sampled_from([True, True, False])):
        vm["required"] = False
        vm["priority"] = draw(st.sampled_from([1, 1, 2, 2, 3, 3, 0]))
    if theme == "pages":
        vm["page_size"] = draw(st.sampled_from(["any", "any", "large"]))
    elif draw(st.booleans()):
        vm["page_size"] = draw(st.sampled_from(["any", "any", "large", "2MiB", "1GiB", "4KiB"]))
    if draw(rarely()):
        vm["memory_policy"] = "preferred"
    vm |= draw(_cells(vm))
    if vm["vcpus"] == 1 and draw(rarely()):
        vm["count"] = 2
    smt = any(len(core["cpus"]) > 1 for core in host["cores"])
    vm |= draw(_threads(vm, pool="shared_cpus" in policy, smt=smt, theme=theme))
    if theme in {"links", "groups", "network", "choice"} or (draw(st.booleans()) and ports):
        vm["interfaces"] = draw(_interfaces(ports, bridges_of(host), theme))
    # PFs, VFs and all are asked for as devices now and then.
    found = [(d["vendor"], d["device"], d["address"], draw(seldom())) for d in host["pci"]]
    models = sorted(model for *model, anyway in found if anyway or model[0] == "10de")
    if draw(st.booleans() if theme == "choice" else rarely()) and models:
        chosen = draw(st.lists(st.sampled_from(models), min_size=1, max_size=2, unique_by=tuple))
        vm["devices"] = []
        for i, (vendor, device, address) in enumerate(chosen):
            wanted = {"address": address} if draw(st.booleans()) else {"vendor": vendor, "device": device}
            affinity = draw(st.sampled_from(["preferred", "required", "socket"]))
            vm["devices"].append({"name": f"d{i}", "affinity": affinity, **wanted})
    for key in ("affinity", "anti_affinity"):
        others = [other for other in (*names, "stays") if other != name]
        if draw(st.booleans() if theme == "partners" else seldom()):
            vm[key] = [draw(st.sampled_from(others))]
    return vm


def _memory_sizes() -> st.SearchStrategy[str]:
    return st.sampled_from(["512MiB"] * 5 + ["1GiB", "1GiB", "1536MiB", "2GiB", "514MiB", "1048580KiB"])


@st.composite
def _cells(draw: st.DrawFn, vm: Json) -> Json:
    kind = draw(st.sampled_from(["one", "two", "list"]))
    if vm["vcpus"] == 1 or kind == "one":
        return {}
    found: Json = {} if draw(st.booleans()) else {"distinct_nodes": False}
    if kind == "two" and vm["vcpus"] % 2 == 0:
        return found | {"cells": 2}
    first = draw(st.integers(1, vm["vcpus"] - 1))
    cells: list[Json] = [
        {"vcpus": vcpus, "memory": draw(st.sampled_from(["512MiB", "1GiB"]))} for vcpus in (first, vm["vcpus"] - first)
    ]
    for cell in cells:
        if draw(rarely()):
            cell["page_size"] = draw(st.sampled_from(["any", "2MiB", "4KiB"]))
        if draw(rarely()):
            cell["memory_policy"] = draw(st.sampled_from(["preferred", "strict"]))
    total = sum({"512MiB": 512, "1GiB": 1024}[cell["memory"]] for cell in cells)
    return found | {"cells": cells, "memory": f"{total}MiB"}


@st.composite
def _threads(draw: st.DrawFn, vm: Json, *, pool: bool, smt: bool, theme: str) -> Json:
    found: Json = {}
    some = ["mixed", "shared"] if pool or draw(seldom()) else []
    policy = draw(st.sampled_from(["shared"] if theme == "pool" and pool else ["dedicated", "dedicated", *some, *some]))
    if policy == "mixed" and vm["vcpus"] > 1:
        chosen = draw(st.sets(st.integers(0, vm["vcpus"] - 1), min_size=1, max_size=vm["vcpus"] - 1))
        found = {"cpu_policy": "mixed", "dedicated_vcpus": list_text(chosen)}
    elif policy == "shared":
        found = {"cpu_policy": "shared"}
    if draw(st.booleans()):
        policies = ["prefer", "require", "isolate"] if smt or draw(seldom()) else ["prefer", "prefer", "isolate"]
        found["thread_policy"] = draw(st.sampled_from(policies))
    if draw(rarely()):
        found["emulator"] = draw(
            st.sampled_from([{"policy": "isolate"}, {"policy": "set", "cpus": 1}, {"policy": "set", "cpus": 2}])
        )
    if draw(rarely()):
        found["iothreads"] = {
            "count": draw(st.integers(1, 2)),
            "policy": draw(st.sampled_from(["share", "dedicated"])),
        }
    return found


@st.composite
def _interfaces(draw: st.DrawFn, ports: list[str], bridges: list[str], theme: str) -> list[Json]:
    found: list[Json] = []
    for i in range(1 if theme in {"links", "groups"} else draw(st.sampled_from([1, 1, 2]))):
        if not ports or (theme not in {"links", "groups"} and draw(st.booleans() if theme == "network" else rarely())):
            found.append({"name": f"i{i}"} | draw(_bridge_ports([*bridges, *bridges, *ports[:1], "br9"])))
            continue
        port: Json = {"name": f"i{i}"}
        port |= draw(
            st.sampled_from(
                [
                    {"physnet": "all"},
                    {"physnet": "all"},
                    {"physnet": "first"},
                    {"pf": ports[-1]},
                    {"pf": f"{ports[0]}#0-1"},
                    {"vendor": "8086", "device": "154c"},
                ]
            )
        )
        if theme in {"links", "groups"}:
            port = {"name": f"i{i}", "physnet": "all"}
        port["affinity"] = draw(st.sampled_from(["preferred", "preferred", "preferred", "required", "socket"]))
        port["count"] = draw(st.sampled_from([1, 2, 2] if theme == "groups" else [1, 1, 2]))
        if theme == "links" or (theme != "groups" and draw(st.booleans())):
            port["mbps"] = draw(st.sampled_from([4000, 6000, 10000]))
        if theme not in {"links", "groups"} and draw(rarely()):
            port["distinct_pfs"] = True
        found.append(port)
    return found


@st.composite
def _bridge_ports(draw: st.DrawFn, bridges: list[str]) -> Json:
    """A port of a bridge that there is, or not."""
    kind = draw(st.sampled_from(["virtio", "vhostuser"]))
    port: Json = {"type": kind, "bridge": draw(st.sampled_from(bridges))}
    if draw(st.booleans()):
        port["affinity"] = draw(st.sampled_from(["required", "required", "socket", "preferred"]))
    return port
