"""The copies of a vm as guests of the request: their names, their links, and the request with so many of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Copies:
    """What all copies of `vm` are: `guest`, without links. `names` are those that vnf.yaml and the host give them.

    `together`: each on the nodes of the others; `apart`: on no node of another. `near` and `far` are the guests that
    are linked so with every copy, whoever of the two says it.
    `present` are the copies that the host has, which are the first to have a name.
    """

    vm: str
    guest: GuestRequest
    names: frozenset[str]
    together: bool
    apart: bool
    near: tuple[str, ...]
    far: tuple[str, ...]
    present: tuple[str, ...]

    def called(self, count: int, taken: Iterable[str], *, staying: Sequence[str] = ()) -> tuple[str, ...]:
        """The names of `count` copies: of the present ones those `staying` first; none of the others is in `taken`."""
        used = {*taken, *self.present}
        found = [*staying, *(name for name in self.present if name not in staying)][:count]
        number = 1
        while len(found) < count:
            if (name := f"{self.vm}-{number}") not in used:
                found.append(name)
            number += 1
        return tuple(found)


def copies_of(request: Request, snapshot: Snapshot, vm: str, *, together: bool, apart: bool) -> Copies:
    """The copies of `vm`, of which `request` has one at least.

    `together` and `apart`: whether vnf.yaml names the vm among its own partners, which one copy alone does not show.
    A link that names a single copy holds for them all: as the count is left open, so is who is who.
    """
    mine = [guest for guest in request.guests if guest.vm == vm]
    others = [guest for guest in request.guests if guest.vm != vm]
    present = _present(snapshot, vm, others={guest.name for guest in others})
    names = frozenset((*(guest.name for guest in mine), *present))
    first = mine[0]
    near = [name for name in first.affinity if name not in names]
    near += [guest.name for guest in others if names & set(guest.affinity)]
    far = [name for name in first.anti_affinity if name not in names]
    far += [guest.name for guest in others if names & set(guest.anti_affinity)]
    return Copies(
        vm=vm,
        guest=replace(first, name="", required=False, priority=1, affinity=(), anti_affinity=()),
        names=names,
        together=together or not names.isdisjoint(first.affinity),
        apart=apart or not names.isdisjoint(first.anti_affinity),
        near=tuple(dict.fromkeys(near)),
        far=tuple(dict.fromkeys(far)),
        present=present,
    )


def with_copies(request: Request, copies: Copies, count: int, *, staying: Sequence[str] = ()) -> Request:
    """The request with `count` required copies, those `staying` among them.

    Further ones that the host has may go without a place.
    """
    others = [guest for guest in request.guests if guest.vm != copies.vm]
    most = max(count, len(copies.present))
    names = copies.called(most, (guest.name for guest in others), staying=staying)
    made = []
    for i, name in enumerate(names):
        siblings = tuple(other for other in names if other != name)
        made.append(
            replace(
                copies.guest,
                name=name,
                required=i < count,
                affinity=(*copies.near, *(siblings if copies.together else ())),
                anti_affinity=(*copies.far, *(siblings if copies.apart else ())),
            )
        )
    # The copies speak for both sides of a link.
    linked = [
        replace(
            guest,
            affinity=tuple(name for name in guest.affinity if name not in copies.names),
            anti_affinity=tuple(name for name in guest.anti_affinity if name not in copies.names),
        )
        for guest in others
    ]
    return replace(request, guests=(*linked, *made))


def _present(snapshot: Snapshot, vm: str, *, others: set[str]) -> tuple[str, ...]:
    """The guests of the host that bear a name which vnf.yaml could give to a copy, whatever its count."""
    numbered = re.compile(re.escape(vm) + r"(?:-([1-9][0-9]{0,6}))?", re.ASCII)
    found = [
        (int(match[1] or 0), guest.name)
        for guest in snapshot.guests
        if (match := numbered.fullmatch(guest.name)) is not None and guest.name not in others
    ]
    return tuple(name for _, name in sorted(found))
