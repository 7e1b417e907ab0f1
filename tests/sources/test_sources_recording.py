"""What a reader takes of a host is recorded, and replays as it was: files, links, folders, and what failed."""

import errno
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from numaplan.errors import BackendError, InputError
from numaplan.model.host import Source
from numaplan.sources.archive import read_archive
from numaplan.sources.capture import (
    CAPTURE_SCHEMA,
    MANIFEST,
    Origin,
    capture_bytes,
    compressor_of,
    manifest_of,
    parse_manifest,
    replaying,
)
from numaplan.sources.capture import write_capture as write
from numaplan.sources.recording import Call, Fault, RecordingStore
from numaplan.sources.store import Kind, Store, UnreadableError
from numaplan.sources.tree import HostTree, open_tree
from tests.inventory.trees import MadeStore, To

MANIFEST_WITH = '{"schema": "numaplan/capture/1", "unread": [], "empty": [], "faults": [%s]}'
FILES: dict[str, str | To | None] = {
    "sys/one": "1\n",
    "sys/two": "2\n",
    "sys/link": To("folder/three"),
    "sys/away": To("../nowhere"),
    "sys/folder/three": "3\n",
    "sys/folder/deep/four": "4\n",
    "sys/closed/five": "5\n",
    "proc/six": "6\n",
}


@dataclass
class Refusing:
    """Another store that refuses some calls."""

    base: Store
    refused: dict[tuple[Call, str], Exception]

    def _ask(self, call: Call, path: str) -> None:
        if (call, path) in self.refused:
            raise self.refused[call, path]

    def kind(self, path: str) -> Kind:
        self._ask(Call.KIND, path)
        return self.base.kind(path)

    def target(self, path: str) -> str:
        self._ask(Call.TARGET, path)
        return self.base.target(path)

    def names(self, path: str) -> Sequence[str]:
        self._ask(Call.NAMES, path)
        return self.base.names(path)

    def read(self, path: str) -> bytes:
        self._ask(Call.READ, path)
        return self.base.read(path)

    def below(self, path: str) -> Store:
        raise NotImplementedError(path)


def replayed(recorder: RecordingStore) -> HostTree:
    data = capture_bytes(recorder.recording(), Origin())
    return HostTree(replaying(read_archive(io.BytesIO(data))), Source.CAPTURE)


def both(
    refused: dict[tuple[Call, str], Exception] | None = None,
) -> tuple[RecordingStore, HostTree]:
    recorder = RecordingStore(Refusing(MadeStore(FILES), refused or {}))
    return recorder, HostTree(recorder, Source.LIVE)


def test_what_was_read_reads_the_same_again() -> None:
    recorder, live = both()
    asked = [live.text("sys/one"), live.text("sys/link"), live.text("sys/none"), live.resolve("sys/link")]
    again = replayed(recorder)
    assert [again.text("sys/one"), again.text("sys/link"), again.text("sys/none"), again.resolve("sys/link")] == asked
    assert asked == ["1\n", "3\n", None, "sys/folder/three"]


def test_a_listed_folder_keeps_its_entries_but_not_the_text_that_nobody_read() -> None:
    recorder, live = both()
    assert live.names("sys") == ("away", "closed", "folder", "link", "one", "two")
    assert live.text("sys/one") == "1\n"
    again = replayed(recorder)
    assert again.names("sys") == live.names("sys")
    assert again.names("sys/folder") == ()
    assert again.link_name("sys/away") == "nowhere"
    assert again.text("sys/two") is None
    assert [gap.what for gap in again.gaps] == ["sys/two"]
    assert "not in the capture" in again.gaps[0].why


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL, errno.EPERM, errno.ENODEV])
@pytest.mark.parametrize("call", [Call.READ, Call.KIND])
def test_a_file_that_failed_fails_again_in_the_same_words(call: Call, number: int) -> None:
    recorder, live = both({(call, "sys/two"): OSError(number, os.strerror(number), "sys/two")})
    assert live.text("sys/two") is None
    again = replayed(recorder)
    assert again.text("sys/two") is None
    assert again.gaps == live.gaps


def test_a_folder_that_may_not_be_listed_and_a_link_that_may_not_be_followed_stay_so() -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    recorder, live = both({(Call.NAMES, "sys/closed"): denied, (Call.TARGET, "sys/link"): denied})
    assert (live.names("sys/closed"), live.link_name("sys/link")) == ((), None)
    again = replayed(recorder)
    assert (again.names("sys/closed"), again.link_name("sys/link")) == ((), None)
    assert [gap.what for gap in again.gaps] == ["sys/closed", "sys/link"]
    assert again.gaps == live.gaps


def test_a_file_that_was_refused_in_words_is_refused_in_the_same_words() -> None:
    recorder, live = both({(Call.READ, "sys/two"): UnreadableError("larger than 1 MiB")})
    assert live.text("sys/two") is None
    assert replayed(recorder).text("sys/two") is None
    again = replayed(recorder)
    again.text("sys/two")
    assert again.gaps == live.gaps != ()


def test_a_file_that_was_busy_once_is_no_fault() -> None:
    class Busy(Refusing):
        def read(self, path: str) -> bytes:
            if self.refused:
                raise self.refused.popitem()[1]
            return self.base.read(path)

    recorder = RecordingStore(Busy(MadeStore(FILES), {(Call.READ, "sys/one"): OSError(errno.EBUSY, "busy")}))
    live = HostTree(recorder, Source.LIVE)
    assert live.text("sys/one") == "1\n"
    assert recorder.recording().faults == {}


def test_a_file_that_was_listed_and_then_gone_is_so_again() -> None:
    gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    recorder, live = both({(Call.READ, "sys/two"): gone, (Call.KIND, "sys/two"): gone})
    assert "two" in live.names("sys")
    assert live.text("sys/two") is None
    again = replayed(recorder)
    assert "two" in again.names("sys")
    assert again.text("sys/two") is None
    assert again.gaps == live.gaps
    assert [gap.what for gap in again.gaps] == ["sys/two"]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_every_compression_that_a_name_can_ask_for_is_read_again(tmp_path: Path, suffix: str) -> None:
    recorder, live = both()
    live.text("sys/one")
    out = tmp_path / f"host{suffix}"
    write(out, recorder.recording(), Origin())
    assert open_tree(out).text("sys/one") == "1\n"
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_name_that_asks_for_no_compression_that_we_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"a capture is a tar; let its name end in one of \.tar"):
        compressor_of(Path("host.zip"))


def test_a_folder_that_is_not_there_is_said_and_nothing_is_left_behind(tmp_path: Path) -> None:
    recorder, _ = both()
    with pytest.raises(BackendError, match="there is no directory"):
        write(tmp_path / "none" / "host.tar.gz", recorder.recording(), Origin())
    assert list(tmp_path.iterdir()) == []


def test_the_same_host_gives_the_same_bytes() -> None:
    def bytes_of() -> bytes:
        recorder, live = both()
        live.text("sys/one")
        return capture_bytes(recorder.recording(), Origin())

    assert bytes_of() == bytes_of()


def test_a_capture_can_be_unpacked_and_read_as_a_directory(tmp_path: Path) -> None:
    recorder, live = both({(Call.READ, "sys/two"): PermissionError(errno.EACCES, "denied")})
    live.text("sys/one")
    live.text("sys/two")
    (tmp_path / "host.tar").write_bytes(capture_bytes(recorder.recording(), Origin()))
    with tarfile.open(tmp_path / "host.tar") as tar:
        tar.extractall(tmp_path / "host")  # noqa: S202 - our own bytes, two lines above
    unpacked = open_tree(tmp_path / "host")
    assert (unpacked.text("sys/one"), unpacked.text("sys/two")) == ("1\n", None)
    assert unpacked.gaps == live.gaps


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": "numaplan/plan/1"}',
        '{"schema": "numaplan/capture/1", "faults": 3, "unread": [], "empty": []}',
        '{"schema": "numaplan/capture/1", "faults": [3], "unread": [], "empty": []}',
        MANIFEST_WITH % '{"call": "write", "path": "s", "errno": "EIO"}',
        MANIFEST_WITH % '{"call": "read", "path": "s", "errno": "EVIL"}',
        MANIFEST_WITH % '{"call": "read", "path": 1, "why": "because"}',
        '{"schema": "numaplan/capture/1", "faults": [], "unread": [{"folders": ["sys"], "names": [1]}], "empty": []}',
        '{"schema": "numaplan/capture/1", "faults": [], "unread": [], "empty": [1]}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none_is_bad_input(text: str) -> None:
    store = MadeStore({"sys/one": "1\n", "numaplan/capture.json": text})
    with pytest.raises(InputError, match="no manifest of a capture"):
        replaying(store)


def test_a_capture_of_another_tool_has_no_manifest_and_is_taken_as_it_is() -> None:
    store = MadeStore({"sys/one": "1\n"})
    assert replaying(store) is store


def test_a_manifest_lists_calls_paths_reasons_and_names() -> None:
    faults = [
        {"call": "read", "path": "sys/one", "errno": "EIO"},
        {"call": "names", "path": "sys", "why": "more than 200000 entries"},
    ]
    unread = [{"folders": ["sys/a", "sys/b"], "names": ["x", "y"]}]
    manifest = parse_manifest(
        json.dumps({"schema": CAPTURE_SCHEMA, "faults": faults, "unread": unread, "empty": ["sys/c"]})
    )
    assert manifest.faults == {
        (Call.READ, "sys/one"): Fault(errno="EIO"),
        (Call.NAMES, "sys"): Fault(why="more than 200000 entries"),
    }
    assert manifest.unread == {"sys/a": {"x", "y"}, "sys/b": {"x", "y"}}
    assert manifest.empty == {"sys/c"}


def test_empty_folders_are_there_where_the_capture_lost_them(tmp_path: Path) -> None:
    recorder, live = both()
    assert live.names("sys/folder") == ("deep", "three")
    assert live.names("sys/folder/deep") == ("four",)
    recording = recorder.recording()
    recording.folders.add("sys/none/in/it")
    for path, data in {**recording.files, MANIFEST: manifest_of(recording, Origin())}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "sys").mkdir(exist_ok=True)
    again = open_tree(tmp_path)
    assert again.names("sys/folder") == ("deep", "three")
    assert again.names("sys/folder/deep") == ("four",)
    assert again.names("sys/none") == ("in",)
    assert again.names("sys/none/in/it") == ()
    assert again.gaps == ()


@pytest.mark.parametrize("call", ["kind", "target"])
def test_what_something_is_fails_with_an_errno_or_not_at_all(call: str) -> None:
    fault = {"call": call, "path": "sys", "why": "a sentence"}
    with pytest.raises(ValueError, match="no fault"):
        parse_manifest(json.dumps({"schema": "numaplan/capture/1", "faults": [fault], "unread": [], "empty": []}))
