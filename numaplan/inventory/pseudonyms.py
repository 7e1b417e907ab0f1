"""Other words for what names a machine, its owner and its guests: the same word gets the same other word.

Nothing can be worked back to: each pseudonym is a keyed hash, and the key is thrown away with the run that made it.
"""

import hmac
import re
from collections.abc import Iterable
from typing import Final

_MAC = re.compile(r"(?<![0-9a-fA-F:])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![0-9a-fA-F:])", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII)
# systemd names an interface that has no better name by its MAC (systemd.net-naming-scheme(7)).
_NAMED_BY_MAC = re.compile(r"(?<=enx)[0-9a-f]{12}", re.ASCII)
_IPV4 = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.])", re.ASCII)
# Nobody is named by these.
_PLAIN_MACS: Final = frozenset({"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"})
# IFNAMSIZ, less the NUL.
_INTERFACE_NAME: Final = 15
# Folders that every host has: they say nothing of whose it is.
_COMMON: Final = frozenset(
    [
        "dev",
        "fd",
        "hugepages",
        "images",
        "instances",
        "lib",
        "libvirt",
        "lock",
        "memfd",
        "nova",
        "openvswitch",
        "pages",
        "proc",
        "qemu",
        "run",
        "shm",
        "sys",
        "tmp",
        "usr",
        "var",
    ]
)


class Pseudonyms:
    """`names` are words (guests, hosts) that must not be seen, within longer words too."""

    def __init__(self, key: bytes, names: Iterable[str] = ()) -> None:
        self._key = key
        ordered = sorted({name for name in names if name}, key=lambda name: (-len(name), name))
        self._names = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Any text: MACs and UUIDs are replaced, every other character stays."""
        text = _MAC.sub(lambda match: self.mac(match[0]), text)
        text = _UUID.sub(lambda match: self.uuid(match[0]), text)
        return _NAMED_BY_MAC.sub(lambda match: self._mac_digits(match[0]), text)

    def mac(self, mac: str) -> str:
        """Another MAC, locally administered; zeros and the broadcast address stay."""
        if mac.lower() in _PLAIN_MACS:
            return mac
        digits = self._mac_digits(mac.replace(":", "").lower())
        return ":".join(digits[i : i + 2] for i in range(0, 12, 2))

    def uuid(self, uuid: str) -> str:
        """Another UUID."""
        digits = self._digits("uuid", uuid.lower(), 32)
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def word(self, kind: str, word: str) -> str:
        """``host-3fa21c`` for a word of that kind; the empty word stays."""
        return f"{kind}-{self._digits(kind, word, 6)}" if word else word

    def guest(self, name: str) -> str:
        """``guest-3fa21c``."""
        return self.word("guest", name)

    def interface(self, name: str) -> str:
        """The name of an interface, bridge or port: another one only where it holds a MAC or one of the names."""
        other = self.text(name)
        if self._names is not None and self._names.search(name):
            other = f"if{self._digits('interface', name, 8)}"
        return other if len(other) <= _INTERFACE_NAME or len(name) > _INTERFACE_NAME else other[:_INTERFACE_NAME]

    def path(self, path: str) -> str:
        """A path, each folder and file by itself, but for those that every host has."""
        return "/".join(part if part in _COMMON or not part else self.word("path", part) for part in path.split("/"))

    def ipv4(self, text: str) -> str:
        """Any text, its IPv4 addresses replaced by such of 10.0.0.0/8; loopback and "any" stay."""
        return _IPV4.sub(self._ipv4, text)

    def digits(self, kind: str, text: str, count: int) -> str:
        """As many hexadecimal digits."""
        return self._digits(kind, text, count)

    def _ipv4(self, match: re.Match[str]) -> str:
        address = match[0]
        if address.startswith(("0.", "127.", "255.")):
            return address
        octets = bytes.fromhex(self._digits("ipv4", address, 6))
        return ".".join(map(str, (10, *octets)))

    def _mac_digits(self, digits: str) -> str:
        return "02" + self._digits("mac", digits, 10)

    def _digits(self, kind: str, word: str, count: int) -> str:
        message = f"{kind}\0{word}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, message, "sha256").hex()[:count]
