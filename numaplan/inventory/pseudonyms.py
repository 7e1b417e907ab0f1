"""Other words for what names a machine, its owner and its guests: the same word gets the same other word.

Nothing can be worked back to: each pseudonym is a keyed hash, and the key is thrown away with the run that made it.
"""

import hmac
import re
from collections.abc import Iterable
from typing import Final

# InfiniBand's have 20 octets, EUI-64 has 8.
_MAC = re.compile(r"(?<![0-9a-fA-F:])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5,31}(?![0-9a-fA-F:])", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII)
_OCTETS = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){0,31}", re.ASCII)
# /etc/machine-id, a container's id.
_LONG_ID = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-f]{32}){1,2}(?![0-9a-zA-Z])", re.ASCII)
# OpenStack names an interface by the first digits of its port's UUID.
_NAMED_BY_PORT = re.compile(r"(?<=tap|qvo|qvb|qbr|vhu|qg-|qr-)[0-9a-f]{8}-[0-9a-f]{2}(?![0-9a-zA-Z])", re.ASCII)
# systemd names an interface that has no better name by its MAC (systemd.net-naming-scheme(7)).
_NAMED_BY_MAC = re.compile(r"(?<=enx)[0-9a-f]{12}", re.ASCII)
_IPV4 = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.])", re.ASCII)
_IPV6 = re.compile(r"(?=[0-9a-fA-F:]*:[0-9a-fA-F:]*:)[0-9a-fA-F:]{2,39}(?:%\S+)?", re.ASCII)
# Nobody is named by what is all zeros or all ones.
_PLAIN_OCTETS: Final = (frozenset({"00"}), frozenset({"ff"}))
_LETTER_OR_DIGIT: Final = "[0-9A-Za-z]"
# A shorter name counts only where it is a whole word: "db" is in too many others.
_SHORTEST_PART: Final = 3
_MAC_OCTETS: Final = 6
# IFNAMSIZ, less the NUL.
_INTERFACE_NAME: Final = 15
# Folders that every host has: they say nothing of whose it is.
_COMMON: Final = frozenset(
    [
        "bin",
        "dev",
        "fd",
        "hugepages",
        "hugepages1G",
        "hwrng",
        "images",
        "instances",
        "lib",
        "lib64",
        "libexec",
        "libvirt",
        "lock",
        "machine",
        "memfd",
        "nova",
        "openvswitch",
        "pages",
        "proc",
        "pts",
        "qemu",
        "qemu-kvm",
        "qemu-system-aarch64",
        "qemu-system-x86_64",
        "random",
        "run",
        "shm",
        "sys",
        "tmp",
        "urandom",
        "usr",
        "var",
        "zero",
    ]
)


class Pseudonyms:
    """`names` are words (guests, hosts) that must not be seen; `interfaces` are all of the host's, and switch ports."""

    def __init__(self, key: bytes, names: Iterable[str] = (), interfaces: Iterable[str] = ()) -> None:
        self._key = key
        self._interfaces = frozenset(interfaces)
        ordered = sorted({name for name in names if name}, key=lambda name: (-len(name), name))
        parts = [re.escape(name) if len(name) >= _SHORTEST_PART else _word(name) for name in ordered]
        self._parts = re.compile("|".join(parts), re.IGNORECASE) if parts else None
        self._words = re.compile("|".join(map(_word, ordered)), re.IGNORECASE) if parts else None

    def text(self, text: str) -> str:
        """Any text: MACs, UUIDs and other long ids are replaced, every other character stays."""
        text = _MAC.sub(lambda match: self.mac(match[0]), text)
        text = _UUID.sub(lambda match: self.uuid(match[0]), text)
        text = _LONG_ID.sub(lambda match: self._digits("id", match[0], len(match[0])), text)
        text = _NAMED_BY_PORT.sub(lambda match: self._port(match[0]), text)
        return _NAMED_BY_MAC.sub(lambda match: self._mac_digits(match[0]), text)

    def prose(self, text: str) -> str:
        """A sentence or a name of any kind: hosts and guests that it names are replaced too, and IPv4 addresses."""
        text = self.ipv4(self.text(text))
        return text if self._words is None else self._words.sub(lambda match: self.guest(match[0]), text)

    def mac(self, mac: str) -> str:
        """Another hardware address of that length, a MAC being locally administered; zeros and the broadcast stay."""
        octets = mac.lower().split(":")
        if set(octets) in _PLAIN_OCTETS:
            return mac
        if len(octets) != _MAC_OCTETS:
            return self.hardware(mac)
        digits = self._mac_digits("".join(octets))
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))

    def hardware(self, text: str) -> str:
        """An interface's address of any length: that of a tunnel is an IP address in octets."""
        octets = text.lower().split(":")
        if set(octets) in _PLAIN_OCTETS or not _OCTETS.fullmatch(text):
            return self.text(text)
        if len(octets) == _MAC_OCTETS:
            return self.mac(text)
        digits = self._digits("mac", text.lower(), 2 * len(octets))
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))

    def uuid(self, uuid: str) -> str:
        """Another UUID."""
        digits = self._digits("uuid", uuid.lower(), 32)
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def word(self, kind: str, word: str) -> str:
        """``host-3fa21c`` for a word of that kind; the empty word stays."""
        return f"{kind}-{self._digits(kind, word, 6)}" if word else word

    def guest(self, name: str) -> str:
        """``guest-3fa21c04``: of ten thousand, no two should meet."""
        return f"guest-{self._digits('guest', name, 8)}" if name else name

    def interface(self, name: str) -> str:
        """The name of an interface, bridge or port: another one only where it holds a MAC or one of the names."""
        other = self.text(name)
        if self._parts is not None and self._parts.search(name):
            other = f"if{self._digits('interface', name, 8)}"
        return other if len(other) <= _INTERFACE_NAME or len(name) > _INTERFACE_NAME else other[:_INTERFACE_NAME]

    def path(self, path: str) -> str:
        """A path, each folder and file by itself, but for those that every host has; sockets bear ports' names."""
        return "/".join(map(self._path_part, path.split("/")))

    def _path_part(self, part: str) -> str:
        if not part or part in _COMMON:
            return part
        return self.interface(part) if part in self._interfaces else self.word("path", part)

    def address(self, text: str) -> str:
        """An IP address as one of the same family, whatever names none as another word."""
        if _IPV4.fullmatch(text):
            return self.ipv4(text)
        if text in {"::", "::1"}:
            return text
        digits = self._digits("ipv6", text.lower(), 16)
        if _IPV6.fullmatch(text):
            return f"2001:db8:0:0:{digits[:4]}:{digits[4:8]}:{digits[8:12]}:{digits[12:]}"
        return self.word("text", text)

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

    def _port(self, digits: str) -> str:
        other = self._digits("port", digits, 10)
        return f"{other[:8]}-{other[8:]}"

    def _mac_digits(self, digits: str) -> str:
        return "02" + self._digits("mac", digits, 10)

    def _digits(self, kind: str, word: str, count: int) -> str:
        message = f"{kind}\0{word}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha512").hex()[:count]


def _word(name: str) -> str:
    return f"(?<!{_LETTER_OR_DIGIT}){re.escape(name)}(?!{_LETTER_OR_DIGIT})"
