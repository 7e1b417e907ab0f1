"""A host that was captured replays to the identical inventory, and an anonymous one to the same but for the names."""

import io
from dataclasses import replace

import pytest

from numaplan.inventory.anonymize import anonymized
from numaplan.inventory.host import read_host
from numaplan.inventory.pseudonyms import Pseudonyms
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.archive import read_archive
from numaplan.sources.capture import Origin, capture_bytes, replaying
from numaplan.sources.recording import Recording, RecordingStore
from numaplan.sources.tree import HostTree
from tests.depth import step
from tests.inventory.named_host import KEY, MAC, SECRETS, UUID, named_host
from tests.inventory.trees import MadeStore, capture_id, captures, opened

NAMES = [capture_id(path) for path in captures()[:: step(3)]]


def recorded(store: MadeStore) -> tuple[Recording, Snapshot]:
    recorder = RecordingStore(store)
    read = read_host(HostTree(recorder, Source.CAPTURE))
    return recorder.recording(), read


def replayed(recording: Recording) -> Snapshot:
    data = capture_bytes(recording, Origin())
    return read_host(HostTree(replaying(read_archive(io.BytesIO(data))), Source.CAPTURE))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_host_replays_to_the_identical_inventory(name: str) -> None:
    recorder = RecordingStore(opened(name)._store)
    read = read_host(HostTree(recorder, Source.CAPTURE))
    assert replayed(recorder.recording()) == read


@pytest.mark.parametrize("name", NAMES)
def test_an_anonymous_host_has_the_same_performance(name: str) -> None:
    recorder = RecordingStore(opened(name)._store)
    read = read_host(HostTree(recorder, Source.CAPTURE))
    other = replayed(anonymized(recorder.recording(), key=KEY))

    def without_names(each: Snapshot) -> Snapshot:
        links = tuple(replace(link, mac=None) for link in each.links)
        kernel = replace(each.kernel, parameters=())
        return replace(each, host=replace(each.host, hostname=None), links=links, kernel=kernel)

    assert without_names(other) == without_names(read)
    assert {parameter.name for parameter in other.kernel.parameters} == {
        parameter.name for parameter in read.kernel.parameters
    }


def test_nothing_that_names_the_owner_is_left() -> None:
    recording, _ = recorded(named_host())
    # What no reader asked for is not in the recording; here everything must be looked at.
    for path, content in named_host().files.items():
        if isinstance(content, str):
            recording.files.setdefault(path, content.encode())
    plain = capture_bytes(recording, Origin())
    assert [secret for secret in SECRETS if secret.encode() not in plain] == []
    data = capture_bytes(anonymized(recording, key=KEY), Origin())
    assert [secret for secret in SECRETS if secret.encode() in data] == []


def test_one_name_gets_one_other_name_everywhere() -> None:
    recording, read = recorded(named_host())
    other = replayed(anonymized(recording, key=KEY))
    names = {link.name for link in other.links}
    bridge = next(link for link in other.links if link.kind == "bridge")
    assert len(names) == len(read.links) == 3
    assert set(bridge.lowers) == names - {bridge.name}
    assert [link.kind for link in other.links if link.name in bridge.lowers and link.kind == "tap"] == ["tap"]
    assert all(link.master == bridge.name for link in other.links if link != bridge)
    assert other.pci[0].netdevs == tuple(link.name for link in other.links if link.pci is not None)


def test_another_key_gives_other_names() -> None:
    recording, _ = recorded(named_host())
    assert anonymized(recording, key=KEY) == anonymized(recording, key=KEY)
    assert anonymized(recording, key=KEY) != anonymized(recording, key=b"another")


def test_isolation_on_the_command_line_stays_and_disks_do_not() -> None:
    recording, _ = recorded(named_host())
    line = anonymized(recording, key=KEY).files["proc/cmdline"].decode()
    assert "isolcpus=managed_irq,domain,2-3 quiet" in line
    assert "vg_secret" not in line
    assert UUID not in line


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"])
def test_macs_that_name_nobody_stay(mac: str) -> None:
    assert Pseudonyms(KEY).text(f"address {mac}\n") == f"address {mac}\n"


def test_a_mac_is_replaced_by_a_local_one_in_any_case() -> None:
    names = Pseudonyms(KEY)
    other = names.text(MAC)
    assert other == names.text(MAC.upper())
    assert other.startswith("02:")
    assert len(other) == len(MAC)
