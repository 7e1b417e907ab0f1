"""Levers of what can be left out: vms, or copies of one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from numaplan.model.change import Edit
from numaplan.model.plan import Document
from numaplan.model.request import GuestRequest, Request
from numaplan.placement.fixes import lever as price
from numaplan.placement.fixes.lever import Case, Copies, Group, Lever, Sentence


def by_vm(named: Iterable[GuestRequest], request: Request) -> list[list[GuestRequest]]:
    """All copies of each vm of which some guest is `named`."""
    copies: dict[str, list[GuestRequest]] = {guest.vm: [] for guest in named}
    for guest in request.guests:
        if guest.vm in copies:
            copies[guest.vm].append(guest)
    return list(copies.values())


def leaving_out(vms: Sequence[Copies], request: Request) -> Group:
    """Fewer copies, or none where it must be."""
    needed = _needed_copies(request)
    return Group("left out", Document.VNF, tuple(_left_out(copies, needed.get(copies[0].vm, 1)) for copies in vms))


def _needed_copies(request: Request) -> dict[str, int]:
    """How many copies of a vm there are at least while others name some of them and not the vm: 1 where not said."""
    vms = by_vm(request.guests, request)
    numbers = {copy.name: (copy.vm, number) for copies in vms for number, copy in enumerate(copies, 1)}
    counts = {copies[0].vm: len(copies) for copies in vms}
    needed: dict[str, int] = {}
    for copies in vms:
        for key in ("affinity", "anti_affinity"):
            # Each copy has the names that the vm gives but its own: two have them all.
            names = dict.fromkeys(name for copy in copies[:2] for name in getattr(copy, key) if name in numbers)
            for vm, group in groupby(sorted(numbers[name] for name in names), key=itemgetter(0)):
                some = [number for _, number in group]
                if len(some) < counts[vm]:
                    # A single copy bears the vm's own name.
                    needed[vm] = max(needed.get(vm, 2), some[-1])
    return needed


def _left_out(copies: Copies, needed: int) -> Lever:
    """Level n: n copies fewer; of n copies, or where fewer than `needed` would be kept: placed where possible."""
    vm, count = copies[0].vm, len(copies)

    def kept(level: int) -> int:
        left = count - level
        return left if left >= needed else 0

    def pull(case: Case, level: int) -> Case:
        if not kept(level):
            return case.with_vm(vm, lambda guest: replace(guest, required=False))
        return _fewer(case, copies, kept(level))

    def sentence(level: int) -> Sentence:
        if not kept(level):
            return "let {} be left out (required: false)", vm
        return "place {}", f"{kept(level)} of {count} copies of {vm}"

    def edits(_case: Case, level: int) -> tuple[Edit, ...]:
        return (Edit(vm, ("count",), kept(level)) if kept(level) else Edit(vm, ("required",), False),)  # noqa: FBT003

    each = price.LEFT_OUT * max(copies[0].priority, 1)
    return Lever(
        most=count,
        pull=pull,
        sentence=sentence,
        price=lambda level: each * (count - kept(level)),
        edits=edits,
        vm=vm,
    )


def _fewer(case: Case, copies: Copies, kept: int) -> Case:
    """The first `kept` copies alone; a single copy bears the vm's own name."""
    gone = {copy.name for copy in copies[kept:]}
    names = {copies[0].name: copies[0].vm} if kept == 1 else {}

    def partners(old: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in old if name not in gone)

    guests = tuple(
        replace(
            guest,
            name=names.get(guest.name, guest.name),
            affinity=partners(guest.affinity),
            anti_affinity=partners(guest.anti_affinity),
        )
        for guest in case.request.guests
        if guest.name not in gone
    )
    return replace(case, request=replace(case.request, guests=guests))
