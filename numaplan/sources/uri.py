"""Connection URIs of libvirt: which are let through, and which could make it run or ask for something."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from numaplan.errors import InputError

# qemu+tcp is neither encrypted nor signed; other drivers have guests that numaplan knows nothing of.
SCHEMES: Final = ("qemu", "qemu+ssh", "qemu+unix", "qemu+tls", "test")
# Where to connect, and with which key. Others name programs to start ("command", "netcat"), certificates to trust, or
# ways around a check ("no_verify"): https://libvirt.org/uri.html, "Transport configuration".
PARAMETERS: Final = ("keyfile", "mode", "no_tty", "proxy", "socket", "tls_priority")
_PATHS: Final = ("/system", "/session")
_URI_LIMIT: Final = 2048

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|[0-9A-Fa-f:]{2,39}(?:%[A-Za-z0-9_.-]{1,15})?", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_/+.:@%=][A-Za-z0-9_/+.:@%=,~-]{0,1023}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")


def check_uri(uri: str) -> str:
    """`uri` as it stands; raises InputError for one that libvirt should not be given. A password is never repeated."""
    if not uri:
        raise InputError("the connection URI is empty", "--connect", "expected one such as qemu:///system")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise InputError("no connection URI", redact(uri), "expected one such as qemu:///system") from error
    if len(uri) > _URI_LIMIT or _CONTROL.search(uri) or not uri.isascii():
        raise InputError("no connection URI", redact(uri), "expected one such as qemu:///system, in ASCII")
    if parts.scheme not in SCHEMES or not uri.startswith(f"{parts.scheme}://"):
        raise InputError("a connection of this kind is not made", redact(uri), f"expected {'://, '.join(SCHEMES)}://")
    _check_authority(parts, uri, port)
    if parts.scheme == "test":
        if parts.query or not parts.path.startswith("/"):
            raise InputError("no URI of libvirt's test driver", redact(uri), "expected test:///default or test:///PATH")
    elif parts.path not in _PATHS:
        raise InputError(f"the path is {parts.path!r}", redact(uri), f"expected {' or '.join(_PATHS)}")
    _check_parameters(parts, uri)
    return uri


def is_local(uri: str) -> bool:
    """Whether the URI names no other host."""
    return not urlsplit(uri).netloc


def redact(uri: str) -> str:
    """The URI without what stands before the "@" of its host, or in place of its parameters."""
    shown = _CONTROL.sub("?", uri[:_URI_LIMIT]).partition("?")[0]
    scheme, slashes, rest = shown.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"


def _check_authority(parts: SplitResult, uri: str, port: int | None) -> None:
    where = redact(uri)
    if parts.password is not None:
        raise InputError("a connection URI holds no password", where, "leave it out; use a key, or libvirt's auth file")
    if parts.fragment:
        raise InputError("a connection URI has no fragment", where, "leave out what stands behind #")
    if parts.scheme in {"test", "qemu", "qemu+unix"} and parts.netloc:
        raise InputError(
            "this URI names a host, but no way there", where, "three slashes for this host; qemu+ssh:// for another"
        )
    if parts.username is not None and _USER.fullmatch(parts.username) is None:
        raise InputError("no user name", where, "expected letters, digits and _.-")
    if parts.netloc and _HOST.fullmatch(parts.hostname or "") is None:
        raise InputError("no host name", where, "expected letters, digits and .-, or an address")
    if port == 0:
        raise InputError("no port", where, "expected a number from 1 to 65535")
    if parts.scheme in {"qemu+ssh", "qemu+tls"} and not parts.netloc:
        raise InputError("this URI names no host", where, "qemu+ssh://HOST/system")


def _check_parameters(parts: SplitResult, uri: str) -> None:
    where = redact(uri)
    for name, value in parse_qsl(parts.query, keep_blank_values=True, separator="&"):
        if name not in PARAMETERS:
            raise InputError(
                f"the parameter {name[:40]!r} is not let through", where, f"allowed are {', '.join(PARAMETERS)}"
            )
        if _VALUE.fullmatch(value) is None:
            raise InputError(f"the parameter {name} has no plain value", where, "expected a path or a word")
