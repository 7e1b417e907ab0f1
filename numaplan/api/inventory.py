"""Takes a host in: live, from a capture, or from inventory JSON; its guests from libvirt or from domain XML files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from numaplan.api.where import Where
from numaplan.domxml.read import read_guest
from numaplan.errors import BackendError, InputError, NumaplanError, Problem
from numaplan.inventory.folding import fold_gaps
from numaplan.inventory.guests import read_domain_xml, read_guests
from numaplan.inventory.host import read_host
from numaplan.model.guest import Guest
from numaplan.model.snapshot import Snapshot
from numaplan.sources.files import list_xml, read_bytes, read_text, starts_with
from numaplan.sources.hypervisor import read_hypervisor
from numaplan.sources.opening import empty_store
from numaplan.sources.store import UnreadableError
from numaplan.sources.tree import HostTree, open_tree
from numaplan.units import format_count

XML_LIMIT: Final = 4 << 20
INVENTORY_LIMIT: Final = 16 << 20
# As many as a document's mistakes: nobody mends more before the next try.
LIMIT_BAD_FILES: Final = 20


@dataclass(frozen=True, slots=True)
class DomainFile:
    """Domain XML: the file it stands in, or would be written to; its bytes, and the guest that it describes."""

    path: Path
    data: bytes
    guest: Guest


@dataclass(frozen=True, slots=True)
class Taken:
    """A host with its guests, and the XML of those guests that have one here."""

    snapshot: Snapshot
    domains: tuple[DomainFile, ...]


def take_inventory(where: Where) -> Snapshot:
    """The host with its guests; raises InputError, BackendError."""
    return take_host(where).snapshot


def take_host(where: Where) -> Taken:
    """The host with its guests and their XML; raises InputError, BackendError."""
    files = () if where.domains is None else read_domains(where.domains)
    rows = None if where.connect is None else _connected(where.connect)
    if where.synthetic is not None:
        # Nor does any other host need the notation of one in words.
        from numaplan.spec.synthetic import parse_synthetic  # noqa: PLC0415

        taken = Taken(parse_synthetic(where.synthetic), ())
    elif where.source is not None and starts_with(where.source, b"{"):
        # A host that is no document needs none of the forms that check one.
        from numaplan.records.read import read_inventory  # noqa: PLC0415

        # The forms of documents, and pydantic with them, cost a capture or the live host nothing.

        document = read_text(where.source, limit=INVENTORY_LIMIT, what="inventory")
        taken = _with_connection(read_inventory(document, str(where.source)), rows)
    else:
        taken = read_tree(open_tree(where.source), rows)
    return _with_files(taken, files)


def read_tree(tree: HostTree, connected: object | None = None) -> Taken:
    """Everything that a tree says of its host; `connected`: what a connection says of the guests in its place."""
    snapshot = read_host(tree)
    guests = read_guests(tree, connected)
    domains = _domain_files(tree, connected)
    return Taken(replace(snapshot, guests=guests, gaps=fold_gaps(tree.gaps)), domains)


def read_domains(directory: Path) -> tuple[DomainFile, ...]:
    """Every ``*.xml`` of `directory`, in the order of the file names.

    Files that cannot be used, a second one of one name too, are told all at once, as the kind of error of the first:
    InputError, BackendError.
    """
    found: dict[str, DomainFile] = {}
    bad: list[NumaplanError] = []
    for path in list_xml(directory):
        try:
            domain = _read_domain(path, found)
        except (InputError, BackendError) as error:
            bad.append(error)
        else:
            found[domain.guest.name] = domain
    if bad:
        raise type(bad[0]).of(_told(bad, directory)) from bad[0]
    return tuple(found.values())


def _read_domain(path: Path, known: Mapping[str, DomainFile]) -> DomainFile:
    data = read_bytes(path, limit=XML_LIMIT, what="domain XML")
    guest = read_guest(data, str(path))
    if guest.name in known:
        raise InputError(
            f'a second domain named "{guest.name}"',
            str(path),
            f"{known[guest.name].path} has the first; keep one of them in the directory",
        )
    return DomainFile(path, data, guest)


def _told(bad: list[NumaplanError], directory: Path) -> tuple[Problem, ...]:
    """The problems of the first files, and how many more files have some."""
    problems = [problem for error in bad[:LIMIT_BAD_FILES] for problem in error.problems]
    if (more := len(bad) - LIMIT_BAD_FILES) > 0:
        problems.append(Problem(f"and {format_count(more, 'more file')} that cannot be used", str(directory)))
    return tuple(problems)


def _connected(uri: str) -> object:
    try:
        return read_hypervisor(uri)
    except UnreadableError as error:
        raise BackendError(error.why, uri) from error


def _with_connection(snapshot: Snapshot, rows: object | None) -> Taken:
    """Guests of a connection beside a host that is a document: there are no files to ask of their processes."""
    if rows is None:
        return Taken(snapshot, ())
    tree = HostTree(empty_store(), snapshot.host.source)
    guests = {guest.name: guest for guest in (*snapshot.guests, *read_guests(tree, rows))}
    domains = _domain_files(tree, rows)
    gaps = tuple(sorted({*snapshot.gaps, *fold_gaps(tree.gaps)}))
    return Taken(replace(snapshot, guests=tuple(guests[name] for name in sorted(guests)), gaps=gaps), domains)


def _domain_files(tree: HostTree, connected: object | None) -> tuple[DomainFile, ...]:
    return tuple(DomainFile(Path(xml.file), xml.data, xml.guest) for xml in read_domain_xml(tree, connected))


def _with_files(taken: Taken, files: tuple[DomainFile, ...]) -> Taken:
    """A file speaks louder than what else is known of the guest's XML, and cannot say whether and how it runs."""
    guests = {guest.name: guest for guest in taken.snapshot.guests}
    for guest in (file.guest for file in files):
        known = guests.get(guest.name)
        guests[guest.name] = guest if known is None else _as_it_runs(guest, known)
    snapshot = replace(taken.snapshot, guests=tuple(guests[name] for name in sorted(guests)))
    named = {file.guest.name for file in files}
    return Taken(snapshot, (*files, *(domain for domain in taken.domains if domain.guest.name not in named)))


def _as_it_runs(guest: Guest, known: Guest) -> Guest:
    return replace(
        guest,
        running=known.running if guest.running is None else guest.running,
        state=known.state,
        persistent=known.persistent,
        managed_save=known.managed_save,
        live=known.live,
    )
