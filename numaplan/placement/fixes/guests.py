"""What a guest could do without: the levers of vms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from numaplan.model.change import Drop, Edit
from numaplan.model.plan import Document
from numaplan.model.request import (
    Affinity,
    CellRequest,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    ThreadPolicy,
)
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts
from numaplan.placement.fixes import lever as price
from numaplan.placement.fixes.distance import cells_apart, devices_apart, memory_apart
from numaplan.placement.fixes.lever import Copies, Group, Lever, Sentence, begun
from numaplan.units import GIB_KIB, format_count

_WIDER: Final = {
    Affinity.REQUIRED: (Affinity.SOCKET, Affinity.PREFERRED),
    Affinity.SOCKET: (Affinity.PREFERRED,),
    Affinity.PREFERRED: (),
}
_LOOSER: Final = {
    ThreadPolicy.ISOLATE: (ThreadPolicy.REQUIRE, ThreadPolicy.PREFER),
    ThreadPolicy.REQUIRE: (ThreadPolicy.PREFER,),
    ThreadPolicy.PREFER: (),
}
_HALVES: Final = 2

Change = Callable[[GuestRequest], GuestRequest]


def guest_groups(vms: Sequence[Copies], facts: HostFacts, vm_of: Mapping[str, str]) -> list[Group]:
    """Levers of the vms, each given as its copies, by kind; leaving guests out apart. `vm_of`: each guest's vm."""
    makers: tuple[tuple[str, Callable[[Copies], list[Lever]]], ...] = (
        ("affinity of devices", lambda copies: _affinities(copies, facts)),
        ("memory_policy", lambda copies: _memory_policy(copies, facts)),
        ("thread_policy", _thread_policy),
        ("own CPUs of QEMU", _own_cpus),
        ("page_size", lambda copies: _page_size(copies, facts)),
        ("distinct_nodes", _distinct_nodes),
        ("distinct_pfs", _distinct_pfs),
        ("cells", lambda copies: _cells(copies, facts)),
        ("links", lambda copies: _links(copies, vm_of)),
    )
    return [
        # Halves need nodes apart, and more overhead: where not all can be split, some still may.
        Group(name, Document.VNF, tuple(lever for vm in vms for lever in make(vm)), joint=name != "cells")
        for name, make in makers
    ]


def _values(
    vm: str,
    path: tuple[str | int, ...],
    choices: Sequence[tuple[str, Change]],
    *,
    what: str,
    prices: Sequence[int] = (),
    apart: Sequence[int] = (),
) -> Lever:
    """A lever with one value of a key a level, that has `prices`, or else what is `apart` then costs."""
    return Lever(
        most=len(choices),
        pull=lambda case, level: case.with_vm(vm, choices[level - 1][1]),
        sentence=lambda level: (f"let {{}} be {choices[level - 1][0]}", what),
        price=lambda level: prices[level - 1] if prices else 0,
        edits=lambda _case, level: (Edit(vm, path, choices[level - 1][0]),),
        nested=False,
        far=vm if apart else None,
        apart=lambda level: apart[level - 1] if apart else 0,
        vm=vm,
    )


def _switch(
    vm: str,
    path: tuple[str | int, ...],
    value: object,
    change: Change,
    *,
    sentence: Sentence,
    cost: int,
    apart: int | None = None,
    eased: Change | None = None,
) -> Lever:
    """A lever that has one level; `apart`: what distance costs at least, if it does; `eased`: as a lever has it."""
    return Lever(
        most=1,
        pull=lambda case, _level: case.with_vm(vm, change),
        sentence=lambda _level: sentence,
        price=lambda _level: cost,
        edits=lambda _case, _level: (Edit(vm, path, value),),
        far=None if apart is None else vm,
        apart=lambda _level: apart or 0,
        vm=vm,
        eased=None if eased is None else lambda case: case.with_vm(vm, eased),
    )


def _affinities(copies: Copies, facts: HostFacts) -> list[Lever]:
    guest = copies[0]
    levers = []
    both: tuple[tuple[str, Sequence[InterfaceRequest | DeviceRequest]], ...] = (
        ("interfaces", guest.interfaces),
        ("devices", guest.devices),
    )
    for key, entries in both:
        for place, entry in enumerate(entries):
            words = _WIDER[entry.affinity]
            choices = [(word.value, _with_affinity(key, place, word)) for word in words]
            if choices:
                what = f"{guest.vm}'s affinity of {entry.name}"
                path = (key, place, "affinity")
                apart = [devices_apart(facts, entry, word) for word in words]
                levers.append(_values(guest.vm, path, choices, what=what, apart=apart))
    return levers


def _with_affinity(key: str, place: int, word: Affinity) -> Change:
    def change(guest: GuestRequest) -> GuestRequest:
        if key == "interfaces":
            return replace(guest, interfaces=_at(guest.interfaces, place, affinity=word))
        return replace(guest, devices=_at_device(guest.devices, place, word))

    return change


def _at(entries: tuple[InterfaceRequest, ...], place: int, **keys: object) -> tuple[InterfaceRequest, ...]:
    changed = replace(entries[place], **keys)  # type: ignore[arg-type]  # keys of an interface, all of them
    return (*entries[:place], changed, *entries[place + 1 :])


def _at_device(entries: tuple[DeviceRequest, ...], place: int, word: Affinity) -> tuple[DeviceRequest, ...]:
    return (*entries[:place], replace(entries[place], affinity=word), *entries[place + 1 :])


def _thread_policy(copies: Copies) -> list[Lever]:
    guest = copies[0]
    if not guest.dedicated_vcpus and not guest.own_emulator_cpus and not guest.iothreads:
        return []
    choices = [(word.value, _with_threads(word)) for word in _LOOSER[guest.thread_policy]]
    what = f"{guest.vm}'s thread_policy"
    prices = [price.THREAD_POLICY * len(copies) * step for step in range(1, len(choices) + 1)]
    return [_values(guest.vm, ("thread_policy",), choices, what=what, prices=prices)] if choices else []


def _with_threads(word: ThreadPolicy) -> Change:
    return lambda guest: replace(guest, thread_policy=word)


def _own_cpus(copies: Copies) -> list[Lever]:
    guest = copies[0]
    levers = []
    if guest.own_emulator_cpus > 1:
        levers.append(_fewer_emulator_cpus(guest.vm, guest.own_emulator_cpus, len(copies)))
    if guest.own_emulator_cpus:
        levers.append(
            _switch(
                guest.vm,
                ("emulator",),
                EmulatorPolicy.SHARE.value,
                lambda old: replace(old, emulator=EmulatorPolicy.SHARE, emulator_cpus=0),
                sentence=("let {} be share", f"{guest.vm}'s emulator"),
                cost=price.OWN_CPU * guest.own_emulator_cpus * len(copies),
            )
        )
    if guest.iothreads and guest.iothread_policy is IothreadPolicy.DEDICATED:
        levers.append(
            _switch(
                guest.vm,
                ("iothreads",),
                # The number alone: where no policy is said it is share.
                guest.iothreads,
                lambda old: replace(old, iothread_policy=IothreadPolicy.SHARE),
                sentence=("let {} be share", f"the policy of {guest.vm}'s iothreads"),
                cost=price.OWN_CPU * guest.iothreads * len(copies),
            )
        )
    return levers


def _fewer_emulator_cpus(vm: str, count: int, copies: int) -> Lever:
    return Lever(
        most=count - 1,
        pull=lambda case, level: case.with_vm(vm, lambda old: replace(old, emulator_cpus=count - level)),
        sentence=lambda level: ("give {} of its own", f"{vm}'s emulator {format_count(count - level, 'CPU')}"),
        price=lambda level: price.OWN_CPU * level * copies,
        # The policy is set as it is: of other ones none has several CPUs.
        edits=lambda _case, level: (Edit(vm, ("emulator", "cpus"), count - level),),
        vm=vm,
    )


def _memory_policy(copies: Copies, facts: HostFacts) -> list[Lever]:
    guest = copies[0]
    if all(cell.memory_policy is MemoryPolicy.PREFERRED for cell in guest.cells):
        return []
    choices = [(MemoryPolicy.PREFERRED.value, _each_cell(memory_policy=MemoryPolicy.PREFERRED))]
    what, apart = f"{guest.vm}'s memory_policy", [memory_apart(facts, guest)]
    return [_values(guest.vm, ("memory_policy",), choices, what=what, apart=apart)]


def _each_cell(**keys: object) -> Change:
    def change(guest: GuestRequest) -> GuestRequest:
        cells = tuple(replace(cell, **keys) for cell in guest.cells)  # type: ignore[arg-type]  # keys of a cell
        return replace(guest, cells=cells)

    return change


def _page_size(copies: Copies, facts: HostFacts) -> list[Lever]:
    guest = copies[0]
    now = {cell.page_size for cell in guest.cells}
    there = {size for _, size in facts.capacity_kib}
    sizes = [size for size in (PageSize.HUGE_1G, PageSize.HUGE_2M, PageSize.SMALL) if size.size_kib in there]
    if now <= {PageSize.ANY}:
        return []
    if now <= {PageSize.LARGE, PageSize.ANY}:
        sizes = [size for size in sizes if size is PageSize.SMALL]
    else:
        sizes = [size for size in sizes if now != {size}]
        if PageSize.SMALL not in now and any(size > SMALL_PAGE_KIB for size in there):
            sizes.append(PageSize.LARGE)
    sizes.append(PageSize.ANY)
    choices = [(size.value, _each_cell(page_size=size)) for size in sizes]
    cost = price.PAGE_SIZE_GIB * begun(guest.memory_kib, GIB_KIB) * len(copies)
    prices = [cost] * len(choices)
    return [_values(guest.vm, ("page_size",), choices, what=f"{guest.vm}'s page_size", prices=prices)]


def _distinct_nodes(copies: Copies) -> list[Lever]:
    guest = copies[0]
    if len(guest.cells) == 1 or not guest.distinct_nodes:
        return []
    return [
        _switch(
            guest.vm,
            ("distinct_nodes",),
            False,  # noqa: FBT003  # a value of a document
            lambda old: replace(old, distinct_nodes=False),
            sentence=("let cells of {} share a node (distinct_nodes: false)", guest.vm),
            cost=price.DISTINCT * len(copies),
        )
    ]


def _distinct_pfs(copies: Copies) -> list[Lever]:
    guest = copies[0]
    return [
        _switch(
            guest.vm,
            ("interfaces", place, "distinct_pfs"),
            False,  # noqa: FBT003  # a value of a document
            _sharing_pfs(place),
            sentence=("let VFs of {} share a PF (distinct_pfs: false)", f"{guest.vm}'s {interface.name}"),
            cost=price.DISTINCT * len(copies),
        )
        for place, interface in enumerate(guest.interfaces)
        if interface.distinct_pfs and interface.count > 1
    ]


def _sharing_pfs(place: int) -> Change:
    return lambda guest: replace(guest, interfaces=_at(guest.interfaces, place, distinct_pfs=False))


def _cells(copies: Copies, facts: HostFacts) -> list[Lever]:
    guest = copies[0]
    (first, *others) = guest.cells
    if others or len(first.vcpus) % _HALVES or first.memory_kib % _HALVES:
        return []
    return [
        _switch(
            guest.vm,
            ("cells",),
            _HALVES,
            _split,
            sentence=("split {} into two cells", guest.vm),
            cost=price.SPLIT * len(copies),
            apart=cells_apart(facts) * len(copies) if guest.distinct_nodes else 0,
            eased=_split_or_not(with_memory=_pages_divide(facts, first.memory_kib)),
        )
    ]


def _pages_divide(facts: HostFacts, memory_kib: int) -> bool:
    """Whether halves can lie in all pages in which the whole can."""
    sizes = {size for _, size in facts.capacity_kib}
    return all(memory_kib // _HALVES % size == 0 for size in sizes if memory_kib % size == 0)


def _split_or_not(*, with_memory: bool) -> Change:
    """Halves that can lie wherever the whole can, too, be it without their memory."""

    def change(guest: GuestRequest) -> GuestRequest:
        halves = _split(guest)
        threads = ThreadPolicy.PREFER if guest.thread_policy is ThreadPolicy.REQUIRE else guest.thread_policy
        cells = halves.cells if with_memory else tuple(replace(cell, memory_kib=0) for cell in halves.cells)
        return replace(halves, cells=cells, distinct_nodes=False, thread_policy=threads)

    return change


def _split(guest: GuestRequest) -> GuestRequest:
    (cell,) = guest.cells
    vcpus, half = sorted(cell.vcpus), len(cell.vcpus) // _HALVES
    parts = (tuple(vcpus[:half]), tuple(vcpus[half:]))
    cells = tuple(CellRequest(part, cell.memory_kib // _HALVES, cell.page_size, cell.memory_policy) for part in parts)
    return replace(guest, cells=cells)


def _links(copies: Copies, vm_of: Mapping[str, str]) -> list[Lever]:
    levers = []
    for key in ("affinity", "anti_affinity"):
        named = dict.fromkeys(name for copy in copies for name in getattr(copy, key))
        for partner in dict.fromkeys(vm_of.get(name, name) for name in named):
            names = (partner, *(name for name, vm in vm_of.items() if vm == partner and name != partner))
            levers.append(_link(copies, key, names))
    return levers


def _link(copies: Copies, key: str, names: tuple[str, ...]) -> Lever:
    vm, dropped = copies[0].vm, frozenset(names)

    def change(guest: GuestRequest) -> GuestRequest:
        kept = tuple(name for name in getattr(guest, key) if name not in dropped)
        return replace(guest, affinity=kept) if key == "affinity" else replace(guest, anti_affinity=kept)

    return Lever(
        most=1,
        pull=lambda case, _level: case.with_vm(vm, change),
        sentence=lambda _level: ("drop {}", f"{names[0]} from {vm}'s {key}"),
        price=lambda _level: price.LINK * len(copies),
        edits=lambda _case, _level: (Drop(vm, key, names),),
        vm=vm,
    )
