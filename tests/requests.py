"""Requests built in a test: `guest("fw1", 4)` asks for four dedicated vCPUs, `ask(...)` makes a Request of such."""

from collections.abc import Sequence
from dataclasses import replace

from numaplan.cpuset import CpuSet
from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    Affinity,
    CellRequest,
    Costs,
    CpuPolicy,
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

GIB = 1 << 20


def guest(
    name: str,
    vcpus: int | Sequence[int] = 2,
    *,
    memory_gib: int = 1,
    page_size: str = "4KiB",
    memory_policy: str = "strict",
    cpu_policy: str = "dedicated",
    dedicated: Sequence[int] = (),
    thread_policy: str = "prefer",
    emulator: str = "share",
    emulator_cpus: int = 1,
    iothreads: int = 0,
    iothread_policy: str = "share",
    interfaces: Sequence[InterfaceRequest] = (),
    required: bool = True,
    priority: int = 1,
    distinct_nodes: bool = True,
    affinity: Sequence[str] = (),
    anti_affinity: Sequence[str] = (),
) -> GuestRequest:
    """A request with `vcpus` vCPUs, or so many a cell where several numbers are given; `memory_gib` is a cell's."""
    sizes = [vcpus] if isinstance(vcpus, int) else list(vcpus)
    cells = []
    first = 0
    for size in sizes:
        ids = tuple(VcpuId(v) for v in range(first, first + size))
        cells.append(CellRequest(ids, memory_gib * GIB, PageSize(page_size), MemoryPolicy(memory_policy)))
        first += size
    policy = CpuPolicy(cpu_policy)
    own = {CpuPolicy.DEDICATED: range(first), CpuPolicy.SHARED: (), CpuPolicy.MIXED: dedicated}[policy]
    emulator_policy = EmulatorPolicy(emulator)
    return GuestRequest(
        name,
        name,
        tuple(cells),
        required=required,
        priority=priority,
        distinct_nodes=distinct_nodes,
        cpu_policy=policy,
        dedicated_vcpus=frozenset(VcpuId(v) for v in own),
        thread_policy=ThreadPolicy(thread_policy),
        emulator=emulator_policy,
        emulator_cpus=0 if emulator_policy is EmulatorPolicy.SHARE else emulator_cpus,
        iothreads=iothreads,
        iothread_policy=IothreadPolicy(iothread_policy),
        interfaces=tuple(interfaces),
        affinity=tuple(affinity),
        anti_affinity=tuple(anti_affinity),
    )


def vfs(
    name: str,
    pf: str,
    count: int = 1,
    *,
    affinity: str = "required",
    mbps: int = 0,
    distinct_pfs: bool = False,
    physnet: bool = False,
) -> InterfaceRequest:
    """An SR-IOV interface with VFs of the PF `pf`, or of the physnet of that name."""
    return InterfaceRequest(
        name,
        InterfaceType.SRIOV,
        physnet=pf if physnet else None,
        pf=None if physnet else pf,
        count=count,
        affinity=Affinity(affinity),
        mbps=mbps,
        distinct_pfs=distinct_pfs,
    )


def ask(
    *guests: GuestRequest,
    reserved: str | None = None,
    shared: str | None = None,
    shared_ratio: int = 4,
    reserved_memory_gib: int = 0,
    physnets: dict[str, tuple[str, ...]] | None = None,
    costs: Costs | None = None,
) -> Request:
    """A request for `guests` under a policy."""
    policy = HostPolicy(
        reserved_cpus=None if reserved is None else CpuSet.parse(reserved),
        shared_cpus=None if shared is None else CpuSet.parse(shared),
        shared_ratio=shared_ratio,
        reserved_memory_kib=reserved_memory_gib * GIB,
        physnets=tuple((physnets or {}).items()),
    )
    return Request(policy if costs is None else replace(policy, costs=costs), guests)
