"""Where the traffic of a bridge leaves the host, and what Open vSwitch holds with DPDK, from the document alone."""

from collections.abc import Callable, Iterable

from tests.placement.exhaustive.reading import Cpus, Json, cpu_list

DATAPATH = "ovs-system"


class Wires:
    """What is plugged into what, by name; `node_of` has the node of a PCI function."""

    def __init__(self, inventory: Json, node_of: Callable[[str], int | None]) -> None:
        switch = inventory.get("openvswitch") or {}
        self._node_of = node_of
        self._links: dict[str, Json] = {link["name"]: link for link in inventory.get("links", [])}
        self._rows: dict[str, Json] = {row["name"]: row for row in switch.get("interfaces", [])}
        self._inside: dict[str, list[str]] = {
            bridge["name"]: [name for port in bridge["ports"] for name in port["interfaces"]]
            for bridge in switch.get("bridges", [])
        }

    def node(self, bridge: str | None) -> int | None:
        """The one node of the physical ports below a bridge; None where there is none, or several, or none known."""
        seen: set[str] = set()
        left = [] if bridge is None else [bridge]
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += self._onward(name)
        nodes = {self._port(name) for name in seen} - {None}
        return nodes.pop() if len(nodes) == 1 else None

    def _onward(self, name: str) -> Iterable[str]:
        if name in self._inside:
            return self._inside[name]
        link, row = self._links.get(name, {}), self._rows.get(name, {})
        ends = [row.get("peer") or link.get("peer"), name if row.get("type") == "internal" else None]
        homes = [self._home(end) for end in ends if end is not None]
        return [*link.get("lowers", []), *self._members(name), *(home for home in homes if home is not None)]

    def _members(self, name: str) -> list[str]:
        return [link["name"] for link in self._links.values() if link.get("master") == name]

    def _home(self, name: str) -> str | None:
        """The bridge that a name is a port of."""
        inside = [bridge for bridge, names in self._inside.items() if name in names]
        master = self._links.get(name, {}).get("master")
        return inside[0] if inside else None if master == DATAPATH else master

    def _port(self, name: str) -> int | None:
        link, row = self._links.get(name, {}), self._rows.get(name, {})
        if name in self._inside:
            return None
        lies_on_others = link.get("lowers") or self._members(name) or link.get("kind") in {"bridge", "bond", "team"}
        function = row.get("pci") or (None if lies_on_others else link.get("pci"))
        node = None if function is None else self._node_of(function)
        return row.get("node") if node is None and row.get("type") == "dpdk" else node


def polled_cpus(inventory: Json) -> Cpus:
    """The CPUs of the switch's threads, and those of its masks where DPDK runs or is to."""
    switch = inventory.get("openvswitch") or {}
    polling = frozenset(pmd["cpu"] for pmd in switch.get("pmds", []))
    if not (polling or switch.get("dpdk") or switch.get("dpdk_init")):
        return polling
    return polling | cpu_list(switch.get("pmd_cpus")) | cpu_list(switch.get("lcore_cpus"))


def pages_to_come(inventory: Json, node: Json) -> dict[int, int]:
    """The free pages of a node, by size in KiB, that DPDK will take when it starts: the largest first, and the rest in
    small ones where these suffice for it, else in one more large one."""
    switch = inventory.get("openvswitch") or {}
    if switch.get("dpdk") is not False or not switch.get("dpdk_init") or switch.get("pmds"):
        return {}
    left = sum(memory["size_kib"] for memory in switch.get("socket_memory", []) if memory["node"] == node["id"])
    free = {pool["size_kib"]: pool["free"] for pool in node.get("hugepages", [])}
    found = {}
    for size in sorted(free, reverse=True):
        found[size] = min(free[size], left // size)
        left -= found[size] * size
        smaller = sum(other * free[other] for other in free if other < size)
        if left and found[size] < free[size] and smaller < left:
            found[size] += 1
            left = 0
    return found


def switch_ports(inventory: Json) -> tuple[frozenset[str], frozenset[str]]:
    """The addresses and the names of what is plugged into Open vSwitch."""
    rows = (inventory.get("openvswitch") or {}).get("interfaces", [])
    return frozenset(row["pci"] for row in rows if row.get("pci")), frozenset(row["name"] for row in rows)
