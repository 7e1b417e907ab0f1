"""Small hosts and requests drawn at random, for comparisons with brute force; each draw is one `Case`."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import (
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestHostdev,
    GuestInterface,
    GuestThread,
    HugepageRequest,
    IothreadId,
    IothreadPin,
    MemoryBinding,
    RunningGuest,
    ThreadKind,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import NodeId
from numaplan.model.request import (
    Affinity,
    CellRequest,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    HostPolicy,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    Request,
    ThreadPolicy,
)
from numaplan.model.snapshot import Snapshot
from tests.hosts import GIB, Nic, host
from tests.placement.random_cases_hosts import BRIDGES, CARD, oddities, rarely

SHAPES = ("1n:4c:2t", "1n:6c:1t", "2n:2c:1t", "2n:2c:2t", "2n:3c:2t", "2n:3c:2t", "2n:4c:1t", "2n:6c:1t")
SMALL_SHAPES = ("1n:2c:2t", "1n:4c:1t", "2n:1c:2t", "2n:2c:1t")
NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Case:
    """One draw; `str()` of it is short enough to read in a failure."""

    request: Request
    snapshot: Snapshot


@st.composite
def requests_and_hosts(draw: st.DrawFn, *, existing: bool = True, small: bool = False, odd: bool = False) -> Case:
    """A host of at most 12 CPUs and one to three guests of at most four vCPUs; `existing` guests too.

    `small` ones have at most 4 CPUs and two guests of two vCPUs. `odd` ones have nodes without CPUs or memory, bridges,
    Open vSwitch, cards in company, guests elsewhere than their XML says; guests ask for ports and cards.
    """
    snapshot = draw(hosts(SMALL_SHAPES if small else SHAPES))
    snapshot = draw(oddities(snapshot)) if odd else snapshot
    policy = draw(policies(snapshot))
    names = NAMES[: draw(st.integers(1, 2 if small else 3))]
    vcpu_limit = 2 if small else 6 - len(names)
    pool = policy.shared_cpus is not None
    smt = any(len(core.cpus) > 1 for core in snapshot.cores) or draw(rarely())
    guests = tuple(draw(guest_requests(name, names, vcpu_limit=vcpu_limit, pool=pool, smt=smt)) for name in names)
    if odd:
        overhead = draw(st.sampled_from([0, 0, GIB // 4, 5]))
        policy = replace(policy, guest_overhead_kib=overhead)
        cards = any((device.vendor, device.device) == CARD for device in snapshot.pci)
        guests = tuple(draw(_odd_requests(guest, cards=cards or draw(rarely()))) for guest in guests)
    request = Request(policy, guests)
    there = draw(existing_guests(request, snapshot)) if existing else ()
    if odd:
        there = tuple(draw(_odd_guests(guest, snapshot)) for guest in there)
        there += draw(_strangers(snapshot))
    return Case(request, replace(snapshot, guests=there))


@st.composite
def hosts(draw: st.DrawFn, shapes: tuple[str, ...] = SHAPES) -> Snapshot:
    """SMT or not, caches split or unknown, uneven pages, distances given, lopsided or unknown, some CPUs offline."""
    shape = draw(st.sampled_from(shapes))
    nodes, cores, threads = (int(part[:-1]) for part in shape.split(":"))
    cpus = nodes * cores * threads
    nics = tuple(
        Nic(
            f"ens{i}",
            node=draw(st.sampled_from([*range(nodes), None])),
            vfs=draw(st.integers(1, 3)),
            speed_mbps=draw(st.sampled_from([None, 10000, 25000])),
            per_group=draw(st.sampled_from([1, 1, 1, 2])),
        )
        for i in range(draw(st.integers(1, 2)))
    )
    snapshot = host(
        shape,
        llcs_per_node=draw(st.integers(0, min(2, cores))),
        nodes_per_package=draw(st.integers(1, nodes)),
        pages={
            "2MiB": [draw(st.sampled_from([0, 512, 1024])) for _ in range(nodes)],
            "1GiB": [draw(st.integers(0, 2)) for _ in range(nodes)],
        },
        memory_gib=draw(st.integers(2, 4)),
        distances=draw(st.sampled_from([None, [[10, 17], [21, 10]]])) if nodes > 1 else None,
        nics=nics,
        isolated=str(draw(_cpu_sets(cpus))) if draw(rarely()) else "",
        offline=str(CpuSet([CpuId(draw(st.integers(1, cpus - 1)))])) if draw(rarely()) else "",
    )
    if draw(rarely()):
        snapshot = replace(snapshot, nodes=tuple(replace(node, distances=()) for node in snapshot.nodes))
    return snapshot


@st.composite
def policies(draw: st.DrawFn, snapshot: Snapshot) -> HostPolicy:
    """Reserved and shared CPUs that do not overlap, either of them perhaps not named."""
    cpus = list(snapshot.cpus.present)
    named = draw(st.lists(st.sampled_from(cpus), max_size=3, unique=True))
    split = draw(st.integers(0, len(named)))
    ports = tuple(link.name for link in snapshot.links if link.name.startswith("ens"))
    return HostPolicy(
        reserved_cpus=draw(st.sampled_from([CpuSet(named[:split]), None])),
        shared_cpus=CpuSet(named[split:]) if named[split:] else None,
        shared_ratio=draw(st.integers(1, 4)),
        reserved_memory_kib=draw(st.sampled_from([0, 0, GIB // 2, GIB])),
        physnets=(("all", ports), ("first", ports[:1])),
    )


@st.composite
def guest_requests(
    draw: st.DrawFn, name: str, names: tuple[str, ...], *, vcpu_limit: int, pool: bool, smt: bool
) -> GuestRequest:
    """One guest of one or two cells with any mix of policies; `names` are its possible partners.

    Without a `pool` it seldom shares, without `smt` it has no thread policy: most draws should have a plan.
    """
    most = max(1, vcpu_limit // 2)
    two = draw(rarely())
    sizes = [draw(st.integers(1, most)) for _ in range(2)] if two else [draw(st.integers(1, vcpu_limit))]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    policy = draw(st.sampled_from([CpuPolicy.DEDICATED] * 2 + ([*CpuPolicy] if pool or draw(rarely()) else [])))
    vcpus = frozenset(VcpuId(vcpu) for vcpu in range(sum(sizes)))
    if policy is CpuPolicy.MIXED and len(vcpus) == 1:
        policy = CpuPolicy.DEDICATED
    dedicated = {
        CpuPolicy.DEDICATED: vcpus,
        CpuPolicy.SHARED: frozenset(),
        CpuPolicy.MIXED: vcpus - {max(vcpus)},
    }[policy]
    page_size = draw(st.sampled_from([PageSize.SMALL, PageSize.SMALL, PageSize.ANY, PageSize.ANY, *PageSize]))
    memory_policy = draw(st.sampled_from(MemoryPolicy))
    memory_kib = draw(st.sampled_from([GIB // 2, GIB // 2, GIB, GIB + GIB // 2]))
    partners = [other for other in (*names, "stays") if other != name]
    emulator = draw(st.sampled_from([EmulatorPolicy.SHARE] * 4 + [*EmulatorPolicy]))
    return GuestRequest(
        name,
        name,
        tuple(
            CellRequest(tuple(VcpuId(start + vcpu) for vcpu in range(size)), memory_kib, page_size, memory_policy)
            for start, size in zip(starts, sizes, strict=True)
        ),
        required=draw(st.booleans()),
        priority=draw(st.integers(1, 3)),
        distinct_nodes=draw(rarely()),
        cpu_policy=policy,
        dedicated_vcpus=dedicated,
        thread_policy=draw(st.sampled_from([ThreadPolicy.PREFER] * 3 + ([*ThreadPolicy] if smt else []))),
        emulator=emulator,
        emulator_cpus=2 if emulator is EmulatorPolicy.SET else 0,
        iothreads=draw(st.sampled_from([0, 0, 1])),
        iothread_policy=draw(st.sampled_from(IothreadPolicy)),
        interfaces=(draw(_vfs()),) if draw(st.booleans()) else (),
        affinity=tuple(draw(st.lists(st.sampled_from(partners), max_size=1))) if draw(rarely()) else (),
        anti_affinity=tuple(draw(st.lists(st.sampled_from(partners), max_size=1))) if draw(rarely()) else (),
    )


@st.composite
def existing_guests(draw: st.DrawFn, request: Request, snapshot: Snapshot) -> tuple[Guest, ...]:
    """Perhaps a guest that stays, and perhaps the first guest of the request as it may be there already."""
    there = []
    vfs = [device.address for device in snapshot.pci if device.physfn is not None]
    if draw(st.booleans()):
        asked = request.guests[0]
        there.append(draw(_earlier(asked, snapshot, vfs)))
    if draw(st.booleans()):
        there.append(draw(_staying(snapshot, vfs)))
    return tuple(there)


@st.composite
def _staying(draw: st.DrawFn, snapshot: Snapshot, vfs: list[PciAddress]) -> Guest:
    vcpus = draw(st.integers(1, 2))
    sets = _confinements(snapshot)
    pins = tuple(VcpuPin(VcpuId(vcpu), draw(sets), line=1) for vcpu in range(vcpus))
    has_vf = bool(vfs) and draw(st.booleans())
    interfaces = (GuestInterface("hostdev", line=1, pci=draw(st.sampled_from(vfs))),) if has_vf else ()
    return Guest("stays", "stays.xml", vcpus, GIB, vcpu_pins=pins, interfaces=interfaces, running=True)


@st.composite
def _earlier(draw: st.DrawFn, asked: GuestRequest, snapshot: Snapshot, vfs: list[PciAddress]) -> Guest:
    """A guest of the request, pinned somewhere, often where a plan could leave it.

    Mostly it has the cells, the vCPUs and as many VFs as are asked for; or none, one more, and others of them.
    """
    pins: list[VcpuPin] = []
    memnodes: list[MemoryBinding] = []
    free = list(snapshot.cpus.online)
    for index, cell in enumerate(asked.cells):
        node = draw(st.sampled_from([node for node in snapshot.nodes if node.cpus]))
        here = [cpu for cpu in free if cpu in node.cpus] or list(snapshot.cpus.online)
        for vcpu in cell.vcpus:
            cpu = here.pop(0) if here else snapshot.cpus.online.lowest
            if cpu in free:
                free.remove(cpu)
            pins.append(VcpuPin(vcpu, CpuSet([cpu]), line=1))
        memnodes.append(MemoryBinding(CellId(index), "strict", (node.id,), line=1))
    count = sum(interface.count for interface in asked.interfaces if interface.type is InterfaceType.SRIOV)
    given = draw(st.permutations(vfs)) if draw(rarely()) else vfs
    count += draw(rarely())
    has_cells = not draw(rarely())
    vcpus = asked.vcpus
    if draw(rarely()):
        pins.append(VcpuPin(VcpuId(vcpus), CpuSet([draw(st.sampled_from(list(snapshot.cpus.online)))]), line=1))
        vcpus += 1
    emulator = draw(st.sampled_from([EMPTY, *(CpuSet([cpu]) for cpu in free), CpuSet(free)]))
    return Guest(
        asked.name,
        f"{asked.name}.xml",
        vcpus,
        asked.memory_kib,
        cells=tuple(
            GuestCell(CellId(index), cell.vcpus, cell.memory_kib, line=1)
            for index, cell in enumerate(asked.cells if has_cells else ())
        ),
        vcpu_pins=tuple(pins),
        emulator_pin=EmulatorPin(emulator, line=1) if emulator else None,
        memory=MemoryBinding(None, "strict", (NodeId(0),), line=1) if draw(st.booleans()) else None,
        memnodes=tuple(memnodes if has_cells else ()),
        interfaces=tuple(GuestInterface("hostdev", line=1, pci=vf) for vf in given[:count]),
        running=draw(st.sampled_from([True, False, None])),
    )


@st.composite
def _odd_requests(draw: st.DrawFn, guest: GuestRequest, *, cards: bool) -> GuestRequest:
    """The guest with a port of a bridge, a card where there are `cards`, or cells with unequal memory."""
    ports = (draw(_ports()),) if draw(st.integers(1, 3)) == 1 else ()
    devices = (draw(_devices()),) if cards and draw(st.integers(1, 3)) == 1 else ()
    cells = guest.cells
    if draw(rarely()):
        cells = (*cells[:-1], replace(cells[-1], memory_kib=GIB // 4))
    return replace(guest, cells=cells, interfaces=(*guest.interfaces, *ports), devices=devices)


@st.composite
def _odd_guests(draw: st.DrawFn, guest: Guest, snapshot: Snapshot) -> Guest:
    """The guest with a card, or on huge pages, or with threads elsewhere than its XML says."""
    cards = [device.address for device in snapshot.pci if (device.vendor, device.device) == CARD]
    has_card, has_pages = draw(st.tuples(rarely(), rarely()))
    if cards and has_card:
        guest = replace(guest, hostdevs=(GuestHostdev(cards[0], line=1),))
    if has_pages:
        guest = replace(guest, hugepages=(HugepageRequest(draw(st.sampled_from([None, 2048, GIB])), None, 1),))
    if not guest.running or draw(st.booleans()):
        return guest
    sets = _confinements(snapshot)
    threads = [GuestThread(ThreadKind.VCPU, draw(sets), vcpu) for vcpu in range(guest.vcpus) if draw(st.booleans())]
    threads += [GuestThread(ThreadKind.EMULATOR, draw(sets))] if draw(rarely()) else []
    return replace(guest, live=RunningGuest(threads=tuple(threads)))


@st.composite
def _strangers(draw: st.DrawFn, snapshot: Snapshot) -> tuple[Guest, ...]:
    """Perhaps a process that libvirt tells nothing of."""
    if draw(st.integers(1, 6)) > 1:
        return ()
    cpu = CpuSet([draw(st.sampled_from(list(snapshot.cpus.online)))])
    threads = (GuestThread(ThreadKind.VCPU, cpu, 1), GuestThread(ThreadKind.IOTHREAD, cpu, 5))
    return (
        Guest(
            "stranger",
            "proc/7",
            2,
            None,
            vcpu_pins=(VcpuPin(VcpuId(1), cpu, 0),),
            iothreads=1,
            iothread_pins=(IothreadPin(IothreadId(5), cpu, 0),),
            running=True,
            live=RunningGuest(7, threads),
        ),
    )


def _confinements(snapshot: Snapshot) -> st.SearchStrategy[CpuSet]:
    """One CPU, or those of a node."""
    return st.one_of(
        st.sampled_from(list(snapshot.cpus.online)).map(lambda cpu: CpuSet([cpu])),
        st.sampled_from([node.cpus for node in snapshot.nodes if node.cpus]),
    )


@st.composite
def _vfs(draw: st.DrawFn) -> InterfaceRequest:
    by_name = draw(rarely())
    return InterfaceRequest(
        "data",
        InterfaceType.SRIOV,
        physnet=None if by_name else draw(st.sampled_from(["all", "all", "first"])),
        pf="ens0" if by_name else None,
        vf_indexes=frozenset([0, 2]) if by_name and draw(st.booleans()) else None,
        count=draw(st.sampled_from([1, 1, 2])),
        affinity=draw(st.sampled_from([Affinity.PREFERRED, *Affinity])),
        mbps=draw(st.sampled_from([0, 6000])),
        distinct_pfs=draw(rarely()),
    )


@st.composite
def _ports(draw: st.DrawFn) -> InterfaceRequest:
    return InterfaceRequest(
        "mgmt",
        draw(st.sampled_from([InterfaceType.VIRTIO, InterfaceType.VHOSTUSER])),
        bridge=draw(st.sampled_from(["ens0", *BRIDGES])),
        affinity=draw(st.sampled_from([Affinity.PREFERRED] * 3 + [*Affinity])),
    )


@st.composite
def _devices(draw: st.DrawFn) -> DeviceRequest:
    affinity = draw(st.sampled_from([Affinity.PREFERRED] * 3 + [*Affinity]))
    if draw(rarely()):
        return DeviceRequest("gpu", address=PciAddress(0, 0x80, 0, 0), affinity=affinity)
    return DeviceRequest("gpu", *CARD, affinity=affinity)


def _cpu_sets(cpus: int) -> st.SearchStrategy[CpuSet]:
    return st.sets(st.integers(0, cpus - 1), min_size=1).map(lambda ids: CpuSet(CpuId(i) for i in ids))
