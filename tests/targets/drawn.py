"""Guests and placements at random, as far as a target has to say them; every CPU, node and VF is there on `HOST`."""

from dataclasses import replace

from hypothesis import strategies as st

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import (
    CellId,
    Guest,
    GuestHostdev,
    GuestTopology,
    IothreadId,
    MemoryBinding,
    VcpuId,
)
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, DevicePlacement, InterfacePlacement, Placement
from numaplan.model.request import (
    Affinity,
    CellRequest,
    CpuCache,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Memballoon,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    MemoryPolicy,
    PageSize,
    Realtime,
    ThreadPolicy,
)
from tests.depth import draws
from tests.hosts import Nic, host

EXAMPLES = draws(13)

HOST = host("3n:8c:2t", nics=[Nic("eth0", 0, 6), Nic("eth1", 1, 6), Nic("eth2", None, 6)])
CPUS = tuple(HOST.cpus.online)
VFS = tuple(device.address for device in HOST.pci if device.physfn is not None)
PAGES = {4: PageSize.SMALL, 2048: PageSize.HUGE_2M, 1 << 20: PageSize.HUGE_1G}
HOSTILE = (
    "two words",
    "-dash",
    "--help",
    "it's",
    'a"quote',
    "$(reboot)",
    "`id`",
    "a\nb",
    "back\\slash",
    "a,b=c",
    "ünïcode ☂",
    "#hash",
    "|22",
    "*",
    "a;b&c",
    "~",
)
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8))
PLAIN = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True)


@st.composite
def plans(draw: st.DrawFn, names: st.SearchStrategy[str] = PLAIN) -> tuple[GuestRequest, Placement]:
    """A request and a placement of it that says all of what a placement may say."""
    # One seed: permutations of fifty CPUs would be most of what is drawn.
    random = draw(st.randoms(use_true_random=True))
    cpus = random.sample(CPUS, len(CPUS))
    wanted, cells = _cells(draw, cpus)
    vcpus = [vcpu for cell in wanted for vcpu in cell.vcpus]
    addresses = random.sample(VFS, len(VFS))
    interfaces, given_vfs = _interfaces(draw, addresses)
    devices = draw(st.lists(PLAIN, max_size=2, unique=True))
    iothreads = draw(st.integers(0, 3))
    policy = draw(st.sampled_from(CpuPolicy))
    dedicated = {
        CpuPolicy.DEDICATED: vcpus,
        CpuPolicy.SHARED: [],
        CpuPolicy.MIXED: vcpus[: max(1, len(vcpus) // 2)],
    }[policy]
    realtime = draw(st.booleans()) and dedicated
    emulator = draw(st.sampled_from(EmulatorPolicy))
    name = draw(names)
    request = GuestRequest(
        name,
        name,
        wanted,
        distinct_nodes=draw(st.booleans()),
        cpu_policy=policy,
        dedicated_vcpus=frozenset(dedicated),
        thread_policy=draw(st.sampled_from(ThreadPolicy)),
        emulator=emulator,
        emulator_cpus=2 if emulator is EmulatorPolicy.SET else 0,
        iothreads=iothreads,
        interfaces=interfaces,
        devices=tuple(DeviceRequest(device, affinity=draw(st.sampled_from(Affinity))) for device in devices),
        realtime=Realtime(frozenset(draw(st.sets(st.sampled_from(dedicated), min_size=1))), 7) if realtime else None,
        memory_backing=draw(_BACKINGS),
        cpu_cache=draw(st.none() | st.sampled_from(CpuCache)),
        memballoon=draw(st.sampled_from(Memballoon)),
    )
    placement = Placement(
        name,
        cells,
        CpuSet(cpus.pop() for _ in range(draw(st.integers(1, 2)))),
        tuple((IothreadId(number), CpuSet([cpus.pop()])) for number in range(1, iothreads + 1)),
        given_vfs,
        tuple(DevicePlacement(device, addresses.pop()) for device in devices),
        draw(st.none() | st.just(GuestTopology(1, 1, len(vcpus), 1))),
    )
    return request, placement


def _cells(draw: st.DrawFn, cpus: list[CpuId]) -> tuple[tuple[CellRequest, ...], tuple[CellPlacement, ...]]:
    wanted = []
    placed = []
    first = 0
    for number in range(draw(st.integers(1, 3))):
        ids = tuple(VcpuId(first + k) for k in range(draw(st.integers(1, 4))))
        first += len(ids)
        page_kib = draw(st.sampled_from(sorted(PAGES)))
        memory_kib = page_kib * draw(st.integers(1, 4))
        policy = draw(st.sampled_from(MemoryPolicy))
        wanted.append(CellRequest(ids, memory_kib, PAGES[page_kib], policy))
        own = tuple((vcpu, CpuSet(cpus.pop() for _ in range(draw(st.integers(1, 2))))) for vcpu in ids)
        node, memory_node = (NodeId(draw(st.integers(0, 2))) for _ in range(2))
        placed.append(CellPlacement(CellId(number), node, own, memory_node, memory_kib, page_kib))
    return tuple(wanted), tuple(placed)


def _interfaces(
    draw: st.DrawFn, addresses: list[PciAddress]
) -> tuple[tuple[InterfaceRequest, ...], tuple[InterfacePlacement, ...]]:
    wanted: list[InterfaceRequest] = []
    given = []
    for name in draw(st.lists(PLAIN, max_size=3, unique=True)):
        kind = draw(st.sampled_from(InterfaceType))
        interface = InterfaceRequest(
            name,
            kind,
            mac=draw(st.none() | st.just(f"52:54:00:00:00:{len(wanted):02x}")),
            vlan=draw(st.none() | st.integers(1, 4094)) if kind is InterfaceType.SRIOV else None,
            trust=draw(st.sampled_from((None, True, False))) if kind is InterfaceType.SRIOV else None,
            bridge=draw(st.none() | st.just(f"br-{name}")) if kind.is_port else None,
            queues=draw(st.none() | st.integers(1, 4)) if kind.is_port else None,
            physnet=None if kind.is_port else "phys0",
            count=draw(st.integers(1, 2)) if kind is InterfaceType.SRIOV else 1,
            affinity=draw(st.sampled_from(Affinity)),
        )
        wanted.append(interface)
        if kind is InterfaceType.SRIOV:
            given.append(InterfacePlacement(name, tuple(addresses.pop() for _ in range(interface.count))))
    return tuple(wanted), tuple(given)


_BACKINGS = st.builds(
    MemoryBackingRequest,
    nosharepages=st.booleans(),
    locked=st.booleans(),
    hard_limit_kib=st.none() | st.just(9 << 20),
    allocation=st.none() | st.sampled_from(MemoryAllocation),
    access=st.none() | st.sampled_from(MemoryAccess),
)


def there(request: GuestRequest, placement: Placement, **changes: object) -> Guest:
    """The guest as its XML says it once the plan is carried out, but for `changes`; with one memory binding."""
    guest = Guest(
        request.name,
        f"{request.name}.xml",
        request.vcpus,
        request.memory_kib,
        topology=placement.topology,
        iothreads=len(placement.iothreads),
        hostdevs=tuple(GuestHostdev(address, 1) for address in functions(placement)),
        memory=MemoryBinding(None, "strict", tuple(sorted({cell.memory_node for cell in placement.cells})), 1),
        running=True,
    )
    return replace(guest, **changes)  # type: ignore[arg-type]  # dataclasses.replace checks the names


def functions(placement: Placement) -> list[PciAddress]:
    """Every PCI function that the placement gives."""
    vfs = [vf for interface in placement.interfaces for vf in interface.vfs]
    return [*vfs, *(device.address for device in placement.devices)]


def pins(placement: Placement) -> dict[int, str]:
    """The CPUs of each vCPU, as a list in the kernel's form."""
    return {int(vcpu): str(cpus) for cell in placement.cells for vcpu, cpus in cell.vcpus}
