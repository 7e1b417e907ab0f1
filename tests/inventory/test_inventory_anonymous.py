"""An anonymous capture: what it must still tell of the host, and that its guests' XML is still libvirt's."""

import io
import json
from dataclasses import replace

import pytest
from lxml import etree

from numaplan.api.inventory import read_tree
from numaplan.audit.audit import audit
from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.graph.paths import traffic_paths
from numaplan.inventory.anonymize import anonymized
from numaplan.inventory.anonymous_process import thread_name
from numaplan.inventory.anonymous_xml import anonymous_xml, masked_value
from numaplan.inventory.pseudonyms import Pseudonyms
from numaplan.model.guest import Guest, Owner, RunningGuest, ThreadKind
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.archive import read_archive
from numaplan.sources.capture import Origin, capture_bytes, replaying
from numaplan.sources.recording import RecordingStore
from numaplan.sources.store import Store
from numaplan.sources.tree import HostTree
from tests.corpus import corpus
from tests.inventory.mutated_rows import captured
from tests.inventory.named_host import KEY, MAC, UUID, named_host


def both(store: Store) -> tuple[Snapshot, Snapshot]:
    """What is read of a host, and of its anonymous capture."""
    recorder = RecordingStore(store)
    read = read_tree(HostTree(recorder, Source.CAPTURE)).snapshot
    data = capture_bytes(anonymized(recorder.recording(), key=KEY), Origin())
    return read, read_tree(HostTree(replaying(read_archive(io.BytesIO(data))), Source.CAPTURE)).snapshot


def test_threads_and_guest_memory_are_known_as_before() -> None:
    read, other = both(named_host())

    def lives(snapshot: Snapshot) -> list[RunningGuest]:
        live = [guest.live for guest in snapshot.guests if guest.live is not None]
        return [replace(each, threads=tuple(replace(thread, name=None) for thread in each.threads)) for each in live]

    [guest] = lives(read)
    assert {thread.kind for thread in guest.threads} == set(ThreadKind)
    assert [(part.node, part.size_kib) for part in guest.memory] == [(0, 4 * 1024 * 4)]
    assert lives(other) == [guest]
    assert [len(guest.interfaces) for guest in other.guests] == [len(guest.interfaces) for guest in read.guests]


def test_a_busy_host_is_audited_and_followed_as_before() -> None:
    read, other = both(captured())

    def ways(snapshot: Snapshot) -> list[list[tuple[object, ...]]]:
        routes = [route for path in traffic_paths(snapshot) for route in path.routes]
        return sorted([[(each.kind, each.nodes, each.cpus) for each in route.stations] for route in routes], key=str)

    def findings(snapshot: Snapshot) -> list[tuple[str, str]]:
        return sorted((finding.rule, finding.severity) for finding in audit(snapshot).findings)

    assert len(ways(read)) > 4
    assert ways(other) == ways(read)
    assert findings(other) == findings(read)
    assert [gap.what for gap in other.gaps] == [gap.what for gap in read.gaps]
    assert not {guest.name for guest in read.guests} & {guest.name for guest in other.guests}


def test_a_vhost_user_socket_is_one_and_the_same_at_both_its_ends() -> None:
    recorder = RecordingStore(named_host())
    read_tree(HostTree(recorder, Source.CAPTURE))
    other = anonymized(recorder.recording(), key=KEY)
    domain = json.loads(other.files["numaplan/libvirt.json"])["domains"][0]["xml"]
    options = json.loads(other.files["numaplan/openvswitch.json"])["tables"]["Interface"][0]["options"]
    [[name, socket]] = options[1]
    assert name == "vhost-server-path"
    assert f"path='{socket}'" in domain


def test_what_libvirt_accepted_it_accepts_under_other_names() -> None:
    rules = etree.RelaxNG(etree.parse(str(corpus() / "schemas-11.3.0" / "domain.rng")))
    names = Pseudonyms(KEY)
    checked = 0
    for path in sorted((corpus() / "domain-xml").glob("*/*.xml"))[::12]:
        data = path.read_bytes()
        try:
            other = anonymous_xml(data, names)
        except InputError:
            continue
        assert other.count(b"\n") == data.count(b"\n"), path.name
        if rules.validate(etree.fromstring(data)):
            checked += 1
            assert rules.validate(etree.fromstring(other)), f"{path.name}: {rules.error_log}"
    assert checked > 50


def anonymous(inside: str) -> Guest:
    data = f"<domain><name>acme</name>{inside}</domain>"
    return read_guest(anonymous_xml(data.encode(), Pseudonyms(KEY)), "fw1.xml")


def test_whose_guest_it_is_stays_and_nothing_else_of_its_metadata() -> None:
    own = "<o:qos>acme</o:qos><p:vm xmlns:p='http://ovirt.org/vm/1.0' acme='1'/><q:acme xmlns:q='http://acme.org'/>"
    metadata = f"<metadata xmlns:o='http://ovirt.org/vm/tune/1.0' xmlns:b='acme'>{own}</metadata>"
    data = f"<domain><name>a</name>{metadata}</domain>"
    other = anonymous_xml(data.encode(), Pseudonyms(KEY))
    assert b"acme" not in other
    assert other.count(b"ovirt.org") == 1
    assert read_guest(other, "a.xml").owner is Owner.OVIRT
    assert anonymous("<metadata><x:vm xmlns:x='urn:acme'/></metadata>").owner is None


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/usr/bin/qemu-system-x86_64", True),
        ("/usr/libexec/qemu-kvm", True),
        ("/opt/acme/bin/qemu-kvm", False),
        ("/usr/bin/qemu-system-x86_64.acme", False),
        ("/usr/bin/acme", False),
    ],
)
def test_only_qemus_own_name_for_itself_stays(path: str, *, kept: bool) -> None:
    other = anonymous(f"<devices><emulator>{path}</emulator></devices>").emulator
    assert (other == path) is kept
    assert "acme" not in (other or "")


@pytest.mark.parametrize(
    "value",
    ["/srv/acme/fw.qcow2", UUID, MAC, "10.11.12.13", "2001:db8:77::1", "iqn.2013-07.com.acme:t", "500a098280123456"],
)
def test_a_mask_is_of_the_kind_of_what_it_hides(value: str) -> None:
    other = masked_value(value, Pseudonyms(KEY))
    kinds = {"/": value.startswith("/"), ":": value == MAC or "::" in value, "-": "-" in value}
    assert other != value
    assert other == masked_value(value, Pseudonyms(KEY))
    assert {mark: mark in other for mark in kinds if kinds[mark]} == {mark: True for mark in kinds if kinds[mark]}


@pytest.mark.parametrize(
    ("name", "kept"),
    [("CPU 3/KVM", True), ("IO iothread2", True), ("vhost-77", True), ("IO acme", False), ("acme", False)],
)
def test_threads_keep_the_names_that_qemu_and_the_kernel_give(name: str, *, kept: bool) -> None:
    other = thread_name(name, Pseudonyms(KEY))
    assert (other == name) is kept
    assert other.startswith("IO ") is name.startswith("IO ")
