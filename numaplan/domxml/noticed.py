"""What the guest itself will notice of a patch: its machine as it was, and as it will be."""

from collections.abc import Iterator

from numaplan.domxml.balloon import NAME as MEMBALLOON
from numaplan.domxml.balloon import NO_BALLOON
from numaplan.domxml.devices import device_elements
from numaplan.domxml.distances import seen_matrix
from numaplan.domxml.numbers import memory_kib
from numaplan.domxml.read import guest_of
from numaplan.domxml.tree import Document
from numaplan.model.guest import GuestTopology
from numaplan.units import format_count, format_size


def noticed_changes(before: Document, after: Document) -> tuple[str, ...]:
    """A phrase for each thing that is another one; devices that come and move are told by who moves them."""
    return tuple(_changes(before, after))


def _changes(before: Document, after: Document) -> Iterator[str]:
    old, new = guest_of(before), guest_of(after)
    if old.vcpus != new.vcpus:
        yield f"{format_count(new.vcpus, 'vCPU')} instead of {old.vcpus}"
    starts = (_current(before, old.vcpus), _current(after, new.vcpus))
    if starts[0] != starts[1] and starts != (old.vcpus, new.vcpus):
        yield f"{format_count(starts[1], 'vCPU')} at its start instead of {starts[0]}"
    if old.memory_kib != new.memory_kib and old.memory_kib:
        yield f"{format_size(new.memory_kib or 0)} of memory instead of {format_size(old.memory_kib)}"
    if old.topology != new.topology:
        yield f"CPU topology {_shown(new.topology)} instead of {_shown(old.topology)}"
    old_cells = [(cell.vcpus, cell.memory_kib) for cell in old.cells]
    new_cells = [(cell.vcpus, cell.memory_kib) for cell in new.cells]
    if len(old_cells) != len(new_cells):
        yield f"{format_count(len(new_cells), 'NUMA cell')} instead of {len(old_cells) or 'none'}"
    elif old_cells != new_cells:
        yield "other vCPUs or memory in its NUMA cells"
    if old_cells and new_cells and seen_matrix(before) != seen_matrix(after):
        yield "other distances between its NUMA cells"
    if (cache := _cache(after)) != _cache(before):
        yield f"the caches of its CPUs: {cache or 'as libvirt has it'}"
    if _balloon(before) != NO_BALLOON and _balloon(after) == NO_BALLOON:
        held_back = (new.memory_kib or 0) - _current_memory(after, new.memory_kib or 0)
        more = f", which held back {format_size(held_back)} of its memory" if held_back > 0 else ""
        yield f"no memory balloon any longer{more}"


def _current(document: Document, vcpus: int) -> int:
    vcpu = document.root.child("vcpu")
    text = None if vcpu is None else vcpu.get("current")
    return int(text) if text is not None and text.strip().isdecimal() else vcpus


def _current_memory(document: Document, memory: int) -> int:
    element = document.root.child("currentMemory")
    said = 0 if element is None or not element.text else memory_kib(document, element, element.text, what="memory")
    return said or memory


def _shown(topology: GuestTopology | None) -> str:
    if topology is None:
        return "libvirt's own"
    return "x".join(str(count) for count in (topology.sockets, topology.dies, topology.cores, topology.threads))


def _cache(document: Document) -> str | None:
    cpu = document.root.child("cpu")
    cache = None if cpu is None else cpu.child("cache")
    return None if cache is None else cache.get("mode")


def _balloon(document: Document) -> str | None:
    """Its model; None where the XML has no word on it, and libvirt adds one."""
    return next((element.get("model") for element in device_elements(document, MEMBALLOON)), None)
