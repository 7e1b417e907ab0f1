"""Takes a host in: live, from a capture, or from inventory JSON; and its guests from domain XML files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.inventory.host import read_host
from numaplan.model.guest import Guest
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import read_inventory
from numaplan.sources.files import list_xml, read_bytes, read_text, starts_with
from numaplan.sources.tree import HostTree, open_tree

XML_LIMIT: Final = 4 << 20
INVENTORY_LIMIT: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class DomainFile:
    """A domain XML file: where it stands, its bytes, and the guest that it describes."""

    path: Path
    data: bytes
    guest: Guest


def take_inventory(source: Path | None, domains: Path | None = None) -> Snapshot:
    """The host of `source` (None: the live one) with its own guests and those whose XML stands in `domains`."""
    return with_guests(read_source(source), () if domains is None else read_domains(domains))


def read_source(source: Path | None) -> Snapshot:
    """The host of a capture, of inventory JSON, or of this machine (None); raises InputError, BackendError."""
    if source is not None and starts_with(source, b"{"):
        return read_inventory(read_text(source, limit=INVENTORY_LIMIT, what="inventory"), str(source))
    return read_tree(open_tree(source))


def read_tree(tree: HostTree) -> Snapshot:
    """Everything that a tree says of its host, guests included."""
    return read_host(tree)


def read_domains(directory: Path) -> tuple[DomainFile, ...]:
    """Every ``*.xml`` of `directory`, in the order of the file names; two of one name raise InputError."""
    found: dict[str, DomainFile] = {}
    for path in list_xml(directory):
        data = read_bytes(path, limit=XML_LIMIT, what="domain XML")
        guest = read_guest(data, str(path))
        if guest.name in found:
            raise InputError(
                f'a second domain named "{guest.name}"',
                str(path),
                f"{found[guest.name].path} has the first; keep one of them in the directory",
            )
        found[guest.name] = DomainFile(path, data, guest)
    return tuple(found.values())


def with_guests(snapshot: Snapshot, domains: tuple[DomainFile, ...]) -> Snapshot:
    """The snapshot with the guests of `domains`; a file speaks louder than what the snapshot says of that guest."""
    guests = {guest.name: guest for guest in snapshot.guests}
    for guest in (domain.guest for domain in domains):
        known = guests.get(guest.name)
        # A file cannot say whether its guest runs.
        guests[guest.name] = replace(guest, running=known.running) if known and guest.running is None else guest
    return replace(snapshot, guests=tuple(guests[name] for name in sorted(guests)))
