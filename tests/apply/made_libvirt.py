"""A libvirt made for the tests: guests in memory, written anew as libvirt does it; each call can be made to fail."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

INVALID_SCHEMA = 92
NO_DOMAIN = 42
CPUS = 16


class LibvirtError(Exception):
    """As libvirt.libvirtError."""

    def __init__(self, message: str, code: int = 38) -> None:
        super().__init__(message)
        self.code = code

    def get_error_code(self) -> int:
        return self.code


@dataclass
class MadeGuest:
    xml: str
    running: bool = False
    persistent: bool = True
    live: dict[str, list[bool]] = field(default_factory=dict)


@dataclass
class MadeLibvirt:
    """The module libvirt. `before` hears of each call by name and may raise; `valid` is the schema's word."""

    guests: dict[str, MadeGuest] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _call: None
    after: Callable[[str], None] = lambda _call: None
    valid: Callable[[str], bool] = lambda _xml: True
    calls: list[str] = field(default_factory=list)
    opened: int = 0
    libvirtError: type[Exception] = LibvirtError  # noqa: N815 - libvirt's name

    def registerErrorHandler(self, _handler: object, _context: object) -> None:  # noqa: N802
        """Nothing is printed here."""

    def open(self, _uri: str) -> "MadeConnection":
        self.opened += 1
        self.call("open")
        return MadeConnection(self)

    def call(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)


@dataclass
class MadeConnection:
    library: MadeLibvirt

    def getHostname(self) -> str:  # noqa: N802
        self.library.call("getHostname")
        return "made"

    def lookupByName(self, name: str) -> "MadeDomain":  # noqa: N802
        self.library.call("lookupByName")
        if name not in self.library.guests:
            raise LibvirtError(f"Domain not found: no domain with matching name '{name}'", NO_DOMAIN)
        return MadeDomain(self.library, name)

    def defineXMLFlags(self, xml: str, flags: int = 0) -> "MadeDomain":  # noqa: N802
        self.library.call("define" if flags == 0 else "define, checked")
        if flags and not self.library.valid(xml):
            raise LibvirtError("XML document failed to validate against schema", INVALID_SCHEMA)
        name = re.search("<name>(.*?)</name>", xml)
        assert name is not None
        guest = self.library.guests.setdefault(name[1], MadeGuest(""))
        guest.xml = normalized(xml)
        self.library.after("define")
        return MadeDomain(self.library, name[1])


@dataclass
class MadeDomain:
    library: MadeLibvirt
    called: str

    @property
    def guest(self) -> MadeGuest:
        return self.library.guests[self.called]

    def isActive(self) -> int:  # noqa: N802
        return int(self.guest.running)

    def isPersistent(self) -> int:  # noqa: N802
        return int(self.guest.persistent)

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        self.library.call("XMLDesc")
        return self.guest.xml if flags & 1 else re.sub(" passwd='[^']*'", "", self.guest.xml)

    def vcpus(self) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[bool]]]:
        self.library.call("vcpus")
        return [(k, 1, 0, 0) for k in self._numbers("vcpu")], [self._live(f"vcpu{k}") for k in self._numbers("vcpu")]

    def emulatorPinInfo(self, _flags: int = 0) -> Sequence[bool]:  # noqa: N802
        self.library.call("emulatorPinInfo")
        return self._live("emulator")

    def ioThreadInfo(self, _flags: int = 0) -> Sequence[tuple[int, Sequence[bool]]]:  # noqa: N802
        self.library.call("ioThreadInfo")
        return [(k, self._live(f"iothread{k}")) for k in self._numbers("iothread")]

    def pinVcpuFlags(self, vcpu: int, cpumap: Sequence[bool], _flags: int = 0) -> int:  # noqa: N802
        return self._pin(f"vcpu{vcpu}", cpumap)

    def pinEmulator(self, cpumap: Sequence[bool], _flags: int = 0) -> int:  # noqa: N802
        return self._pin("emulator", cpumap)

    def pinIOThread(self, number: int, cpumap: Sequence[bool], _flags: int = 0) -> int:  # noqa: N802
        return self._pin(f"iothread{number}", cpumap)

    def _pin(self, thread: str, cpumap: Sequence[bool]) -> int:
        self.library.call("pin")
        self.guest.live[thread] = [*cpumap, *[False] * (CPUS - len(cpumap))]
        self.library.after("pin")
        return 0

    def _live(self, thread: str) -> list[bool]:
        return self.guest.live.get(thread, [True] * CPUS)

    def _numbers(self, kind: str) -> list[int]:
        return sorted(int(name.removeprefix(kind)) for name in self.guest.live if name.startswith(kind))


_OPEN = r"<interface type='hostdev' managed='yes'>(?:(?!bus='0x00').)*?"
_ADDRESS = "<address type='pci' domain='0x0000' bus='0x00' slot='0x09' function='0x0'/>"


def normalized(xml: str) -> str:
    """As libvirt writes it anew: no comments, and an address for an interface that has none."""
    plain = re.sub("<!--.*?-->", "", xml, flags=re.DOTALL)
    return re.sub(f"({_OPEN})(</interface>)", rf"\1{_ADDRESS}\2", plain, flags=re.DOTALL)


def any_library(made: MadeLibvirt) -> Any:  # noqa: ANN401 - it has what is called, not all that a library has
    """The same for mypy, which knows what a library must have."""
    return made
