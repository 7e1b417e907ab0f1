"""Guests that can change places with everything that is said of them: what is proven of one holds of its twin."""

from collections.abc import Iterator, Sequence

from numaplan.model.request import GuestRequest
from numaplan.placement.demands import needs_untied


def are_twins(guests: Sequence[GuestRequest], one: GuestRequest, other: GuestRequest) -> bool:
    """Whether `guests` ask for the same with `one` and `other` exchanged, each with those it must share nodes with."""
    if _change_places(guests, one, other):
        return True
    by_name = {guest.name: guest for guest in guests}
    ours, theirs = _linked(guests, one), _linked(guests, other)
    if len(ours) != len(theirs) or (set(ours) & set(theirs) and len(ours) > 1):
        return False
    swap = {**dict(zip(ours, theirs, strict=True)), **dict(zip(theirs, ours, strict=True))}
    if any(needs_untied(by_name[a]) != needs_untied(by_name[b]) for a, b in swap.items()):
        return False
    about = {link for link in _links(guests) if link[0] in swap or link[2] in swap}
    return about == {(swap.get(name, name), word, swap.get(partner, partner)) for name, word, partner in about}


def _change_places(guests: Sequence[GuestRequest], one: GuestRequest, other: GuestRequest) -> bool:
    """Whether these two alone can be exchanged, as copies that are tied to each other and to the same others."""
    pair = {one.name, other.name}

    def said(guest: GuestRequest, partner: GuestRequest) -> tuple[object, ...]:
        """What it says of others and they say of it, and what it says of its partner."""
        by_others = frozenset(
            (third.name, guest.name in third.affinity, guest.name in third.anti_affinity)
            for third in guests
            if third.name not in pair
        )
        of_others = frozenset(guest.affinity) - pair, frozenset(guest.anti_affinity) - pair
        return by_others, of_others, partner.name in guest.affinity, partner.name in guest.anti_affinity

    return needs_untied(one) == needs_untied(other) and said(one, other) == said(other, one)


def _links(guests: Sequence[GuestRequest]) -> Iterator[tuple[str, str, str]]:
    for guest in guests:
        yield from ((guest.name, "near", partner) for partner in guest.affinity)
        yield from ((guest.name, "apart", partner) for partner in guest.anti_affinity)


def _linked(guests: Sequence[GuestRequest], guest: GuestRequest) -> list[str]:
    """The guest, and then those that affinity links it to, either way, directly or through others."""
    near: dict[str, list[str]] = {one.name: [] for one in guests}
    for one in guests:
        for partner in one.affinity:
            if partner in near:
                near[one.name].append(partner)
                near[partner].append(one.name)
    names = [guest.name]
    for name in names:
        names += [partner for partner in dict.fromkeys(near[name]) if partner not in names]
    return names
