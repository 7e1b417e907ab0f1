"""Guests with what a conflict takes of all that they ask for, and the question whether that much can be placed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from numaplan.model.request import GuestRequest, HostPolicy, Request
from numaplan.placement.conflict.aspects import Aspects, Kind, aspects, boundless, meant, relaxed
from numaplan.placement.facts import HostFacts
from numaplan.placement.options import build_problem
from numaplan.placement.problem import Problem


@dataclass(frozen=True, slots=True)
class Share:
    """Guests with the same needs and what a conflict needs of them. `proven`: that it needs each of `kept`.

    `guests` are its members, all required, with nothing asked for but what is kept.
    """

    members: tuple[GuestRequest, ...]
    kept: Aspects
    proven: bool

    guests: tuple[GuestRequest, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Counts `guests` once: they are asked for again and again."""
        object.__setattr__(self, "guests", tuple(relaxed(guest, self.kept) for guest in self.members))


Shares = tuple[Share, ...]


def whole(groups: Iterable[tuple[GuestRequest, ...]]) -> Shares:
    """Groups of equal guests with all that they ask for, of which nothing is proven yet."""
    return tuple(Share(members, aspects(members[0]), proven=False) for members in groups)


def kinds_of(shares: Shares) -> frozenset[Kind]:
    """The kinds of aspect that are kept of anybody."""
    return frozenset(aspect.kind for share in shares for aspect in share.kept)


def only(shares: Shares, kinds: Collection[Kind]) -> Shares:
    """The shares with no other kinds of aspect."""
    return tuple(replace(share, kept=meant(a for a in share.kept if a.kind in kinds)) for share in shares)


def relaxed_problem(policy: HostPolicy, facts: HostFacts, shares: Sequence[Share]) -> Problem:
    """The problem of guests that ask for no more than is kept, all of them required."""
    guests = tuple(guest for share in shares for guest in share.guests)
    return build_problem(Request(policy, guests), boundless(facts))
