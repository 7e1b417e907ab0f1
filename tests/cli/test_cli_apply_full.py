"""``apply`` where a disk is full: all or nothing."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.applying import apply, texts
from tests.cli.running import numaplan


@pytest.fixture
def full_disk(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of that size, where that may be done; else the test is about an ordinary one."""
    place = folder / "disk"
    place.mkdir()
    mounted = []

    def mount(size: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", place], check=False, capture_output=True
        )
        mounted.append(done.returncode == 0)
        return place

    yield mount
    if any(mounted):
        # What a runner of commands remembers of the last one may have it open still.
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("size", ["16k", "20k", "24k"])
def test_no_room_for_the_guests_is_all_or_nothing(
    size: str, folder: Path, example: str, full_disk: Callable[[str], Path]
) -> None:
    (folder / "plan.json").write_text(example)
    disk = full_disk(size)
    for path in (folder / "domains").iterdir():
        shutil.copy(path, disk)
    before = {path.name: path.read_bytes() for path in disk.iterdir()}
    ran = apply(folder, domains=disk)
    after = {path.name: path.read_bytes() for path in disk.iterdir()}
    assert ran.code in {0, 8}, ran.err
    assert (after == before) == (ran.code == 8)
    assert after.keys() == before.keys()


@pytest.mark.parametrize("size", ["8k", "32k", "48k"])
def test_no_room_for_the_journal_is_all_or_nothing(
    size: str, folder: Path, example: str, full_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plan.json").write_text(example)
    monkeypatch.setenv("NUMAPLAN_STATE", str(full_disk(size)))
    before = texts(folder)
    ran = apply(folder)
    assert ran.code in {0, 7, 8}, ran.err
    assert (texts(folder) == before) == (ran.code != 0)
    recovered = numaplan("recover")
    assert (recovered.code, recovered.out) == (0, "nothing to recover\n")
