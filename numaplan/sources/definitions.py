"""A libvirt whose guests may be changed: definitions and live pins (https://libvirt.org/html/libvirt-libvirt-domain.html).

XML is read with its secrets here (VIR_DOMAIN_XML_SECURE), since what is defined without them loses them. What the rows
mean is not known here. Every method raises BackendError where libvirt refuses or keeps silent.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from numaplan.cpuset import CpuSet, format_id_list
from numaplan.errors import BackendError
from numaplan.sources.hypervisor import NO_BINDING, PATIENCE_S
from numaplan.sources.libvirt_calls import Connection, Domain, Library
from numaplan.sources.patience import HangError, Patient
from numaplan.sources.uri import check_uri, redact

Rows = dict[str, object]

# Of virDomainXMLFlags, virDomainDefineFlags, virDomainModificationImpact and virErrorNumber.
_SECURE: Final = 1
_INACTIVE: Final = 2
_VALIDATE: Final = 1
_LIVE: Final = 1
_CONFIG: Final = 2
_INVALID_ARG: Final = 8
_NO_SUPPORT: Final = 3
_NO_DOMAIN: Final = 42
_DENIED: Final = frozenset({29, 79, 80, 88})  # OPERATION_DENIED, AUTH_CANCELLED, AUTH_UNAVAILABLE, ACCESS_DENIED
_INVALID_SCHEMA: Final = 92
_WHY_LIMIT: Final = 300
# What libvirt repeats of the XML in a message may be a secret: the line that it cannot parse, with an arrow below it,
# and the values that it does not take.
_ARROW: Final = re.compile(r"\n[^\n]*\n[ \t-]*\^[ \t]*(?=\n|$)")
_SPEAKS_OF_SECRETS: Final = re.compile(
    r"passw|passphrase|secret|token|cookie|credential|\b(?:arg|env|entry)\b", re.IGNORECASE
)
_QUOTED: Final = re.compile(r"""'[^'\n]*'|"[^"\n]*"|(?<==)\s*[^\s'"]+""")

_T = TypeVar("_T")


class Definitions:
    """A connection that may write, opened at once."""

    def __init__(self, uri: str, library: Library | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self.uri: Final = check_uri(uri)
        self._library: Final = _binding() if library is None else library
        self._patience_s: Final = patience_s
        self._unchecked = False
        self.reopen()

    @property
    def unchecked(self) -> bool:
        """Whether something was defined that libvirt did not check against its schema, see `define`."""
        return self._unchecked

    def reopen(self) -> None:
        """Connects anew; a call that hangs stays behind with its connection."""
        self._patient = Patient(self._patience_s)

        def connect() -> Connection:
            # Without a handler the C library prints every error to stderr by itself.
            self._library.registerErrorHandler(lambda _context, _error: None, None)
            return self._library.open(self.uri)

        self._connection = self._ask(connect)

    def hostname(self) -> str:
        """The host that the connection leads to."""
        return self._ask(self._connection.getHostname)

    def definition(self, guest: str) -> str | None:
        """The XML of the guest's next start, secrets included; None where it has none, or is not there."""

        def read() -> str | None:
            domain = self._find(guest)
            return None if domain is None or not domain.isPersistent() else domain.XMLDesc(_INACTIVE | _SECURE)

        return self._ask(read)

    def running_xml(self, guest: str) -> str | None:
        """The XML that the guest runs as, without secrets; None where it does not run."""

        def read() -> str | None:
            domain = self._find(guest)
            return None if domain is None or not domain.isActive() else domain.XMLDesc(0)

        return self._ask(read)

    def define(self, guest: str, xml: str) -> None:
        """Defines the guest anew, checked against libvirt's schema.

        Where what is defined now is invalid too (libvirt lets such XML in where nobody asks for the check), the new one
        is taken unchecked.
        """

        def write() -> None:
            domain = self._find(guest)
            if domain is None:
                raise BackendError(f'there is no guest "{guest}" any more', redact(self.uri))
            try:
                self._connection.defineXMLFlags(xml, _VALIDATE)
            except self._library.libvirtError as error:
                if _code(error) != _INVALID_SCHEMA or self._is_valid(domain.XMLDesc(_INACTIVE | _SECURE)):
                    raise
                self._connection.defineXMLFlags(xml, 0)
                self._unchecked = True

        self._ask(write)

    def pins(self, guest: str) -> Rows | None:
        """Where the threads of a running guest may run now; None where it does not run."""

        def read() -> Rows | None:
            domain = self._find(guest)
            if domain is None or not domain.isActive():
                return None
            states, maps = domain.vcpus()
            return {
                "vcpus": {str(state[0]): _cpus(cpus) for state, cpus in zip(states, maps, strict=False)},
                "emulator": _cpus(domain.emulatorPinInfo(_LIVE)),
                "iothreads": {str(number): _cpus(cpus) for number, cpus in domain.ioThreadInfo(_LIVE)},
            }

        return self._ask(read)

    def pin(self, guest: str, vcpus: Mapping[int, CpuSet], emulator: CpuSet, iothreads: Mapping[int, CpuSet]) -> None:
        """Pins the threads of a running guest, vCPUs last: until then they keep to what they have."""

        def write() -> None:
            domain = self._find(guest)
            if domain is None:
                raise BackendError(f'there is no guest "{guest}" any more', redact(self.uri))
            domain.pinEmulator(_map(emulator), _LIVE)
            for number, cpus in iothreads.items():
                domain.pinIOThread(number, _map(cpus), _LIVE)
            for number, cpus in vcpus.items():
                self._pin_vcpu(domain, number, cpus)

        self._ask(write)

    def told(self, guest: str) -> Rows | None:
        """What libvirt says that the guest's next start will do, asked by its calls and not read from its XML."""

        def read() -> Rows | None:
            domain = self._find(guest)
            if domain is None:
                return None
            return {
                "vcpus": {str(number): _cpus(cpus) for number, cpus in enumerate(domain.vcpuPinInfo(_CONFIG))},
                "emulator": _cpus(domain.emulatorPinInfo(_CONFIG)),
                "iothreads": {str(number): _cpus(cpus) for number, cpus in domain.ioThreadInfo(_CONFIG)},
                "nodeset": domain.numaParameters(_CONFIG).get("numa_nodeset"),
            }

        return self._ask(read)

    def _find(self, guest: str) -> Domain | None:
        try:
            return self._connection.lookupByName(guest)
        except self._library.libvirtError as error:
            if _code(error) == _NO_DOMAIN:
                return None
            raise

    def _is_valid(self, xml: str) -> bool:
        """Whether what is defined passes the check: it is defined once more as it is, which changes nothing."""
        try:
            self._connection.defineXMLFlags(xml, _VALIDATE)
        except self._library.libvirtError as error:
            if _code(error) == _INVALID_SCHEMA:
                return False
            raise
        return True

    def _pin_vcpu(self, domain: Domain, number: int, cpus: CpuSet) -> None:
        try:
            domain.pinVcpuFlags(number, _map(cpus), _LIVE)
        except self._library.libvirtError as error:
            # Drivers without the flags know the older call, which means the running guest.
            if _code(error) not in {_INVALID_ARG, _NO_SUPPORT}:
                raise
            domain.pinVcpu(number, _map(cpus))

    def _ask(self, work: Callable[[], _T]) -> _T:
        where = redact(self.uri)
        try:
            return self._patient.call(work)
        except HangError:
            raise BackendError(f"libvirt has not answered for {self._patience_s:g} s", where) from None
        except self._library.libvirtError as error:
            hint = "connect as root, or as a member of the group libvirt" if _code(error) in _DENIED else None
            # Neither the message's cause nor its text may carry the XML on.
            raise BackendError(f"libvirt refuses: {_why(error)}", where, hint) from None


def _binding() -> Library:
    try:
        import libvirt
    except ImportError:
        raise BackendError(NO_BINDING, "libvirt") from None
    library: Library = libvirt
    return library


def _code(error: Exception) -> int | None:
    ask = getattr(error, "get_error_code", None)
    code = ask() if callable(ask) else None
    return code if isinstance(code, int) else None


def _why(error: Exception) -> str:
    """What libvirt says, without the XML that it quotes."""
    text = _ARROW.sub("", str(error)).partition("<")[0]
    if _SPEAKS_OF_SECRETS.search(text):
        text = _QUOTED.sub("***", text)
    return " ".join(text.split())[:_WHY_LIMIT]


def _cpus(flags: Sequence[bool]) -> str:
    return format_id_list(cpu for cpu, flag in enumerate(flags) if flag)


def _map(cpus: CpuSet) -> tuple[bool, ...]:
    return tuple(cpu in cpus for cpu in range(max(cpus) + 1))
