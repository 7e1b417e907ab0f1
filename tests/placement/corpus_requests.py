"""Requests that suit a given host's shape, drawn from a seed: whatever the host, some fit it and some do not."""

from dataclasses import replace
from random import Random
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.devices import BRIDGE_CLASS_PREFIX
from numaplan.model.guest import CellId, Guest, GuestInterface, MemoryBinding, VcpuId, VcpuPin
from numaplan.model.host import HugepagePool, NumaNode
from numaplan.model.request import Affinity, CpuPolicy, DeviceRequest, GuestRequest, InterfaceRequest, Request
from numaplan.model.snapshot import Snapshot
from tests.requests import GIB, ask, guest, vfs

NAMES: Final = ("a", "b", "c", "d", "e")

# What a node is lent that says nothing of its memory: enough for some draws and not for all.
LENT_KIB: Final = 6 * GIB
LENT_POOLS: Final = (HugepagePool(2048, total=512, free=512), HugepagePool(GIB, total=3, free=3))


def lend_memory(snapshot: Snapshot) -> Snapshot:
    """The host with memory on every node of which it does not say how much is available."""
    return replace(snapshot, nodes=tuple(_lend(node) for node in snapshot.nodes))


def _lend(node: NumaNode) -> NumaNode:
    if node.available_kib is not None:
        return node
    pools = node.hugepages or LENT_POOLS
    return replace(node, memory_kib=LENT_KIB, free_kib=LENT_KIB, available_kib=LENT_KIB, hugepages=pools)


def draw_request(seed: str, snapshot: Snapshot) -> Request:
    """One to five guests; the same seed draws the same on any machine."""
    rng = Random(seed)  # noqa: S311  # a repeatable draw, no secret
    reserved, shared = _draw_pools(rng, snapshot)
    names = NAMES[: rng.choice([1, 2, 2, 3, 3, 4, 5])]
    guests = tuple(_draw_guest(rng, name, names, snapshot=snapshot, pool=shared is not None) for name in names)
    if len(guests) > 2 and rng.random() < 0.3:
        twin = guests[0]
        guests = (twin, replace(twin, name=names[1], vm=names[1], affinity=(), anti_affinity=()), *guests[2:])
    return ask(
        *guests,
        reserved=reserved,
        shared=shared,
        shared_ratio=rng.randint(1, 4),
        reserved_memory_gib=rng.choice([0, 0, 0, 1]),
        physnets={"all": _ports(snapshot)},
    )


def draw_staying(seed: str, snapshot: Snapshot) -> tuple[Guest, ...]:
    """Perhaps a guest that stays, with some pins and VFs, and perhaps the guest "a" of the request as it may be there.

    Also seeded; names are in order.
    """
    rng = Random("staying" + seed)  # noqa: S311  # a repeatable draw, no secret
    online = list(snapshot.cpus.online)
    devices = [device.address for device in snapshot.pci if device.physfn is not None]
    found = []
    for name in ("a", "stays"):
        if rng.random() < 0.5:
            continue
        vcpus = rng.randint(1, 4)
        node = rng.choice([node for node in snapshot.nodes if node.cpus] or [None])
        here = online if node is None else list(node.cpus)
        narrow = rng.random() < 0.7
        picked = rng.sample(here, min(vcpus, len(here)))
        pins = tuple(
            VcpuPin(VcpuId(v), CpuSet([cpu]) if narrow else CpuSet(here), line=1) for v, cpu in enumerate(picked)
        )
        bound = () if node is None else (MemoryBinding(CellId(0), "strict", (node.id,), line=1),)
        vf = rng.choice(devices) if devices and rng.random() < 0.5 else None
        interfaces = () if vf is None else (GuestInterface("hostdev", line=1, pci=vf),)
        running = rng.choice([True, False, None])
        found.append(
            Guest(
                name,
                f"{name}.xml",
                vcpus,
                GIB // 4,
                vcpu_pins=pins,
                memnodes=bound,
                interfaces=interfaces,
                running=running,
            )
        )
    return tuple(found)


def _draw_pools(rng: Random, snapshot: Snapshot) -> tuple[str | None, str | None]:
    """Reserved and shared CPUs, often on every node, sometimes on one, sometimes not named."""
    online = list(snapshot.cpus.online)
    if len(online) < 3:
        return rng.choice([(None, None), ("", None), ("", str(online[0]))])
    by_node = [list(node.cpus) for node in snapshot.nodes if len(node.cpus) > 1]
    some = [cpus[0] for cpus in by_node if rng.random() < 0.8]
    pool = [cpus[1] for cpus in by_node if rng.random() < 0.8]
    reserved = rng.choice([None, "", str(online[0]), str(CpuSet(some))])
    named = CpuSet(pool) - CpuSet.parse(reserved or "")
    return reserved, rng.choice([None, str(named) if named else None, str(named) if named else None])


def _draw_guest(rng: Random, name: str, names: tuple[str, ...], *, snapshot: Snapshot, pool: bool) -> GuestRequest:
    widest = max((len(node.cpus) for node in snapshot.nodes), default=1)
    cells = rng.choice([1, 1, 1, 1, 2, 2, 3])
    most = max(1, widest // rng.choice([1, 2, 2, 4, 4, 8]))
    even = rng.randint(1, most)
    sizes = [even if rng.random() < 0.8 else rng.randint(1, most) for _ in range(cells)]
    policy = rng.choice(["dedicated", "dedicated", "dedicated", *([*CpuPolicy] if pool else [])])
    count = sum(sizes)
    if policy == "mixed" and count == 1:
        policy = "dedicated"
    smt = any(len(core.cpus) > 1 for core in snapshot.cores) or rng.random() < 0.1
    emulator = rng.choice(["share", "share", "isolate", "set"])
    partners = [other for other in (*names, "stays") if other != name]
    memory_kib, page_size = _draw_memory(rng, snapshot)
    asked = guest(
        name,
        sizes,
        page_size=page_size,
        memory_policy=rng.choice(["strict", "strict", "preferred"]),
        cpu_policy=policy,
        dedicated=rng.sample(range(count), rng.randint(1, max(1, count - 1))) if policy == "mixed" else (),
        thread_policy=rng.choice(["prefer", "require", "isolate"] if smt else ["prefer"]),
        emulator=emulator,
        emulator_cpus=rng.randint(1, 2),
        iothreads=rng.choice([0, 0, 1, 2]),
        iothread_policy=rng.choice(["share", "dedicated"]),
        interfaces=_draw_interfaces(rng, snapshot),
        required=rng.random() < 0.6,
        priority=rng.randint(1, 3),
        distinct_nodes=rng.random() < 0.7,
        affinity=[rng.choice(partners)] if partners and rng.random() < 0.15 else [],
        anti_affinity=[rng.choice(partners)] if partners and rng.random() < 0.15 else [],
    )
    cells_asked = tuple(replace(cell, memory_kib=memory_kib) for cell in asked.cells)
    return replace(asked, cells=cells_asked, devices=_draw_devices(rng, snapshot))


def _draw_memory(rng: Random, snapshot: Snapshot) -> tuple[int, str]:
    """A cell's memory and page size out of a pool that some node has."""
    sizes = {pool.size_kib for node in snapshot.nodes for pool in node.hugepages if pool.free}
    named = {2048: "2MiB", GIB: "1GiB"}
    choices = ["4KiB", "4KiB", "any", *(named[size] for size in sorted(sizes) if size in named)]
    if sizes:
        choices.append("large")
    page_size = rng.choice(choices)
    if page_size == "1GiB":
        return GIB * rng.randint(1, 2), page_size
    room = max((node.available_kib or 0 for node in snapshot.nodes), default=0)
    large = max(1, room // GIB // 2)
    return rng.choice([GIB // 16, GIB // 8, GIB // 4, GIB, GIB * rng.randint(1, large)]), page_size


def _draw_interfaces(rng: Random, snapshot: Snapshot) -> tuple[InterfaceRequest, ...]:
    ports = _ports(snapshot)
    if not ports or rng.random() < 0.4:
        return ()
    found = []
    for i in range(rng.choice([1, 1, 2])):
        physnet = rng.random() < 0.5
        found.append(
            vfs(
                f"data{i}",
                "all" if physnet else rng.choice(ports),
                rng.choice([1, 1, 2]),
                affinity=rng.choice([*Affinity]),
                mbps=rng.choice([0, 0, 400]),
                distinct_pfs=rng.random() < 0.2,
                physnet=physnet,
            )
        )
    return tuple(found)


def _draw_devices(rng: Random, snapshot: Snapshot) -> tuple[DeviceRequest, ...]:
    """Now and then a device that is no bridge and no VF, by its address or its ids."""
    choices = [d for d in snapshot.pci if d.physfn is None and not d.pci_class.startswith(BRIDGE_CLASS_PREFIX)]
    if not choices or rng.random() < 0.85:
        return ()
    device = rng.choice(choices)
    affinity = rng.choice([Affinity.PREFERRED, *Affinity])
    if rng.random() < 0.5:
        return (DeviceRequest("card", address=device.address, affinity=affinity),)
    return (DeviceRequest("card", vendor=device.vendor, device=device.device, affinity=affinity),)


def _ports(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(name for d in snapshot.pci if d.sriov is not None and d.sriov.vfs for name in d.netdevs[:1])
