"""Other projects' domain XML, as it is and disfigured: nothing is lost, nothing gets invalid."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from numaplan.domxml.check import carry_out
from numaplan.domxml.edit import Edits
from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import guest_of, read_guest
from numaplan.domxml.tree import Document, Element, parse
from numaplan.errors import InputError
from numaplan.model.guest import Guest, VcpuId
from numaplan.model.plan import Placement
from numaplan.model.request import (
    DeviceLocality,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Memballoon,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    Realtime,
)
from tests.corpus import corpus
from tests.domxml.leftover import assert_nothing_else_changed
from tests.domxml.plans import placed, sriov
from tests.hosts import Nic, host
from tests.requests import guest

GIB = 1 << 20
# All documents take minutes: without --every-document one of so many is patched, and workers share them.
EVERY = 40
PARTS = 4


@cache
def documents() -> tuple[tuple[str, bytes, bool], ...]:
    """Name, bytes, and whether it is valid under libvirt 11.3.0's schema."""
    folder = corpus() / "domain-xml"
    with (folder / "MANIFEST.tsv").open(encoding="utf-8") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t"))
    assert len(rows) > 1000
    return tuple((r["file"], Path(folder, r["file"]).read_bytes(), r["valid_rng_11.3.0"] == "True") for r in rows)


@cache
def rules() -> etree.RelaxNG:
    """The schema of libvirt 11.3.0."""
    return etree.RelaxNG(etree.parse(str(corpus() / "schemas-11.3.0" / "domain.rng")))


def one_line(data: bytes) -> bytes:
    return re.sub(rb">\s*\n\s*<", b"><", data)


def emptied(data: bytes) -> bytes:
    data = re.sub(rb"<(cputune|numatune|memoryBacking|devices)>.*?</\1>", rb"<\1/>", data, flags=re.DOTALL)
    data = re.sub(rb"<numa>.*?</numa>", b"", data, flags=re.DOTALL)
    data = re.sub(rb"<vcpus>.*?</vcpus>", b"", data, flags=re.DOTALL)
    return re.sub(rb"<vcpu[^>]*>[^<]*</vcpu>", b"<vcpu/>", data)


def decoyed(data: bytes) -> bytes:
    decoy = b"<!-- <cputune><vcpupin vcpu='0' cpuset='1'/> --><x:cputune xmlns:x='u'/><y><![CDATA[<vcpu>]]></y>"
    return re.sub(rb"(<domain\b[^>]*>)", rb"\1" + decoy, data, count=1)


VARIANTS: dict[str, Callable[[bytes], bytes]] = {
    "as they are": lambda data: data,
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "tabs": lambda data: data.replace(b"  ", b"\t"),
    "one line": one_line,
    "emptied": emptied,
    "decoyed": decoyed,
    "byte order mark": lambda data: b"\xef\xbb\xbf" + re.sub(rb"^<\?xml.*?\?>", b"", data),
}

PAIRS = [[10, 12, 32, 32], [12, 10, 32, 32], [32, 32, 10, 12], [32, 32, 12, 10]]
ON = host("4n:8c:2t", nics=[Nic("ens1f0", 0, 4), Nic("ens2f0", 1, 4)], distances=PAIRS)
VFS = {"data": ["0000:11:00.0", "0000:21:00.0"]}
PLANS: dict[str, tuple[GuestRequest, Placement]] = {
    "two cells, huge pages, VFs": (
        guest("g", [2, 2], memory_gib=2, thread_policy="isolate", iothreads=1, interfaces=(sriov("data", 2, vlan=7),)),
        placed(
            ["4", "5"], ["20", "21"], memory_gib=2, page_kib=[GIB, 2048], vfs=VFS, topology=(2, 1, 2, 1),
            iothreads=["2"],
        ),
    ),
    "one shared cell, a device": (
        guest("g", 3, cpu_policy="shared", memory_policy="preferred"),
        placed(["8-9", "8-9", "8-9"], nodes=[1], emulator="8-9", devices={"qat": "0000:77:00.0"}),
    ),
    "realtime on shared ordinary pages": (
        replace(
            guest("g", 2, interfaces=(InterfaceRequest("fast", InterfaceType.VHOSTUSER),)),
            realtime=Realtime(frozenset({VcpuId(1)}), 3),
            memory_backing=MemoryBackingRequest(
                nosharepages=True, locked=True, hard_limit_kib=1 << 40, allocation=MemoryAllocation.IMMEDIATE
            ),
            memballoon=Memballoon.NONE,
        ),
        placed(["4", "5"], nodes=[2]),
    ),
    "three shared cells on huge pages": (
        replace(
            guest("g", [1, 1, 1]),
            memory_backing=MemoryBackingRequest(access=MemoryAccess.SHARED),
            device_locality=DeviceLocality.NEVER,
        ),
        placed(["4"], ["12"], ["20"], page_kib=2048, vfs={}, iothreads=["5"]),
    ),
}  # fmt: skip


def patches(data: bytes) -> Iterator[tuple[str, GuestRequest, Placement, bool, bytes]]:
    """Every kind of patch of a document that is not refused; refusing is for topologies that may not change."""
    for kind, (request, placement) in PLANS.items():
        for change_topology in (True, False):
            try:
                new = patch_guest(
                    data, "g", request=request, placement=placement, host=ON, change_topology=change_topology
                ).data
            except InputError as error:
                if change_topology or "change-guest-topology" not in str(error):
                    raise
                continue
            again = patch_guest(
                new, "g", request=request, placement=placement, host=ON, change_topology=change_topology
            )
            assert again.data == new
            assert again.noticed == ()
            yield kind, request, placement, change_topology, new


def outline(element: Element) -> Iterator[str]:
    """All that no patch may touch: every element outside of those that are ours, in order."""
    ours = {
        "vcpu",
        "vcpus",
        "memory",
        "currentMemory",
        "iothreads",
        "cputune",
        "numatune",
        "memoryBacking",
        "memtune",
        "cpu",
        "metadata",
    }
    for child in element.children:
        if child.name not in ours and child.name != "devices":
            yield from (f"{e.name} {[(a.name, a.value) for a in e.attributes]} {e.text}" for e in child.walk())
        elif child.name == "devices":
            ours_too = {"interface", "hostdev", "controller", "memballoon"}
            kept = [device for device in child.children if device.name not in ours_too]
            yield from (f"{e.name} {e.text}" for device in kept for e in device.walk())


def says(now: Guest, request: GuestRequest, placement: Placement) -> bool:
    """Whether the guest is what the plan made of it."""
    pins = {vcpu: cpus for cell in placement.cells for vcpu, cpus in cell.vcpus}
    threads = [now.iothread_affinity(pin.iothread) for pin in now.iothread_pins]
    given = {vf for interface in placement.interfaces for vf in interface.vfs} | {d.address for d in placement.devices}
    return (
        now.vcpus == request.vcpus
        and all(now.vcpu_affinity(vcpu) == cpus for vcpu, cpus in pins.items())
        and now.emulator_affinity() == placement.emulator
        and len(threads) == now.iothreads
        and [cpus for _, cpus in placement.iothreads] == threads[: len(placement.iothreads)]
        and all(cpus == placement.emulator for cpus in threads[len(placement.iothreads) :])
        and now.memory is not None
        and now.memory.nodes == tuple(sorted({cell.memory_node for cell in placement.cells}))
        and given <= set(now.pci_addresses)
        and len(set(now.pci_addresses)) == len(now.pci_addresses)
        and (now.topology is None or now.topology.vcpus == request.vcpus)
        and not now.auto_placement
    )


def test_every_document_is_read() -> None:
    for name, data, _ in documents():
        read = read_guest(data, name)
        assert read.name
        assert read.vcpus >= 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_empty_patch_changes_no_byte(variant: str, request: pytest.FixtureRequest) -> None:
    all_of_them = variant == "as they are" or request.config.getoption("--every-document")
    for name, original, _ in documents()[:: 1 if all_of_them else PARTS]:
        data = VARIANTS[variant](original)
        assert carry_out(Edits(parse(data, name))) == data


@pytest.mark.parametrize("variant", VARIANTS)
def test_patches_say_what_the_plan_says_and_keep_the_rest(variant: str, request: pytest.FixtureRequest) -> None:
    # Each disfigurement takes its share of the documents.
    names = list(VARIANTS)
    every = 1 if request.config.getoption("--every-document") else EVERY // 2
    share = documents()[names.index(variant) :: len(names) * every]
    done = 0
    for name, original, _ in share:
        data = VARIANTS[variant](original)
        done += len(patched_rightly(name, data))
    assert done > 6 * len(share)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
def test_patches_keep_the_rest_and_what_was_valid_stays_valid(part: int, request: pytest.FixtureRequest) -> None:
    every = 1 if request.config.getoption("--every-document") else EVERY
    share = documents()[::every][part::PARTS]
    broken = []
    done = 0
    for name, data, valid in share:
        for kind, new in patched_rightly(name, data):
            done += 1
            if valid and not rules().validate(etree.fromstring(new)):
                broken.append((name, kind, str(rules().error_log)))
    assert broken == []
    assert done > 6 * len(share)


def patched_rightly(name: str, data: bytes) -> list[tuple[str, bytes]]:
    """The patches of a document, each of which does what it should and nothing else."""
    before = parse(data, name)
    vcpus = guest_of(before).vcpus
    found = []
    for kind, request, placement, change_topology, new in patches(data):
        balloon_goes = request.memballoon is Memballoon.NONE or "huge" in kind
        assert_nothing_else_changed(
            data, new, balloon_goes=balloon_goes, devices_move=change_topology, vcpus_go=request.vcpus < vcpus
        )
        after = parse(new, name)
        assert list(outline(after.root)) == list(outline(before.root)), name
        assert says(guest_of(after), request, placement), name
        assert_comments_stay(before, after, name)
        found.append((kind, new))
    return found


def assert_comments_stay(before: Document, after: Document, name: str) -> None:
    comments = re.findall(rb"<!--.*?-->", before.data, re.DOTALL)
    # A document may end with an element that goes away, and a comment in it.
    kept = re.findall(rb"<!--.*?-->", after.data, re.DOTALL)
    assert [comment for comment in comments if comment not in kept] == [], name


def test_doubled_tuning_is_refused() -> None:
    request, placement = PLANS["one shared cell, a device"]
    refused = 0
    for name, data, _ in documents():
        doubled = re.sub(rb"(<cputune>.*?</cputune>)", rb"\1\1", data, flags=re.DOTALL)
        if doubled != data:
            with pytest.raises(InputError, match="a second <cputune>"):
                patch_guest(doubled, name, request=request, placement=placement, host=ON, change_topology=True)
            refused += 1
    assert refused > 5
