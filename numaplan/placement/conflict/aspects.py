"""What a guest asks for, aspect by aspect, and the guest as it would be if it asked for some of them only.

docs/why-not.md lists the aspects as users see them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from numaplan.model.request import (
    Affinity,
    CellRequest,
    Costs,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    MemoryPolicy,
    PageSize,
    ThreadPolicy,
)
from numaplan.placement.facts import BOUNDLESS_KIB, HostFacts

# Cells that ask for no memory get a boundless page each, of which every node has plenty.
_PLENTY: Final = 1 << 20


class Kind(StrEnum):
    """The kinds of aspect; what is easier to do without comes first."""

    ANTI_AFFINITY = "anti_affinity"
    AFFINITY = "affinity"
    DISTINCT_PFS = "distinct_pfs"
    MBPS = "mbps"
    INTERFACE_AFFINITY = "interface_affinity"
    DEVICE_AFFINITY = "device_affinity"
    IOTHREADS = "iothreads"
    EMULATOR = "emulator"
    THREAD_POLICY = "thread_policy"
    DISTINCT_NODES = "distinct_nodes"
    MEMORY_POLICY = "memory_policy"
    DEVICE = "device"
    INTERFACE = "interface"
    SHARED_VCPUS = "shared_vcpus"
    PAGE_SIZE = "page_size"
    MEMORY = "memory"
    VCPUS = "vcpus"


# A quality of these says nothing where none of them is asked for.
_BASES: Final = {
    Kind.THREAD_POLICY: (Kind.VCPUS, Kind.EMULATOR, Kind.IOTHREADS),
    Kind.PAGE_SIZE: (Kind.MEMORY,),
    Kind.MEMORY_POLICY: (Kind.MEMORY,),
    Kind.INTERFACE_AFFINITY: (Kind.INTERFACE,),
    Kind.MBPS: (Kind.INTERFACE,),
    Kind.DISTINCT_PFS: (Kind.INTERFACE,),
    Kind.DEVICE_AFFINITY: (Kind.DEVICE,),
}

# Kinds that often explain a conflict alone; in this order each is tried before anything else.
PLAIN: Final[tuple[tuple[Kind, ...], ...]] = (
    (Kind.VCPUS,),
    (Kind.MEMORY,),
    (Kind.MEMORY, Kind.PAGE_SIZE),
    (Kind.SHARED_VCPUS,),
    (Kind.INTERFACE, Kind.DEVICE),
    (Kind.ANTI_AFFINITY, Kind.AFFINITY),
    (Kind.VCPUS, Kind.EMULATOR, Kind.IOTHREADS, Kind.THREAD_POLICY),
    (Kind.INTERFACE, Kind.DEVICE, Kind.INTERFACE_AFFINITY, Kind.DEVICE_AFFINITY, Kind.MBPS, Kind.DISTINCT_PFS),
)


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing that a guest asks for. `index` is that of the interface or device it is about."""

    kind: Kind
    index: int = 0


Aspects = frozenset[Aspect]

_PLACES: Final = {kind: place for place, kind in enumerate(Kind)}


def rank(aspect: Aspect) -> tuple[int, int]:
    """What is easier to do without comes first."""
    return _PLACES[aspect.kind], aspect.index


def aspects(guest: GuestRequest) -> Aspects:
    """Everything that `guest` asks for."""
    found = [Aspect(Kind.MEMORY)]
    shared = guest.vcpus - len(guest.dedicated_vcpus)
    plain = {
        Kind.VCPUS: bool(guest.dedicated_vcpus),
        Kind.SHARED_VCPUS: shared > 0,
        Kind.THREAD_POLICY: guest.thread_policy is not ThreadPolicy.PREFER,
        Kind.EMULATOR: guest.emulator is EmulatorPolicy.SHARE or guest.own_emulator_cpus > 0,
        Kind.IOTHREADS: guest.iothreads > 0,
        Kind.PAGE_SIZE: any(cell.page_size is not PageSize.ANY for cell in guest.cells),
        Kind.MEMORY_POLICY: any(cell.memory_policy is MemoryPolicy.STRICT for cell in guest.cells),
        Kind.DISTINCT_NODES: guest.distinct_nodes and len(guest.cells) > 1,
        Kind.AFFINITY: bool(guest.affinity),
        Kind.ANTI_AFFINITY: bool(guest.anti_affinity),
    }
    found += [Aspect(kind) for kind, asked in plain.items() if asked]
    for i, interface in enumerate(guest.interfaces):
        entry = {
            Kind.INTERFACE: True,
            Kind.INTERFACE_AFFINITY: interface.affinity is not Affinity.PREFERRED,
            Kind.MBPS: interface.mbps > 0,
            Kind.DISTINCT_PFS: interface.distinct_pfs and interface.count > 1,
        }
        found += [Aspect(kind, i) for kind, asked in entry.items() if asked]
    for i, device in enumerate(guest.devices):
        found.append(Aspect(Kind.DEVICE, i))
        found += [Aspect(Kind.DEVICE_AFFINITY, i)] if device.affinity is not Affinity.PREFERRED else []
    return frozenset(found)


def meant(some: Iterable[Aspect]) -> Aspects:
    """Those of `some` that still say something: no quality of what is not asked for."""
    kept = frozenset(some)

    def has_base(aspect: Aspect) -> bool:
        bases = _BASES.get(aspect.kind)
        return bases is None or any(Aspect(base, aspect.index) in kept for base in bases)

    return frozenset(aspect for aspect in kept if has_base(aspect))


def name_of(guest: GuestRequest, aspect: Aspect) -> str:
    """How a conflict names the aspect: by the key of vnf.yaml, with the entry that is meant."""
    match aspect.kind:
        case Kind.INTERFACE:
            return f"interfaces.{guest.interfaces[aspect.index].name}"
        case Kind.INTERFACE_AFFINITY:
            return f"interfaces.{guest.interfaces[aspect.index].name}.affinity"
        case Kind.MBPS | Kind.DISTINCT_PFS:
            return f"interfaces.{guest.interfaces[aspect.index].name}.{aspect.kind}"
        case Kind.DEVICE:
            return f"devices.{guest.devices[aspect.index].name}"
        case Kind.DEVICE_AFFINITY:
            return f"devices.{guest.devices[aspect.index].name}.affinity"
        case _:
            return aspect.kind.value


@lru_cache(maxsize=1)
def boundless(facts: HostFacts) -> HostFacts:
    """The host with room for the cells of `relaxed` guests that ask for no memory, where nothing costs anything."""
    plenty = {(node, BOUNDLESS_KIB): BOUNDLESS_KIB * _PLENTY for node in facts.nodes}
    policy = replace(facts.policy, costs=Costs(0, 0, 0))
    return replace(facts, policy=policy, capacity_kib={**facts.capacity_kib, **plenty})


@lru_cache(maxsize=4096)  # of most guests the same is kept in most questions
def relaxed(guest: GuestRequest, kept: Aspects) -> GuestRequest:
    """`guest`, required, with nothing asked for but `kept`; to be placed on a host that is `boundless`."""

    def has(kind: Kind, index: int = 0) -> bool:
        return Aspect(kind, index) in kept

    vcpus = {v for cell in guest.cells for v in cell.vcpus if has(_vcpu_kind(guest, v))}
    own = has(Kind.EMULATOR)
    return replace(
        guest,
        required=True,
        # Who is required is worth nothing more; guests that ask for the same are then equal.
        priority=1,
        cells=tuple(_relaxed_cell(cell, kept, vcpus=vcpus) for cell in guest.cells),
        dedicated_vcpus=guest.dedicated_vcpus & vcpus,
        distinct_nodes=guest.distinct_nodes and has(Kind.DISTINCT_NODES),
        thread_policy=guest.thread_policy if has(Kind.THREAD_POLICY) else ThreadPolicy.PREFER,
        # A set of no CPUs: unlike one that shares, such an emulator needs nothing to float on.
        emulator=guest.emulator if own else EmulatorPolicy.SET,
        emulator_cpus=guest.emulator_cpus if own else 0,
        iothreads=guest.iothreads if has(Kind.IOTHREADS) else 0,
        interfaces=tuple(
            _relaxed_interface(interface, kept, index=i)
            for i, interface in enumerate(guest.interfaces)
            if has(Kind.INTERFACE, i)
        ),
        devices=tuple(
            device if has(Kind.DEVICE_AFFINITY, i) else replace(device, affinity=Affinity.PREFERRED)
            for i, device in enumerate(guest.devices)
            if has(Kind.DEVICE, i)
        ),
        affinity=guest.affinity if has(Kind.AFFINITY) else (),
        anti_affinity=guest.anti_affinity if has(Kind.ANTI_AFFINITY) else (),
    )


def _vcpu_kind(guest: GuestRequest, vcpu: int) -> Kind:
    return Kind.VCPUS if vcpu in guest.dedicated_vcpus else Kind.SHARED_VCPUS


def _relaxed_cell(cell: CellRequest, kept: Collection[Aspect], *, vcpus: Collection[int]) -> CellRequest:
    few = replace(cell, vcpus=tuple(v for v in cell.vcpus if v in vcpus))
    if Aspect(Kind.MEMORY) not in kept:
        return replace(few, memory_kib=BOUNDLESS_KIB, page_size=PageSize.LARGE, memory_policy=MemoryPolicy.STRICT)
    return replace(
        few,
        page_size=cell.page_size if Aspect(Kind.PAGE_SIZE) in kept else PageSize.ANY,
        memory_policy=cell.memory_policy if Aspect(Kind.MEMORY_POLICY) in kept else MemoryPolicy.PREFERRED,
    )


def _relaxed_interface(interface: InterfaceRequest, kept: Collection[Aspect], *, index: int) -> InterfaceRequest:
    def has(kind: Kind) -> bool:
        return Aspect(kind, index) in kept

    return replace(
        interface,
        affinity=interface.affinity if has(Kind.INTERFACE_AFFINITY) else Affinity.PREFERRED,
        mbps=interface.mbps if has(Kind.MBPS) else 0,
        distinct_pfs=interface.distinct_pfs and has(Kind.DISTINCT_PFS),
    )
