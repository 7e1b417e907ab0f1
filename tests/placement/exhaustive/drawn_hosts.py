"""Small hosts at random, as inventory documents: nodes of any shape, caches, pages, distances, functions."""

from hypothesis import strategies as st

from tests.placement.exhaustive.drawn_networks import networks, polling
from tests.placement.exhaustive.limits import GIB, Limits, often, rarely, seldom
from tests.placement.exhaustive.reading import Json, cpu_list, list_text


@st.composite
def hosts(draw: st.DrawFn, limits: Limits) -> Json:
    theme = limits.theme
    node_count = draw(st.sampled_from([2, 2, limits.nodes] if theme == "partners" else [1, 2, 2, 2, limits.nodes]))
    width = draw(st.sampled_from([1, 2, 2, 2, 4]))
    few = theme in {"links", "groups", "network", "overhead", "pages", "memory", "choice"}
    some = [1, 1, 2] if theme == "partners" else [1, 2, 2, 3, 4] if few else [0, 1, 2, 2, 3, 3, 4, 4, 5, 8]
    cores_of = st.sampled_from(some)
    shape = draw(st.lists(cores_of, min_size=node_count, max_size=node_count))
    if not any(shape):
        shape[0] = 2
    odd = draw(rarely())
    widths: list[list[int]] = []
    left = limits.cpus
    for cores in shape:
        wanted = [draw(st.integers(1, width)) if odd else width for _ in range(cores)]
        kept: list[int] = []
        for threads in wanted:
            if threads <= left:
                kept.append(threads)
                left -= threads
        widths.append(kept)
    if not any(widths):
        widths[0] = [1, 1]
    node_cores = _numbered(widths, interleaved=draw(st.booleans()))
    everything = sorted(cpu for cores in node_cores for core in cores for cpu in core)
    off = draw(st.sets(st.sampled_from(everything), max_size=2)) if draw(rarely()) else set()
    off = off if len(off) < len(everything) else set()
    online = [[[cpu for cpu in core if cpu not in off] for core in cores] for cores in node_cores]
    online = [[core for core in cores if core] for cores in online]
    per_package = draw(st.integers(1, node_count))
    slit = draw(_slits(node_count))
    nodes = [
        draw(
            _nodes(node, list_text(cpu for core in cores for cpu in core), node // per_package, slit[node], theme=theme)
        )
        for node, cores in enumerate(online)
    ]
    if draw(seldom()):
        # Broken firmware has siblings on different nodes, or a CPU on none.
        lost = draw(st.sampled_from(sorted(set(everything) - off)))
        for node in nodes:
            node["cpus"] = list_text(cpu_list(node["cpus"]) - {lost})
        for node in nodes[: draw(st.integers(0, 1))]:
            node["cpus"] = list_text(cpu_list(node["cpus"]) | {lost})
    free = draw(st.sets(st.sampled_from(everything), max_size=3))
    isolated = set(everything) - free if theme != "floating" and draw(rarely()) else set()
    pci, groups, links = draw(_functions(node_count, theme))
    host = {
        "schema": "numaplan/inventory/1",
        "host": {"hostname": "drawn", "source": "capture"},
        "packages": [
            {
                "id": package,
                "cpus": list_text(c for n in mine for core in online[n] for c in core),
                "numa_nodes": list(mine),
            }
            for package in range(-(-node_count // per_package))
            for mine in [range(package * per_package, min(node_count, (package + 1) * per_package))]
        ],
        "numa_nodes": nodes,
        "llcs": draw(_llcs(online)),
        "cores": [
            {"cpus": core, "package": node // per_package, "numa_node": node}
            for node, cores in enumerate(online)
            for core in cores
        ],
        "cpus": {
            "present": list_text(everything),
            "online": list_text(set(everything) - off),
            "isolated": list_text(isolated),
        },
        "pci": pci,
        "iommu_groups": groups,
        "links": links,
        "guests": [],
    }
    if theme == "network" or draw(seldom()):
        host = draw(networks(host))
    if theme == "dpdk" or draw(seldom()):
        host = draw(polling(host))
    return host


def _numbered(widths: list[list[int]], *, interleaved: bool) -> list[list[list[int]]]:
    """CPU numbers core by core, or the first thread of every core first."""
    threads = [(node, core, t) for node, cores in enumerate(widths) for core, w in enumerate(cores) for t in range(w)]
    threads.sort(key=lambda thread: (thread[2] if interleaved else 0, thread))
    found: list[list[list[int]]] = [[[] for _ in cores] for cores in widths]
    for cpu, (node, core, _) in enumerate(threads):
        found[node][core].append(cpu)
    return found


@st.composite
def _slits(draw: st.DrawFn, count: int) -> list[dict[str, int]]:
    """Absent, plain, lopsided, or odd: a near pair, a local entry that is not 10, an entry left out."""
    kind = draw(st.sampled_from(["absent", "plain", "plain", "odd", "odd"]))
    if kind == "absent":
        return [{} for _ in range(count)]
    if kind == "plain":
        return [{str(b): 10 if a == b else 21 for b in range(count)} for a in range(count)]
    entries = st.sampled_from([10, 12, 17, 21, 32, None])
    table: list[dict[str, int]] = []
    for a in range(count):
        row = {str(b): draw(entries) if a != b or draw(rarely()) else 10 for b in range(count)}
        table.append({b: entry for b, entry in row.items() if entry is not None})
    return table


@st.composite
def _nodes(draw: st.DrawFn, node: int, cpus: str, package: int, slit: dict[str, int], *, theme: str) -> Json:
    available = draw(st.sampled_from([4 * GIB, 4 * GIB, 4 * GIB, 2 * GIB, GIB, GIB // 2, 0, None]))
    if theme == "memory":
        available = draw(st.sampled_from([2 * GIB, GIB, GIB, GIB // 2, 0]))
    elif theme == "overhead":
        available = draw(st.sampled_from([GIB, GIB, GIB // 2, GIB // 4, 0]))
    elif theme in {"links", "groups", "pool", "floating", "network", "choice"}:
        available = 4 * GIB
    pools = [
        {"size_kib": 2048, "total": 1024, "free": draw(st.sampled_from([0, 256, 512, 1024]))},
        {"size_kib": GIB, "total": 2, "free": draw(st.integers(0, 2))},
    ]
    return {
        "id": node,
        "packages": [package],
        "cpus": cpus,
        "memory_kib": 8 * GIB,
        "available_kib": available,
        "hugepages": pools[: draw(st.sampled_from([2, 2, 1, 0]))],
        "distances": slit,
    }


@st.composite
def _llcs(draw: st.DrawFn, online: list[list[list[int]]]) -> list[Json]:
    """None, one a node, one for all, several a node, one a core, or some across nodes and some CPUs in none.

    Broken firmware even shows siblings in different ones.
    """
    kind = draw(st.sampled_from(["node", "node", "split", "split", "none", "all", "core", "any", "cpus"]))
    nodes = [[cpu for core in cores for cpu in core] for cores in online]
    parts: list[list[int]] = []
    if kind == "node":
        parts = nodes
    elif kind == "all":
        parts = [[cpu for cpus in nodes for cpu in cpus]]
    elif kind == "core":
        parts = [core for cores in online for core in cores]
    elif kind == "split":
        for cores in online:
            half = draw(st.integers(0, len(cores)))
            parts += [[cpu for core in some for cpu in core] for some in (cores[:half], cores[half:])]
    elif kind == "cpus":
        everything = [cpu for cpus in nodes for cpu in cpus]
        parts = [everything[::2], everything[1::2]]
    elif kind == "any":
        cores = [core for some in online for core in some]
        where = [draw(st.integers(-1, 2)) for _ in cores]
        parts = [[cpu for core, at in zip(cores, where, strict=True) if at == i for cpu in core] for i in range(3)]
    found = [sorted(part) for part in parts if part]
    return [
        {
            "level": 3,
            "cpus": list_text(part),
            "size_kib": None,
            "numa_nodes": [n for n, cpus in enumerate(nodes) if set(cpus) & set(part)],
        }
        for part in sorted(found)
    ]


@st.composite
def _functions(draw: st.DrawFn, node_count: int, theme: str) -> tuple[list[Json], list[Json], list[Json]]:
    """PFs with VFs, devices, their IOMMU groups and links."""
    pci: list[Json] = []
    links: list[Json] = []
    members: dict[int, list[str]] = {}
    node = st.sampled_from([*range(node_count), *range(node_count), None])
    grouping = draw(st.sampled_from(["own", "none", "pairs", "pairs", "with_pf"]))
    grouping = {"groups": "pairs", "links": "own", "choice": "own"}.get(theme, grouping)
    many = theme in {"groups", "links", "choice"}
    pfs = [2] if theme == "choice" else [1, 1, 2] if many or theme == "network" else [0, 1, 1, 2, 2]
    for i in range(draw(st.sampled_from(pfs))):
        functions, its_links = draw(_pf_with_vfs(i, draw(node), many=many))
        pci += functions
        links += its_links
        for v, device in enumerate(functions, start=-1):
            group = {"own": v + 1, "pairs": v // 2 + 1, "with_pf": max(0, v)}.get(grouping)
            if group is not None:
                members.setdefault(10 * i + group, []).append(device["address"])
    for d in range(draw(st.sampled_from([2] if theme == "choice" else [0, 0, 1, 2]))):
        gpu = f"0000:80:0{d}.0"
        pci.append(_function(gpu, "1eb8", draw(node), vendor="10de", kind="030200"))
        company = draw(st.sampled_from(["none", "bridge", "audio", "alone"]))
        if company != "none":
            members[100 + d] = [gpu]
        if company in ("bridge", "audio"):
            other = f"0000:80:0{d}.1"
            kind = "060400" if company == "bridge" else "040300"
            pci.append(_function(other, "10f0", pci[-1]["numa_node"], vendor="10de", kind=kind))
            members[100 + d].append(other)
    for group, addresses in members.items():
        for device in pci:
            if device["address"] in addresses:
                device["iommu_group"] = group
    groups = [{"id": group, "devices": sorted(some)} for group, some in sorted(members.items())]
    return pci, groups, links


@st.composite
def _pf_with_vfs(draw: st.DrawFn, i: int, node: int | None, *, many: bool) -> tuple[list[Json], list[Json]]:
    """A PF, its VFs and the links on them; now and then the host uses one of them itself."""
    pf, name = f"0000:{i + 1}0:00.0", f"ens{i}"
    vfs = [f"0000:{i + 1}1:00.{v}" for v in range(draw(st.sampled_from([2, 3, 4, 4] if many else [0, 1, 2, 3, 3])))]
    sriov = {"total": 8, "configured": len(vfs), "vfs": vfs}
    pci = [_function(pf, "1572", node, netdevs=[name], sriov=sriov)]
    speed = draw(st.sampled_from([10000, 10000, 10000] if many else [10000, 10000, 25000, None, 0]))
    links: list[Json] = [{"name": name, "pci": pf, "speed_mbps": speed, "addresses": draw(rarely()), "kind": "pf"}]
    for v, vf in enumerate(vfs):
        busy = draw(st.sampled_from([None] * (60 if many else 20) + ["address", "master", "dpdk"]))
        driver = "igb_uio" if busy == "dpdk" else "iavf"
        pci.append(_function(vf, draw(often("154c", "1889")), node, physfn=pf, driver=driver))
        if busy in ("address", "master"):
            pci[-1]["netdevs"] = [f"ens{i}v{v}"]
            uses = {"addresses": busy == "address", "master": "br1" if busy == "master" else None}
            links.append({"name": f"ens{i}v{v}", "pci": vf, "kind": "vf", **uses})
    return pci, links


def _function(
    address: str, device: str, node: int | None, *, vendor: str = "8086", kind: str = "020000", **more: object
) -> Json:
    return {"address": address, "vendor": vendor, "device": device, "class": kind, "numa_node": node, **more}
