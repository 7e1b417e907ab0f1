"""The door to libvirt: by a library made for the test, and by libvirt's own test driver, which needs no daemon."""

import json
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from numaplan.errors import InputError
from numaplan.sources import hypervisor
from numaplan.sources.hypervisor import read_hypervisor
from numaplan.sources.store import UnreadableError


class LibvirtError(Exception):
    """As libvirt.libvirtError."""


@dataclass
class MadeDomain:
    called: str
    active: bool = True
    persistent: bool = True
    state_number: int = 1
    iothreads: str = ""
    gone: bool = False
    asked: list[int] = field(default_factory=list)
    xml_bytes: int = 0

    def name(self) -> str:
        return self.called

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return f"uuid-of-{self.called}"

    def state(self) -> list[int]:
        return [self.state_number, 1]

    def isActive(self) -> int:  # noqa: N802 - libvirt's name
        return int(self.active)

    def isPersistent(self) -> int:  # noqa: N802 - libvirt's name
        return int(self.persistent)

    def autostart(self) -> int:
        return 1

    def hasManagedSaveImage(self) -> int:  # noqa: N802 - libvirt's name
        raise LibvirtError("this function is not supported by the connection driver")

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802 - libvirt's name
        self.asked.append(flags)
        if self.gone:
            raise LibvirtError("Domain not found:\n no domain with matching uuid")
        return f"<domain><!-- {flags} -->{self.iothreads}{'x' * self.xml_bytes}</domain>"

    def vcpus(self) -> tuple[list[tuple[int, int]], list[tuple[bool, ...]]]:
        return [(0, 1), (2, 1)], [(False, True, False), (False, True, True)]

    def emulatorPinInfo(self) -> tuple[bool, ...]:  # noqa: N802 - libvirt's name
        return (True, True, False)

    def ioThreadInfo(self) -> list[tuple[int, list[bool]]]:  # noqa: N802 - libvirt's name
        assert self.iothreads, "only a guest that has any is asked for its iothreads"
        return [(1, [True, False, False])]


@dataclass
class MadeConnection:
    domains: Sequence[MadeDomain] = ()
    closed: int = 0
    cells: tuple[int, ...] = (0, 8)

    def getURI(self) -> str:  # noqa: N802 - libvirt's name
        return "qemu:///system"

    def getHostname(self) -> str:  # noqa: N802 - libvirt's name
        return "kvm1"

    def getLibVersion(self) -> int:  # noqa: N802 - libvirt's name
        return 11_003_000

    def getInfo(self) -> list[object]:  # noqa: N802 - libvirt's name
        return ["x86_64", 1 << 20, 16, 2100, len(self.cells), 1, 8, 2]

    def getFreePages(self, sizes: Sequence[int], cell: int, count: int) -> dict[int, dict[int, int]]:  # noqa: N802
        assert count == 1
        if cell not in self.cells or sizes[0] not in {4, 2048}:
            raise LibvirtError("page size is not available")
        return {cell: {sizes[0]: 100 * cell + sizes[0]}}

    def listAllDomains(self) -> Sequence[MadeDomain]:  # noqa: N802 - libvirt's name
        return self.domains

    def close(self) -> int:
        self.closed += 1
        return 0


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`install(connection)` puts a made library in libvirt's place; the list tells what was called, in order."""
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)

    def put(connection: object) -> list[str]:
        calls: list[str] = []

        def open_read_only(uri: str) -> object:
            calls.append(f"open {uri}")
            if isinstance(connection, Exception):
                raise connection
            return connection() if callable(connection) else connection

        library = SimpleNamespace(
            libvirtError=LibvirtError,
            registerErrorHandler=lambda _handler, _context: calls.append("handler"),
            openReadOnly=open_read_only,
        )
        monkeypatch.setitem(sys.modules, "libvirt", library)
        return calls

    return put


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host without libvirt and KVM; a test makes "socket" or "kvm" in its folder."""
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    monkeypatch.setattr(hypervisor, "SOCKETS", (str(tmp_path / "other"), str(tmp_path / "socket")))
    monkeypatch.setattr(hypervisor, "TRACES", (str(tmp_path / "kvm"),))
    return tmp_path


def rows_of(document: object) -> dict[str, Any]:
    assert isinstance(document, dict)
    assert json.loads(json.dumps(document)) == document
    return document


def why(action: Callable[[], object]) -> str:
    with pytest.raises(UnreadableError) as caught:
        action()
    return caught.value.why


def test_a_running_guest_gives_both_of_its_xmls_and_where_its_threads_may_run(
    install: Callable[..., list[str]],
) -> None:
    domain = MadeDomain("fw1", iothreads="<iothreads>1</iothreads>")
    connection = MadeConnection([domain])
    calls = install(connection)
    rows = rows_of(read_hypervisor("qemu:///system"))
    assert rows["domains"] == [
        {
            "name": "fw1",
            "uuid": "uuid-of-fw1",
            "state": "running",
            "active": True,
            "persistent": True,
            "autostart": True,
            "managed_save": None,
            "xml": "<domain><!-- 0 --><iothreads>1</iothreads></domain>",
            "inactive_xml": "<domain><!-- 2 --><iothreads>1</iothreads></domain>",
            "vcpus": [{"id": 0, "cpus": "1"}, {"id": 2, "cpus": "1-2"}],
            "emulator_pin": "0-1",
            "iothreads": [{"id": 1, "cpus": "0"}],
        }
    ]
    assert (rows["uri"], rows["hostname"], rows["version"]) == ("qemu:///system", "kvm1", 11_003_000)
    assert rows["failed"] == []
    assert calls == ["handler", "open qemu:///system"]
    assert connection.closed == 1


def test_no_xml_is_asked_for_with_its_secrets(install: Callable[..., list[str]]) -> None:
    domain = MadeDomain("fw1")
    install(MadeConnection([domain]))
    read_hypervisor("qemu:///system")
    assert domain.asked == [0, 2]


def test_a_guest_that_is_off_has_no_xml_that_it_runs_as_and_a_transient_one_none_to_start_from(
    install: Callable[..., list[str]],
) -> None:
    install(MadeConnection([MadeDomain("off", active=False, state_number=5), MadeDomain("brief", persistent=False)]))
    off, brief = rows_of(read_hypervisor("qemu:///system"))["domains"]
    assert (off["state"], off["active"], off["xml"]) == ("shutoff", False, None)
    assert off["inactive_xml"] == "<domain><!-- 2 --></domain>"
    assert not {"vcpus", "emulator_pin", "iothreads"} & set(off)
    assert (brief["xml"], brief["inactive_xml"]) == ("<domain><!-- 0 --></domain>", None)


def test_a_guest_that_goes_meanwhile_costs_itself_alone(install: Callable[..., list[str]]) -> None:
    install(MadeConnection([MadeDomain("gone", gone=True), MadeDomain("stays")]))
    rows = rows_of(read_hypervisor("qemu:///system"))
    assert [domain["name"] for domain in rows["domains"]] == ["stays"]
    assert rows["failed"] == [{"name": "gone", "why": "Domain not found: no domain with matching uuid"}]


def test_xml_that_the_rows_cannot_hold_costs_its_guest(
    install: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypervisor, "_XML_LIMIT", 1000)
    install(MadeConnection([MadeDomain("huge", xml_bytes=500), MadeDomain("small")]))
    rows = rows_of(read_hypervisor("qemu:///system"))
    assert [domain["name"] for domain in rows["domains"]] == ["small"]
    (failed,) = rows["failed"]
    assert failed["name"] == "huge"
    assert "more than these rows can hold" in failed["why"]


def test_free_pages_are_asked_of_every_cell_and_size_that_there_is(install: Callable[..., list[str]]) -> None:
    install(MadeConnection(cells=(0, 8)))
    assert rows_of(read_hypervisor("qemu:///system"))["free_pages"] == [
        {"cell": 0, "size_kib": 4, "free": 4},
        {"cell": 0, "size_kib": 2048, "free": 2048},
        {"cell": 8, "size_kib": 4, "free": 804},
        {"cell": 8, "size_kib": 2048, "free": 2848},
    ]


def test_a_daemon_that_refuses_says_why(install: Callable[..., list[str]]) -> None:
    install(LibvirtError("Failed to connect socket to '/run/libvirt/libvirt-sock-ro':\n No such file"))
    assert why(lambda: read_hypervisor("qemu:///system")) == (
        "libvirt at qemu:///system: Failed to connect socket to '/run/libvirt/libvirt-sock-ro': No such file"
    )


def test_the_connection_is_closed_when_it_breaks_in_the_middle(install: Callable[..., list[str]]) -> None:
    class Broken(MadeConnection):
        def listAllDomains(self) -> Sequence[MadeDomain]:  # noqa: N802 - libvirt's name
            raise LibvirtError("Cannot write data: Broken pipe")

    connection = Broken()
    install(connection)
    assert "Broken pipe" in why(lambda: read_hypervisor("qemu:///system"))
    assert connection.closed == 1


def test_a_daemon_that_hangs_costs_its_rows_and_not_the_run(
    install: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang() -> object:
        released.wait()
        raise LibvirtError("too late")

    monkeypatch.setattr(hypervisor, "PATIENCE_S", 0.01)
    install(hang)
    try:
        assert why(lambda: read_hypervisor("qemu+ssh://root@kvm1/system")) == (
            "libvirt at qemu+ssh://kvm1/system has not answered for 0.01 s"
        )
    finally:
        released.set()


def test_without_the_package_the_fix_is_named(monkeypatch: pytest.MonkeyPatch, host: Path) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    (host / "socket").touch()
    assert "pip install 'numaplan[libvirt]'" in why(read_hypervisor)


def test_a_host_without_libvirt_and_kvm_has_no_guests_and_needs_no_package(
    monkeypatch: pytest.MonkeyPatch, host: Path
) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    assert not list(host.iterdir())
    assert read_hypervisor() is None


def test_a_kvm_host_whose_libvirtd_does_not_run_is_told_so(host: Path) -> None:
    (host / "kvm").touch()
    assert why(read_hypervisor).startswith("no libvirtd answers on this KVM host: start libvirtd or virtqemud")


def test_where_a_socket_is_the_systems_qemu_driver_is_asked(install: Callable[..., list[str]], host: Path) -> None:
    (host / "socket").touch()
    calls = install(MadeConnection())
    assert read_hypervisor() is not None
    assert calls[-1] == "open qemu:///system"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("qemu+ssh://kvm2/system", "names another host (qemu+ssh://kvm2/system)"),
        ("xen:///system", "LIBVIRT_DEFAULT_URI: xen:///system: a connection of this kind is not made"),
    ],
)
def test_the_environments_uri_is_followed_on_this_host_only(
    uri: str, text: str, monkeypatch: pytest.MonkeyPatch, host: Path
) -> None:
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", uri)
    (host / "socket").touch()
    assert text in why(read_hypervisor)


def test_the_environments_uri_is_opened(
    install: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, host: Path
) -> None:
    calls = install(MadeConnection())
    assert not list(host.iterdir())
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu:///session")
    assert read_hypervisor() is not None
    assert calls[-1] == "open qemu:///session"


def test_a_uri_that_is_not_let_through_opens_nothing(install: Callable[..., list[str]]) -> None:
    calls = install(MadeConnection())
    with pytest.raises(InputError, match="'command' is not let through"):
        read_hypervisor("qemu+ssh://kvm1/system?command=/tmp/x")
    assert calls == []


HOST = """<node>
  <domain type='test'><name>fw1</name><memory unit='GiB'>1</memory><vcpu>2</vcpu>
    <cputune><vcpupin vcpu='0' cpuset='1'/></cputune><os><type>hvm</type></os>
    <devices><graphics type='vnc' passwd='s3cret'/></devices></domain>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>fw2</name>
    <memory unit='GiB'>1</memory><vcpu>1</vcpu><os><type>hvm</type></os>
    <test:runstate>5</test:runstate></domain>
  <cpu><mhz>2100</mhz><model>i386</model><active>8</active><nodes>2</nodes><sockets>1</sockets><cores>2</cores>
    <threads>2</threads></cpu>
</node>
"""


@pytest.mark.libvirt
def test_libvirts_test_driver_lists_guests_without_their_secrets(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host.xml").write_text(HOST, encoding="utf-8")
    rows = rows_of(read_hypervisor(f"test://{tmp_path}/host.xml"))
    running, off = sorted(rows["domains"], key=lambda domain: str(domain["name"]))
    assert (running["name"], running["state"], running["active"], running["persistent"]) == (
        "fw1",
        "running",
        True,
        True,
    )
    assert [vcpu["id"] for vcpu in running["vcpus"]] == [0, 1]
    assert "<vcpupin vcpu='0' cpuset='1'/>" in running["xml"]
    assert "s3cret" not in json.dumps(rows)
    assert (off["name"], off["state"], off["active"], off["xml"]) == ("fw2", "shutoff", False, None)
    assert rows["failed"] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.libvirt
def test_a_connection_that_libvirt_refuses_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = why(lambda: read_hypervisor(f"qemu+unix:///system?socket={tmp_path}/none"))
    assert text.startswith("libvirt at qemu+unix:///system: ")
    assert "No such file or directory" in text
    assert capfd.readouterr() == ("", "")
