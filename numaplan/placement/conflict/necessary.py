"""What of all that the guests of a conflict ask for is needed for it: each aspect left out makes the rest possible."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.request import HostPolicy
from numaplan.placement.conflict.aspects import PLAIN, Aspects, Kind, meant, rank
from numaplan.placement.conflict.classes import least
from numaplan.placement.conflict.judge import Judge
from numaplan.placement.conflict.shares import Share, Shares, kinds_of, only, relaxed_problem
from numaplan.placement.conflict.twins import are_twins
from numaplan.placement.facts import HostFacts

# So many aspects of a guest are tried one by one at once.
_FEW: Final = 4


def necessary(policy: HostPolicy, facts: HostFacts, shares: Shares, judge: Judge) -> Shares:
    """What a conflict needs of what its guests ask for in `shares`."""

    def can(shares: Shares) -> bool | None:
        return judge.can(lambda: relaxed_problem(policy, facts, shares))

    there = frozenset(guest.name for guest in facts.snapshot.guests)
    shares = _without_many(_without_kinds(_plain(shares, can), can), can)
    if relaxed_problem(policy, facts, shares).bundles:
        return _settled(shares, can, there)
    bare_count = policy.guest_overhead_kib > 0
    shares = _one_by_one(shares, can, there, bare_count=bare_count)
    return shares if bare_count else _without_bare(shares)


Can = Callable[[Shares], bool | None]


def _plain(shares: Shares, can: Can) -> Shares:
    """The shares in kinds of aspect that are impossible by themselves, if some are."""
    tried = {kinds_of(shares)}
    for kinds in PLAIN:
        fewer = only(shares, kinds)
        if kinds_of(fewer) not in tried and can(fewer) is False:
            return fewer
        tried.add(kinds_of(fewer))
    return shares


def _without_kinds(shares: Shares, can: Can) -> Shares:
    """The shares without each kind of aspect that nobody needs."""
    for kind in Kind:
        present = kinds_of(shares)
        if kind in present and can(fewer := only(shares, present - {kind})) is False:
            shares = fewer
    return shares


def _without_many(shares: Shares, can: Can) -> Shares:
    """The shares of guests that ask for very much without what can be left out by halves, quarters and so on."""
    for s in range(len(shares)):
        size = len(shares[s].kept) // 2
        while size > _FEW:
            ordered = sorted(shares[s].kept, key=rank)
            for start in range(0, len(ordered), size):
                kept = meant(shares[s].kept - set(ordered[start : start + size]))
                fewer = (*shares[:s], replace(shares[s], kept=kept), *shares[s + 1 :])
                if kept and can(fewer) is False:
                    shares = fewer
            size //= 2
    return shares


def _one_by_one(shares: Shares, can: Can, there: Collection[str], *, bare_count: bool) -> Shares:
    """The shares without each aspect that one of equal guests, or all of them, can do without.

    `bare_count`: a guest that asks for nothing still takes something of the host.
    """
    done: list[Share] = []
    waiting = [(share, tuple(sorted(share.kept, key=rank))) for share in shares]
    while waiting:
        share, untried = waiting.pop(0)
        if not untried:
            done.append(share)
            continue
        aspect, later = untried[0], untried[1:]
        fewer = meant(share.kept - {aspect})
        others = (*done, *(other for other, _ in waiting))
        counts = bare_count or _is_partner(share, others)
        if aspect not in share.kept or (not fewer and share.proven and not counts):
            waiting.insert(0, (share, later))
            continue
        if _is_like(share, done, others, there):
            done.append(share)
            continue
        keeps, proven = least(len(share.members), _Without(share, fewer, others, can))
        # Who was needed is so still; what was not proven of some aspect stays so.
        if keeps < len(share.members):
            waiting.insert(0, (replace(share, members=share.members[keeps:], kept=fewer), later))
        if keeps:
            kept = replace(share, members=share.members[:keeps], proven=share.proven and proven)
            waiting.insert(0, (kept, later))
    return tuple(done)


def _without_bare(shares: Shares) -> Shares:
    """The shares without guests that ask for nothing and take part in no link.

    Somebody's link spoke of them when all else that they ask for was left out, and was left out itself later.
    """
    return tuple(s for s in shares if s.kept or _is_partner(s, [other for other in shares if other is not s]))


def _settled(shares: Shares, can: Can, there: Collection[str]) -> Shares:
    """As `_one_by_one`, where IOMMU groups go as one: again and again until nothing more can be left out.

    There the rest may become impossible by an interface that is left out, so that what was needed before is no longer.
    """
    before: Shares = ()
    while shares != before:
        before, shares = shares, _one_by_one(shares, can, there, bare_count=True)
        for share in [share for share in shares if not share.kept]:
            others = tuple(other for other in shares if other is not share)
            shares = others if others and can(others) is False else shares
    return shares


@dataclass(frozen=True, slots=True)
class _Without:
    """Whether the guests can be placed if only so many of a share keep an aspect, and the rest only `fewer`."""

    share: Share
    fewer: Aspects
    others: Shares
    can: Can

    def __call__(self, keeping: int) -> bool | None:
        members = self.share.members
        split = (
            replace(self.share, members=members[:keeping]),
            replace(self.share, members=members[keeping:], kept=self.fewer),
        )
        return self.can((*self.others, *split))


def _is_like(share: Share, done: Sequence[Share], others: Sequence[Share], there: Collection[str]) -> bool:
    """Whether one that is done, and of which all is proven to be needed, is a twin of this; not of guests `there`."""
    if not share.proven or len(share.members) > 1 or share.members[0].name in there:
        return False
    guests = [guest for other in (*others, share) for guest in other.guests]
    return any(
        known.proven
        and known.kept == share.kept
        and len(known.members) == 1
        and known.members[0].name not in there
        and are_twins(guests, known.guests[0], share.guests[0])
        for known in done
    )


def _is_partner(share: Share, others: Sequence[Share]) -> bool:
    """Whether another guest's links speak of one of these, so that they count though they ask for nothing."""
    names = {guest.name for guest in share.members}
    linked = {name for other in others for guest in other.guests for name in (*guest.affinity, *guest.anti_affinity)}
    return not names.isdisjoint(linked)
