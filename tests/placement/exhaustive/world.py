"""A host under a site's policy, read from the inventory document and FORMATS' meanings alone: what may be given away.

Nothing of numaplan is imported here: this is the other reading, which numaplan's is compared with.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from tests.placement.exhaustive.reading import NOBODY, Cpus, Json, cpu_list, size_kib
from tests.placement.exhaustive.wires import Wires, pages_to_come, polled_cpus, switch_ports

SMALL_KIB = 4
DPDK_DRIVERS = frozenset({"igb_uio", "uio_pci_generic"})


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
        self.overhead_kib = size_kib(site.get("guest_overhead", "0KiB"))
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
            cpu for guest in self.staying for cpus in threads_of(guest) if len(cpus or ()) == 1 for cpu in cpus or ()
        )
        vcpus = [
            cpus
            for guest in self.staying
            for vcpu, cpus in enumerate(affinities(guest)[: guest["vcpus"]])
            if vcpu not in guest.get("shared_vcpus", [])
        ]
        self.pinned = frozenset(cpu for cpus in vcpus if len(cpus or ()) == 1 for cpu in cpus or ())
        # A reserved CPU is nobody's anyway.
        self.taken |= (polled_cpus(inventory) & self.online) - self.reserved
        self.free = self.allocatable - self.taken
        self.floating = self._floating()
        self.links: dict[str, Json] = {link["name"]: link for link in inventory.get("links", [])}
        self._pci: dict[str, Json] = {device["address"]: device for device in inventory.get("pci", [])}
        self._groups = inventory.get("iommu_groups", [])
        self._plugged = switch_ports(inventory)
        self._to_come = {id_: pages_to_come(inventory, node) for id_, node in self._nodes.items()}
        self._wires = Wires(inventory, lambda address: self.functions[address].node)

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
                free = pool["free"] - self._to_come[id_].get(pool["size_kib"], 0)
                left[id_, pool["size_kib"]] = free * pool["size_kib"]
        for guest in self.returning:
            if guest.get("running") is True:
                back = _memory_of(guest) + [((node, SMALL_KIB), self.overhead_kib) for node in self.lies_on(guest)]
                for place, kib in back:
                    if place in left:
                        left[place] += kib
        return {place: max(0, kib) for place, kib in left.items()}

    def lies_on(self, guest: Json) -> list[int]:
        """The nodes that one of its vCPUs cannot leave."""
        sets = [self.online if cpus is None else cpus & self.online for cpus in affinities(guest)[: guest["vcpus"]]]
        return [node for node in self.nodes if any(cpus and cpus <= self.cpus_of[node] for cpus in sets)]

    def ladder(self, nodes: Collection[int]) -> Cpus | None:
        """Where threads float that share; None: on CPUs of the nodes that nobody holds."""
        here = frozenset(cpu for node in nodes for cpu in self.cpus_of[node])
        shared, reserved = self.shared - self.pinned, self.reserved - self.pinned
        rungs = (shared & here, reserved & here, shared, reserved)
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
        """The node of the physical ports below a bridge; None where it is not known to be one."""
        return self._wires.node(bridge)

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
        names = {*device.get("netdevs", []), *(link["name"] for link in links)}
        addresses, plugged = self._plugged
        if device["address"] in addresses or names & plugged:
            return "a port of Open vSwitch"
        carrying = {lower for link in self.links.values() for lower in link.get("lowers", [])}
        busy = any(link.get("addresses") or link.get("master") or link["name"] in carrying for link in links)
        return "address, bridge, bond or VLAN" if busy else None


def affinities(guest: Json) -> list[Cpus | None]:
    """Where its vCPUs, its emulator and its iothreads 1 and on may run, in this order; None: anywhere."""
    vcpus = [_affinity(guest, "vcpu", vcpu) for vcpu in range(guest["vcpus"])]
    iothreads = [_affinity(guest, "iothread", iothread) for iothread in range(1, guest.get("iothreads", 0) + 1)]
    return [*vcpus, _affinity(guest, "emulator", None), *iothreads]


def threads_of(guest: Json) -> list[Cpus | None]:
    """As `affinities`, and of iothreads that only a pin or a running thread knows."""
    named = {pin["iothread"] for pin in guest.get("iothread_pins", [])}
    named |= {thread["index"] for thread in _running(guest) if thread["kind"] == "iothread"}
    more = sorted(number for number in named if number > guest.get("iothreads", 0))
    return [*affinities(guest), *(_affinity(guest, "iothread", number) for number in more)]


def _affinity(guest: Json, kind: str, number: int | None) -> Cpus | None:
    """As it runs where that is known, else as its XML pins it."""
    now = [cpu_list(t["affinity"]) for t in _running(guest) if (t["kind"], t.get("index")) == (kind, number)]
    pins = [guest["emulator_pin"]] if kind == "emulator" and guest.get("emulator_pin") else []
    pins += [pin for pin in guest.get(f"{kind}_pins", []) if pin[kind] == number]
    if any(now):
        return NOBODY.union(*now)
    said = pins[0]["cpus"] if pins else guest.get("vcpu_cpuset")
    return None if said is None else cpu_list(said)


def _running(guest: Json) -> list[Json]:
    threads: list[Json] = (guest.get("live") or {}).get("threads", [])
    return threads


def functions_of(guest: Json) -> list[str]:
    """The PCI functions that its XML names."""
    parts = [*guest.get("interfaces", []), *guest.get("hostdevs", [])]
    return [part["pci"] for part in parts if part.get("pci")]


def memory_node(guest: Json, cell: int) -> int | None:
    """The one node that its XML binds a cell's memory to; None where it names no one."""
    bound = [memnode for memnode in guest.get("memnodes", []) if memnode["cell"] == cell] or [guest.get("memory")]
    nodes = (bound[0] or {}).get("nodes") or []
    return nodes[0] if len(nodes) == 1 else None


def seen_memory(guest: Json) -> list[tuple[tuple[int, int], int]]:
    """((node, page size), KiB) of its memory that was seen to lie there."""
    parts = (guest.get("live") or {}).get("memory", [])
    return [((part["node"], part["page_size_kib"]), part["size_kib"]) for part in parts]


def _memory_of(guest: Json) -> list[tuple[tuple[int, int], int]]:
    if seen := seen_memory(guest):
        return seen
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
