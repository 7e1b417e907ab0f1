"""The numbers of domain XML as libvirt reads them: counts, memory with units, CPU and node sets, PCI addresses."""

import re
from functools import lru_cache
from typing import Final

from numaplan.cpuset import CPU_LIMIT, parse_libvirt_list
from numaplan.domxml.tree import Document, Element
from numaplan.errors import InputError
from numaplan.model.devices import PciAddress

# More than any host has; keeps sums far from where anything overflows.
MEMORY_LIMIT_KIB: Final = 1 << 44

# A guest's lists of CPUs and nodes, different ones, name no more than this: a file of 400 KiB could fill 5 GiB else.
NAMED_LIMIT: Final = 1 << 20
_LIST_ATTRIBUTES: Final = frozenset({"cpuset", "nodeset", "cpus", "vcpus", "iothreads"})

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", re.ASCII)
_WHOLE = re.compile(r"\+?[0-9]{1,20}", re.ASCII)
_SIGNED = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_C_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]{1,16})|0([0-7]{1,20})|([0-9]{1,20})", re.ASCII)
_UNIT = re.compile(r"([kmgtpe])(ib|b)?", re.IGNORECASE | re.ASCII)
_INT_LIMIT: Final = 2**31 - 1
_POWERS: Final = "kmgtpe"
_BYTES = frozenset({"b", "byte", "bytes"})
_PCI_LIMITS: Final = (("domain", 0xFFFFFFFF), ("bus", 0xFF), ("slot", 0x1F), ("function", 7))


def whole(document: Document, element: Element, text: str | None, *, what: str, least: int, most: int) -> int:
    """A whole number in decimal; raises InputError that says what was found and what was expected."""
    expected = f"expected a whole number from {least} to {most}"
    if text is None:
        raise document.error(element, f"{what} is missing", expected)
    stripped = text.strip()
    if not _WHOLE.fullmatch(stripped) or not least <= int(stripped) <= most:
        raise _found(document, element, what, text=text, expected=expected)
    return int(stripped)


def attribute(document: Document, element: Element, name: str, *, least: int, most: int) -> int:
    """The attribute of that name as a whole number; raises InputError."""
    what = f"{name} of <{element.tag}>"
    return whole(document, element, element.get(name), what=what, least=least, most=most)


def signed(document: Document, element: Element, name: str) -> int:
    """The attribute of that name as a C int, which may have a sign; raises InputError."""
    text, what = element.get(name), f"{name} of <{element.tag}>"
    expected = f"expected a whole number from {-_INT_LIMIT} to {_INT_LIMIT}"
    if text is None:
        raise document.error(element, f"{what} is missing", expected)
    if _SIGNED.fullmatch(text.strip()) is None or abs(int(text)) > _INT_LIMIT:
        raise _found(document, element, what, text=text, expected=expected)
    return int(text)


def lenient(text: str | None, *, most: int) -> int | None:
    """A whole number that only informs; None for anything else, so that nothing is refused for its sake."""
    if text is None or _WHOLE.fullmatch(text.strip()) is None:
        return None
    return int(text) if int(text) <= most else None


def unit_bytes(unit: str | None) -> int | None:
    """How many bytes a memory unit is (libvirt, formatdomain, "Memory Allocation"); None for what is no unit.

    No unit at all means KiB. ``k``, ``KiB``: 1024; ``KB``: 1000; in any case of letters, as libvirt reads them.
    """
    if unit is None or not unit:
        return 1024
    if unit.lower() in _BYTES:
        return 1
    match = _UNIT.fullmatch(unit)
    if match is None:
        return None
    base = 1000 if (match[2] or "").lower() == "b" else 1024
    return int(base ** (_POWERS.index(match[1].lower()) + 1))


def memory_kib(document: Document, element: Element, text: str | None, *, what: str) -> int:
    """As `scaled_kib`, and InputError for more than any host has."""
    size_kib = scaled_kib(document, element, text, what=what)
    if size_kib > MEMORY_LIMIT_KIB:
        raise document.error(element, f"{what} is {size_kib} KiB, {MEMORY_LIMIT_KIB} are the limit")
    return size_kib


def scaled_kib(document: Document, element: Element, text: str | None, *, what: str) -> int:
    """KiB of `text` in the unit that `element` names, rounded up as libvirt does; raises InputError."""
    factor = unit_bytes(element.get("unit"))
    if factor is None:
        expected = "expected b, KiB, MiB, GiB, TiB, KB, MB, GB or TB"
        raise _found(document, element, f"the unit of {what}", text=element.get("unit") or "", expected=expected)
    value = whole(document, element, text, what=what, least=0, most=10**20 - 1)
    return -(-value * factor // 1024)


def id_set(document: Document, element: Element, name: str) -> frozenset[int] | None:
    """The ids in the attribute of that name, None where it is absent; raises InputError, for an empty set too."""
    text = element.get(name)
    if text is None:
        return None
    expected = "expected ids such as 0-3,^2,8"
    what = f"{name} of <{element.tag}>"
    try:
        ids = _id_list(text)
    except ValueError as error:
        raise _found(document, element, what, text=text, expected=f"{expected} below {CPU_LIMIT}") from error
    if not ids:
        raise _found(document, element, what, text=text, expected=f"{expected}, at least one")
    return ids


@lru_cache(maxsize=256)
def _id_list(text: str) -> frozenset[int]:
    """Every vCPU of a guest may have the same list, of thousands of CPUs: it is kept once."""
    return parse_libvirt_list(text)


def sorted_ids(document: Document, element: Element, name: str) -> tuple[int, ...] | None:
    """As `id_set`, in numeric order; thousands of elements with one and the same list share it."""
    ids = id_set(document, element, name)
    return None if ids is None else _in_order(ids)


@lru_cache(maxsize=256)
def _in_order(ids: frozenset[int]) -> tuple[int, ...]:
    return tuple(sorted(ids))


def named_ids(root: Element) -> int:
    """How many ids all lists below an element name, equal ones counted once."""
    lists = {
        attribute.value
        for element in root.walk()
        for attribute in element.attributes
        if attribute.name in _LIST_ATTRIBUTES
    }
    return sum(max(int(last or first) - int(first) + 1, 0) for text in lists for first, last in _RANGE.findall(text))


def required_id_set(document: Document, element: Element, name: str) -> frozenset[int]:
    """The set of ids in an attribute that must be there; raises InputError."""
    ids = id_set(document, element, name)
    if ids is None:
        raise document.error(element, f"{name} of <{element.tag}> is missing", "expected ids such as 0-3,^2,8")
    return ids


def pci_address(document: Document, element: Element) -> PciAddress:
    """A PCI address in the attributes of an ``<address>``, hexadecimal as a rule; what is absent is 0."""
    domain, bus, slot, function = (pci_part(document, element, name, most=most) for name, most in _PCI_LIMITS)
    return PciAddress(domain, bus, slot, function)


def pci_part(document: Document, element: Element, name: str, *, most: int) -> int:
    """One number of a PCI address, as C reads it: 0x1f, 31 and 037 are one and the same."""
    text = element.get(name)
    if text is None:
        return 0
    match = _C_NUMBER.fullmatch(text.strip())
    value = most + 1
    if match is not None:
        digits, base = (match[1], 16) if match[1] else (match[2], 8) if match[2] else (match[3], 10)
        value = int(digits, base)
    if value > most:
        raise _found(
            document, element, f"{name} of <{element.tag}>", text=text, expected=f"expected a number up to {most:#x}"
        )
    return value


def _found(document: Document, element: Element, what: str, *, text: str, expected: str) -> InputError:
    shown = text.strip()
    return document.error(element, f"{what} is {shown[:80]!r}", expected)
