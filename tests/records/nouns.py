"""Any value of any noun, made from its fields; and the hosts that they make, in the order that a snapshot has."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import fields, is_dataclass, replace
from enum import EnumMeta
from functools import cache
from types import UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import CellId, Guest, GuestThread, RunningGuest
from numaplan.model.host import MemoryAccess, NodeId
from numaplan.model.kernel import Kernel
from numaplan.model.request import ThreadPolicy
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch
from tests.hosts import host

_T = TypeVar("_T")

# No number of theirs may be below 10 (a SLIT entry), none above 8191 (a CPU); the samples have those of other sizes.
NUMBERS = st.integers(10, 8191)
CPUS = st.frozensets(st.integers(0, 200), max_size=4).map(CpuSet)
ADDRESSES = st.builds(
    PciAddress, st.integers(0, 0x12345), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7)
)
# Two lone surrogates may pair up; the samples have one.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
_POLICIES = [policy.value for policy in ThreadPolicy]
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: NUMBERS,
    str: TEXTS,
    type(None): st.none(),
    CpuSet: CPUS,
    PciAddress: ADDRESSES,
    NodeId: st.sampled_from([NodeId(0), NodeId(1)]),
}


@cache
def any_of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401  # a type, an alias, a union or a NewType
    """Values of a noun or of a field's type."""
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, NewType):
        return any_of(kind.__supertype__)
    if isinstance(kind, EnumMeta):
        return st.sampled_from(list(kind))
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: any_of(hints[field.name]) for field in fields(kind)})
    return _compound(get_origin(kind), get_args(kind))


def _compound(origin: object, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin is frozenset:
        return st.frozensets(any_of(arguments[0]), max_size=3)
    if origin is not tuple:
        assert origin in {Union, UnionType}, origin
        return st.one_of(*map(any_of, arguments))
    if arguments[-1] is Ellipsis:
        return st.lists(any_of(arguments[0]), max_size=2).map(tuple)
    return st.tuples(*map(any_of, arguments))


@st.composite
def any_host(draw: st.DrawFn) -> Snapshot:
    """A regular host about which everything else may be anything."""
    built = host("2n:1c:2t", llcs_per_node=0)
    return replace(
        built,
        host=draw(_field(built, "host")),
        nodes=tuple(replace(node, access=_accesses(draw(_field(node, "access")))) for node in built.nodes),
        cores=tuple(
            replace(core, kind=draw(_field(core, "kind")), capacity=draw(_field(core, "capacity")))
            for core in built.cores
        ),
        pci=_in_order(map(_pci, draw(_field(built, "pci"))), "address"),
        links=_in_order(draw(_field(built, "links")), "name"),
        guests=_in_order(map(_guest, draw(_field(built, "guests"))), "name"),
        kernel=_kernel(draw(_field(built, "kernel"))),
        irqs=_in_order(draw(_field(built, "irqs")), "number"),
        openvswitch=draw(st.none() | any_of(OpenVswitch).map(_switch)),
        gaps=tuple(sorted(draw(_field(built, "gaps")))),
    )


def _field(noun: object, name: str) -> st.SearchStrategy[Any]:
    return any_of(get_type_hints(type(noun))[name])


def _distinct(items: Iterable[_T], key: Callable[[_T], Hashable]) -> tuple[_T, ...]:
    return tuple({key(item): item for item in items}.values())


def _in_order(items: Iterable[_T], field: str) -> tuple[_T, ...]:
    """One of each, in order."""
    of = {getattr(item, field): item for item in items}
    return tuple(of[key] for key in sorted(of))


def _accesses(accesses: Iterable[MemoryAccess]) -> tuple[MemoryAccess, ...]:
    ordered = (replace(access, initiators=tuple(sorted(access.initiators))) for access in accesses)
    return _in_order(ordered, "access")


def _pci(device: PciDevice) -> PciDevice:
    """A function whose ids are hexadecimal, and which no group lists."""
    sriov = device.sriov and replace(device.sriov, vfs=_distinct(device.sriov.vfs, key=lambda vf: vf))
    return replace(device, vendor="15b3", device="101d", pci_class="02000a", iommu_group=None, sriov=sriov)


def _kernel(kernel: Kernel) -> Kernel:
    cpusets = _distinct(kernel.cpusets, key=lambda cpuset: cpuset.path)
    return replace(
        kernel,
        vulnerabilities=_distinct(kernel.vulnerabilities, key=lambda leak: leak.name),
        cpusets=tuple(replace(cpuset, nodes=cpuset.nodes and tuple(sorted(cpuset.nodes))) for cpuset in cpusets),
    )


def _switch(switch: OpenVswitch) -> OpenVswitch:
    return replace(
        switch,
        socket_memory=_distinct(switch.socket_memory, key=lambda memory: memory.node),
        bridges=_distinct(switch.bridges, key=lambda bridge: bridge.name),
        interfaces=_distinct(switch.interfaces, key=lambda interface: interface.name),
        pmds=_distinct(switch.pmds, key=lambda pmd: pmd.cpu),
    )


def _guest(guest: Guest) -> Guest:
    listed = tuple(sorted(set(guest.listed_iothreads)))
    return replace(
        guest,
        iothreads=len(listed) or guest.iothreads,
        listed_iothreads=() if listed == tuple(range(1, len(listed) + 1)) else listed,
        cells=tuple(
            replace(
                cell,
                id=CellId(i),
                vcpus=tuple(sorted(cell.vcpus)),
                distances=tuple(sorted(_distinct(cell.distances, key=lambda pair: pair[0]))),
            )
            for i, cell in enumerate(guest.cells)
        ),
        vcpu_pins=_distinct(guest.vcpu_pins, key=lambda pin: pin.vcpu),
        iothread_pins=_distinct(guest.iothread_pins, key=lambda pin: pin.iothread),
        shared_vcpus=tuple(sorted(guest.shared_vcpus)),
        thread_policy=None if guest.thread_policy is None else _POLICIES[len(guest.thread_policy) % len(_POLICIES)],
        live=guest.live and _live(guest.live),
    )


def _live(live: RunningGuest) -> RunningGuest:
    def number(thread: GuestThread) -> Hashable:
        return (thread.kind, thread.index)

    threads = _distinct(live.threads, key=number)
    return replace(
        live,
        threads=tuple(replace(thread, tid=thread.tid and 100 + i) for i, thread in enumerate(threads)),
        memory=_distinct(live.memory, key=lambda part: (part.node, part.page_size_kib)),
        allowed_nodes=live.allowed_nodes and tuple(sorted(live.allowed_nodes)),
    )
