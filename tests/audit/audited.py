"""Guests for the audit, built in a line, and one host for each rule that trips it and one that does not."""

from collections.abc import Mapping, Sequence

from numaplan.audit.audit import audit
from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.finding import Finding, Severity
from numaplan.model.guest import (
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestHostdev,
    GuestInterface,
    HugepageRequest,
    IothreadId,
    IothreadPin,
    MemoryBinding,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import NodeId
from numaplan.model.snapshot import Snapshot
from tests.hosts import GIB, Nic, host

# The shape "2n:4c:2t" has CPUs 0-3 and 8-11 on node 0, 4-7 and 12-15 on node 1; siblings are 8 apart.
SHAPE = "2n:4c:2t"
# VFs of the first NIC of tests.hosts.
VF0, VF1 = "0000:11:00.0", "0000:11:00.1"


def guest(
    name: str = "a",
    pins: Sequence[str] | Mapping[int, str] = (),
    *,
    vcpus: int | None = None,
    cpuset: str | None = None,
    emulator: str | None = None,
    iothreads: Sequence[str] = (),
    cells: Sequence[Sequence[int]] = (),
    memory: tuple[str, Sequence[int] | None] | None = None,
    memnodes: Mapping[int, tuple[str, Sequence[int]]] | None = None,
    page_kib: int | None = 4,
    memory_gib: int = 4,
    vfs: Sequence[str] = (),
    hostdevs: Sequence[str] = (),
    vhost_user: int = 0,
    thread_policy: str | None = None,
    shared_vcpus: Sequence[int] = (),
    loose: Sequence[str] = (),
    auto: bool = False,
    running: bool | None = None,
) -> Guest:
    """Pins are those of vCPUs 0, 1, ...; lines are 10 + vCPU, 50 emulator, 60 iothreads, 70 memory, 80 on devices."""
    by_vcpu = dict(pins) if isinstance(pins, Mapping) else dict(enumerate(pins))
    count = vcpus if vcpus is not None else max(len(by_vcpu), sum(len(cell) for cell in cells), 1)
    return Guest(
        name=name,
        file=f"{name}.xml",
        vcpus=count,
        memory_kib=memory_gib * GIB,
        vcpu_line=5,
        vcpu_cpuset=None if cpuset is None else CpuSet.parse(cpuset),
        auto_placement=auto,
        cells=tuple(
            GuestCell(CellId(i), tuple(VcpuId(v) for v in members), memory_gib * GIB // len(cells), 30 + i)
            for i, members in enumerate(cells)
        ),
        vcpu_pins=tuple(VcpuPin(VcpuId(v), CpuSet.parse(cpus), 10 + v) for v, cpus in by_vcpu.items()),
        emulator_pin=None if emulator is None else EmulatorPin(CpuSet.parse(emulator), 50),
        iothreads=len(iothreads),
        iothread_pins=tuple(
            IothreadPin(IothreadId(i), CpuSet.parse(cpus), 60 + i) for i, cpus in enumerate(iothreads, 1) if cpus
        ),
        memory=None if memory is None else _binding(None, memory, 70),
        memnodes=tuple(_binding(CellId(c), bound, 71 + c) for c, bound in (memnodes or {}).items()),
        hugepages=() if page_kib == 4 else (HugepageRequest(page_kib, None, 40),),
        interfaces=(
            *(GuestInterface("hostdev", 80 + i, pci=PciAddress.parse(vf)) for i, vf in enumerate(vfs)),
            *(GuestInterface("vhostuser", 100 + i) for i in range(vhost_user)),
        ),
        hostdevs=tuple(GuestHostdev(PciAddress.parse(address), 90 + i) for i, address in enumerate(hostdevs)),
        thread_policy=thread_policy,
        running=running,
        shared_vcpus=tuple(VcpuId(v) for v in shared_vcpus),
        loose_devices=tuple(PciAddress.parse(address) for address in loose),
    )


def _binding(cell: CellId | None, bound: tuple[str, Sequence[int] | None], line: int) -> MemoryBinding:
    mode, nodes = bound
    return MemoryBinding(cell, mode, None if nodes is None else tuple(NodeId(n) for n in nodes), line)


def on(*guests: Guest, isolated: str = "", offline: str = "", nic_node: int | None = 0, shape: str = SHAPE) -> Snapshot:
    """The guests on one host, with 16 pages of 1 GiB a node and a NIC."""
    return host(
        shape, guests=guests, isolated=isolated, offline=offline, nics=[Nic("ens1", nic_node, 8)], pages={"1GiB": 16}
    )


def findings(snapshot: Snapshot, rule: str) -> list[Finding]:
    """What that rule finds."""
    return [finding for finding in audit(snapshot).findings if finding.rule == rule]


def severities(snapshot: Snapshot, rule: str) -> list[Severity]:
    """How grave that is."""
    return [finding.severity for finding in findings(snapshot, rule)]


def only(snapshot: Snapshot, rule: str) -> Finding:
    """The one thing that rule finds."""
    (finding,) = findings(snapshot, rule)
    return finding


def unchecked(snapshot: Snapshot, rule: str) -> list[str]:
    """Why that rule could not be judged."""
    return [entry.why for entry in audit(snapshot).not_checked if entry.rule == rule]


# By rule: a host that trips it, and one like it that does not.
HOSTS: dict[str, tuple[Snapshot, Snapshot]] = {
    "NP101": (on(guest(pins=["0", "4"])), on(guest(pins=["0", "1"]))),
    "NP102": (
        on(guest(pins=["4"], memory=("strict", [0]))),
        on(guest(pins=["4"], memory=("strict", [1]))),
    ),
    "NP103": (on(guest(pins=["0"], vfs=[VF0]), nic_node=1), on(guest(pins=["0"], vfs=[VF0]), nic_node=0)),
    "NP104": (on(guest(pins=["40"])), on(guest(pins=["15"]))),
    "NP201": (on(guest("a", ["2"]), guest("b", ["2"])), on(guest("a", ["2"]), guest("b", ["3"]))),
    "NP202": (on(guest("a", ["2"]), guest("b", ["10"])), on(guest("a", ["2", "10"]), guest("b", ["3", "11"]))),
    "NP203": (on(guest(pins=["2"])), on(guest(pins=["2"], emulator="0-1,8-9"))),
    "NP204": (
        on(guest("a", ["2"], emulator="0"), guest("b", cpuset="1-3")),
        on(guest("a", ["2"], emulator="0"), guest("b", cpuset="0-1")),
    ),
    "NP301": (on(guest(vfs=[VF0])), on(guest(vfs=[VF0], page_kib=GIB))),
    "NP302": (
        on(guest(memory_gib=20, page_kib=GIB, memory=("strict", [0]))),
        on(guest(memory_gib=16, page_kib=GIB, memory=("strict", [0]))),
    ),
    "NP401": (on(guest("a", vfs=[VF0]), guest("b", vfs=[VF0])), on(guest("a", vfs=[VF0]), guest("b", vfs=[VF1]))),
}
