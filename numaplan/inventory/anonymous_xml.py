"""Domain XML without what names its owner: the parts that performance rests on stay, all other values are masked."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from numaplan.domxml.metadata import ELEMENT
from numaplan.domxml.tree import Attribute, Element, Run, parse
from numaplan.inventory.pseudonyms import Pseudonyms

# Elements, with everything in them, that say how a guest runs and nothing of who it is.
_PLAIN: Final = frozenset(
    [
        "vcpu",
        "vcpus",
        "iothreads",
        "iothreadids",
        "cputune",
        "numatune",
        "memory",
        "currentMemory",
        "maxMemory",
        "memoryBacking",
        "cpu",
        "features",
        "clock",
        "controller",
        "hostdev",
        "memballoon",
        "watchdog",
        "rng",
        "memtune",
        "blkiotune",
    ]
)
# What an interface has beside its ends.
_INTERFACE_PLAIN: Final = frozenset(
    ["model", "driver", "alias", "address", "vlan", "tag", "mtu", "link", "bandwidth", "inbound", "outbound", "rom"]
)
_INTERFACE_NAMES: Final = frozenset(["bridge", "network", "dev", "portgroup"])
# Words of libvirt's own, not the user's: "qcow2", "virtio", "pci".
_VOCABULARY: Final = frozenset(
    [
        "type",
        "bus",
        "model",
        "arch",
        "machine",
        "mode",
        "slot",
        "domain",
        "function",
        "index",
        "device",
        "cache",
        "io",
        "format",
        "unit",
    ]
)
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,40}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)


def anonymous_xml(data: bytes, names: Pseudonyms) -> bytes:
    """`data` with the same elements on the same lines; raises InputError for what is no domain XML."""
    root = parse(data, "domain XML").root
    spans = sorted(_masked(root, names), key=lambda span: span[0])
    pieces = []
    done = 0
    for start, end, new in spans:
        pieces += [data[done:start], new]
        done = end
    return b"".join([*pieces, data[done:]])


def _masked(root: Element, names: Pseudonyms) -> Iterator[tuple[int, int, bytes]]:
    for child in root.children:
        if child.name == "name":
            yield from _texts(child, names.guest)
        elif child.name == "uuid":
            yield from _texts(child, names.text)
        elif child.name == "devices":
            for device in child.children:
                yield from _interface(device, names) if device.name == "interface" else _any(device, names)
        else:
            yield from _any(child, names)
    yield from (span for attribute in root.attributes for span in _attribute(attribute, names))


def _any(element: Element, names: Pseudonyms) -> Iterator[tuple[int, int, bytes]]:
    if element.name in _PLAIN or element.name == ELEMENT:
        return
    for attribute in element.attributes:
        yield from _attribute(attribute, names)
    if element.name not in _VOCABULARY:
        yield from _texts(element, lambda text: text if _NUMBER.fullmatch(text) else names.word("text", text))
    for child in element.children:
        yield from _any(child, names)


def _interface(element: Element, names: Pseudonyms) -> Iterator[tuple[int, int, bytes]]:
    for child in element.children:
        match child.name:
            case "mac":
                yield from (_to(attribute, names.text(attribute.value)) for attribute in child.attributes)
            case "source" | "target":
                for attribute in child.attributes:
                    yield from _end(attribute, names)
                for address in child.children:
                    if address.name != "address":
                        yield from _any(address, names)
            case name if name not in _INTERFACE_PLAIN:
                yield from _any(child, names)


def _end(attribute: Attribute, names: Pseudonyms) -> Iterator[tuple[int, int, bytes]]:
    """One end of an interface: it must meet the host's links and Open vSwitch's ports under their other names."""
    if attribute.name in _INTERFACE_NAMES:
        yield _to(attribute, names.interface(attribute.value))
    elif attribute.name == "path":
        yield _to(attribute, names.path(attribute.value))
    elif attribute.name != "managed":
        yield from _attribute(attribute, names)


def _attribute(attribute: Attribute, names: Pseudonyms) -> Iterator[tuple[int, int, bytes]]:
    value = attribute.value
    if _NUMBER.fullmatch(value) or (attribute.name in _VOCABULARY and _WORD.fullmatch(value)):
        return
    if attribute.name.startswith("xmlns") or value in {"yes", "no", "on", "off"}:
        return
    yield _to(attribute, names.word("text", value))


def _to(attribute: Attribute, value: str) -> tuple[int, int, bytes]:
    return attribute.value_start, attribute.value_end, value.encode("utf-8")


def _texts(element: Element, mask: Callable[[str], str]) -> Iterator[tuple[int, int, bytes]]:
    for run in element.runs:
        if run.text.strip():
            yield run.start, run.end, _on_its_lines(run, mask(run.text.strip())).encode("utf-8")


def _on_its_lines(run: Run, text: str) -> str:
    return text + "\n" * run.text.count("\n")
