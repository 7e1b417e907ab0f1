"""What is no longer as it was when a plan was made: a sentence for each fact that changed, with both its values."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.domxml.digest import ROOT
from numaplan.errors import Problem
from numaplan.model.fact import GuestFact, HostFact, PartFact, part_of
from numaplan.model.plan import Basis, GuestFacts

Facts = Mapping[str, str]

HOST: Final = "host"
_NONE: Final = "none"
_YES: Final = "yes"
_UNREADABLE: Final = "can no longer be read"

# Of a guest that was started or stopped, all of these follow from that.
_FOLLOW_STATE: Final = frozenset(
    {
        GuestFact.MANAGED_SAVE,
        GuestFact.VCPUS,
        GuestFact.EMULATOR,
        GuestFact.IOTHREADS,
        GuestFact.DEVICES,
        GuestFact.MEMORY,
    }
)
_PINS: Final = frozenset({GuestFact.VCPUS, GuestFact.EMULATOR, GuestFact.IOTHREADS})
# The CPUs in "0-1 on 4,6", and in "4,6" alone.
_PINNED: Final = re.compile(r"(?:(?<= on )|^(?!.* on ))[0-9]+(?:[-,][0-9]+)*", re.ASCII)
# libvirt binds a device to vfio-pci when its guest starts, and gives it back when that stops.
_FOLLOW_GUEST: Final = frozenset({PartFact.DRIVER, PartFact.USE})


def differences(planned: Basis, now: Basis, *, done: Collection[str] = ()) -> tuple[Problem, ...]:
    """Every fact that a plan rests on and that has changed, the host's first, then guest by guest; () if none has.

    A fact that was not known when the plan was made is no difference, one that is no longer known is. What follows from
    a change that is told (the CPUs of a node from a CPU that went offline) is not told again. Of guests that are `done`
    (as the plan wants them already) it is told only that they are gone or others by now.
    """
    before = {guest.name: guest for guest in planned.guests}
    after = {guest.name: guest for guest in now.guests}
    host = _Host(dict(planned.host), dict(now.host), _restless(before, after))
    renamed = _renamed(before, after)
    lasting = _Lasting(host.lasting_cpus if host.online_changed else None)
    found = [Problem(sentence, HOST) for sentence in host.sentences()]
    for name, guest in before.items():
        if name in after:
            if name in done and not _changed(dict(guest.facts), dict(after[name].facts), GuestFact.UUID):
                continue
            found += [Problem(sentence, name) for sentence in _guest_sentences(guest, after[name], lasting)]
        elif name in renamed:
            found.append(Problem(f"the guest was renamed to {renamed[name]}", name))
        else:
            found.append(Problem("the guest is gone", name))
    for name, guest in after.items():
        if name not in before and name not in renamed.values():
            found.append(Problem(_arrival(guest), name))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Host:
    """The host's facts then and now; `restless` are functions of guests that were started, stopped, made or removed."""

    then: Facts
    now: Facts
    restless: frozenset[str]

    @property
    def online_changed(self) -> bool:
        """Whether other CPUs are online."""
        return self.then.get(HostFact.ONLINE) != self.now.get(HostFact.ONLINE)

    @property
    def lasting_cpus(self) -> CpuSet:
        """Those that were online and still are."""
        return _cpus(self.then.get(HostFact.ONLINE, _NONE)) & _cpus(self.now.get(HostFact.ONLINE, _NONE))

    def sentences(self) -> Iterator[str]:
        parts = {part for _, part in map(part_of, self.now)}
        gone: set[str] = set()
        for what, value in self.then.items():
            fact, part = part_of(what)
            if self.now.get(what) == value or part in gone:
                continue
            if part and part not in parts:
                gone.add(part)
                yield f"{self._called(part)} {self._lost(fact, part, value)}"
            elif not self._follows(fact, part, what):
                yield self._sentence(fact, part, value, self.now.get(what))

    def _sentence(self, fact: str, part: str, value: str, found: str | None) -> str:
        if not part:
            return _of_host(fact, value, found)
        called = self._called(part)
        if found is None:
            if fact == PartFact.DRIVER:
                return f"{called} is bound to no driver, was bound to {value}"
            return f"{called}: {fact}: was {value}, and {_UNREADABLE}"
        said = _OF_PART.get(fact)
        return f"{called} has {found} {fact}, had {value}" if said is None else f"{called} {said(value, found)}"

    def _follows(self, fact: str, part: str, what: str) -> bool:
        """Whether the change follows from another one that is told."""
        if fact in _FOLLOW_GUEST and part in self.restless:
            return True
        if fact == PartFact.OTHER_VFS:
            counts = f"{PartFact.VFS} of {part}"
            return self.then.get(counts) != self.now.get(counts)
        if not self.online_changed:
            return False
        if fact in {HostFact.SIBLINGS, HostFact.CACHES}:
            return what in self.now
        both = self.lasting_cpus
        return (
            fact == PartFact.CPUS and what in self.now and _cpus(self.then[what]) & both == _cpus(self.now[what]) & both
        )

    def _lost(self, fact: str, part: str, value: str) -> str:
        """What is said of a part of which nothing is known any more; a bridge has this one fact alone."""
        if fact == PartFact.UPLINK:
            return f"leads to no physical ports that are known to be on one node, led to some on {value}"
        return "is gone, or shows no SR-IOV any more" if f"{PartFact.VFS} of {part}" in self.then else "is gone"

    def _called(self, part: str) -> str:
        """A function by the name that the plan knew it by, with its address."""
        names = self.then.get(f"{PartFact.NAMES} of {part}")
        return part if names is None else f"{names} ({part})"


def _of_host(fact: str, then: str, now: str | None) -> str:
    if now is None:
        return f"{fact}: was {then}, and {_UNREADABLE}"
    match fact:
        case HostFact.HOSTNAME:
            return f"the plan was made for the host {then}, this is {now}"
        case HostFact.BOOT_ID:
            return f"the host was booted again: its boot id was {then}, is {now}"
        case HostFact.ONLINE:
            return _of_online(then, now)
        case HostFact.SWITCH_MEMORY:
            return f"{fact}: was {then}, is {now}"
    return f"{fact} were {then}, are {now}"


def _of_online(then: str, now: str) -> str:
    went, came = _cpus(then) - _cpus(now), _cpus(now) - _cpus(then)
    said = [f"{cpus.named} {verb}" for cpus, verb in ((went, "went offline"), (came, "came online")) if cpus]
    return f"{' and '.join(said)}: {HostFact.ONLINE} were {then}, are {now}"


def _cpus(text: str) -> CpuSet:
    """The CPUs that a fact names; none where it names none."""
    try:
        return EMPTY if text == _NONE else CpuSet.parse(text)
    except ValueError:
        return EMPTY


def _of_use(then: str, now: str) -> str:
    if now == _NONE:
        return f"is no longer used by the host (it {then})"
    return f"{now}, and was not used by the host" if then == _NONE else f"{now} (it {then})"


_OF_PART: Final[Mapping[str, Callable[[str, str], str]]] = {
    PartFact.CPUS: lambda then, now: f"has CPUs {now}, had {then}",
    PartFact.MEMORY: lambda _, now: "has no memory any more" if now == _NONE else "has memory, and had none",
    PartFact.DISTANCES: lambda then, now: f"has other distances: were {then}, are {now}",
    PartFact.NAMES: lambda _, now: f"is called {now} now",
    PartFact.DRIVER: lambda then, now: f"is bound to {now}, was bound to {then}",
    PartFact.NODE: lambda then, now: f"is on node {now}, was on node {then}",
    PartFact.UPLINK: lambda then, now: f"leads to physical ports on {now}, led to some on {then}",
    PartFact.VFS: lambda then, now: f"has {now} VFs, had {then}",
    PartFact.OTHER_VFS: lambda then, now: f"has other VFs beside those of the plan: were {then}, are {now}",
    PartFact.PF: lambda then, now: f"is a VF of {now}, was one of {then}",
    PartFact.IDS: lambda then, now: f"is another device: was {then}, is {now}",
    PartFact.GROUP: lambda then, now: f"is in IOMMU group {now}, was in {then}",
    PartFact.USE: _of_use,
}


@dataclass(frozen=True, slots=True)
class _Lasting:
    """The CPUs that were online and still are: the kernel takes others out of every affinity. None: all that were."""

    cpus: CpuSet | None

    def same(self, fact: str, then: str, now: str) -> bool:
        """Whether pins are the same as far as these CPUs go."""
        if self.cpus is None or fact not in _PINS:
            return False
        return _restricted(then, self.cpus) == _restricted(now, self.cpus)


def _restricted(pins: str, cpus: CpuSet) -> str:
    return _PINNED.sub(lambda found: str(_cpus(found[0]) & cpus), pins)


def _guest_sentences(planned: GuestFacts, now: GuestFacts, lasting: _Lasting) -> Iterator[str]:
    then, facts = dict(planned.facts), dict(now.facts)
    follow: frozenset[str] = frozenset({GuestFact.OWN_CPUS})
    if _changed(then, facts, GuestFact.UUID):
        yield f"another guest bears its name: its UUID was {then[GuestFact.UUID]}, is {facts[GuestFact.UUID]}"
        return
    if GuestFact.RUNNING in facts and then.get(GuestFact.RUNNING) != facts[GuestFact.RUNNING]:
        follow |= _FOLLOW_STATE
    for fact, value in then.items():
        found = facts.get(fact)
        if found != value and fact not in follow and not (found and lasting.same(fact, value, found)):
            yield _of_guest(fact, value, found)
    yield from _xml_sentences(dict(planned.xml), dict(now.xml))


def _of_guest(fact: str, then: str, now: str | None) -> str:
    if now is None:
        return f"{fact}: was {then}, and {_UNREADABLE}"
    said = _OF_GUEST.get(fact)
    return f"its {fact} are pinned otherwise: were {then}, are {now}" if said is None else said(then, now)


_OF_GUEST: Final[Mapping[str, Callable[[str, str], str]]] = {
    GuestFact.RUNNING: lambda _, now: "it was shut off, and runs now" if now == _YES else "it ran, and is shut off now",
    GuestFact.PERSISTENT: lambda _, now: (
        "it was transient, and is persistent now"
        if now == _YES
        else "it was persistent, and is transient now: it is gone when it stops"
    ),
    GuestFact.MANAGED_SAVE: lambda _, now: (
        "its state was saved (managed save): its next start resumes that, whatever its XML says by then"
        if now == _YES
        else "the state that was saved of it (managed save) is gone"
    ),
    GuestFact.EMULATOR: lambda then, now: f"its emulator is pinned otherwise: was on {then}, is on {now}",
    GuestFact.DEVICES: lambda then, now: f"its devices were {then}, are {now}",
    GuestFact.MEMORY: lambda then, now: f"its memory is bound otherwise: was {then}, is {now}",
}


def _xml_sentences(then: Facts, now: Facts) -> Iterator[str]:
    if not then:
        return
    if not now:
        yield f"its XML {_UNREADABLE}"
        return
    changed = [part for part, digest in then.items() if part in now and now[part] != digest]
    for parts, verb in (
        (changed, "changed in"),
        ([part for part in now if part not in then], "added to"),
        ([part for part in then if part not in now], "removed from"),
    ):
        if parts:
            was = "was" if len(parts) == 1 else "were"
            yield f"{_listed([_element(part) for part in parts])} {was} {verb} its XML"


def _element(part: str) -> str:
    """How a part of the XML is called: "<cputune>", "<interface> 2"."""
    if part == ROOT:
        return "attributes of <domain>"
    name, _, number = part.removesuffix("]").partition("[")
    local = name.removeprefix("devices/").rpartition("}")[2]
    return f"<{local}> {number}" if number else f"<{local}>"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _arrival(guest: GuestFacts) -> str:
    facts = dict(guest.facts)
    cpus, devices = facts.get(GuestFact.OWN_CPUS, _NONE), facts.get(GuestFact.DEVICES, _NONE)
    held = [_cpus(cpus).named] if cpus != _NONE else []
    held += [devices] if devices != _NONE else []
    what = f"it holds {' and '.join(held)}" if held else "it holds no CPU and no device of its own"
    return f"the guest came since the plan was made: {what}"


def _renamed(before: Mapping[str, GuestFacts], after: Mapping[str, GuestFacts]) -> dict[str, str]:
    """Guests that are gone, and the new name under which their UUID came."""
    came = {_uuid(guest): name for name, guest in after.items() if name not in before}
    return {
        name: came[uuid]
        for name, guest in before.items()
        if name not in after and (uuid := _uuid(guest)) is not None and uuid in came
    }


def _uuid(guest: GuestFacts) -> str | None:
    return dict(guest.facts).get(GuestFact.UUID)


def _restless(before: Mapping[str, GuestFacts], after: Mapping[str, GuestFacts]) -> frozenset[str]:
    """The functions of guests that run and did not, or ran and do not."""
    found: set[str] = set()
    for name in before.keys() | after.keys():
        sides = [dict(side[name].facts) for side in (before, after) if name in side]
        if len({facts.get(GuestFact.RUNNING) for facts in sides}) > 1 or len(sides) == 1:
            for facts in sides:
                found |= set(facts.get(GuestFact.DEVICES, "").split(", "))
    return frozenset(found - {"", _NONE})


def _changed(then: Facts, now: Facts, fact: str) -> bool:
    """Whether it is known both times, and not the same."""
    return fact in then and fact in now and then[fact] != now[fact]
