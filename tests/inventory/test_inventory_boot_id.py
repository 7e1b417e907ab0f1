"""The boot id: read where the kernel has it, another one in an anonymous capture."""

import io

import pytest

from numaplan.api.inventory import read_tree
from numaplan.inventory.anonymize import anonymized
from numaplan.inventory.identity import parse_boot_id, read_identity
from numaplan.model.host import Source
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.sources.archive import read_archive
from numaplan.sources.capture import Origin, capture_bytes, replaying
from numaplan.sources.recording import Recording, RecordingStore
from numaplan.sources.tree import HostTree
from tests.inventory.named_host import KEY
from tests.inventory.trees import MadeStore, To, cpu_files, gaps, tree

FILE = "proc/sys/kernel/random/boot_id"
BOOT_ID = "9b1c8a52-6d0e-4d3c-8f5a-0a1b2c3d4e5f"
FILES: dict[str, str | To | None] = {
    **cpu_files(2),
    "proc/cpuinfo": "processor\t: 0\n",
    "proc/version": "Linux version 6.12.0 (x)\n",
    FILE: f"{BOOT_ID}\n",
}


def captured(recording: Recording) -> HostTree:
    return HostTree(replaying(read_archive(io.BytesIO(capture_bytes(recording, Origin())))), Source.CAPTURE)


def recorded() -> Recording:
    recorder = RecordingStore(MadeStore(FILES))
    assert read_tree(HostTree(recorder, Source.CAPTURE)).snapshot.host.boot_id == BOOT_ID
    return recorder.recording()


def test_a_capture_has_the_boot_id() -> None:
    assert read_tree(captured(recorded())).snapshot.host.boot_id == BOOT_ID


def test_an_anonymous_capture_has_another_one() -> None:
    other = read_tree(captured(anonymized(recorded(), key=KEY))).snapshot.host.boot_id
    assert other not in {None, BOOT_ID}
    assert parse_boot_id(other or "") == other


def test_inventory_json_has_the_boot_id() -> None:
    snapshot = read_tree(tree(FILES)).snapshot
    assert read_inventory(inventory_json(snapshot), "host.json").host.boot_id == BOOT_ID


def test_a_kernel_without_one_has_no_gap() -> None:
    made = tree({path: text for path, text in FILES.items() if path != FILE})
    assert read_identity(made, device_groups=False).boot_id is None
    assert gaps(made) == []


@pytest.mark.parametrize("text", ["", "\0", "garbage\n", f"{BOOT_ID}x\n", "-1\n"])
def test_what_is_no_uuid_is_a_gap(text: str) -> None:
    made = tree({**FILES, FILE: text})
    assert read_identity(made, device_groups=False).boot_id is None
    assert [what for what, _ in gaps(made)] == [FILE]


def test_one_that_vanishes_is_a_gap() -> None:
    made = tree({**FILES, FILE: To("nowhere")})
    assert read_identity(made, device_groups=False).boot_id is None
    assert [what for what, _ in gaps(made)] == [FILE]
