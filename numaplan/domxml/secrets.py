"""Which bytes of domain XML are nobody's business: passwords and their like, by element, by name and by wording."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from numaplan.domxml.tree import Element

MASK: Final = b"***"

# Elements of which every value is a secret, or leads to one; and those of which all is that stands inside.
_WHOLE: Final = frozenset({"secret", "auth", "encryption", "cookies", "cookie", "initarg", "initenv"})
# Serials and cloud-init's data, arguments and environment of QEMU, certificates and session keys.
_INSIDE: Final = frozenset({"sysinfo", "commandline", "launchSecurity"})
_ATTRIBUTES: Final = {"graphics": frozenset({"username"}), "source": frozenset({"query"})}
# Names of elements and attributes, as other tools choose them for their <metadata>.
_NAME: Final = re.compile(
    r"passw|passphrase|secret|token|credential|cookie|user-?_?data|(?:^|api|access|private|ssh|shared)[-_]?keys?$",
    re.IGNORECASE,
)
# What people write around a secret, in a comment, a description, a kernel's command line.
_WORD: Final = re.compile(
    rb"passw|passphrase|secret|token|credential|cookie|\bpwd\b|\bpw\s*[:=]|api[-_ ]?key|private[-_ ]key"
    rb"|\bsig(?:nature)?=|<(?:\w+:)?(?:arg|env|entry|auth)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Ranges of a document's bytes, in order and apart."""

    spans: tuple[tuple[int, int], ...]

    def inside(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """The parts of these ranges between two places."""
        found = []
        for number in range(bisect_right(self.spans, start, key=lambda span: span[1]), len(self.spans)):
            first, last = self.spans[number]
            if first >= end:
                break
            found.append((max(first, start), min(last, end)))
        return tuple(found)

    def masked(self, data: bytes, start: int, end: int) -> bytes:
        """The document's bytes between two places, `MASK` in the place of what is secret."""
        parts = []
        for first, last in self.inside(start, end):
            parts += [data[start:first], MASK]
            start = last
        return b"".join((*parts, data[start:end]))


def find_secrets(data: bytes, root: Element) -> Secrets:
    """The values of attributes, the texts and the comments that hold secrets; `root` is the element that `data` is."""
    found = [*_values(data, root, whole=False), *_comments(data)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return Secrets(tuple(spans))


def is_secret_word(data: bytes) -> bool:
    """Whether a text that stands alone, as a line of a document that is no XML, sounds like a secret."""
    return _WORD.search(data) is not None


def _values(data: bytes, element: Element, *, whole: bool) -> Iterator[tuple[int, int]]:
    name = _local(element.name)
    whole = whole or name in _WHOLE or _NAME.search(name) is not None
    spoken = any(_WORD.search(data, a.value_start, a.value_end) for a in element.attributes)
    also = _ATTRIBUTES.get(name, frozenset())
    for attribute in element.attributes:
        called = _local(attribute.name)
        if not called.startswith("xmlns") and (whole or spoken or called in also or _NAME.search(called)):
            yield attribute.value_start, attribute.value_end
    told = whole or spoken or any(_WORD.search(data, run.start, run.end) for run in element.runs)
    for run in element.runs if told else ():
        text = data[run.start : run.end]
        if text.strip():
            yield run.start + len(text) - len(text.lstrip()), run.start + len(text.rstrip())
    for child in element.children:
        yield from _values(data, child, whole=whole or name in _INSIDE)


def _comments(data: bytes) -> Iterator[tuple[int, int]]:
    """What begins like one inside CDATA counts as one: then more is hidden, never less."""
    end = 0
    while (start := data.find(b"<!--", end)) >= 0 and (stop := data.find(b"-->", start + 4)) >= 0:
        if _WORD.search(data, start, stop):
            yield start + 4, stop
        end = stop


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2] if ":" in name else name.rpartition("}")[2]
