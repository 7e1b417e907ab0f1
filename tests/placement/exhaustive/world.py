"""A host under a site's policy, read from the inventory document and FORMATS' meanings alone: what may be given away.

Nothing of numaplan is imported here: this is the other reading, which numaplan's is compared with.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Json = dict[str, Any]
Cpus = frozenset[int]

SMALL_KIB = 4
NOBODY: Cpus = frozenset()
DPDK_DRIVERS = frozenset({"igb_uio", "uio_pci_generic"})


def cpu_list(text: str | None) -> Cpus:
    """From the kernel's list form; None is no CPU."""
    found: set[int] = set()
    for part in (text or "").split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def list_text(cpus: Iterable[int]) -> str:
    """A CPU list without runs, which every reader of the kernel's form takes."""
    return ",".join(str(cpu) for cpu in sorted(cpus))


def size_kib(text: str) -> int:
    """A size of vnf.yaml such as 2GiB."""
    units = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20, "TiB": 1 << 30}
    return int(text[:-3]) * units[text[-3:]]


@dataclass(frozen=True)
class Function:
    """A PCI function. `node` is that of its PF where it is a VF; `mates` must go along with it; `why_not`: no guest
    can have it. `pf`, `pf_names` and `index` are those of a configured VF."""

    address: str
    vendor: str
    device: str
    node: int | None
    why_not: str | None
    mates: frozenset[str]
    pf: str | None = None
    pf_names: frozenset[str] = frozenset()
    index: int | None = None


class World:
    """`asked` are the guests of the request: they give back what they have; every other guest stays."""

    def __init__(self, inventory: Json, site: Json, asked: Collection[str]) -> None:
        self.site = site
        self.there: dict[str, Json] = {guest["name"]: guest for guest in inventory.get("guests", [])}
        self.staying = [guest for name, guest in self.there.items() if name not in asked]
        self.returning = [guest for name, guest in self.there.items() if name in asked]
        states = inventory["cpus"]
        self.online = cpu_list(states["online"])
        self._nodes: dict[int, Json] = {node["id"]: node for node in inventory["numa_nodes"]}
        self.nodes = sorted(self._nodes)
        self.cpus_of = {id_: cpu_list(node["cpus"]) & self.online for id_, node in self._nodes.items()}
        self.packages = {id_: frozenset(node.get("packages", [])) for id_, node in self._nodes.items()}
        self.cores = [frozenset(core["cpus"]) for core in inventory["cores"]]
        self.core_of = {cpu: core for core in self.cores for cpu in core}
        self.width = max((len(core) for core in self.cores), default=1)
        shown = [cpu_list(llc["cpus"]) for llc in inventory.get("llcs", [])]
        self.llcs = shown or [cpus for cpus in self.cpus_of.values() if cpus]
        self.shared = cpu_list(site.get("shared_cpus")) & self.online
        self.reserved = self._reserved(cpu_list(states.get("isolated"))) & self.online
        self.allocatable = self.online - self.reserved - self.shared
        self.taken = frozenset(
            cpu for guest in self.staying for cpus in affinities(guest) if len(cpus or ()) == 1 for cpu in cpus or ()
        )
        self.free = self.allocatable - self.taken
        self.floating = self._floating()
        self.links: dict[str, Json] = {link["name"]: link for link in inventory.get("links", [])}
        self._pci: dict[str, Json] = {device["address"]: device for device in inventory.get("pci", [])}
        self._groups = inventory.get("iommu_groups", [])

    def _reserved(self, isolated: Cpus) -> Cpus:
        if self.site.get("reserved_cpus") is not None:
            return cpu_list(self.site["reserved_cpus"])
        return self.online - isolated - self.shared if isolated else NOBODY

    def _floating(self) -> Counter[int]:
        """vCPUs of staying guests on sets of several CPUs, by the node that holds the set."""
        found: Counter[int] = Counter()
        for guest in self.staying:
            for cpus in affinities(guest)[: guest["vcpus"]]:
                here = self.online if cpus is None else cpus & self.online
                if cpus is None or len(cpus) > 1:
                    found.update(node for node in self.nodes if here and here <= self.cpus_of[node])
        return found

    def node_of(self, cpu: int) -> int | None:
        """The node of a CPU."""
        return next((node for node in self.nodes if cpu in self.cpus_of[node]), None)

    def distance(self, one: int | None, other: int | None) -> int:
        """D of FORMATS; 0 for a device whose node the host does not say."""
        if one is None or other is None:
            return 0
        entries = [
            self._nodes[a]["distances"][str(b)]
            for a, b in ((one, other), (other, one))
            if str(b) in self._nodes.get(a, {}).get("distances", {})
        ]
        return max(entries) - 10 if entries else 10 * (one != other)

    def room(self, node: int) -> int:
        """How many shared vCPUs of the request the pool of a node takes."""
        pool = self.shared & self.cpus_of[node]
        return int(self.site.get("shared_ratio", 4)) * len(pool) - self.floating[node] if pool else 0

    @cached_property
    def capacity_kib(self) -> dict[tuple[int, int], int]:
        """Memory that may be given, by node and page size."""
        left: dict[tuple[int, int], int] = {}
        for id_, node in self._nodes.items():
            if node.get("available_kib") is not None:
                left[id_, SMALL_KIB] = node["available_kib"] - size_kib(self.site.get("reserved_memory", "2GiB"))
            for pool in node.get("hugepages", []):
                left[id_, pool["size_kib"]] = pool["free"] * pool["size_kib"]
        for guest in self.returning:
            for place, kib in _memory_of(guest) if guest.get("running") is True else ():
                if place in left:
                    left[place] += kib
        return {place: max(0, kib) for place, kib in left.items()}

    def ladder(self, nodes: Collection[int]) -> Cpus | None:
        """Where threads float that share; None: on CPUs of the nodes that nobody holds."""
        here = frozenset(cpu for node in nodes for cpu in self.cpus_of[node])
        rungs = (self.shared & here, self.reserved & here, self.shared, self.reserved)
        return next((rung for rung in rungs if rung), None)

    def staying_nodes(self, name: str) -> frozenset[int] | None:
        """Where the vCPUs of a guest that stays may run; None: no such guest."""
        guest = next((guest for guest in self.staying if guest["name"] == name), None)
        if guest is None:
            return None
        sets = [self.online if cpus is None else cpus for cpus in affinities(guest)[: guest["vcpus"]]]
        return frozenset(node for node in self.nodes for cpus in sets if cpus & self.cpus_of[node])

    def link_mbps(self, pf: str) -> int | None:
        """The speed of a PF's link; None: not known, and then without limit."""
        speeds = [link["speed_mbps"] for link in self.links.values() if link.get("pci") == pf]
        return max((speed for speed in speeds if speed), default=None)

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Every PCI function, in the order of addresses."""
        held = {address for guest in self.staying for address in functions_of(guest)}
        vfs = {
            vf: (pf, index)
            for pf in self._pci.values()
            for index, vf in enumerate((pf.get("sriov") or {}).get("vfs", []))
        }
        groups: dict[int, set[str]] = {group["id"]: set(group["devices"]) for group in self._groups}
        found = {}
        for address, device in sorted(self._pci.items()):
            pf, index = vfs.get(address, (self._pci.get(device.get("physfn") or ""), None))
            group = groups.get(device.get("iommu_group", -1), set())
            found[address] = Function(
                address,
                device["vendor"],
                device["device"],
                (pf or device).get("numa_node"),
                "taken" if address in held else self._host_use(device),
                frozenset(m for m in group if m != address and not self._is_bridge(m)),
                None if pf is None else pf["address"],
                frozenset() if pf is None else frozenset(pf.get("netdevs", [])),
                index,
            )
        return found

    def port_node(self, bridge: str | None) -> int | None:
        """The node of the one physical port below a bridge."""
        below = [] if bridge is None else [bridge]
        nodes = set()
        while below:
            link = self.links.get(below.pop())
            if link is not None:
                below += link.get("lowers", [])
                nodes.add(self._pci[link["pci"]].get("numa_node") if link.get("pci") else None)
        known = nodes - {None}
        return known.pop() if len(known) == 1 else None

    def _is_bridge(self, address: str) -> bool:
        return address in self._pci and str(self._pci[address]["class"]).startswith("06")

    def _host_use(self, device: Json) -> str | None:
        if self._is_bridge(device["address"]):
            return "a bridge"
        if (device.get("sriov") or {}).get("vfs"):
            return "a PF with VFs"
        if device.get("driver") in DPDK_DRIVERS:
            return "DPDK"
        links = [link for link in self.links.values() if link.get("pci") == device["address"]]
        busy = any(link.get("addresses") or link.get("master") for link in links)
        return "address, bridge or bond" if busy else None


def affinities(guest: Json) -> list[Cpus | None]:
    """Where its vCPUs, its emulator and its iothreads may run, in this order; None: anywhere."""
    widest = None if guest.get("vcpu_cpuset") is None else cpu_list(guest["vcpu_cpuset"])
    vcpus = {pin["vcpu"]: cpu_list(pin["cpus"]) for pin in guest.get("vcpu_pins", [])}
    iothreads = {pin["iothread"]: cpu_list(pin["cpus"]) for pin in guest.get("iothread_pins", [])}
    emulator = guest.get("emulator_pin")
    return [
        *(vcpus.get(vcpu, widest) for vcpu in range(guest["vcpus"])),
        widest if emulator is None else cpu_list(emulator["cpus"]),
        *(iothreads.get(iothread, widest) for iothread in range(1, guest.get("iothreads", 0) + 1)),
    ]


def functions_of(guest: Json) -> list[str]:
    """The PCI functions that its XML names."""
    parts = [*guest.get("interfaces", []), *guest.get("hostdevs", [])]
    return [part["pci"] for part in parts if part.get("pci")]


def memory_node(guest: Json, cell: int) -> int | None:
    """The one node that its XML binds a cell's memory to; None where it names no one."""
    bound = [memnode for memnode in guest.get("memnodes", []) if memnode["cell"] == cell] or [guest.get("memory")]
    nodes = (bound[0] or {}).get("nodes") or []
    return nodes[0] if len(nodes) == 1 else None


def _memory_of(guest: Json) -> list[tuple[tuple[int, int], int]]:
    cells = [(cell["id"], cell["memory_kib"]) for cell in guest.get("cells", [])] or [(0, guest["memory_kib"] or 0)]
    found = []
    for cell, kib in cells:
        pages = guest.get("hugepages", [])
        own = [page for page in pages if cell in (page.get("cells") or [])]
        page = next(iter([*own, *(page for page in pages if page.get("cells") is None)]), {"size_kib": SMALL_KIB})
        node = memory_node(guest, cell)
        if node is not None and page["size_kib"] is not None:
            found.append(((node, page["size_kib"]), kib))
    return found
