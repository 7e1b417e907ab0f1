"""Whether a definition is what libvirt made of the one that it was given.

libvirt writes a definition anew: it keeps what it was given and completes what is new (addresses, aliases, models).
What an earlier definition of its own had already comes back as it was. A scheduler of several threads comes back as one
for each of them, and what is said by number in an order of libvirt's own.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from numaplan.cpuset import parse_libvirt_list
from numaplan.domxml.tree import Element, parse
from numaplan.errors import InputError

# What libvirt adds to <devices> by itself for devices that are new.
_ADDED_DEVICES: Final = frozenset({"controller"})
# What is said of threads and guest cells by their numbers, and where these stand: the order says nothing
# (virDomainCputuneDefFormat, virDomainNumatuneFormatXML).
_NUMBERED_BY: Final = {
    "vcpupin": "vcpu",
    "iothreadpin": "iothread",
    "vcpusched": "vcpus",
    "iothreadsched": "iothreads",
    "memnode": "cellid",
}


def may_come_from(now: bytes, *, old: bytes, given: bytes) -> bool:
    """Whether `now` may be what libvirt made of `given`, where `old` was its own text before; False when in doubt.

    Then nobody else has changed it: what `given` has in common with `old` must stand there unchanged, the rest of
    `given` must be there, and only inside what is new may there be more.
    """
    try:
        roots = [parse(data, "").root for data in (now, old, given)]
    except InputError:
        return False
    return _covers(*roots)


def _covers(now: Element, old: Element | None, given: Element) -> bool:
    if now.name != given.name or now.text != given.text:
        return False
    wanted, there = _attributes(given), _attributes(now)
    if old is None:
        # New: libvirt may have completed it.
        if not wanted.items() <= there.items():
            return False
    elif wanted != there:
        return False
    return _covers_children(now, old, given)


def _covers_children(now: Element, old: Element | None, given: Element) -> bool:
    """What is new stands where libvirt prints its kind; those of one name keep their order."""
    before = [] if old is None else _children(old)
    there = _children(now)
    matched: set[int] = set()
    last: dict[str, int] = {}
    for child in _children(given):
        twin = _twin(child, before)
        later = range(last.get(child.name, -1) + 1, len(there))
        found = next((k for k in later if there[k].name == child.name and _covers(there[k], twin, child)), None)
        if found is None:
            return False
        matched.add(found)
        last[child.name] = found
    return all(k in matched or _is_addition(other, old) for k, other in enumerate(there))


def _children(element: Element) -> list[Element]:
    """The children, what is said by number number by number."""
    numbered = [child for child in element.children if child.name in _NUMBERED_BY]
    if not numbered:
        return list(element.children)
    others = [child for child in element.children if child.name not in _NUMBERED_BY]
    apart = sorted((one for child in numbered for one in _each_number(child)), key=lambda one: one[0])
    return [*others, *(child for _, child in apart)]


def _each_number(element: Element) -> Iterator[tuple[int, Element]]:
    """It once for each thread or cell that it is of, with the number of that; as it is where it names none."""
    name = _NUMBERED_BY[element.name]
    try:
        numbers = parse_libvirt_list(element.get(name) or "")
    except ValueError:
        yield -1, element
        return
    for number in numbers:
        own = (replace(one, value=str(number)) if one.name == name else one for one in element.attributes)
        yield number, replace(element, attributes=tuple(own))


def _twin(child: Element, before: list[Element]) -> Element | None:
    """What stood in its place; taken out of `before`: the same, else the only one of that name."""
    same = next((k for k, other in enumerate(before) if _equal(child, other)), None)
    if same is not None:
        return before.pop(same)
    named = [k for k, other in enumerate(before) if other.name == child.name]
    return before.pop(named[0]) if len(named) == 1 else None


def _is_addition(element: Element, old: Element | None) -> bool:
    return old is None or (old.name == "devices" and element.name in _ADDED_DEVICES)


def _equal(one: Element, other: Element) -> bool:
    return (
        one.name == other.name
        and one.text == other.text
        and _attributes(one) == _attributes(other)
        and len(one.children) == len(other.children)
        and all(_equal(a, b) for a, b in zip(one.children, other.children, strict=True))
    )


def _attributes(element: Element) -> dict[str, str]:
    return {attribute.name: attribute.value for attribute in element.attributes}
