"""Files that a user names: bounded, and every failure in words."""

import errno
import io
import os
import threading
from pathlib import Path

import pytest

from numaplan.errors import BackendError, InputError
from numaplan.sources.files import list_files, list_xml, read_bytes, read_text, starts_with

KIB = 1024


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"\xef\xbb\xbf<a/>\r\n\0")
    assert read_bytes(path, limit=KIB, what="domain XML") == b"\xef\xbb\xbf<a/>\r\n\0"


@pytest.mark.parametrize(("limit", "words"), [(2 * KIB, "2 KiB"), (1 << 20, "1 MiB"), (1000, "1000 bytes")])
def test_the_limit_is_read_and_a_byte_more_is_not(tmp_path: Path, limit: int, words: str) -> None:
    path = tmp_path / "vnf.yaml"
    path.write_bytes(b"x" * limit)
    assert len(read_bytes(path, limit=limit, what="vnf.yaml")) == limit
    path.write_bytes(b"x" * (limit + 1))
    with pytest.raises(InputError) as caught:
        read_bytes(path, limit=limit, what="vnf.yaml")
    assert str(caught.value) == f"{path}: vnf.yaml is larger than {words}"


def test_an_endless_device_is_too_large() -> None:
    with pytest.raises(InputError, match="larger than 1 KiB"):
        read_bytes(Path("/dev/zero"), limit=KIB, what="plan")


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"vms: []\n")))
    assert starts_with(Path(name), b"vms")
    assert read_text(Path(name), limit=KIB, what="vnf.yaml") == "vms: []\n"


def test_a_look_at_a_pipe_consumes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b' {"schema": 1}')
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert starts_with(Path("-"), b"{")
        assert read_bytes(Path("-"), limit=KIB, what="inventory") == b' {"schema": 1}'


def test_closed_standard_input_is_the_systems_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(BackendError) as caught:
        read_bytes(Path("-"), limit=KIB, what="vnf.yaml")
    assert str(caught.value) == "standard input: vnf.yaml cannot be read: it is closed"
    assert not starts_with(Path("-"), b"{")


def test_what_is_no_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    cases = {
        "none": "no such file or directory",
        "": "it is a directory",
        "file/below": "a part of the path is no directory",
        "loop": "symbolic links go in a circle",
        "n" * 300: "the name is too long",
        "nul\0": "a file name cannot hold a NUL",
    }
    for name, words in cases.items():
        with pytest.raises(InputError) as caught:
            read_bytes(tmp_path / name, limit=KIB, what="plan")
        assert caught.value.problems[0].what == f"plan cannot be read: {words}"
        assert not starts_with(tmp_path / name, b"")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "plan: permission denied"),
        (errno.EPERM, "plan: permission denied"),
        (errno.EIO, "plan cannot be read: input/output error"),
    ],
)
def test_other_faults_are_the_systems_refusal(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(BackendError) as caught:
        read_bytes(Path("plan.json"), limit=KIB, what="plan")
    assert caught.value.problems[0].what == words


def test_text_drops_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "vnf.yaml"
    path.write_bytes("\ufeffname: é\n".encode())
    assert read_text(path, limit=KIB, what="vnf.yaml") == "name: é\n"


@pytest.mark.parametrize(
    ("data", "where"),
    [(b"\xff", "1:1"), (b"a\nb\n\xc3\xa9\xc3\xa9 \xfe", "3:4"), (b"\xef\xbb\xbfab\x80", "1:3"), (b"a\r\nb\xc3", "2:2")],
)
def test_a_byte_that_is_no_utf_8_is_named_by_line_and_column(tmp_path: Path, data: bytes, where: str) -> None:
    path = tmp_path / "vnf.yaml"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_text(path, limit=KIB, what="vnf.yaml")
    assert caught.value.problems[0].where == f"{path}:{where}"


@pytest.mark.parametrize(
    ("data", "answer"),
    [(b"{", True), (b"\xef\xbb\xbf \n{", True), (b"[{", False), (b"", False), (b"\x1f\x8b{", False)],
)
def test_the_beginning_of_a_file_is_told(tmp_path: Path, data: bytes, answer: bool) -> None:  # noqa: FBT001  (a case's expected value)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert starts_with(path, b"{") is answer


def test_a_fifo_is_not_waited_for_by_a_look(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert not starts_with(tmp_path / "fifo", b"{")


def test_a_fifo_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"vms: []"))
    writer.start()
    assert read_bytes(path, limit=KIB, what="vnf.yaml") == b"vms: []"
    writer.join()


def test_xml_files_are_listed_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.xml", "a.xml", "c.txt", ".hidden.xml", "d.XML", "exml"):
        (tmp_path / name).touch()
    (tmp_path / "folder.xml").mkdir()
    os.mkfifo(tmp_path / "fifo.xml")
    (tmp_path / "link.xml").symlink_to("a.xml")
    (tmp_path / "dangling.xml").symlink_to("nowhere")
    names = ("a.xml", "b.xml", "dangling.xml", "link.xml")
    assert list_xml(tmp_path) == tuple(tmp_path / name for name in names)
    assert list_files(tmp_path, suffix=".txt") == (tmp_path / "c.txt",)


def test_a_directory_that_is_none_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file", "nul\0"):
        with pytest.raises(InputError):
            list_xml(tmp_path / name)


def test_a_directory_that_may_not_be_read_is_the_systems_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(BackendError, match="permission denied"):
        list_xml(tmp_path)
