"""The door to QEMU's processes: by a library made for the test, and by psutil on a process of the test's own."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from numaplan.sources.processes import guest_name, read_processes
from numaplan.sources.store import UnreadableError

T = TypeVar("T")


class PsutilError(Exception):
    """As psutil.Error."""


class NoSuchProcessError(PsutilError):
    """As psutil.NoSuchProcess."""


@dataclass
class Made:
    """A process, or a thread; an exception in place of a value is raised."""

    pid: int
    called: str
    words: list[str] | Exception = field(default_factory=list)
    tids: list[int] | Exception = field(default_factory=list)
    cpus: list[int] | Exception = field(default_factory=lambda: [0, 1])

    def name(self) -> str:
        return self.called

    def cmdline(self) -> list[str]:
        return given(self.words)

    def threads(self) -> Sequence[object]:
        return [SimpleNamespace(id=tid) for tid in given(self.tids)]

    def cpu_affinity(self) -> list[int]:
        return given(self.cpus)


def given(value: T | Exception) -> T:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(processes: Sequence[Made], threads: Sequence[Made] = ()) -> None:
        by_id = {made.pid: made for made in (*processes, *threads)}

        def process(pid: int) -> Made:
            if pid not in by_id:
                raise NoSuchProcessError(f"process no longer exists (pid={pid})")
            return by_id[pid]

        def process_iter() -> Iterator[Made]:
            return iter(processes)

        library = SimpleNamespace(
            Error=PsutilError, NoSuchProcess=NoSuchProcessError, process_iter=process_iter, Process=process
        )
        monkeypatch.setitem(sys.modules, "psutil", library)

    return put


QEMU = ["/usr/bin/qemu-system-x86_64", "-name", "guest=fw1,debug-threads=on", "-object", "secret,data=s3cret"]


def rows_of(document: object) -> dict[str, Any]:
    assert isinstance(document, dict)
    assert json.loads(json.dumps(document)) == document
    return document


def test_a_guests_process_gives_its_name_its_uuid_and_its_threads_and_nothing_else_of_its_command_line(
    install: Callable[..., None],
) -> None:
    install(
        [
            Made(1, "systemd", ["/sbin/init"]),
            Made(70, "qemu-system-x86", [*QEMU, "-uuid", "6ed0"], [70, 71]),
            Made(90, "vhost-70", cpus=[4]),
        ],
        [Made(71, "CPU 0/KVM", cpus=[5])],
    )
    rows = rows_of(read_processes())
    assert rows == {
        "processes": [
            {
                "pid": 70,
                "name": "fw1",
                "uuid": "6ed0",
                "threads": [
                    {"tid": 70, "name": "qemu-system-x86", "affinity": "0-1"},
                    {"tid": 71, "name": "CPU 0/KVM", "affinity": "5"},
                    {"tid": 90, "name": "vhost-70", "affinity": "4"},
                ],
            }
        ],
        "failed": [],
    }


@pytest.mark.parametrize(
    ("name", "words", "guest"),
    [
        ("qemu-system-x86", ["/usr/bin/qemu-system-x86_64", "-name", "fw1"], True),
        ("qemu-kvm", ["/usr/libexec/qemu-kvm", "-name", "fw1"], True),
        ("kvm", ["/usr/bin/kvm", "-id", "100", "-name", "fw1,debug-threads=on"], True),
        ("fw1", ["/usr/bin/qemu-system-aarch64", "-name", "fw1"], True),
        ("qemu-system-x86", ["qemu-system-x86_64", "-S", "-machine", "none,accel=kvm:tcg", "-name", "fw1"], False),
        ("qemu-img", ["/usr/bin/qemu-img", "convert", "-name", "fw1"], False),
        ("qemu-ga", ["/usr/sbin/qemu-ga", "-name", "fw1"], False),
        ("grep", ["grep", "qemu-system-x86_64", "-name", "fw1"], False),
        ("kvm", [], False),
    ],
)
def test_a_process_that_runs_a_guest_is_told_by_its_program(
    name: str, words: list[str], *, guest: bool, install: Callable[..., None]
) -> None:
    install([Made(70, name, words, [70])])
    document = read_processes()
    if guest:
        assert [process["name"] for process in rows_of(document)["processes"]] == ["fw1"]
    else:
        assert document is None


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-name", "fw1"], "fw1"),
        (["-name", "guest=fw1,debug-threads=on"], "fw1"),
        (["-name", "debug-threads=on,guest=fw1"], "fw1"),
        (["--name", "guest=a,,b=c,debug-threads=on"], "a,b=c"),
        (["-name", "first", "-name", "last"], "last"),
        (["-name", "debug-threads=on"], None),
        (["-name"], None),
        ([], None),
    ],
)
def test_a_guests_name_is_read_as_qemu_reads_it(words: list[str], name: str | None) -> None:
    assert guest_name(["qemu-kvm", *words]) == name


def test_threads_that_end_meanwhile_are_left_out(install: Callable[..., None]) -> None:
    install(
        [Made(70, "qemu-kvm", QEMU, [70, 71, 72, 73])],
        [Made(72, "worker", cpus=NoSuchProcessError("gone")), Made(73, "CPU 0/KVM", cpus=[3])],
    )
    (process,) = rows_of(read_processes())["processes"]
    assert [thread["tid"] for thread in process["threads"]] == [70, 73]


def test_a_process_that_ends_meanwhile_is_no_guest(install: Callable[..., None]) -> None:
    install(
        [Made(70, "qemu-kvm", NoSuchProcessError("zombie")), Made(71, "qemu-kvm", QEMU, NoSuchProcessError("gone"))]
    )
    assert read_processes() is None


def test_a_process_that_keeps_to_itself_costs_itself_alone(install: Callable[..., None]) -> None:
    install(
        [
            Made(60, "sshd", PsutilError("access denied")),
            Made(70, "qemu-kvm", PsutilError("access denied")),
            Made(71, "qemu-kvm", QEMU, PsutilError("access denied to threads")),
            Made(72, "qemu-kvm", QEMU, [72]),
        ]
    )
    rows = rows_of(read_processes())
    assert [process["pid"] for process in rows["processes"]] == [72]
    assert rows["failed"] == [{"pid": 70, "why": "access denied"}, {"pid": 71, "why": "access denied to threads"}]


def test_a_host_without_qemu_has_no_rows(install: Callable[..., None]) -> None:
    install([Made(1, "init", ["/sbin/init"]), Made(2, "kthreadd"), Made(3, "vhost-99")])
    assert read_processes() is None


def test_without_the_package_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(UnreadableError) as caught:
        read_processes()
    assert caught.value.why == "the Python package psutil is not installed: pip install psutil"


def test_psutil_itself_tells_the_threads_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil  # noqa: PLC0415 - the others put a made one in its place

    own = psutil.Process(os.getpid())
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: QEMU if self.pid == own.pid else [])
    monkeypatch.setattr(psutil, "process_iter", lambda: iter([own]))
    (process,) = rows_of(read_processes())["processes"]
    assert (process["pid"], process["name"]) == (own.pid, "fw1")
    (leader,) = [thread for thread in process["threads"] if thread["tid"] == own.pid]
    assert leader["affinity"]
