"""What a vnf.yaml asks for, guest by guest with every default, read from the document and FORMATS alone."""

from dataclasses import dataclass, replace

from tests.placement.exhaustive.reading import Cpus, Json, cpu_list, size_kib
from tests.placement.exhaustive.world import SMALL_KIB, Function, World

SIZES_KIB = {"4KiB": SMALL_KIB, "2MiB": 2048, "1GiB": 1 << 20}


@dataclass(frozen=True)
class CellWish:
    """A guest cell. `dedicated` are those of its vCPUs that get CPUs of their own."""

    vcpus: tuple[int, ...]
    dedicated: tuple[int, ...]
    memory_kib: int
    page_size: str
    strict: bool

    def takes(self, page_kib: int) -> bool:
        """Whether its memory may lie in pages of that size."""
        fits = {"any": True, "large": page_kib > SMALL_KIB}.get(
            self.page_size, page_kib == SIZES_KIB.get(self.page_size)
        )
        return fits and self.memory_kib % page_kib == 0


@dataclass(frozen=True)
class PortWish:
    """`count` functions for one entry of interfaces (`is_vf`) or devices; one that `is_bridged` wants none."""

    name: str
    is_vf: bool
    count: int
    names: frozenset[str] | None = None
    indexes: Cpus | None = None
    vendor: str | None = None
    device: str | None = None
    address: str | None = None
    affinity: str = "required"
    mbps: int = 0
    distinct_pfs: bool = False
    is_bridged: bool = False
    bridge: str | None = None

    def matches(self, function: Function) -> bool:
        """Whether the function is one of those asked for."""
        return (
            (function.pf is not None or not self.is_vf)
            and (self.names is None or bool(self.names & function.pf_names))
            and (self.indexes is None or function.index in self.indexes)
            and self.vendor in (None, function.vendor)
            and self.device in (None, function.device)
            and self.address in (None, function.address)
        )

    def reaches(self, world: World, node: int | None, nodes: frozenset[int]) -> bool:
        """Whether a function at `node` is near enough for a guest on `nodes`."""
        if self.affinity == "preferred" or node in nodes:
            return True
        if self.affinity == "required" or node is None:
            return False
        return any(world.packages[node] & world.packages[mine] for mine in nodes)


@dataclass(frozen=True)
class Wish:
    """One guest. `own` are the CPUs that its emulator and its iothreads have for themselves."""

    name: str
    required: bool
    priority: int
    cells: tuple[CellWish, ...]
    distinct_nodes: bool
    thread_policy: str
    own_emulator: int
    iothreads: int
    iothreads_share: bool
    ports: tuple[PortWish, ...]
    affinity: frozenset[str]
    anti_affinity: frozenset[str]

    @property
    def own(self) -> int:
        """CPUs beside those of the vCPUs, all in cell 0."""
        return self.own_emulator + (0 if self.iothreads_share else self.iothreads)

    @property
    def floats(self) -> bool:
        """Whether its emulator or an iothread shares CPUs with others."""
        return not self.own_emulator or (self.iothreads > 0 and self.iothreads_share)

    def cpus(self, cell: int) -> int:
        """The size of a cell set."""
        return len(self.cells[cell].dedicated) + (self.own if cell == 0 else 0)


def wishes_of(vnf: Json, inventory: Json | None = None) -> tuple[Wish, ...]:
    """All guests in the order of the document, copies one after the other; profiles are not read.

    Those that `inventory` has already keep to the cells that they have.
    """
    there = {guest["name"]: guest for guest in (inventory or {}).get("guests", [])}
    physnets = vnf.get("host", {}).get("physnets", {})
    copies: dict[str, list[str]] = {}
    for vm in vnf["vms"]:
        count = vm.get("count", 1)
        copies[vm["name"]] = [vm["name"]] if count == 1 else [f"{vm['name']}-{n}" for n in range(1, count + 1)]
    found = []
    for vm in vnf["vms"]:
        wish = _wish(vm, physnets)
        for name in copies[vm["name"]]:
            near, far = (
                frozenset(other for named in vm.get(key, []) for other in copies.get(named, [named])) - {name}
                for key in ("affinity", "anti_affinity")
            )
            kept = kept_topology(wish, there.get(name), policy=vm.get("cpu_policy", "dedicated"))
            found.append(replace(kept, name=name, affinity=near, anti_affinity=far))
    return tuple(found)


def kept_topology(wish: Wish, guest: Json | None, *, policy: str) -> Wish:
    """The wish of a guest that is there: it keeps to the cells, or the number of vCPUs, that its XML has.

    What is wished of memory holds cell by cell where there are as many, else what is wished of the first.
    """
    if guest is None:
        return wish
    topology = guest.get("topology") or {}
    there = [(tuple(cell["vcpus"]), cell["memory_kib"]) for cell in guest.get("cells", [])]
    if not there and topology and len(wish.cells) == 1:
        vcpus = topology["sockets"] * topology.get("dies", 1) * topology["cores"] * topology["threads"]
        there = [(tuple(range(vcpus)), wish.cells[0].memory_kib)]
    if not there or there == [(cell.vcpus, cell.memory_kib) for cell in wish.cells]:
        return wish
    chosen = {vcpu for cell in wish.cells for vcpu in cell.dedicated}
    likes = wish.cells if len(wish.cells) == len(there) else wish.cells[:1] * len(there)
    cells = tuple(
        replace(
            like,
            vcpus=vcpus,
            memory_kib=memory_kib,
            dedicated=tuple(vcpu for vcpu in vcpus if policy == "dedicated" or vcpu in chosen),
        )
        for like, (vcpus, memory_kib) in zip(likes, there, strict=True)
    )
    return replace(wish, cells=cells)


def _wish(vm: Json, physnets: Json) -> Wish:
    emulator = vm.get("emulator", {"policy": "share"})
    iothreads = vm.get("iothreads", {})
    return Wish(
        vm["name"],
        vm.get("required", True),
        vm.get("priority", 1),
        _cells(vm),
        vm.get("distinct_nodes", True),
        vm.get("thread_policy", "prefer"),
        {"share": 0, "isolate": 1, "set": emulator.get("cpus", 0)}[emulator["policy"]],
        iothreads.get("count", 0),
        iothreads.get("policy", "share") == "share",
        (
            *(_interface(port, physnets) for port in vm.get("interfaces", [])),
            *(PortWish(is_vf=False, count=1, **device) for device in vm.get("devices", [])),
        ),
        frozenset(),
        frozenset(),
    )


def _cells(vm: Json) -> tuple[CellWish, ...]:
    cells = vm.get("cells", 1)
    if isinstance(cells, int):
        share = {"vcpus": vm["vcpus"] // cells, "memory": f"{size_kib(vm['memory']) // cells}KiB"}
        cells = [share] * cells
    policy = vm.get("cpu_policy", "dedicated")
    found = []
    first = 0
    for cell in cells:
        vcpus = tuple(range(first, first + cell["vcpus"]))
        first += cell["vcpus"]
        chosen = {"dedicated": set(vcpus), "shared": set(), "mixed": set(cpu_list(vm.get("dedicated_vcpus")))}[policy]
        found.append(
            CellWish(
                vcpus,
                tuple(vcpu for vcpu in vcpus if vcpu in chosen),
                size_kib(cell["memory"]),
                cell.get("page_size", vm.get("page_size", "4KiB")),
                cell.get("memory_policy", vm.get("memory_policy", "strict")) == "strict",
            )
        )
    return tuple(found)


def _interface(port: Json, physnets: Json) -> PortWish:
    if port.get("type", "sriov") != "sriov":
        affinity = port.get("affinity", "preferred")
        return PortWish(
            port["name"], is_vf=True, count=0, affinity=affinity, is_bridged=True, bridge=port.get("bridge")
        )
    names = frozenset(physnets[port["physnet"]]) if "physnet" in port else None
    pf, _, indexes = port.get("pf", "").partition("#")
    return PortWish(
        port["name"],
        is_vf=True,
        count=port.get("count", 1),
        names=frozenset({pf}) if pf else names,
        indexes=cpu_list(indexes) if indexes else None,
        vendor=port.get("vendor"),
        device=port.get("device"),
        affinity=port.get("affinity", "required"),
        mbps=port.get("mbps", 0),
        distinct_pfs=port.get("distinct_pfs", False),
    )
