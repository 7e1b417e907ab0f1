"""What a domain's XML says, part by part, as digests: texts of one domain have equal ones, however they are written."""

import hashlib
import json
from collections import Counter
from typing import Final

from numaplan.domxml.tree import Element, Run, parse

# The attributes of <domain> itself; no child of it can have this name.
ROOT: Final = "@"
_DEVICES: Final = "devices"
_DIGITS: Final = 16

# What libvirt shows with VIR_DOMAIN_XML_SECURE alone (seen with its test driver, 9.0): the passwords of displays, and
# the cookies of network disks altogether. An RDP display has a user name beside its password.
_SECRET_ELEMENTS: Final = frozenset({"cookies"})
_SECRET_ATTRIBUTES: Final = {"graphics": frozenset({"passwd", "username"})}
# Words for people, on which no plan rests; a digest of a short one could be guessed.
_WORDS: Final = frozenset({"title", "description"})
# Of a domain that runs; it is no part of its definition.
_RUNTIME: Final = frozenset({"id"})


def xml_digests(data: bytes, file: str) -> tuple[tuple[str, str], ...]:
    """(part, digest) for the attributes of ``<domain>``, each of its children and each device, in the order of the XML.

    A part is named "cputune", a device "devices/interface", the second of its name "devices/interface[2]", the root's
    attributes "@". Comments, formatting, quotation marks, the order of attributes, title, description and secrets do
    not count. Raises InputError with file:line:column for what is no domain XML.
    """
    root = parse(data, file).root
    named: Counter[str] = Counter()
    found = [(ROOT, _digest([_attributes(root, _RUNTIME)]))]
    for child in root.children:
        if child.name in _WORDS:
            continue
        if child.name == _DEVICES:
            parts = [(f"{_DEVICES}/{device.name}", device) for device in child.children]
        else:
            parts = [(child.name, child)]
        for name, element in parts:
            named[name] += 1
            key = name if named[name] == 1 else f"{name}[{named[name]}]"
            found.append((key, _digest(_canonical(element))))
    return tuple(found)


def _digest(canonical: list[object]) -> str:
    text = json.dumps(canonical, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_DIGITS]


def _canonical(element: Element) -> list[object]:
    """Its name, its attributes in order, and its text and children in that of the document."""
    secret = _SECRET_ATTRIBUTES.get(element.name, frozenset())
    return [element.name, _attributes(element, secret), *_content(element)]


def _attributes(element: Element, left_out: frozenset[str]) -> list[tuple[str, str]]:
    """Where namespaces are declared says nothing: elements are named by them."""
    return sorted(
        (attribute.name, attribute.value)
        for attribute in element.attributes
        if attribute.name not in left_out and attribute.name.partition(":")[0] != "xmlns"
    )


def _content(element: Element) -> list[object]:
    """Text that a comment or CDATA cuts in two is one text; white space around it does not count."""
    if not element.children:
        return [element.text] if element.text else []
    pieces: list[object] = []
    text = ""
    inside: list[Run | Element] = sorted((*element.runs, *element.children), key=lambda piece: piece.start)
    for piece in inside:
        if isinstance(piece, Run):
            text += piece.text
            continue
        if text.strip():
            pieces.append(text.strip())
        text = ""
        if piece.name not in _SECRET_ELEMENTS:
            pieces.append(_canonical(piece))
    return [*pieces, text.strip()] if text.strip() else pieces
