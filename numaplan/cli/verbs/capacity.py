"""`numaplan capacity`."""

from typing import Annotated, Final

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import CapacityFormat, print_data, print_note
from numaplan.cli.options import Connect, Domains, HostProfile, Snapshot, Synthetic, Vnf, read_once, where
from numaplan.errors import ExitCode

_CODES: Final = {"infeasible": ExitCode.INFEASIBLE, "unknown": ExitCode.UNDECIDED}


def capacity(
    vnf: Vnf,
    *,
    snapshot: Snapshot,
    synthetic: Synthetic = None,
    domains: Domains = None,
    connect: Connect = None,
    vm: Annotated[
        str | None,
        typer.Option("--vm", metavar="NAME", help="The vm to count copies of; optional if there is only one."),
    ] = None,
    form: Annotated[CapacityFormat, typer.Option("-o", "--output", help="Output format.")] = CapacityFormat.TABLE,
    host_profile: HostProfile = None,
) -> None:
    """Count how many copies of a vm of VNF.YAML fit at once, and say what one more would need.

    The other required guests of VNF.YAML are placed beside them, jointly; the `count` of the vm itself is ignored.

    \b
    Exit codes: 0 counted, 4 the other guests alone have no place (proven), 5 bad input, 11 neither plan nor proof.

    \b
    Examples:
      numaplan capacity vnf.yaml --vm firewall --snapshot host.tar.gz --domains xml/
      numaplan capacity vnf.yaml --synthetic "2 nodes, 64 cores, 2 threads, 384GiB; ens1f0@0: 16 VFs"
    """
    with reported():
        from numaplan.api.capacity import capacity as count_copies
        from numaplan.api.question import read_question
        from numaplan.cli.show_capacity import capacity_text
        from numaplan.cli.show_plan import summary
        from numaplan.model.plan import Plan

        host = where(snapshot, domains, connect, synthetic=synthetic)
        read_once(("VNF.YAML", vnf), ("--snapshot", host.source))
        found = count_copies(read_question(vnf, host, host_profile=host_profile), vm)
        if isinstance(found, Plan):
            print_note(summary(found))
            raise typer.Exit(_CODES[found.status.value])
        print_data(capacity_text(found, form), None)
