"""``<cputune>`` but for iothreads' pins: where vCPUs and emulator run, how they are scheduled, what cache they get."""

from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.domxml.numbers import (
    attribute,
    lenient,
    required_id_set,
    scaled_kib,
    signed,
)
from numaplan.domxml.tree import Document, Element
from numaplan.errors import InputError
from numaplan.model.guest import CacheTune, EmulatorPin, ThreadKind, ThreadScheduler, VcpuId, VcpuPin

# Policies that libvirt reads a priority for (formatdomain, "CPU Tuning", vcpusched); it passes over that of the others.
_REAL_TIME: Final = frozenset({"fifo", "rr"})
_NUMBER_LIMIT: Final = 2**31 - 1
_CACHE_LIMIT_KIB: Final = 1 << 40


def read_vcpu_pins(document: Document, vcpus: int) -> tuple[VcpuPin, ...]:
    """``<vcpupin>``; those of vCPUs that the guest does not have are ignored, whatever they say, as libvirt does."""
    pins: dict[int, VcpuPin] = {}
    for pin in _all(document, "vcpupin"):
        vcpu = attribute(document, pin, "vcpu", least=0, most=_NUMBER_LIMIT)
        if vcpu >= vcpus:
            continue
        cpus = CpuSet(required_id_set(document, pin, "cpuset"))
        if vcpu in pins:
            raise document.error(pin, f"a second <vcpupin> of vCPU {vcpu}, the first is on line {pins[vcpu].line}")
        pins[vcpu] = VcpuPin(VcpuId(vcpu), cpus, pin.line)
    return tuple(pins[vcpu] for vcpu in sorted(pins))


def read_emulator_pin(document: Document) -> EmulatorPin | None:
    """``<emulatorpin>``."""
    cputune = document.root.child("cputune")
    pin = None if cputune is None else document.only(cputune, "emulatorpin")
    return None if pin is None else EmulatorPin(CpuSet(required_id_set(document, pin, "cpuset")), pin.line)


def read_schedulers(document: Document) -> tuple[ThreadScheduler, ...]:
    """``<vcpusched>``, then ``<iothreadsched>``, then ``<emulatorsched>``.

    Policies are kept as they stand. A thread that two of them name, which libvirt refuses, stays with the first.
    """
    vcpus = _thread_schedulers(document, "vcpusched", "vcpus", ThreadKind.VCPU)
    iothreads = _thread_schedulers(document, "iothreadsched", "iothreads", ThreadKind.IOTHREAD)
    return (*vcpus, *iothreads, *_emulator_scheduler(document))


def read_cachetunes(document: Document, vcpus: int) -> tuple[CacheTune, ...]:
    """``<cachetune>``, as libvirt takes it: of vCPUs that the guest has, and with a ``<cache>`` or ``<monitor>`` in it.

    A vCPU that two of them name, which libvirt refuses, stays with the first. Caches only inform: one that cannot be
    read is left out.
    """
    found = []
    untaken = _Untaken(vcpus)
    for tune in _all(document, "cachetune"):
        threads = untaken.of(document, tune, "vcpus")
        if threads and (tune.child("cache") is not None or tune.child("monitor") is not None):
            caches = (_cache(document, cache) for cache in tune.all("cache"))
            own = tuple(cache for cache in caches if cache is not None)
            found.append(CacheTune(tuple(VcpuId(vcpu) for vcpu in threads), tune.line, own))
    return tuple(found)


def _all(document: Document, name: str) -> tuple[Element, ...]:
    cputune = document.root.child("cputune")
    return () if cputune is None else cputune.all(name)


def _thread_schedulers(document: Document, name: str, list_name: str, kind: ThreadKind) -> Iterator[ThreadScheduler]:
    untaken = _Untaken(CPU_LIMIT)
    for element in _all(document, name):
        threads = untaken.of(document, element, list_name)
        policy, priority = _policy(document, element)
        if threads:
            yield ThreadScheduler(kind, threads, policy, element.line, priority)


def _emulator_scheduler(document: Document) -> Iterator[ThreadScheduler]:
    cputune = document.root.child("cputune")
    element = None if cputune is None else document.only(cputune, "emulatorsched")
    if element is not None:
        policy, priority = _policy(document, element)
        yield ThreadScheduler(ThreadKind.EMULATOR, (), policy, element.line, priority)


def _policy(document: Document, element: Element) -> tuple[str, int | None]:
    policy = element.get("scheduler")
    if not policy:
        expected = "expected batch, idle, fifo or rr"
        raise document.error(element, f"scheduler of <{element.tag}> is missing", expected)
    return policy, signed(document, element, "priority") if policy in _REAL_TIME else None


class _Untaken:
    """Hands out each id once, to the first that names it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[int] = set()
        self._lists: set[str] = set()

    def of(self, document: Document, element: Element, name: str) -> tuple[int, ...]:
        """The ids below the limit that the attribute names and nobody had before, in order; raises InputError."""
        ids = required_id_set(document, element, name)
        # Thousands of elements may have one and the same list: it is gone through once.
        if (text := element.get(name) or "") in self._lists:
            return ()
        self._lists.add(text)
        own = tuple(sorted(number for number in ids if number < self._limit and number not in self._taken))
        self._taken.update(own)
        return own


def _cache(document: Document, element: Element) -> tuple[int, int, str, int] | None:
    number = lenient(element.get("id"), most=_NUMBER_LIMIT)
    level = lenient(element.get("level"), most=_NUMBER_LIMIT)
    kind = element.get("type")
    try:
        size_kib = scaled_kib(document, element, element.get("size"), what="size of <cache>")
    except InputError:
        return None
    if number is None or level is None or not kind or size_kib > _CACHE_LIMIT_KIB:
        return None
    return number, level, kind, size_kib
