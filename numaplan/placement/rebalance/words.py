"""The steps of a rebalancing as a person carries them out: from where to where, and by which command."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId
from numaplan.model.host import NodeId
from numaplan.model.moves import CellSpot, Move, MoveKind, Spot
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from numaplan.placement.facts import HostFacts
from numaplan.placement.rebalance.order import Action, Step
from numaplan.placement.rebalance.standing import Standing


@dataclass(frozen=True, slots=True)
class Target:
    """A guest, how it was asked for, and where it goes; `standing` None: it is not there yet."""

    request: GuestRequest
    placement: Placement
    standing: Standing | None


class Words:
    """Steps as moves, one after the other: where a guest is depends on what was done with it before."""

    def __init__(self, facts: HostFacts, targets: Mapping[str, Target], kinds: Mapping[str, MoveKind]) -> None:
        self._facts = facts
        self._kinds = kinds
        self._goals = {name: _spot_after(target.placement) for name, target in targets.items()}
        self._now: dict[str, Spot | None] = {
            name: None if target.standing is None else _spot_before(facts, target.standing)
            for name, target in targets.items()
        }
        self._bound = {name: _binds(target.standing) for name, target in targets.items()}

    def move(self, number: int, step: Step) -> Move:
        """The move that a step stands for."""
        before = self._now[step.vm]
        after: Spot | None = self._goals[step.vm]
        match step.action:
            case Action.STOP:
                kind, after = MoveKind.STOP, None
                said = "stop it, so that others can take its place; it starts again below"
            case Action.START:
                kind = MoveKind.START
                said = f"start it {_place(self._goals[step.vm])}"
            case Action.PARK:
                kind, after = MoveKind.REPIN, _parked(self._facts, before, step)
                said = f"pin its vCPUs to {_cpus(after)} for the moment, while it runs (virsh vcpupin --live)"
            case Action.DO:
                kind = self._kinds[step.vm]
                said = _sentence(kind, before, self._goals[step.vm], bound=self._bound[step.vm])
            case other:
                assert_never(other)
        self._now[step.vm] = after
        return Move(number, step.vm, kind, step.cost, before, after, said)


def _sentence(kind: MoveKind, before: Spot | None, after: Spot, *, bound: bool) -> str:
    place = _place(after)
    match kind:
        case MoveKind.REPIN:
            return f"pin it {place}, while it runs (virsh vcpupin, emulatorpin, iothreadpin --live --config)"
        case MoveKind.MOVE_PAGES:
            how = ("virsh numatune --live --config --nodeset, then " if bound else "") + "migratepages"
            return f"pin it {place} and move its memory there, while it runs (virsh vcpupin --live --config; {how})"
        case MoveKind.REPLUG:
            return f"{_replugged(before, after)}, while it runs (virsh detach-device, attach-device)"
        case MoveKind.RESTART:
            return f"restart it {place}: its memory or its devices cannot go there while it runs"
        case MoveKind.CONFIGURE:
            return f"write into its XML that it starts {place}; it is shut off, and stays so until the last step"
        case MoveKind.STOP | MoveKind.START:
            raise ValueError(f"a whole change is no {kind}")
        case other:
            assert_never(other)


def _replugged(before: Spot | None, after: Spot) -> str:
    """What is detached and attached, and pinned where its CPUs change too."""
    old = frozenset(() if before is None else before.devices)
    gone = ", ".join(str(address) for address in before.devices if address not in after.devices) if before else ""
    new = ", ".join(str(address) for address in after.devices if address not in old)
    same = before is not None and [cell.cpus for cell in before.cells] == [cell.cpus for cell in after.cells]
    parts = [
        "" if same else f"pin it {_place(after)}",
        f"detach {gone}" if gone else "",
        f"attach {new}" if new else "",
    ]
    return " and ".join(part for part in parts if part)


def _place(spot: Spot) -> str:
    parts = [
        f"{'' if len(spot.cells) == 1 else f'cell {cell.id} '}on CPUs {cell.cpus} of node "
        + ",".join(str(node) for node in cell.numa_nodes)
        for cell in spot.cells
    ]
    return " and ".join(parts)


def _cpus(spot: Spot) -> str:
    return " and ".join(f"CPUs {cell.cpus}" for cell in spot.cells)


def _parked(facts: HostFacts, before: Spot | None, step: Step) -> Spot:
    if before is None:
        raise ValueError(f"{step.vm} is not there, so it cannot wait somewhere else")
    cells = tuple(
        CellSpot(cell.id, _nodes(facts, cpus) or cell.numa_nodes, cpus or cell.cpus, cell.memory_node)
        for cell, cpus in zip(before.cells, step.parked, strict=True)
    )
    return Spot(cells, before.devices)


def _binds(standing: Standing | None) -> bool:
    return standing is not None and standing.guest.memory is not None


def _nodes(facts: HostFacts, cpus: CpuSet) -> tuple[NodeId, ...]:
    return tuple(sorted({facts.node_of[cpu] for cpu in cpus if cpu in facts.node_of}))


def _spot_before(facts: HostFacts, standing: Standing) -> Spot:
    cells = []
    for number, cell in enumerate(standing.cells):
        cells.append(CellSpot(CellId(number), _nodes(facts, cell.cpus), cell.cpus, cell.memory_node))
    return Spot(tuple(cells), tuple(sorted(set(standing.guest.pci_addresses))))


def _spot_after(placement: Placement) -> Spot:
    cells = tuple(
        CellSpot(cell.id, (cell.numa_node,), CpuSet(c for _, cpus in cell.vcpus for c in cpus), cell.memory_node)
        for cell in placement.cells
    )
    devices = [vf for interface in placement.interfaces for vf in interface.vfs]
    devices += [device.address for device in placement.devices]
    return Spot(cells, tuple(sorted(devices)))
