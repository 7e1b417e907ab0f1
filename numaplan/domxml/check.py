"""The proof, after every patch, that it changed what it may change and nothing else."""

from dataclasses import dataclass
from typing import Final

from numaplan.domxml.edit import Edits, Splice, apply
from numaplan.domxml.metadata import ELEMENT as METADATA
from numaplan.domxml.tree import Document, Element, parse
from numaplan.errors import InputError

# Elements that a patch may change as a whole.
_FREE: Final = frozenset(
    {
        f"metadata/{METADATA}",
        "vcpus",
        "iothreads",
        "cputune/vcpupin",
        "cputune/emulatorpin",
        "cputune/iothreadpin",
        "cputune/vcpusched",
        "numatune/memory",
        "numatune/memnode",
        "memoryBacking/hugepages",
        "cpu/topology",
        "cpu/numa/cell",
    }
)
# Elements whose text and these attributes it may change, or which it may add.
_PARTS: Final = {
    "memory": frozenset({"unit"}),
    "currentMemory": frozenset({"unit"}),
    "vcpu": frozenset({"placement", "cpuset", "current"}),
    "memtune/hard_limit": frozenset({"unit"}),
    "memoryBacking/source": frozenset({"type"}),
    "memoryBacking/access": frozenset({"mode"}),
    "memoryBacking/allocation": frozenset({"mode"}),
    "cpu/cache": frozenset({"level", "mode"}),
    "devices/interface/source/address": frozenset({"domain", "bus", "slot", "function", "type"}),
    "devices/hostdev/source/address": frozenset({"domain", "bus", "slot", "function", "type"}),
}
_SOURCES: Final = frozenset({"devices/interface/source", "devices/hostdev/source"})
# Elements that it may add around those; without anything in them they count for nothing.
_SHELLS: Final = frozenset(
    {"metadata", "memtune", "cputune", "numatune", "memoryBacking", "cpu", "cpu/numa", "devices", *_PARTS}
)
# Elements that it may add whole.
_ADDED: Final = frozenset(
    {
        "iothreadids/iothread",
        "memoryBacking/nosharepages",
        "memoryBacking/locked",
        "devices/controller",
        "devices/interface",
        "devices/hostdev",
    }
)
# Where the guest sees a device: of those that a patch moves alone.
_SEEN_AT: Final = frozenset({"devices/interface/address", "devices/hostdev/address"})
# Shares of caches and of what flows into them: of those a patch changes that takes vCPUs away.
SHARES: Final = ("cachetune", "memorytune")
_BALLOON: Final = "devices/memballoon"
_SHARE_PATHS: Final = frozenset(f"cputune/{name}" for name in SHARES)
_NO_BALLOON: Final = (("model", "none"),)

_Shape = tuple[str, tuple[tuple[str, str], ...], str, tuple["_Shape", ...]]


@dataclass(frozen=True, slots=True)
class Permit:
    """What one patch may do and others may not: move the devices `moved`, take the guest's balloon or vCPUs away."""

    moved: frozenset[Element] = frozenset()
    takes_balloon: bool = False
    takes_vcpus: bool = False


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _View:
    """One of the two documents: what is new in it, and where the devices that move start."""

    added: tuple[_Range, ...]
    moved: frozenset[int]
    takes_balloon: bool
    takes_vcpus: bool
    is_new: bool


def carry_out(edits: Edits, permit: Permit = Permit()) -> bytes:
    """The document with the edits done; raises InputError, and returns nothing, where they would break it."""
    document = edits.document
    splices = edits.splices()
    if not splices:
        return document.data
    try:
        new = apply(document.data, splices)
        changed = parse(new, document.file)
    except (InputError, ValueError) as error:
        raise _refusal(document, str(error)) from error
    added = _added_ranges(splices)
    if not _same_outside(document.data, new, splices=splices, added=added):
        raise _refusal(document, "bytes outside the edited places would change")
    starts = [element.start for element in permit.moved]
    old_view = _View((), frozenset(starts), permit.takes_balloon, permit.takes_vcpus, is_new=False)
    new_starts = frozenset(_shifted(start, splices) for start in starts)
    new_view = _View(added, new_starts, permit.takes_balloon, permit.takes_vcpus, is_new=True)
    if _shape(document.root, "", old_view) != _shape(changed.root, "", new_view):
        raise _refusal(document, "elements other than the planned ones would change")
    return new


def _refusal(document: Document, why: str) -> InputError:
    return InputError(f"this XML cannot be edited safely: {why}", document.file, "please report this bug")


def _added_ranges(splices: tuple[Splice, ...]) -> tuple[_Range, ...]:
    """Where the new bytes of each splice stand in the new document."""
    ranges = []
    shift = 0
    for splice in splices:
        start = splice.start + shift
        ranges.append(_Range(start, start + len(splice.new)))
        shift += len(splice.new) - (splice.end - splice.start)
    return tuple(ranges)


def _same_outside(old: bytes, new: bytes, *, splices: tuple[Splice, ...], added: tuple[_Range, ...]) -> bool:
    old_edges = [0, *(edge for splice in splices for edge in (splice.start, splice.end)), len(old)]
    new_edges = [0, *(edge for place in added for edge in (place.start, place.end)), len(new)]
    kept = zip(old_edges[::2], old_edges[1::2], new_edges[::2], new_edges[1::2], strict=True)
    return all(old[a:b] == new[c:d] for a, b, c, d in kept)


def _shifted(position: int, splices: tuple[Splice, ...]) -> int:
    """Where a place that no splice changes is in the new document."""
    return position + sum(len(s.new) - (s.end - s.start) for s in splices if s.end <= position)


def _shape(element: Element, path: str, view: _View) -> _Shape | None:
    """All of an element that the patch may not change; None where nothing of it is left."""
    if path in _FREE or (view.takes_vcpus and path in _SHARE_PATHS):
        return None
    if path in _ADDED and any(place.start <= element.start and element.end <= place.end for place in view.added):
        return None
    attributes = tuple((a.name, a.value) for a in element.attributes)
    if (
        path == _BALLOON
        and view.takes_balloon
        and (not view.is_new or (attributes == _NO_BALLOON and not element.children))
    ):
        return None
    below = ((f"{path}/{child.name}" if path else child.name, child) for child in element.children)
    moves = element.start in view.moved
    shapes = (_shape(child, name, view) for name, child in below if not (moves and name in _SEEN_AT))
    children = tuple(shape for shape in shapes if shape is not None)
    free = _PARTS.get(path, frozenset())
    attributes = tuple(sorted((name, value) for name, value in attributes if name not in free))
    # Lines that come and go between children change the white space of an element, and nothing else of it.
    text = "" if path in _PARTS else " ".join("".join(run.text for run in element.runs).split())
    if (path in _SHELLS or path in _SOURCES) and not attributes and not text and not children:
        return None
    return element.name, attributes, text, children
