"""Which interfaces bear an IP address, as far as /proc/net tells.

Nothing in /proc lists IPv4 addresses by interface, so only a few cases are certain: the rest stays unknown.
"""

import re
from dataclasses import dataclass
from typing import Final

from numaplan.inventory.attribute import parse_or_note
from numaplan.sources.tree import HostTree

_IF_INET6 = re.compile(r"[0-9a-f]{32} [0-9a-f]{2} [0-9a-f]{2} ([0-9a-f]{2}) [0-9a-f]{2} +(\S+)", re.ASCII)
_ROUTE = re.compile(r"(\S+)\t[0-9A-F]{8}\t([0-9A-F]{8})\t.*", re.ASCII)
_TRIE_ADDRESS = re.compile(r"\|-- ([0-9]{1,3}(?:\.[0-9]{1,3}){3})", re.ASCII)
# include/net/ipv6.h: an interface that is up has an address of link scope without anybody's doing.
_ADMINISTERED_SCOPES: Final = frozenset({0x00, 0x40})
_NO_GATEWAY: Final = "00000000"


@dataclass(frozen=True, slots=True)
class Addressed:
    """`interfaces` bear an address. `complete`: no other one does; else nothing is known of the others."""

    interfaces: frozenset[str]
    complete: bool

    def says(self, name: str) -> bool | None:
        """Whether that interface bears an address."""
        if name in self.interfaces:
            return True
        return False if self.complete else None


def read_addressed(tree: HostTree) -> Addressed:
    """/proc/net/{if_inet6,route,fib_trie}; an address of link scope alone does not count.

    Complete only where the host has no IPv4 address but those of 127.0.0.0/8.
    """
    ipv6 = tree.text("proc/net/if_inet6")
    routes = tree.text("proc/net/route")
    trie = tree.text("proc/net/fib_trie")
    found: frozenset[str] = frozenset()
    if ipv6 is not None:
        found |= parse_or_note(tree, "proc/net/if_inet6", text=ipv6, parse=parse_if_inet6) or frozenset()
    if routes is not None:
        found |= parse_or_note(tree, "proc/net/route", text=routes, parse=parse_connected) or frozenset()
    if trie is None:
        return Addressed(found, complete=False)
    return Addressed(found, complete=ipv6 is not None and not parse_local_addresses(trie))


def parse_if_inet6(text: str) -> frozenset[str]:
    """Interfaces with an IPv6 address of global or site scope; raises ValueError."""
    found = set()
    for line in text.splitlines():
        match = _IF_INET6.fullmatch(line.strip())
        if match is None:
            raise ValueError("no IPv6 addresses")
        if int(match[1], 16) in _ADMINISTERED_SCOPES:
            found.add(match[2])
    return frozenset(found)


def parse_connected(text: str) -> frozenset[str]:
    """Interfaces with an IPv4 route that needs no gateway: such a route comes with an address; raises ValueError."""
    found = set()
    for line in text.splitlines()[1:]:
        match = _ROUTE.fullmatch(line.rstrip())
        if match is None:
            raise ValueError("no IPv4 routes")
        if match[2] == _NO_GATEWAY:
            found.add(match[1])
    return frozenset(found)


def parse_local_addresses(text: str) -> frozenset[str]:
    """Addresses of this host in /proc/net/fib_trie, without those of 127.0.0.0/8."""
    found = set()
    address = ""
    for line in text.splitlines():
        match = _TRIE_ADDRESS.match(line.strip())
        if match is not None:
            address = match[1]
        elif line.strip() == "/32 host LOCAL" and not address.startswith("127."):
            found.add(address)
    return frozenset(found)
