"""The steps of a rebalancing as a person carries them out: from where to where, and by which command."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from numaplan.cpuset import CpuSet, format_id_list
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId
from numaplan.model.host import NodeId
from numaplan.model.moves import CellSpot, Move, MoveKind, Spot
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from numaplan.placement.facts import HostFacts, cell_page_kib, default_page_kib
from numaplan.placement.rebalance.changes import Action, Step
from numaplan.placement.rebalance.kind import MOVABLE_MODES, binds_anew, can_stop
from numaplan.placement.rebalance.standing import RESUMES, Standing, resumes_an_image
from numaplan.units import format_size


@dataclass(frozen=True, slots=True)
class Target:
    """A guest, how it was asked for, and where it goes; `standing` None: it is not there yet.

    `asked`: vnf.yaml names it; else it is there and moves, or has threads float.
    """

    request: GuestRequest
    placement: Placement
    standing: Standing | None
    asked: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """A guest's change as a whole: its `kind`, and the `devices` that it has then; `reshaped`: other cells too."""

    kind: MoveKind
    devices: frozenset[PciAddress]
    reshaped: bool


class Words:
    """Steps as moves, one after the other: where a guest is depends on what was done with it before."""

    def __init__(self, facts: HostFacts, targets: Mapping[str, Target], changes: Mapping[str, Whole]) -> None:
        self._facts = facts
        self._targets = targets
        self._changes = changes
        self._goals = {
            name: _spot_after(target.placement, changes[name].devices if name in changes else None)
            for name, target in targets.items()
        }
        self._now: dict[str, Spot | None] = {
            name: None if target.standing is None else _spot_before(facts, target.standing)
            for name, target in targets.items()
        }
        # The commands by which threads were pinned elsewhere for the moment.
        self._parked: dict[str, frozenset[str]] = {}

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
                said = f"start it {_place(self._goals[step.vm])}{self._paged(step.vm)}{self._exchanged(step.vm)}"
            case Action.PARK:
                kind, after = MoveKind.REPIN, _parked(self._facts, before, step)
                threads = {"vcpupin": "vCPUs", **_alone(self._facts, self._targets[step.vm])}
                *some, last = threads.values()
                its, verbs = f"{', '.join(some)} and {last}" if some else last, ", ".join(threads)
                said = f"pin its {its} to {_cpus(after)} for the moment, while it runs (virsh {verbs} --live)"
                self._parked[step.vm] = frozenset(threads)
            case Action.DO:
                kind = self._changes[step.vm].kind
                said = self._sentence(step.vm, before, self._goals[step.vm])
            case other:
                assert_never(other)
        self._now[step.vm] = after
        return Move(number, step.vm, kind, step.cost, before, after, said)

    def _sentence(self, vm: str, before: Spot | None, after: Spot) -> str:
        change, target = self._changes[vm], self._targets[vm]
        pins = _pins(target, after, anyway=self._parked.get(vm, frozenset()))
        match change.kind:
            case MoveKind.REPIN:
                return _while_it_runs(target, pins, [], _rebound(target))
            case MoveKind.MOVE_PAGES:
                how = f"virsh numatune {_scope(target)} --nodeset, then " if _binds(target) else ""
                moved = f"move its memory to node {after.cells[0].memory_node}", f"{how}migratepages"
                return _while_it_runs(target, pins, [], moved)
            case MoveKind.REPLUG:
                plugs = _replugged(() if before is None else before.devices, after)
                return _while_it_runs(target, pins, plugs, _rebound(target))
            case MoveKind.RESTART:
                other = "it is asked for with other vCPUs, cells or memory than it has"
                why = other if change.reshaped else "its memory or its devices cannot go there while it runs"
                return f"restart it {_place(after)}{self._paged(vm)}{self._exchanged(vm)}: {why}"
            case MoveKind.CONFIGURE:
                until = "it is shut off, and stays so until the last step"
                threads = f", {_said(pins)}" if pins and "vcpupin" not in pins else ""
                place = f"{_place(after)}{threads}{self._exchanged(vm)}"
                resumes = (
                    f"; {RESUMES}" if target.standing is not None and resumes_an_image(target.standing.guest) else ""
                )
                return f"write into its XML that it starts {place}; {until}{resumes}"
            case MoveKind.STOP | MoveKind.START:
                raise ValueError(f"a whole change is no {change.kind}")
            case unknown:
                assert_never(unknown)

    def _paged(self, vm: str) -> str:
        """The pages of a guest that was there, where its XML has others."""
        target = self._targets[vm]
        if target.standing is None:
            return ""
        guest = target.standing.guest
        pages = [
            cell.page_size_kib
            for cell in target.placement.cells
            if cell.page_size_kib != (cell_page_kib(guest, cell.id) or default_page_kib(self._facts.snapshot))
        ]
        return f", with pages of {' and '.join(map(format_size, dict.fromkeys(pages)))}" if pages else ""

    def _exchanged(self, vm: str) -> str:
        """Which PCI functions a guest that was there has no longer, and which it has instead."""
        standing = self._targets[vm].standing
        gone, new = ("", "") if standing is None else _difference(standing.guest.pci_addresses, self._goals[vm])
        without = f" in place of {gone}" if new else f", without {gone}"
        return (f", with {new}" if new else "") + (without if gone else "")


def _alone(facts: HostFacts, target: Target) -> dict[str, str]:
    """Threads other than vCPUs that run on its own CPUs of guests alone, by the command of virsh that pins them."""
    assert target.standing is not None  # noqa: S101  # only guests that are there wait somewhere
    guest, own = target.standing.guest, target.standing.held & facts.allocatable
    emulator = guest.effective_emulator_affinity()
    iothreads = [guest.effective_iothread_affinity(thread) for thread in guest.iothread_ids]
    found = {"emulatorpin": ("emulator", [emulator]), "iothreadpin": ("iothreads", iothreads)}
    return {
        verb: name for verb, (name, affinities) in found.items() if any(cpus and cpus <= own for cpus in affinities)
    }


def _pins(target: Target, after: Spot, *, anyway: frozenset[str]) -> dict[str, str]:
    """What is pinned anew, by the command of virsh that does it; by those of `anyway` whatever it has now."""
    assert target.standing is not None  # noqa: S101  # only guests that are there are pinned anew
    guest, placement = target.standing.guest, target.placement
    pins: dict[str, str] = {}
    vcpus = [pin for cell in placement.cells for pin in cell.vcpus]
    if "vcpupin" in anyway or any(guest.effective_vcpu_affinity(vcpu) != cpus for vcpu, cpus in vcpus):
        pins["vcpupin"] = f"it {_place(after)}" if len(after.cells) == 1 else _cells(after)
    moved = "emulatorpin" in anyway or guest.effective_emulator_affinity() != placement.emulator
    if placement.emulator and moved:
        pins["emulatorpin"] = f"its emulator on {placement.emulator.named}"
    threads = [
        (thread, cpus)
        for thread, (_, cpus) in zip(guest.iothread_ids, placement.iothreads, strict=False)
        if "iothreadpin" in anyway or guest.effective_iothread_affinity(thread) != cpus
    ]
    if len(threads) == len(placement.iothreads) and len({cpus for _, cpus in threads}) == 1:
        pins["iothreadpin"] = f"its iothreads on {threads[0][1].named}"
    elif threads:
        pins["iothreadpin"] = " and ".join(f"iothread {thread} on {cpus.named}" for thread, cpus in threads)
    return pins


def _while_it_runs(
    target: Target, pins: Mapping[str, str], plugs: Sequence[tuple[str, str]], memory: tuple[str, str]
) -> str:
    """What is pinned, what is detached and attached, and what becomes of its memory; then the commands that do it."""
    done, how = memory
    parts = [f"pin {_said(pins)}"] if pins else []
    parts += [f"{verb} {addresses}" for verb, addresses in plugs]
    verbs = [*pins, *(f"{verb}-device" for verb, _ in plugs)]
    commands = [f"virsh {', '.join(verbs)} {_scope(target)}"] if verbs else []
    both = (" and ".join(part for part in (*parts, done) if part), "; ".join(part for part in (*commands, how) if part))
    return "{}, while it runs ({})".format(*both)


def _scope(target: Target) -> str:
    """What a command changes: of a transient guest there is but what runs."""
    return "--live --config" if target.standing is None or can_stop(target.standing) else "--live"


def _said(pins: Mapping[str, str]) -> str:
    return ", ".join(pins.values())


def _replugged(before: Collection[PciAddress], after: Spot) -> list[tuple[str, str]]:
    """What is detached and attached."""
    gone, new = _difference(before, after)
    return [(verb, addresses) for verb, addresses in (("detach", gone), ("attach", new)) if addresses]


def _rebound(target: Target) -> tuple[str, str]:
    """The node to which memory is bound that lies there already, and the command; nothing where its XML has it so.

    A running guest can be bound anew but as `pages_can_move` says; ``virsh numatune`` knows no single cells.
    """
    standing, nodes = target.standing, [cell.memory_node for cell in target.placement.cells]
    if standing is None or not binds_anew(standing, nodes):
        return "", ""
    bound = standing.guest.memory
    said = f"bind its memory to node{'s' if len(set(nodes)) > 1 else ''} {format_id_list(nodes)}, where it lies"
    if standing.guest.memnodes:
        return said, "virsh edit"
    live = bound is not None and bound.mode in MOVABLE_MODES
    return said, f"virsh numatune {_scope(target) if live else '--config'} --nodeset"


def _difference(before: Collection[PciAddress], after: Spot) -> tuple[str, str]:
    """The PCI functions that go, and those that come."""
    gone = ", ".join(str(address) for address in sorted(set(before).difference(after.devices)))
    return gone, ", ".join(str(address) for address in after.devices if address not in before)


def _place(spot: Spot) -> str:
    """The CPUs of a guest that starts or lies there."""
    return _cells(spot).removeprefix("cell 0 ") if len(spot.cells) == 1 else f"with {_cells(spot)}"


def _cells(spot: Spot) -> str:
    """The CPUs of each of its cells."""
    return " and ".join(
        f"cell {cell.id} on {cell.cpus.named} of node {','.join(str(node) for node in cell.numa_nodes)}"
        for cell in spot.cells
    )


def _cpus(spot: Spot) -> str:
    return " and ".join(cell.cpus.named for cell in spot.cells)


def _parked(facts: HostFacts, before: Spot | None, step: Step) -> Spot:
    if before is None:
        raise ValueError(f"{step.vm} is not there, so it cannot wait somewhere else")
    cells = tuple(
        CellSpot(cell.id, _nodes(facts, cpus) or cell.numa_nodes, cpus or cell.cpus, cell.memory_nodes)
        for cell, cpus in zip(before.cells, step.parked, strict=True)
    )
    return Spot(cells, before.devices)


def _binds(target: Target) -> bool:
    return target.standing is not None and target.standing.guest.memory is not None


def _nodes(facts: HostFacts, cpus: CpuSet) -> tuple[NodeId, ...]:
    return tuple(sorted({facts.node_of[cpu] for cpu in cpus if cpu in facts.node_of}))


def _spot_before(facts: HostFacts, standing: Standing) -> Spot:
    cells = []
    for number, cell in enumerate(standing.cells):
        cells.append(CellSpot(CellId(number), _nodes(facts, cell.cpus), cell.cpus, cell.memory_nodes))
    return Spot(tuple(cells), tuple(sorted(set(standing.guest.pci_addresses))))


def _spot_after(placement: Placement, devices: frozenset[PciAddress] | None) -> Spot:
    """`devices` None: those of the placement."""
    cells = tuple(
        CellSpot(cell.id, (cell.numa_node,), CpuSet(c for _, cpus in cell.vcpus for c in cpus), (cell.memory_node,))
        for cell in placement.cells
    )
    return Spot(cells, tuple(sorted(given_devices(placement) if devices is None else devices)))


def given_devices(placement: Placement) -> frozenset[PciAddress]:
    """The PCI functions that a placement gives."""
    return frozenset(address for functions in placement.functions for address in functions)
