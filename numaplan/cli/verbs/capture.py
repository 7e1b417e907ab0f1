"""`numaplan capture`."""

from pathlib import Path
from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import line, print_note
from numaplan.cli.options import Snapshot, not_over, the_only


def capture(
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE.tar.gz", readable=False, help="A .tar, .tar.gz, .tar.xz, .tar.bz2 or .tar.zst."
        ),
    ],
    snapshot: Snapshot,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Replace MACs, serials, UUIDs, addresses, host and guest names.")
    ] = False,
) -> None:
    """Write a host into one tar that replays to the identical inventory elsewhere.

    It holds the files of /sys and /proc that the inventory reads, and what netlink, udev, libvirt and Open vSwitch say.

    \b
    Examples:
      numaplan capture --out host.tar.gz
      numaplan capture --out host.tar.gz --anonymize
    """
    source = the_only("--snapshot", snapshot)
    not_over(out, source)
    with reported():
        from numaplan.api.capture import capture_host

        captured = capture_host(source, out, anonymize=anonymize)
        print_note(line(f"{out}: {captured.files} files, {len(captured.snapshot.gaps)} gaps"))
