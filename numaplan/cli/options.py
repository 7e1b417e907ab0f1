"""Options that several verbs share: where a host and its guests come from."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from numaplan.api.where import Where
from numaplan.sources.files import is_standard_input


def path(text: str) -> Path:
    """A path; a usage error where it is empty, as a shell's variable that is not set makes it.

    As a Path that would be the current directory: its XML files would be the guests, or it would get theirs.
    """
    if not text:
        raise typer.BadParameter("the name is empty; . is the current directory")
    return Path(text)


Snapshot = Annotated[
    Path | None,
    typer.Option(
        "--snapshot",
        parser=path,
        metavar="FILE|DIR",
        envvar="NUMAPLAN_SNAPSHOT",
        help="A captured host: a directory with sys/ and proc/ below it, a tar of one, or inventory JSON. "
        "Without it: this machine.",
    ),
]
Synthetic = Annotated[
    str | None,
    typer.Option(
        "--synthetic",
        metavar="SPEC",
        help="A hypothetical host, described in words: "
        '"2 nodes, 64 cores, 2 threads, 384GiB; 1GiB=128; ens1f0@0: 16 VFs" (docs/synthetic.md).',
    ),
]
Domains = Annotated[
    Path | None,
    typer.Option(
        "--domains",
        parser=path,
        metavar="DIR",
        help="Take guests from a directory of libvirt domain XML files (*.xml).",
    ),
]
Connect = Annotated[
    str | None,
    typer.Option(
        "--connect",
        "-c",
        metavar="URI",
        help="Take guests from this libvirt, such as qemu:///system or qemu+ssh://host/system. "
        "Default on the live host: its own libvirt, if one answers.",
    ),
]
HostProfile = Annotated[
    str | None,
    typer.Option(
        "--host-profile", metavar="NAME", help="A host profile; keys of vnf.yaml's host section override its keys."
    ),
]
Vnf = Annotated[Path, typer.Argument(metavar="VNF.YAML", help="The guests to place.")]


def finite(seconds: float | None) -> float | None:
    """A number of seconds; a usage error where it is none that ends, such as inf and nan."""
    if seconds is not None and not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds")
    return seconds


def where(snapshot: Path | None, domains: Path | None, connect: str | None, *, synthetic: str | None = None) -> Where:
    """What these options say; a usage error where they contradict each other."""
    if domains is not None and connect is not None:
        raise typer.BadParameter("guests come from --domains or from --connect, not from both")
    if synthetic is not None and snapshot is not None and str(snapshot) == os.environ.get("NUMAPLAN_SNAPSHOT"):
        # What is said on the command line comes before what the environment says.
        snapshot = None
    if synthetic is not None and (snapshot is not None or connect is not None):
        other = "--connect" if snapshot is None else "--snapshot"
        raise typer.BadParameter(f"a host is described by --synthetic or read with {other}, not both")
    return Where(snapshot, domains, connect, synthetic)


def read_once(*inputs: tuple[str, Path | None]) -> None:
    """A usage error where several of these, by their names, are standard input: the first leaves nothing to others."""
    names = [name for name, path in inputs if path is not None and is_standard_input(path)]
    if len(names) > 1:
        raise typer.BadParameter(f"only one of {', '.join(names[:-1])} and {names[-1]} can be read from standard input")
