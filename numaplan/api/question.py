"""What every verb that reads vnf.yaml starts from: a request, a host, and the XML of its guests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from numaplan.api.inventory import DomainFile, take_host
from numaplan.api.profiles import shipped_profiles
from numaplan.api.where import Where
from numaplan.errors import InputError
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.sources.files import read_text
from numaplan.spec.vnf import parse_vnf

VNF_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of which host: everything that an answer depends on.

    `text` is vnf.yaml as it is written in `file`, from which the request was read with `host_profile`.
    """

    request: Request
    snapshot: Snapshot
    domains: tuple[DomainFile, ...]
    text: str
    file: str
    host_profile: str | None


def read_question(vnf: Path, where: Where, *, host_profile: str | None, may_ask_for_none: bool = False) -> Question:
    """Reads everything that a plan depends on; raises InputError, BackendError."""
    text = read_vnf(vnf)
    return asked_of(where, text, str(vnf), host_profile=host_profile, may_ask_for_none=may_ask_for_none)


def read_vnf(vnf: Path) -> str:
    """vnf.yaml as it is written; standard input and fifos can be read but once."""
    return read_text(vnf, limit=VNF_LIMIT, what="vnf.yaml")


def asked_of(
    where: Where, text: str, file: str, *, host_profile: str | None, may_ask_for_none: bool = False
) -> Question:
    """What the `text` of `file` asks of a host; raises as `read_question` does."""
    taken = take_host(where)
    if not taken.snapshot.cpus.online:
        host = "this host" if where.source is None else str(where.source)
        raise InputError("no CPU is online there: this is no host for guests", host, "see numaplan inventory")
    request = parse_vnf(
        text,
        file,
        profiles=shipped_profiles(),
        host_profile=host_profile,
        known_guests=frozenset(guest.name for guest in taken.snapshot.guests),
        may_ask_for_none=may_ask_for_none,
    )
    return Question(request, taken.snapshot, taken.domains, text, file, host_profile)
