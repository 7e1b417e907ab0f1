"""`numaplan rebalance`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import print_data
from numaplan.cli.options import Connect, Domains, HostProfile, Snapshot, read_once, where
from numaplan.errors import ExitCode

_CODES: Final = {"infeasible": ExitCode.INFEASIBLE, "unknown": ExitCode.UNDECIDED}


class MovesFormat(StrEnum):
    """``rebalance -o``."""

    TABLE = "table"
    JSON = "json"


def rebalance(
    vnf: Annotated[
        Path | None,
        typer.Argument(metavar="VNF.YAML", readable=False, help="The guests to make room for, all of them."),
    ] = None,
    *,
    snapshot: Snapshot,
    domains: Domains = None,
    connect: Connect = None,
    host_profile: HostProfile = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="NAME", help="A guest that must not be moved; may be repeated."),
    ] = None,
    form: Annotated[MovesFormat, typer.Option("-o", "--output", help="Output format.")] = MovesFormat.TABLE,
) -> None:
    """Find the fewest and cheapest moves of existing guests, in an order in which each step is possible.

    With VNF.YAML they make room for its guests. Without, or where its list of vms is empty, they leave no guest on
    several nodes, far from its memory or devices, or on a CPU that another one has. Nothing is changed.

    \b
    Exit codes: 0 moves found, or none needed; 4 proven impossible (with the reason), 5 bad input, 11 neither.

    \b
    Examples:
      numaplan rebalance vnf.yaml --snapshot host.tar.gz --domains xml/
      numaplan rebalance --domains /etc/libvirt/qemu --keep database
    """
    with reported():
        from numaplan.api.rebalance import rebalance_host

        host = where(snapshot, domains, connect)
        read_once(("VNF.YAML", vnf), ("--snapshot", host.source))
        moves = rebalance_host(vnf, host, host_profile=host_profile, keep=keep or ())
        if form is MovesFormat.JSON:
            from numaplan.records.moves import moves_json

            print_data(moves_json(moves), None)
        else:
            from numaplan.report.moves import moves_table

            print_data(moves_table(moves), None)
        code = _CODES.get(moves.status.value, ExitCode.DONE)
        if code is not ExitCode.DONE:
            raise typer.Exit(code)
