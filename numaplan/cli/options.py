"""Options that several verbs share: where a host and its guests come from."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from numaplan.api.where import Where
from numaplan.sources.files import is_standard_input

Given = TypeVar("Given")


def path(text: str) -> Path:
    """A path; a usage error where it is empty, as a shell's variable that is not set makes it.

    As a Path that would be the current directory: its XML files would be the guests, or it would get theirs.
    """
    if not text:
        raise typer.BadParameter("the name is empty; . is the current directory")
    return Path(text)


def snapshot_of_environment() -> list[Path]:
    """One host: an option that may be given often would take the variable apart at each colon."""
    name = os.environ.get("NUMAPLAN_SNAPSHOT")
    return [Path(name)] if name else []


# Options that one host takes once are read as often as they are given: else the last would count, and nobody be told.
Snapshot = Annotated[
    list[Path],
    typer.Option(
        "--snapshot",
        parser=path,
        metavar="FILE|DIR",
        default_factory=snapshot_of_environment,
        show_default="NUMAPLAN_SNAPSHOT",
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
    list[Path] | None,
    typer.Option(
        "--domains",
        parser=path,
        metavar="DIR",
        help="Take guests from a directory of libvirt domain XML files (*.xml).",
    ),
]
Connect = Annotated[
    list[str] | None,
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
# Who opens a file says what is wrong with it: that it cannot be read is no matter of usage.
Vnf = Annotated[Path, typer.Argument(metavar="VNF.YAML", readable=False, help="The guests to place.")]


def finite(seconds: float | None) -> float | None:
    """A number of seconds; a usage error where it is none that ends, such as inf and nan."""
    if seconds is not None and not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds")
    return seconds


def the_only(option: str, given: Sequence[Given] | None) -> Given | None:
    """What an option that counts once was given; a usage error where that is more than one thing."""
    if given and len(given) > 1:
        raise typer.BadParameter(f"{option} is given {len(given)} times; this takes one")
    return given[0] if given else None


def where(
    snapshot: Sequence[Path],
    domains: Sequence[Path] | None,
    connect: Sequence[str] | None,
    *,
    synthetic: str | None = None,
) -> Where:
    """What these options say of one host; a usage error where they contradict each other or themselves."""
    if synthetic is not None and snapshot == snapshot_of_environment():
        # What is said on the command line comes before what the environment says.
        snapshot = []
    if domains and connect:
        raise typer.BadParameter("guests come from --domains or from --connect, not from both")
    if synthetic is not None and (snapshot or connect):
        other = "--snapshot" if snapshot else "--connect"
        raise typer.BadParameter(f"a host is described by --synthetic or read with {other}, not both")
    return Where(
        the_only("--snapshot", snapshot), the_only("--domains", domains), the_only("--connect", connect), synthetic
    )


def not_over(out: Path | None, *inputs: Path | None, domains: Sequence[Path | None] = ()) -> None:
    """A usage error where --out would take the place of a file that is read, or be read as a guest of `domains`."""
    if out is None:
        return
    for read in inputs:
        if read is not None and _is_of(out, read):
            raise typer.BadParameter(f"--out {out} would overwrite what is read: {read}")
    for directory in domains:
        if directory is not None and out.suffix == ".xml" and _is_same(out.parent, directory):
            raise typer.BadParameter(f"--out {out} would be a guest of --domains {directory}")


def _is_of(out: Path, read: Path) -> bool:
    """Whether it is that file, or one below the sys/ or proc/ of a capture in that directory."""
    try:
        within = out.resolve().relative_to(read.resolve()).parts[:-1] if out.exists() else ()
    except (OSError, ValueError):
        within = ()
    return _is_same(out, read) or not {"sys", "proc"}.isdisjoint(within)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        # One of them is not there, or no name of a file: who reads or writes it says so.
        return False


def read_once(*inputs: tuple[str, Path | None]) -> None:
    """A usage error where several of these, by their names, are standard input: the first leaves nothing to others."""
    names = [name for name, path in inputs if path is not None and is_standard_input(path)]
    if len(names) > 1:
        raise typer.BadParameter(f"only one of {', '.join(names[:-1])} and {names[-1]} can be read from standard input")
