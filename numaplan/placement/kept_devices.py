"""Which of the functions that a guest has already serve which entry of its request, where it gets no other."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations_with_replacement, islice
from typing import Final

from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.plan import DevicePlacement, InterfacePlacement
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import current_devices, entries
from numaplan.placement.problem import DeviceDemand, DeviceKind, near_enough

# Guests have a few functions of a few kinds; what names thousands is not looked at in every way.
_MOST_TRIES: Final = 1_000
_MOST_ENTRIES: Final = 100

# How many functions of each device kind each entry gets.
_Way = tuple[Counter[int], ...]


@dataclass(frozen=True, slots=True)
class KeptDevices:
    """Its interfaces, its devices, and (demand, device kind, how many).

    `exchanged`: some serve another entry than they do in the XML.
    """

    interfaces: tuple[InterfacePlacement, ...]
    devices: tuple[DevicePlacement, ...]
    counts: tuple[tuple[int, int, int], ...]
    exchanged: bool


def kept_devices(
    facts: HostFacts,
    request: GuestRequest,
    guest: Guest,
    *,
    demands: Sequence[DeviceDemand],
    kinds: Sequence[DeviceKind],
    nodes: tuple[NodeId, ...],
    loose: bool,
) -> Iterator[KeptDevices]:
    """Every way that differs in what is used of which kind, first that of the XML; none where one is missing.

    `loose`: but for its devices that are no VFs.
    """
    asked = [entry for entry in entries(request) if not (loose and isinstance(entry, DeviceRequest))]
    kind_of = {address: i for i, kind in enumerate(kinds) for address in kind.members}
    own = [address for address in dict.fromkeys(guest.pci_addresses) if address in kind_of]
    have = Counter(kind_of[address] for address in own)
    near = [
        [i for i in demand.kinds if have[i] and near_enough(facts, demand.affinity, kinds[i].node, nodes)]
        for demand in demands[: len(asked)]
    ]
    choices = [
        [
            used
            for used in map(Counter, islice(combinations_with_replacement(fitting, demand.count), _MOST_TRIES))
            if used <= have and not (demand.distinct and _shares_pf(used, kinds))
        ]
        for demand, fitting in zip(demands, near, strict=False)
    ]
    served = current_devices(facts, request, guest)[: len(asked)]
    as_served = tuple(Counter(kind_of.get(one, -1) for one in functions if one is not None) for functions in served)
    is_way = all(used in some for used, some in zip(as_served, choices, strict=True))
    first = [as_served] if is_way and sum(as_served, Counter[int]()) <= have else []
    others = _ways(choices, have, iter(range(_MOST_TRIES))) if len(asked) <= _MOST_ENTRIES else ()
    seen: set[frozenset[tuple[tuple[int, int], int]]] = set()
    for way in chain(first, others):
        weights: Counter[tuple[int, int]] = Counter()
        for demand, used in zip(demands, way, strict=False):
            weights.update({(i, demand.mbps): n for i, n in used.items()})
        key = frozenset(weights.items())
        if key not in seen:
            seen.add(key)
            yield _named(asked, way, served, own=own, kind_of=kind_of)


def _shares_pf(used: Counter[int], kinds: Sequence[DeviceKind]) -> bool:
    """Whether two of these functions are of one PF."""
    return max(Counter(kinds[i].pf for i in used.elements()).values(), default=0) > 1


def _ways(choices: Sequence[Sequence[Counter[int]]], have: Counter[int], tries: Iterator[int]) -> Iterator[_Way]:
    """A choice for each entry, no more of a kind in all than there are."""
    if not choices:
        yield ()
        return
    for used in choices[0]:
        if next(tries, None) is None:
            return
        if used <= have:
            for others in _ways(choices[1:], have - used, tries):
                yield (used, *others)


def _named(
    asked: Sequence[InterfaceRequest | DeviceRequest],
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
        tuple((d, i, n) for d, used in enumerate(way) for i, n in sorted(used.items())),
        exchanged=any(None in own_places for own_places in places),
    )


def _is_interface(entry: InterfaceRequest | DeviceRequest) -> bool:
    return isinstance(entry, InterfaceRequest)
