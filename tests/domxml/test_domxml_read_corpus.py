"""Other projects' domain XML is read in full: what a plain search of each document finds is in the guest."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from lxml import etree

from numaplan.domxml.read import read_guest
from numaplan.model.guest import Guest
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from tests.domxml.test_domxml_corpus import documents
from tests.hosts import host


def words(root: etree._Element, path: str) -> list[str]:
    found = root.xpath(path)
    assert isinstance(found, list)
    return [str(each) for each in found]


def first(root: etree._Element, path: str) -> str | None:
    """The first of what the path finds; None for nothing and for an empty word."""
    return next(iter(words(root, path)), "").strip() or None


def searched(root: etree._Element) -> dict[str, object]:
    """What can be had from a document without knowing what it means."""
    names = ("nosharepages", "locked", "discard")
    return {
        "machine": first(root, "os/type/@machine"),
        "architecture": first(root, "os/type/@arch"),
        "cpu mode": first(root, "cpu/@mode"),
        "cpu cache": first(root, "cpu/cache/@mode"),
        "emulator": first(root, "devices/emulator/text()"),
        "memballoon": first(root, "devices/memballoon/@model"),
        "controllers": words(root, "devices/controller/@type"),
        "models": words(root, "devices/controller/@model"),
        "buses": [int(number, 0) for number in words(root, "devices/controller[@type='pci']/target/@busNr")],
        "nodes": [int(number) for number in words(root, "devices/controller[@type='pci']/target/node/text()")],
        "managed": words(root, "devices/interface[@type='hostdev']/@managed"),
        "access": words(root, "cpu/numa/cell/@memAccess"),
        "flags": [bool(words(root, f"memoryBacking/{name}/@*|memoryBacking/{name}")) for name in names],
        "source": first(root, "memoryBacking/source/@type"),
        "shared": first(root, "memoryBacking/access/@mode"),
        "allocation": first(root, "memoryBacking/allocation/@mode"),
        "allocation threads": first(root, "memoryBacking/allocation/@threads"),
        "schedulers": len(words(root, "cputune/vcpusched/@vcpus")),
        "distances": bool(words(root, "cpu/numa/cell/distances/sibling/@id[. < count(//cell)]")),
    }


def read(guest: Guest) -> dict[str, object]:
    """The same, as it was read."""
    pci = [controller for controller in guest.controllers if controller.type == "pci"]
    backing = guest.backing
    return {
        "machine": guest.machine,
        "architecture": guest.architecture,
        "cpu mode": guest.cpu_mode,
        "cpu cache": guest.cpu_cache,
        "emulator": guest.emulator,
        "memballoon": guest.memballoon,
        "controllers": [controller.type for controller in guest.controllers],
        "models": [controller.model for controller in guest.controllers if controller.model is not None],
        "buses": [controller.bus_number for controller in pci if controller.bus_number is not None],
        "nodes": [controller.cell for controller in pci if controller.cell is not None],
        "managed": ["yes" for interface in guest.interfaces if interface.managed],
        "access": [cell.memory_access for cell in guest.cells if cell.memory_access is not None],
        "flags": [False] * 3 if backing is None else [backing.nosharepages, backing.locked, backing.discard],
        "source": backing and backing.source,
        "shared": backing and backing.access,
        "allocation": backing and backing.allocation,
        "allocation threads": backing and backing.allocation_threads and str(backing.allocation_threads),
        "schedulers": len(guest.schedulers),
        "distances": any(cell.distances for cell in guest.cells),
    }


@cache
def guests() -> tuple[Guest, ...]:
    """Every document of the corpus, none of which is refused."""
    return tuple(read_guest(data, name) for name, data, _ in documents())


def differences() -> Iterator[tuple[str, str, object, object]]:
    for guest, (name, data, _) in zip(guests(), documents(), strict=True):
        wanted, found = searched(etree.fromstring(data)), read(guest)
        if wanted["cpu mode"] is None and guest.cpu_mode == "custom":
            found["cpu mode"] = None
        yield from ((name, key, wanted[key], found[key]) for key in wanted if wanted[key] != found[key])


def test_a_plain_search_of_every_document_finds_what_was_read() -> None:
    assert list(differences()) == []


def test_the_corpus_has_what_the_readers_are_for() -> None:
    names = Guest.__dataclass_fields__
    found = Counter(name for guest in guests() for name in names if getattr(guest, name) not in {None, (), False})
    least = {
        "machine": 1000,
        "architecture": 1000,
        "emulator": 1000,
        "memballoon": 900,
        "controllers": 900,
        "cpu_mode": 500,
        "backing": 30,
        "hugepages": 15,
        "memnodes": 9,
        "memory_limit_kib": 8,
        "current_vcpus": 8,
        "cpu_cache": 5,
        "cachetunes": 4,
        "schedulers": 1,
    }
    assert {name: found[name] for name in least if found[name] < least[name]} == {}


def test_every_guest_goes_through_the_inventory_document_and_back() -> None:
    named = tuple(replace(guest, name=f"{i:05}") for i, guest in enumerate(guests()))
    snapshot = replace(host("1n:1c:1t"), guests=named)
    assert read_inventory(inventory_json(snapshot), "host.json") == snapshot


def test_libvirts_own_examples_of_what_it_refuses_are_read_for_what_they_are() -> None:
    named = {name.rpartition("/")[2]: guest for guest, (name, _, _) in zip(guests(), documents(), strict=True)}
    overlap = named["cputune-vcpusched-overlap.xml"].schedulers
    assert [each.threads for each in overlap] == [(0, 1), (2,)]
    assert [each.vcpus for each in named["cachetune-colliding-tunes.xml"].cachetunes] == [(0,)]
    assert {cell.distances for cell in named["cpu-numa-distance-nonexistent-sibling.xml"].cells} == {()}
