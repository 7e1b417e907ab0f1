"""Nouns with every field set, and strings that would break careless output."""

import re
from dataclasses import replace

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import Link, PciAddress, PciDevice, PcieLink, VfSettings
from numaplan.model.finding import Evidence, Finding, NotChecked, Report, Severity
from numaplan.model.guest import (
    CacheTune,
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestController,
    GuestHostdev,
    GuestInterface,
    GuestThread,
    GuestTopology,
    HugepageRequest,
    IothreadId,
    IothreadPin,
    MemoryBacking,
    MemoryBinding,
    Owner,
    ResidentMemory,
    RunningGuest,
    ThreadKind,
    ThreadScheduler,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import CoreKind, HostIdentity, MemoryAccess, NodeId, Source
from numaplan.model.kernel import Irq
from numaplan.model.plan import (
    LEVELS,
    CellPlacement,
    Conflict,
    ConflictMember,
    DevicePlacement,
    InterfacePlacement,
    Level,
    LevelName,
    Limit,
    Placement,
    Plan,
    Status,
    Unplaced,
)
from numaplan.model.snapshot import Gap, Snapshot
from tests.hosts import GIB, Nic, host
from tests.records.settings import evil_kernel, evil_switch, full_kernel, full_switch

EVIL = (
    "\x1b]0;owned\x07\x1b[2J",
    "\x1b[31mred\x1b[0m",
    "\x9b31m",
    "a\nerror: b",
    "a\r\nb",
    "tab\tvertical\v\f",
    "nul\x00",
    "\x7f\x80\x85",
    "\u202egnp.exe\u202c",
    "\u2066isolate\u2069",
    "\u200bzero\u200dwidth\ufeff",
    "\u2028line\u2029",
    "bytes\udc80\udcff",
    "\ud800",
    "<script>alert(1)</script>",
    '"; rm -rf / #',
    "]]>&amp;<!--",
    "back\\slash\\",
    "{braces} %s $HOME `id`",
    "ConnectX\u00ae \u7db2\u8def",
    "\ufffe\uffff",
    "",
    " spaces ",
    "|---|",
)


def pinned_guest(name: str = "fw1") -> Guest:
    """A guest with every field set."""
    return Guest(
        name=name,
        file=f"{name}.xml",
        vcpus=4,
        memory_kib=4 * GIB,
        uuid="11111111-2222-3333-4444-555555555555",
        vcpu_line=5,
        vcpu_cpuset=CpuSet.parse("0-3"),
        auto_placement=True,
        topology=GuestTopology(1, 1, 2, 2),
        cells=(
            GuestCell(CellId(0), (VcpuId(0), VcpuId(1)), 2 * GIB, 30, "shared", ((CellId(0), 10), (CellId(1), 21))),
            GuestCell(CellId(1), (VcpuId(2), VcpuId(3)), 2 * GIB, 31, "private", ((CellId(0), 21), (CellId(1), 10))),
        ),
        vcpu_pins=tuple(VcpuPin(VcpuId(i), CpuSet([CpuId(i + 1)]), 10 + i) for i in range(3)),
        emulator_pin=EmulatorPin(CpuSet.parse("0,8"), 14),
        iothreads=1,
        listed_iothreads=(IothreadId(3),),
        iothread_pins=(IothreadPin(IothreadId(3), CpuSet.parse("0"), 15),),
        memory=MemoryBinding(None, "strict", (NodeId(0),), 20),
        memnodes=(MemoryBinding(CellId(1), "preferred", None, 21),),
        hugepages=(HugepageRequest(GIB, (CellId(0),), 25), HugepageRequest(None, None, 26)),
        interfaces=(
            GuestInterface(
                "hostdev",
                40,
                "52:54:00:00:00:01",
                "data",
                None,
                PciAddress(0, 0x11, 0, 0),
                100,
                address=PciAddress(0, 2, 0, 0),
                managed=True,
            ),
            GuestInterface("bridge", 44, source="br0", target="vnet3", model="virtio", queues=4),
            GuestInterface("vhostuser", 48, socket="/run/openvswitch/vhu1"),
        ),
        hostdevs=(GuestHostdev(PciAddress(0x10000, 0x11, 0, 1), 50, "gpu", PciAddress(0, 0xFE, 0, 0), managed=False),),
        thread_policy="isolate",
        running=True,
        shared_vcpus=(VcpuId(1), VcpuId(2)),
        loose_devices=(PciAddress(0, 0x11, 0, 0),),
        state="running",
        persistent=True,
        managed_save=False,
        live=RunningGuest(
            pid=4711,
            threads=(
                GuestThread(ThreadKind.EMULATOR, CpuSet.parse("0,8"), None, 4711, "qemu-system-x86"),
                GuestThread(ThreadKind.VCPU, CpuSet.parse("1"), 0, 4720, "CPU 0/KVM"),
                GuestThread(ThreadKind.VCPU, CpuSet.parse("2"), 1),
                GuestThread(ThreadKind.IOTHREAD, CpuSet.parse("0"), 3, 4725, "IO iothread3"),
                GuestThread(ThreadKind.VHOST, CpuSet.parse("0-2,8-11"), None, 4730, "vhost-4711"),
                GuestThread(ThreadKind.OTHER, CpuSet.parse("0-15"), None, 4731, "worker"),
            ),
            memory=(ResidentMemory(NodeId(0), GIB, 2 * GIB), ResidentMemory(NodeId(1), 4, 512)),
            allowed_nodes=(NodeId(0), NodeId(1)),
        ),
        current_vcpus=3,
        schedulers=(
            ThreadScheduler(ThreadKind.VCPU, (0, 2), "fifo", 16, 1),
            ThreadScheduler(ThreadKind.IOTHREAD, (1,), "batch", 17),
            ThreadScheduler(ThreadKind.EMULATOR, (), "rr", 18, -1),
        ),
        cachetunes=(CacheTune((VcpuId(0), VcpuId(1)), 19, ((0, 3, "both", 3072), (1, 3, "code", 12))),),
        backing=MemoryBacking(
            24,
            nosharepages=True,
            locked=True,
            discard=True,
            source="memfd",
            access="shared",
            allocation="immediate",
            allocation_threads=8,
        ),
        memory_limit_kib=5 * GIB,
        controllers=(
            GuestController("pci", 60, 0, "pcie-root"),
            GuestController("pci", 61, 1, "pcie-expander-bus", CellId(1), 254, PciAddress(0, 0, 2, 0)),
            GuestController("usb", 62),
        ),
        memballoon="none",
        machine="pc-q35-8.2",
        architecture="x86_64",
        cpu_mode="host-passthrough",
        cpu_cache="passthrough",
        emulator="/usr/bin/qemu-system-x86_64",
        owner=Owner.NOVA,
    )


def full_snapshot() -> Snapshot:
    """A host with something in every field."""
    built = host(
        "2n:4c:2t",
        llcs_per_node=2,
        pages={"2MiB": 512, "1GiB": [8, 2]},
        nics=[Nic("ens1f0", 0, 4), Nic("ens2f0", None, 2, speed_mbps=None)],
        guests=[pinned_guest(), Guest("web", "web.xml", 2, GIB, running=False)],
        isolated="2-7",
        offline="3",
    )
    return replace(
        built,
        host=HostIdentity(
            Source.LIVE,
            "compute-7",
            "6.12.0-1",
            "x86_64",
            "Xeon(R) CPU",
            kvm=True,
            iommu=False,
            cpu_flags=("vmx", "pdpe1gb"),
            nested=False,
        ),
        nodes=(replace(built.nodes[0], access=_accesses()), *built.nodes[1:]),
        cores=(replace(built.cores[0], kind=CoreKind.PERFORMANCE, capacity=1024), *built.cores[1:]),
        pci=tuple(_told(device) for device in built.pci),
        links=(
            Link("br0", "bridge", lowers=("ens1f0",), addresses=True, mac="52:54:00:00:00:10", mtu=9000, up=True),
            Link("ens1f0", None, PciAddress(0, 0x10, 0, 0), 25000, "br0", (), addresses=False),
            Link("ens2f0", None, PciAddress(0, 0x20, 0, 0)),
        ),
        kernel=full_kernel(),
        irqs=(
            Irq(0, CpuSet.parse("0-15"), actions=("timer",)),
            Irq(
                24,
                CpuSet.parse("0-7"),
                CpuSet.parse("3"),
                NodeId(0),
                PciAddress(0, 0x10, 0, 0),
                ("i40e-ens1f0-TxRx-0",),
            ),
        ),
        openvswitch=full_switch(),
        gaps=(Gap("sys/devices/system/node/node1/meminfo", "permission denied"),),
    )


def _accesses() -> tuple[MemoryAccess, ...]:
    return (MemoryAccess(0, (NodeId(0),), 131072, 65536, 80, 90), MemoryAccess(1, (NodeId(0), NodeId(1))))


def _told(device: PciDevice) -> PciDevice:
    """A PF with its link, or the first VF of a PF with its settings."""
    if device.sriov is not None:
        link = PcieLink(8000, 8, 16000, 16)
        return replace(device, link=link, resets=("flr", "bus"), name="Intel Corporation Ethernet Controller X710")
    if device.address.function:
        return device
    settings = VfSettings(
        0,
        mac="52:54:00:00:00:01",
        vlan=100,
        qos=3,
        trust=True,
        spoof_check=False,
        link_state="auto",
        min_rate_mbps=0,
        max_rate_mbps=10000,
    )
    return replace(device, vf=settings)


def evil_snapshot(text: str) -> Snapshot:
    """A host that says `text` wherever a host can say a string."""
    snapshot = full_snapshot()
    device = replace(
        snapshot.pci[0],
        driver=text,
        netdevs=(text,),
        vendor=text,
        device=text,
        resets=(text,),
        name=text,
        vf=VfSettings(0, text, link_state=text),
    )
    guest = replace(
        pinned_guest(f"g{text}"),
        file=text,
        uuid=text,
        memory=MemoryBinding(None, text, (NodeId(0),), 20),
        interfaces=(GuestInterface(text, 1, text, text, text, target=text, socket=text, model=text),),
        state=text,
        live=RunningGuest(threads=(GuestThread(ThreadKind.OTHER, EMPTY, name=text),)),
        cells=(GuestCell(CellId(0), (VcpuId(0),), GIB, 1, text),),
        schedulers=(ThreadScheduler(ThreadKind.EMULATOR, (), text, 1),),
        cachetunes=(CacheTune((VcpuId(0),), 1, ((0, 3, text, 12),)),),
        backing=MemoryBacking(1, source=text, access=text, allocation=text),
        controllers=(GuestController(text, 1, model=text),),
        memballoon=text,
        machine=text,
        architecture=text,
        cpu_mode=text,
        cpu_cache=text,
        emulator=text,
    )
    return replace(
        snapshot,
        host=HostIdentity(Source.CAPTURE, text, text, text, text, cpu_flags=(text,)),
        pci=(device, *snapshot.pci[1:]),
        links=(Link(text, text, device.address, master=f"m{text}", lowers=(f"l{text}",), mac=text, peer=text),),
        kernel=evil_kernel(text),
        irqs=(Irq(1, actions=(text,)),),
        openvswitch=evil_switch(text),
        guests=(guest,),
        gaps=(Gap(text, text),),
    )


def placed(text: str = "fw1") -> Placement:
    """A guest of two cells, the first with a CPU for each vCPU, the second with vCPUs that float as well."""
    return Placement(
        vm=text,
        cells=(
            CellPlacement(CellId(0), NodeId(0), _pairs(0, "2", "10", "1", "9"), NodeId(0), 4 * GIB, GIB),
            CellPlacement(CellId(1), NodeId(1), _pairs(4, "4", "6-7", "6-7"), NodeId(0), 512 * 1024, 2048),
        ),
        emulator=CpuSet.parse("0,8"),
        iothreads=((IothreadId(1), CpuSet.parse("5")), (IothreadId(12), CpuSet.parse("0,8"))),
        interfaces=(InterfacePlacement("data", (PciAddress(0, 0x11, 0, 0), PciAddress(0, 0x21, 0, 1))),),
        devices=(DevicePlacement("gpu", PciAddress(0x10000, 0x11, 0, 1)),),
        topology=GuestTopology(1, 1, 2, 2),
    )


def _pairs(first: int, *sets: str) -> tuple[tuple[VcpuId, CpuSet], ...]:
    return tuple((VcpuId(first + i), CpuSet.parse(cpus)) for i, cpus in enumerate(sets))


def full_plan() -> Plan:
    """A plan with something in every field."""
    return Plan(
        status=Status.FEASIBLE,
        limit=Limit.WORK,
        hostname="compute-7",
        fingerprint="sha256:0123",
        levels=tuple(
            Level(name, i, i + (name is LevelName.MOVES), proven=name is not LevelName.MOVES)
            for i, name in enumerate(LEVELS)
        ),
        placements=(
            placed(),
            replace(placed("db1"), cells=placed().cells[:1], iothreads=(), devices=(), topology=None),
        ),
        unplaced=(Unplaced("db3", 'node 1 has 2 free 1 GiB pages; guest "db3" cell 0 needs 16'),),
        notes=("reserved_cpus is not set",),
    )


def refused_plan(text: str = "db3") -> Plan:
    """An infeasible plan."""
    return Plan(
        Status.INFEASIBLE,
        Limit.NONE,
        text,
        text,
        unplaced=(Unplaced(text, f"{text} needs more than there is"),),
        notes=(text,),
        conflict=Conflict(
            (
                ConflictMember(text, "hugepages", f"{text} needs 16 pages of 1 GiB on one node"),
                ConflictMember(None, text, "the host has 8"),
            )
        ),
    )


def full_report(text: str = "fw1") -> Report:
    """One finding of each severity."""
    evidence = (
        Evidence("vcpupin of vCPU 3", "5", f"{text}.xml:23"),
        Evidence(f"vcpupin of {text}", text, "fw2.xml:7"),
    )
    return Report(
        findings=(
            Finding("NP201", Severity.ERROR, text, "CPU 5", f"pinned by {text} and fw2", evidence, "one", "move it"),
            Finding("NP203", Severity.WARNING, text, "emulator", "may run on CPU 5", evidence[:1], "elsewhere"),
            Finding("NP202", Severity.INFO, None, "core 5", text, (), text, text),
        ),
        not_checked=(NotChecked("NP103", f"{text}: the host does not say"),),
        guests=14,
    )


def without_places(message: str) -> str:
    """A message as if its mistakes were told by file alone."""
    return re.sub(r"^(\w+\.json):\d+:\d+: ", r"\1: ", message, flags=re.MULTILINE)
