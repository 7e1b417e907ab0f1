"""Writes that are whole or not at all, whatever fails on the way."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from numaplan.errors import BackendError, ExitCode, InputError
from numaplan.sources.files import write_files, write_text


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def contents(folder: Path) -> dict[str, bytes]:
    """Every entry, hidden ones too, so that a left-over shows."""
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Fault:
    """The n-th call of the functions that it stands before fails with an errno."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at: int, number: int) -> None:
        self.at = at
        self.number = number
        self.calls = 0
        for name in ("open", "write", "fsync", "fchmod", "close"):
            monkeypatch.setattr(os, name, self.before(getattr(os, name), closes=name == "close"))
        monkeypatch.setattr(Path, "replace", self.before(Path.replace))

    def before(self, real: object, *, closes: bool = False) -> object:
        def call(*args: object, **options: object) -> object:
            self.calls += 1
            if self.calls == self.at:
                if closes:
                    real(*args, **options)  # type: ignore[operator]  # a failed close(2) has closed
                raise OSError(self.number, os.strerror(self.number))
            return real(*args, **options)  # type: ignore[operator]  # any function of the list

        return call


# More than either write makes.
CALLS = range(1, 40)


def test_a_new_file_has_its_mode_less_the_umask(tmp_path: Path) -> None:
    for mask, mode, expected in (
        (0o000, 0o644, 0o644),
        (0o022, 0o666, 0o644),
        (0o077, 0o644, 0o600),
        (0o000, 0o600, 0o600),
    ):
        os.umask(mask)
        path = tmp_path / f"{mask:o}-{mode:o}"
        write_text(path, "é\n", mode=mode)
        assert path.read_bytes() == b"\xc3\xa9\n"
        assert mode_of(path) == expected


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_an_old_file_keeps_its_mode_and_is_replaced(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old, and longer than the new one")
    path.chmod(mode)
    other_name = tmp_path / "other"
    other_name.hardlink_to(path)
    os.umask(0o077)
    write_text(path, "new")
    assert mode_of(path) == mode
    assert contents(tmp_path) == {"plan.json": b"new", "other": b"old, and longer than the new one"}


def test_text_that_no_encoding_has_is_written_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "out", "a\udcaeb")
    assert (tmp_path / "out").read_bytes() == b"a\\udcaeb"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_fault_at_any_call_leaves_the_old_file_and_no_other(tmp_path: Path, number: int) -> None:
    path = tmp_path / "plan.json"
    wheres: set[str] = set()
    refused = 0
    for at in CALLS:
        path.write_bytes(b"old")
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, at=at, number=number)
            try:
                write_text(path, "new")
                expected = b"new"
            except BackendError as error:
                wheres.add(error.problems[0].where)
                expected = b"old"
                refused += 1
        assert contents(tmp_path) == {"plan.json": expected}, at
    assert fault.calls < max(CALLS)
    assert refused >= 6
    assert wheres == {str(path)}


def test_a_fault_at_any_call_leaves_no_new_file(tmp_path: Path) -> None:
    for at in CALLS:
        with pytest.MonkeyPatch.context() as patch:
            Fault(patch, at=at, number=errno.ENOSPC)
            try:
                write_text(tmp_path / "new", "new")
                expected = {"new": b"new"}
            except BackendError:
                expected = {}
        assert contents(tmp_path) == expected, at
        (tmp_path / "new").unlink(missing_ok=True)


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "new", "new")
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "folder", {"a.xml": b"a"})
    assert contents(tmp_path) == {}


def test_a_write_that_takes_less_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    write_text(tmp_path / "out", "0123456789")
    assert (tmp_path / "out").read_text() == "0123456789"


def test_targets_that_must_not_be_replaced_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    cases = {
        "link": ("it is a symbolic link", "name the file that it points to"),
        "dangling": ("it is a symbolic link", "name the file that it points to"),
        "folder": ("it is a directory", "name a file in it"),
        "none/out": (f"there is no directory {tmp_path / 'none'}", "make it first"),
        "kept/out": (f"{tmp_path / 'kept'} is no directory", None),
        "nul\0": ("a file name cannot hold a NUL", None),
        "n" * 300: ("file name too long", None),
    }
    for name, (words, hint) in cases.items():
        with pytest.raises(BackendError) as caught:
            write_text(tmp_path / name, "new")
        (problem,) = caught.value.problems
        assert (problem.what, problem.hint) == (f"cannot be written: {words}", hint)
        assert caught.value.exit_code is ExitCode.BACKEND
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dangling", "folder", "kept", "link"]
    assert (tmp_path / "kept").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


def test_devices_and_fifos_are_written_to_as_they_are(tmp_path: Path) -> None:
    write_text(Path("/dev/null"), "gone")
    (tmp_path / "null").symlink_to("/dev/null")
    write_text(tmp_path / "null", "gone")
    assert Path("/dev/null").is_char_device()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    write_text(fifo, "through")
    reader.join()
    assert read == ["through"]
    assert fifo.is_fifo()


def test_a_full_device_is_the_systems_refusal() -> None:
    with pytest.raises(BackendError, match="no space left on device"):
        write_text(Path("/dev/full"), "x")


@pytest.mark.parametrize("name", ["/dev/stdout", "-", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to_where_it_stands(tmp_path: Path, name: str) -> None:
    script = f"""
from pathlib import Path
from numaplan.sources.files import write_text
print("before", flush=True)
write_text(Path({name!r}), "text\\n")
print("after")
"""
    command = [sys.executable, "-c", script]
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(command, stdout=out, check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "out").read_text() == "before\ntext\nafter\n"
    piped = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2])
    assert piped.stdout == b"before\ntext\nafter\n"


def test_a_pipe_that_nobody_reads_is_left_to_the_caller() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(BrokenPipeError):
            write_text(Path(f"/dev/fd/{writer}"), "x")
    finally:
        os.close(writer)


OLD = {"a.xml": b"old a", "c.xml": b"old c", "other.txt": b"other"}
NEW = {"c.xml": b"new c", "a.xml": b"new a", "b.xml": b"new b"}


def folder_with(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_files_are_written_into_a_folder_of_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    os.umask(0)
    write_files(folder, NEW)
    assert contents(folder) == NEW
    assert mode_of(folder) == 0o700
    assert {mode_of(folder / name) for name in NEW} == {0o600}


def test_old_files_are_replaced_and_others_kept(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, OLD)
    (folder / "a.xml").chmod(0o640)
    write_files(folder, NEW)
    assert contents(folder) == OLD | NEW
    assert mode_of(folder / "a.xml") == 0o640


def test_a_fault_at_any_call_leaves_all_files_old_or_all_new(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, OLD)
    wheres: set[str] = set()
    refused = 0
    for at in CALLS:
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, at=at, number=errno.ENOSPC)
            try:
                write_files(folder, NEW)
                expected = OLD | NEW
            except BackendError as error:
                wheres.add(error.problems[0].where)
                expected = OLD
                refused += 1
        assert contents(folder) == expected, at
        (folder / "b.xml").unlink(missing_ok=True)
        for name, data in OLD.items():
            (folder / name).write_bytes(data)
    assert fault.calls < max(CALLS)
    assert refused > len(NEW) * 4
    assert wheres == {str(folder / name) for name in NEW}


def test_a_fault_takes_a_folder_away_that_was_made(tmp_path: Path) -> None:
    for at in CALLS:
        with pytest.MonkeyPatch.context() as patch:
            Fault(patch, at=at, number=errno.EIO)
            try:
                write_files(tmp_path / "out", NEW)
            except BackendError:
                assert list(tmp_path.iterdir()) == [], at
                continue
        assert contents(tmp_path / "out") == NEW
        for name in NEW:
            (tmp_path / "out" / name).unlink()
        (tmp_path / "out").rmdir()


def test_without_hard_links_no_file_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", unsupported)
    folder = folder_with(tmp_path, OLD)
    write_files(folder, NEW)
    assert contents(folder) == OLD | NEW


@pytest.mark.parametrize("name", ["", ".", "..", "../evil", "/etc/evil", "a/b", "nul\0", "n" * 256, "\ud800"])
def test_a_name_that_is_no_plain_file_name_is_bad_input(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="is no plain file name"):
        write_files(folder, {"good.xml": b"", name: b"evil"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_one_target_that_must_not_be_replaced_stops_all(tmp_path: Path, kind: str) -> None:
    folder = folder_with(tmp_path, {"a.xml": b"old a", "kept": b"kept"})
    target = folder / "b.xml"
    if kind == "link":
        target.symlink_to("kept")
    elif kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    with pytest.raises(BackendError) as caught:
        write_files(folder, NEW)
    assert caught.value.problems[0].where == str(target)
    assert sorted(entry.name for entry in folder.iterdir()) == ["a.xml", "b.xml", "kept"]
    assert (folder / "a.xml").read_bytes() == b"old a"
    assert (folder / "kept").read_bytes() == b"kept"


def test_a_folder_that_cannot_be_made_is_the_systems_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "none/out", "file/out", "nul\0"):
        with pytest.raises(BackendError, match="cannot be"):
            write_files(tmp_path / name, NEW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
