"""Where a host and its guests are to be read from, as the command line says it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Where:
    """Where a host and its guests are to be read from.

    `source`: a capture or inventory JSON, None for the live host; `synthetic`: a host in words, in its place.
    `domains`: a directory of domain XML files.
    `connect`: a libvirt URI; without one, the live host's own libvirt, or what the capture has of it.
    """

    source: Path | None = None
    domains: Path | None = None
    connect: str | None = None
    synthetic: str | None = None
