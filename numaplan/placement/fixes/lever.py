"""A lever: one thing that could be changed to make a request possible, from 0 (as it is) to `most`; and its price."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.change import Drop, Edit
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.plan import Document
from numaplan.model.request import GuestRequest, HostPolicy, Request
from numaplan.model.snapshot import Snapshot

# docs/why-not.md has the same list. The unit is that of the cross-node cost.
LEFT_OUT: Final = 1_000  # a copy of priority 1
LINK: Final = 50
SPLIT: Final = 30
THREAD_POLICY: Final = 20
DISTINCT: Final = 20
OWN_CPU: Final = 10
PAGE_SIZE_GIB: Final = 2
RESERVED_CPU: Final = 20
SHARED_CPU: Final = 5
SHARED_RATIO: Final = 10
RESERVED_GIB: Final = 2
PAGES_GIB: Final = 1
MEMORY_GIB: Final = 10
VF: Final = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A question: what is asked, of which host."""

    request: Request
    snapshot: Snapshot
    # For thousands of vms that are changed in turn.
    _places: "_Places | None" = field(default=None, compare=False, repr=False)

    def with_policy(self, policy: HostPolicy) -> "Case":
        """The same guests under another policy."""
        return replace(self, request=replace(self.request, policy=policy))

    def with_vm(self, vm: str, change: Callable[[GuestRequest], GuestRequest]) -> "Case":
        """The same with every copy of a vm changed."""
        guests = list(self.request.guests)
        places = self._places
        if places is None or places.guests != len(guests):
            places = _places_of(guests)
        for place in places.of.get(vm, ()):
            guests[place] = change(guests[place])
        return replace(self, request=replace(self.request, guests=tuple(guests)), _places=places)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the copies `of` each vm are among so many `guests`."""

    guests: int
    of: Mapping[str, Sequence[int]]


def _places_of(guests: Sequence[GuestRequest]) -> _Places:
    of: dict[str, list[int]] = {}
    for place, guest in enumerate(guests):
        of.setdefault(guest.vm, []).append(place)
    return _Places(len(guests), of)


Edits = tuple[Edit | Drop, ...]

# All copies of a vm.
Copies = Sequence[GuestRequest]

# So many things of which the same is said are told by name; the patch has them all.
_MOST_TOLD: Final = 8

# A form with {} where things of which the same is said stand together, and the thing, or CPUs, told as one set.
Sentence = tuple[str, str | CpuSet]


def _no_edits(_case: Case, _level: int) -> Edits:
    return ()


def _nothing(_level: int) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Increment:
    """What one level of a lever adds to a host: `each_kib` of memory at `node` in pages of `size_kib`, or one of `vfs`.

    Huge pages are made of `spare_kib` that the node has, and then of new memory.
    """

    node: NodeId | None = None
    size_kib: int = 0
    each_kib: int = 0
    spare_kib: int = 0
    vfs: tuple[PciAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Lever:
    """`pull` changes a case to a level, `sentence` says what that does, `price` what it costs beside distance.

    `edits` say it in the words of vnf.yaml, given the case in which everything is pulled that will be; without any the
    change is one of the host. `nested`: what is possible at one level is so at each higher one. `far`: the vm
    that may then lie further apart, whose cross-node cost counts too: at least `apart` where it must. `within`: the
    lever as it is in a case that others have changed before it; None where these change nothing for it. `adds`: all
    that it does is to add that. `vm`: the only one that it changes. `eased`: a case, seldom one that can be, in which
    all is possible that is so at any level of a lever that may do harm.
    """

    most: int
    pull: Callable[[Case, int], Case]
    sentence: Callable[[int], Sentence]
    price: Callable[[int], int]
    edits: Callable[[Case, int], Edits] = _no_edits
    nested: bool = True
    far: str | None = None
    apart: Callable[[int], int] = _nothing
    within: "Callable[[Case], Lever] | None" = None
    adds: Increment | None = None
    vm: str | None = None
    eased: Callable[[Case], Case] | None = None

    def at(self, case: Case, level: int) -> Case:
        """The case with the lever pulled; beyond the `most` it is eased."""
        return self.pull(case, level) if level <= self.most or self.eased is None else self.eased(case)

    def least_cost(self, level: int) -> int:
        """The least that a level costs where it is needed."""
        return self.price(level) + self.apart(level)

    def within_cost(self, cost: int) -> int:
        """The highest level that costs no more than that at least."""
        return bisect_right(range(1, self.most + 1), cost, key=self.least_cost)

    def among(self, case: Case) -> "Lever":
        """The lever as it is in a case."""
        return self if self.within is None else self.within(case)


# How far each lever of some is pulled, by its number.
Levels = Mapping[int, int]


def _no_ways(_steps: int) -> Iterable[Levels]:
    return ()


@dataclass(frozen=True, slots=True)
class Group:
    """Levers of one kind: each changes elsewhere what the others change here.

    `joint`: where some of them pulled as far as they go do not help, none of these does. `parts`: levers that do the
    same in smaller steps, given up in this order; `in_parts`: how far these are pulled where `levers` are so far;
    `ways`: every way to pull them so many steps.
    """

    name: str
    document: Document
    levers: tuple[Lever, ...]
    joint: bool = True
    parts: tuple[Lever, ...] = ()
    in_parts: Callable[[Levels], dict[int, int]] = dict
    ways: Callable[[int], Iterable[Levels]] = _no_ways

    @property
    def finest(self) -> tuple[Lever, ...]:
        """The levers of the smallest steps."""
        return self.parts or self.levers


def pulled(case: Case, levers: Sequence[Lever], levels: Levels) -> Case:
    """The case with levers pulled, one after the other."""
    return pulled_in_turn(case, levers, levels)[0]


def pulled_in_turn(case: Case, levers: Sequence[Lever], levels: Levels) -> tuple[Case, list[tuple[Lever, int]]]:
    """The same, and each lever as it was when it was pulled, with its level."""
    used = []
    for number, level in sorted(levels.items()):
        if level:
            lever = levers[number].among(case)
            case = lever.at(case, level)
            used.append((lever, level))
    return case, used


def furthest(levers: Sequence[Lever]) -> dict[int, int]:
    """All levers pulled as far as they go."""
    return {number: lever.most for number, lever in enumerate(levers)}


def begun(amount: int, unit: int) -> int:
    """How many units are begun: 5 GiB and a byte are six."""
    return -(-amount // unit)


def told(sentences: Iterable[Sentence]) -> str:
    """One sentence of all of them: "let a, b and c be preferred"."""
    forms: dict[str, list[str]] = {}
    cpus: dict[str, CpuSet] = {}
    for form, thing in sentences:
        if isinstance(thing, CpuSet):
            cpus[form] = cpus.get(form, CpuSet()) | thing
            forms[form] = [cpus[form].named]
        else:
            forms.setdefault(form, []).append(thing)
    return _listed([form.replace("{}", _listed(things), 1) for form, things in forms.items()])


def _listed(words: Sequence[str]) -> str:
    if len(words) > _MOST_TOLD + 1:
        words = [*words[:_MOST_TOLD], f"{len(words) - _MOST_TOLD} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
