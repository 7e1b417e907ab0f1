"""Bridges, bonds, VLANs and Open vSwitch on the ports of a small host at random, as the inventory document has them."""

from hypothesis import strategies as st

from tests.placement.exhaustive.limits import GIB, rarely
from tests.placement.exhaustive.reading import Json, cpu_list, list_text


def bridges_of(host: Json) -> list[str]:
    """The bridges that `networks` made, of the kernel and of Open vSwitch."""
    kernel = [link["name"] for link in host["links"] if str(link["name"]).startswith("br")]
    return kernel + [bridge["name"] for bridge in (host.get("openvswitch") or {}).get("bridges", [])]


@st.composite
def networks(draw: st.DrawFn, host: Json) -> Json:
    """The host with bridges on some of its ports."""
    ports = [link["name"] for link in host["links"] if link["kind"] == "pf"]
    kind = draw(st.sampled_from(["kernel", "switch", "switch", "both"])) if ports else "nothing"
    if kind in ("kernel", "both"):
        host["links"] += draw(_kernel_bridge(ports))
    if kind in ("switch", "both"):
        switch, links = draw(_switch(host, ports))
        host["openvswitch"] = (host.get("openvswitch") or {}) | switch
        host["links"] += links
    return host


@st.composite
def polling(draw: st.DrawFn, host: Json) -> Json:
    """The host with Open vSwitch of DPDK that runs, or is to, or of which only the settings are left."""
    cpus = st.sampled_from(sorted(cpu_list(host["cpus"]["present"])))
    runs = draw(st.sampled_from([True, False, False, None]))
    switch = {
        "dpdk": runs,
        "dpdk_init": draw(st.sampled_from([True, True, False, None])),
        "pmd_cpus": list_text(draw(st.sets(cpus, min_size=1, max_size=2))) if draw(st.booleans()) else None,
        "lcore_cpus": str(draw(cpus)) if draw(rarely()) else None,
        "pmds": [{"cpu": draw(cpus)}] if runs and draw(st.booleans()) else [],
        "socket_memory": [
            {"node": node["id"], "size_kib": size}
            for node in host["numa_nodes"]
            if (size := draw(st.sampled_from([0, GIB // 2, GIB, GIB + 1024])))
        ],
    }
    host["openvswitch"] = (host.get("openvswitch") or {}) | switch
    return host


@st.composite
def _kernel_bridge(draw: st.DrawFn, ports: list[str]) -> list[Json]:
    """br0 on a port, a VLAN of one, a bond of all, or on nothing; or a port names it as its master."""
    kind = draw(st.sampled_from(["port", "vlan", "bond", "nothing", "all"]))
    lower = draw(st.sampled_from(ports))
    bridge: Json = {"name": "br0", "kind": draw(st.sampled_from(["bridge", None])), "lowers": [lower]}
    if kind == "vlan":
        return [{"name": f"{lower}.7", "kind": "vlan", "lowers": [lower]}, bridge | {"lowers": [f"{lower}.7"]}]
    if kind == "bond":
        return [{"name": "bond0", "kind": "bond", "lowers": ports}, bridge | {"lowers": ["bond0"]}]
    return [bridge | {"lowers": {"port": [lower], "nothing": [], "all": ports}[kind]}]


@st.composite
def _switch(draw: st.DrawFn, host: Json, ports: list[str]) -> tuple[Json, list[Json]]:
    """br-ovs on a port, a DPDK port or both; br-int beside it, by patch ports, a veth pair or not at all; br1 above."""
    address = {link["name"]: link["pci"] for link in host["links"] if link["kind"] == "pf"}
    nodes = st.sampled_from([None, *(node["id"] for node in host["numa_nodes"])])
    port = draw(st.sampled_from(ports))
    outer: list[Json] = []
    if draw(st.booleans()):
        outer.append({"name": "dpdk0", "type": "dpdk", "pci": address[port], "node": draw(nodes)})
    if not outer or draw(rarely()):
        outer.append({"name": draw(st.sampled_from(ports))})
    uplink = {"name": "up", "interfaces": sorted({row["name"] for row in outer})}
    rows: list[Json] = [*outer, {"name": "vhu0", "type": "dpdkvhostuserclient"}, {"name": "int0", "type": "internal"}]
    links: list[Json] = []
    between = draw(st.sampled_from(["patch", "patch", "veth", "nothing"]))
    ends = ("to-int", "to-ovs")
    for name, peer in (ends, ends[::-1]):
        rows.append({"name": name, "type": "patch" if between == "patch" else ""})
        if between == "patch":
            rows[-1]["peer"] = peer
        elif between == "veth":
            links.append({"name": name, "kind": "veth", "peer": peer, "master": draw(st.sampled_from(["ovs-system"]))})
    if draw(rarely()):
        links += [{"name": "int0", "kind": "openvswitch", "master": "br1"}, {"name": "br1", "kind": "bridge"}]
    inside = {"br-int": ["to-ovs", "vhu0"], "br-ovs": ["to-int", "int0"]}
    bridges: list[Json] = [
        {"name": name, "datapath": "netdev", "ports": [{"name": one, "interfaces": [one]} for one in members]}
        for name, members in inside.items()
    ]
    bridges[1]["ports"].append(uplink)
    return {"bridges": bridges, "interfaces": sorted(rows, key=lambda row: str(row["name"]))}, links
