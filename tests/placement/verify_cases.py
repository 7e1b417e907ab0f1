"""Requests and plans written by hand, short enough to be read beside what is expected of them."""

from collections.abc import Sequence
from typing import Any

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, IothreadId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import (
    LEVELS,
    CellPlacement,
    DevicePlacement,
    InterfacePlacement,
    Level,
    Limit,
    Placement,
    Plan,
    Status,
    Unplaced,
)
from numaplan.model.request import (
    Affinity,
    CellRequest,
    GuestRequest,
    HostPolicy,
    InterfaceRequest,
    InterfaceType,
    MemoryPolicy,
    PageSize,
    Request,
)
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verify import Violation, objective, verify
from tests.hosts import GIB

# For host("2n:4c:2t"): node 0 has cores 0,8 1,9 2,10 3,11, node 1 has 4,12 5,13 6,14 7,15.
POLICY = HostPolicy(
    reserved_cpus=CpuSet.parse("0,8,4,12"), shared_cpus=CpuSet.parse("1,9,5,13"), shared_ratio=2, reserved_memory_kib=0
)


def guest(
    name: str,
    vcpus: int = 2,
    *,
    cells: int = 1,
    memory_kib: int = GIB,
    page_size: PageSize = PageSize.SMALL,
    memory_policy: MemoryPolicy = MemoryPolicy.STRICT,
    **more: Any,  # noqa: ANN401  # whatever GuestRequest takes, as it takes it
) -> GuestRequest:
    """A guest of `cells` equal cells with `vcpus` and `memory_kib` each, dedicated ones unless told otherwise."""
    if "cpu_policy" not in more:
        more.setdefault("dedicated_vcpus", frozenset(VcpuId(vcpu) for vcpu in range(cells * vcpus)))
    return GuestRequest(
        name,
        name,
        tuple(
            CellRequest(
                tuple(VcpuId(index * vcpus + vcpu) for vcpu in range(vcpus)), memory_kib, page_size, memory_policy
            )
            for index in range(cells)
        ),
        **more,
    )


def sriov(name: str = "data", **more: Any) -> InterfaceRequest:  # noqa: ANN401  # as above
    """An interface that takes VFs of any PF unless told otherwise."""
    return InterfaceRequest(name, InterfaceType.SRIOV, **{"affinity": Affinity.PREFERRED, **more})


def cell(
    node: int,
    *cpus: str,
    id_: int = 0,
    first: int = 0,
    memory_node: int | None = None,
    memory_kib: int = GIB,
    page_kib: int = 4,
) -> CellPlacement:
    """A cell at `node`; `cpus` are those of its vCPUs `first`, `first` + 1 ..."""
    return CellPlacement(
        CellId(id_),
        NodeId(node),
        tuple((VcpuId(first + place), CpuSet.parse(text)) for place, text in enumerate(cpus)),
        NodeId(node if memory_node is None else memory_node),
        memory_kib,
        page_kib,
    )


def placed(
    vm: str,
    *cells: CellPlacement,
    emulator: str = "1,9",
    iothreads: Sequence[str] = (),
    vfs: Sequence[str] | None = None,
    devices: Sequence[tuple[str, str]] = (),
) -> Placement:
    """`vfs` are those of its interface "data"; None: it has no such interface."""
    return Placement(
        vm,
        cells,
        CpuSet.parse(emulator),
        tuple((IothreadId(place), CpuSet.parse(text)) for place, text in enumerate(iothreads, start=1)),
        () if vfs is None else (InterfacePlacement("data", tuple(PciAddress.parse(vf) for vf in vfs)),),
        tuple(DevicePlacement(name, PciAddress.parse(address)) for name, address in devices),
    )


def plan(
    request: Request,
    snapshot: Snapshot,
    *placements: Placement,
    unplaced: Sequence[str] = (),
    status: Status = Status.OPTIMAL,
) -> Plan:
    """A plan whose levels are counted right."""
    values = objective(request, snapshot, placements)
    return Plan(
        status,
        Limit.NONE,
        "built",
        "none",
        tuple(Level(name, value, value, proven=True) for name, value in zip(LEVELS, values, strict=True)),
        placements,
        tuple(Unplaced(vm, "no room") for vm in unplaced),
    )


def found(
    request: Request, snapshot: Snapshot, *placements: Placement, unplaced: Sequence[str] = ()
) -> tuple[Violation, ...]:
    """What `verify` says of a plan of these placements, its levels counted right."""
    return verify(request, snapshot, plan(request, snapshot, *placements, unplaced=unplaced))
