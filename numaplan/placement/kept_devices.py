"""Which of the functions that a guest has already serve which entry of its request, where it gets no other."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.plan import DevicePlacement, InterfacePlacement
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import current_devices, entries
from numaplan.placement.problem import DeviceDemand, DeviceKind, near_enough

# Guests have a few functions of a few kinds; what has many of many kinds is not looked at in every way.
_MOST_TRIES: Final = 20_000

# How many functions of each device kind each entry gets.
_Way = tuple[Counter[int], ...]
# How much of each device kind is used with so many Mbit/s: all that a way is to others.
_Weight = frozenset[tuple[tuple[int, int], int]]


@dataclass(frozen=True, slots=True)
class KeptDevices:
    """Its interfaces, its devices, and (demand, device kind, how many).

    `exchanged`: some serve another entry than they do in the XML.
    """

    interfaces: tuple[InterfacePlacement, ...]
    devices: tuple[DevicePlacement, ...]
    counts: tuple[tuple[int, int, int], ...]
    exchanged: bool


@dataclass(frozen=True, slots=True)
class KeptWays:
    """Ways that differ in what is used of which kind, first that of the XML. `complete`: there are no more."""

    ways: tuple[KeptDevices, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class ExistingGuest:
    """A guest of the request that is there already, and the device kinds of the host in which it asks for functions.

    `claimed` functions are named by another guest too.
    """

    facts: HostFacts
    request: GuestRequest
    guest: Guest
    demands: tuple[DeviceDemand, ...]
    kinds: tuple[DeviceKind, ...]
    claimed: frozenset[PciAddress]


def kept_devices(there: ExistingGuest, nodes: tuple[NodeId, ...], *, loose: bool) -> KeptWays:
    """Every way to serve the request with what it has; none where something is missing.

    `loose`: but for its devices that can be no VFs.
    """
    facts, demands, kinds, guest = there.facts, there.demands, there.kinds, there.guest
    numbers = [d for d, demand in enumerate(demands) if not loose or any(kinds[i].pf is not None for i in demand.kinds)]
    asked = [entries(there.request)[d] for d in numbers]
    demands = tuple(demands[d] for d in numbers)
    kind_of = {address: i for i, kind in enumerate(kinds) for address in kind.members}
    own = [address for address in dict.fromkeys(guest.pci_addresses) if address in kind_of]
    have = Counter(kind_of[address] for address in own)
    tries = iter(range(_MOST_TRIES))
    choices = []
    for demand in demands:
        near = (i for i in demand.kinds if have[i] and near_enough(facts, demand.affinity, kinds[i].node, nodes))
        shares = _shares(demand.count, {i: have[i] for i in near}, tries)
        choices.append([used for used in shares if not (demand.distinct and _shares_pf(used, kinds))])
    every = current_devices(facts, there.request, guest)
    served = [every[d] for d in numbers]
    as_served = tuple(Counter(kind_of.get(one, -1) for one in functions if one is not None) for functions in served)
    is_way = all(used in some for used, some in zip(as_served, choices, strict=True))
    first = {_weight(demands, as_served): as_served} if is_way and sum(as_served, Counter[int]()) <= have else {}
    ways = first | {key: way for key, way in _ways(demands, choices, have, tries).items() if key not in first}
    # What could be a VF or none is kept, though exchanging it might be no move.
    either = loose and any(len({kinds[i].pf is None for i in demand.kinds}) > 1 for demand in demands)
    # Which of several functions of a kind it keeps matters to who else may keep one.
    any_other = not there.claimed.isdisjoint(own) and len(own) > sum(demand.count for demand in demands)
    return KeptWays(
        tuple(_named(asked, numbers, way, served, own=own, kind_of=kind_of) for way in ways.values()),
        complete=next(tries, None) is not None and not (any_other or either),
    )


def _shares(count: int, have: Mapping[int, int], tries: Iterator[int]) -> Iterator[Counter[int]]:
    """The ways to take `count` of what there is, as many as can be tried."""
    if count > sum(have.values()) or next(tries, None) is None:
        return
    if not have:
        yield Counter()
        return
    kind, *others = have
    for n in range(min(count, have[kind]), -1, -1):
        for share in _shares(count - n, {i: have[i] for i in others}, tries):
            yield Counter({kind: n} if n else {}) + share


def _shares_pf(used: Counter[int], kinds: Sequence[DeviceKind]) -> bool:
    """Whether two of these functions are of one PF."""
    return max(Counter(kinds[i].pf for i in used.elements()).values(), default=0) > 1


def _weight(demands: Sequence[DeviceDemand], way: _Way) -> _Weight:
    weights: Counter[tuple[int, int]] = Counter()
    for demand, used in zip(demands, way, strict=True):
        weights.update({(i, demand.mbps): n for i, n in used.items()})
    return frozenset(weights.items())


def _ways(
    demands: Sequence[DeviceDemand], choices: Sequence[Sequence[Counter[int]]], have: Counter[int], tries: Iterator[int]
) -> dict[_Weight, _Way]:
    """A choice for each entry, no more of a kind in all than there are: one of those that weigh the same."""
    known: dict[_Weight, tuple[_Way, Counter[int]]] = {frozenset(): ((), have)}
    for demand, choice in zip(demands, choices, strict=True):
        longer: dict[_Weight, tuple[_Way, Counter[int]]] = {}
        for weight, (way, left) in known.items():
            for used in choice:
                if next(tries, None) is None:
                    break
                if used <= left:
                    weights = Counter(dict(weight)) + Counter({(i, demand.mbps): n for i, n in used.items()})
                    longer.setdefault(frozenset(weights.items()), ((*way, used), left - used))
        known = longer
    return {weight: way for weight, (way, _) in known.items()}


def _named(
    asked: Sequence[InterfaceRequest | DeviceRequest],
    numbers: Sequence[int],
    way: _Way,
    served: Sequence[Sequence[PciAddress | None]],
    *,
    own: Sequence[PciAddress],
    kind_of: Mapping[PciAddress, int],
) -> KeptDevices:
    """A way with the functions themselves, each in its place where it may stay there."""
    left = dict.fromkeys(own)
    places: list[list[PciAddress | None]] = []
    missing: list[Counter[int]] = []
    for used, functions in zip(way, served, strict=True):
        unnamed, own_places = used.copy(), []
        for address in functions:
            stays = address is not None and address in left and unnamed[kind_of[address]] > 0
            own_places.append(address if stays else None)
            if stays and address is not None:
                del left[address]
                unnamed[kind_of[address]] -= 1
        places.append(own_places)
        missing.append(unnamed)
    given = []
    for own_places, unnamed in zip(places, missing, strict=True):
        others = []
        for i in sorted(unnamed.elements()):
            address = next(address for address in left if kind_of[address] == i)
            del left[address]
            others.append(address)
        rest = iter(others)
        given.append(tuple(next(rest) if address is None else address for address in own_places))
    pairs = list(zip(asked, given, strict=True))
    return KeptDevices(
        tuple(InterfacePlacement(entry.name, functions) for entry, functions in pairs if _is_interface(entry)),
        tuple(DevicePlacement(entry.name, functions[0]) for entry, functions in pairs if not _is_interface(entry)),
        tuple((d, i, n) for d, used in zip(numbers, way, strict=True) for i, n in sorted(used.items())),
        exchanged=any(None in own_places for own_places in places),
    )


def _is_interface(entry: InterfaceRequest | DeviceRequest) -> bool:
    return isinstance(entry, InterfaceRequest)
