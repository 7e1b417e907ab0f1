"""Domain XML without what names its owner: the parts that performance rests on stay, all other values are masked.

A mask is of the kind of what it hides (a path, a UUID, an address), so that libvirt takes the XML as before.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from numaplan.domxml.metadata import ELEMENT, NAMESPACE, OWNERS, owner_of
from numaplan.domxml.tree import Attribute, Element, Run, parse
from numaplan.inventory.plain_xml import ENUMERATED_ATTRIBUTES, ENUMERATED_ELEMENTS, PLAIN_ELEMENTS, PLAIN_VALUES
from numaplan.inventory.pseudonyms import Pseudonyms

Span = tuple[int, int, bytes]

_DEVICE_NAMES: Final = frozenset(["bridge", "network", "dev", "portgroup"])
# libvirt's namespaces of drivers (drvqemu, "Pass-through of arbitrary QEMU commands"), and our own.
_KNOWN_NAMESPACES: Final = ("http://libvirt.org/schemas/domain/", NAMESPACE)
_SERIALS: Final = frozenset(["serial", "entry"])
_USER_ALIAS: Final = "ua-"
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,40}", re.ASCII)
# A number, a version or a port of a USB hub (1.2.4), an address within the guest (0x1f), a list of ids, a time.
_NUMBER = re.compile(
    r"-?[0-9]{1,20}|[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}|0x[0-9a-fA-F]{1,8}|[0-9,^-]{1,4096}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}",
    re.ASCII,
)
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", re.ASCII)
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}", re.ASCII)
_WORLD_WIDE_NAME = re.compile(r"(0x|naa\.)?([0-9a-fA-F]{16})", re.ASCII)
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*", re.ASCII)
# "hda", "vdb": what a disk is called in the guest.
_DISK = re.compile(r"(?:fd|hd|sd|vd|xvd|ubd)[a-z]{1,3}[0-9]{0,2}", re.ASCII)
# QEMU's own names for itself, where distributions put it.
_EMULATOR = re.compile(r"/(?:usr/)?(?:local/)?(?:s?bin|libexec)/(?:qemu-kvm|kvm|qemu-system-[a-z0-9_]{1,20})", re.ASCII)
_CHANNEL = re.compile(r"(?:org\.qemu|org\.libguestfs|com\.redhat)\.[a-z_.]{1,40}[0-9]?", re.ASCII)
# Comments are not in the tree; what looks like one within a CDATA section is none.
_COMMENT = re.compile(rb"<!\[CDATA\[.*?\]\]>|<!--.*?-->", re.DOTALL)


def anonymous_xml(data: bytes, names: Pseudonyms) -> bytes:
    """`data` with the same elements on the same lines, but for comments and foreign metadata.

    Raises InputError for what is no domain XML.
    """
    root = parse(data, "domain XML").root
    pieces = []
    done = 0
    for start, end, new in sorted([*_comments(data), *_masked(root, data, names)]):
        if start >= done:  # a comment within what is blanked as a whole is gone with it
            pieces += [data[done:start], new]
            done = end
    result = b"".join([*pieces, data[done:]])
    parse(result, "domain XML")
    return result


def masked_value(value: str, names: Pseudonyms) -> str:
    """Another value of the same kind; numbers stay."""
    plain = _NUMBER.fullmatch(value) is not None or value in PLAIN_VALUES
    return value if plain else masked_name(value, names)


def masked_name(value: str, names: Pseudonyms) -> str:
    """Another value of the same kind, whatever it is: a serial number may have digits alone."""
    if _UUID.fullmatch(value):
        return names.uuid(value) if "-" in value else names.digits("uuid", value.lower(), 32)
    if _MAC.fullmatch(value):
        return names.mac(value)
    if match := _WORLD_WIDE_NAME.fullmatch(value):
        return (match[1] or "") + names.digits("wwn", match[2], 16)
    if _ADDRESS.fullmatch(value):
        return names.address(value)
    return names.path(value) if value.startswith("/") else names.word("text", value)


def _comments(data: bytes) -> Iterator[Span]:
    for match in _COMMENT.finditer(data):
        if match[0].startswith(b"<!--"):
            yield _blank(data, match.start(), match.end())


def _blank(data: bytes, start: int, end: int) -> Span:
    return start, end, b"\n" * data.count(b"\n", start, end)


def _masked(root: Element, data: bytes, names: Pseudonyms) -> Iterator[Span]:
    yield from _attributes(root, data, names)
    for child in root.children:
        match child.name:
            case "name":
                yield from _texts(child, names.guest)
            case "metadata":
                yield from _metadata(child, data)
                yield from _attributes(child, data, names)
                yield from _texts(child, lambda text: names.word("text", text))
            case "devices":
                for device in child.children:
                    yield from _any(device, data, names, is_interface=device.name == "interface")
            case _:
                yield from _any(child, data, names)


def _metadata(metadata: Element, data: bytes) -> Iterator[Span]:
    """Of a manager's elements only whose they are stays, of anybody else's nothing."""
    told = set()
    for element in metadata.children:
        if element.name == ELEMENT:
            continue
        start, end, lines = _blank(data, element.start, element.end)
        owner = owner_of(element)
        if owner is not None and owner not in told:
            told.add(owner)
            namespace = next(namespace for namespace, each in OWNERS if each is owner)
            lines = f"<owner xmlns='{namespace}'/>".encode() + lines
        yield start, end, lines


def _any(element: Element, data: bytes, names: Pseudonyms, *, is_interface: bool = False) -> Iterator[Span]:
    if _is_foreign(element):
        yield _blank(data, element.start, element.end)
        return
    plain = element.name in PLAIN_ELEMENTS
    if element.name == "alias":
        yield from (_to(attribute, _alias(attribute.value, names)) for attribute in element.attributes)
    elif is_interface and element.name in {"source", "target"}:
        yield from (span for attribute in element.attributes for span in _end(attribute, names))
    elif not plain:
        yield from _attributes(element, data, names)
    if not plain and element.name not in ENUMERATED_ELEMENTS and not _is_qemu(element):
        mask = masked_name if element.name in _SERIALS else masked_value
        yield from _texts(element, lambda text: mask(text, names))
    for child in element.children:
        if not plain or child.name == "alias":
            yield from _any(child, data, names, is_interface=is_interface)


def _is_qemu(element: Element) -> bool:
    return element.name == "emulator" and _EMULATOR.fullmatch(element.text) is not None


def _is_foreign(element: Element) -> bool:
    namespace = element.name[1:].partition("}")[0] if element.name.startswith("{") else ""
    return bool(namespace) and not namespace.startswith(_KNOWN_NAMESPACES)


def _end(attribute: Attribute, names: Pseudonyms) -> Iterator[Span]:
    """One end of an interface: it must meet the host's links and Open vSwitch's ports under their other names."""
    if attribute.name in _DEVICE_NAMES:
        yield _to(attribute, names.interface(attribute.value))
    elif attribute.name not in ENUMERATED_ATTRIBUTES or _WORD.fullmatch(attribute.value) is None:
        yield _to(attribute, masked_value(attribute.value, names))


def _attributes(element: Element, data: bytes, names: Pseudonyms) -> Iterator[Span]:
    for attribute in element.attributes:
        value = attribute.value
        if attribute.name.partition(":")[0] == "xmlns":
            if not value.startswith(_KNOWN_NAMESPACES):
                yield _blank(data, attribute.start, attribute.end)
        elif not _stays(element.name, attribute):
            yield _to(attribute, masked_value(value, names))


def _stays(element: str, attribute: Attribute) -> bool:
    """Whether the value is a word of libvirt's own."""
    if _WORD.fullmatch(attribute.value) is None:
        return False
    match element, attribute.name:
        case ("boot", "dev") | ("channel" | "cipher" | "driver" | "entry" | "feature" | "model" | "timer", "name"):
            return True
        case "target", "dev":
            return _DISK.fullmatch(attribute.value) is not None
        case "target", "name":
            return _CHANNEL.fullmatch(attribute.value) is not None
    return attribute.name in ENUMERATED_ATTRIBUTES


def _alias(alias: str, names: Pseudonyms) -> str:
    """A user's begin with "ua-" (formatdomain, "Device aliases"); libvirt's own tell a device's kind and number."""
    return _USER_ALIAS + names.word("alias", alias) if alias.startswith(_USER_ALIAS) else alias


def _to(attribute: Attribute, value: str) -> Span:
    return attribute.value_start, attribute.value_end, value.encode("utf-8")


def _texts(element: Element, mask: Callable[[str], str]) -> Iterator[Span]:
    for run in element.runs:
        if run.text.strip():
            yield run.start, run.end, _on_its_lines(run, mask(run.text.strip())).encode("utf-8")


def _on_its_lines(run: Run, text: str) -> str:
    return text + "\n" * run.text.count("\n")
