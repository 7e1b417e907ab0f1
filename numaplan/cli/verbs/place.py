"""`numaplan place`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import PlanFormat, print_data, print_note
from numaplan.cli.options import Connect, Domains, HostProfile, Snapshot, Vnf, where
from numaplan.errors import ExitCode

_CODES: Final = {"infeasible": ExitCode.INFEASIBLE, "unknown": ExitCode.UNDECIDED}


def place(
    vnf: Vnf,
    *,
    snapshot: Snapshot = None,
    domains: Domains = None,
    connect: Connect = None,
    form: Annotated[PlanFormat, typer.Option("-o", "--output", help="The form of the output.")] = PlanFormat.DIFF,
    out: Annotated[Path | None, typer.Option("--out", metavar="PLAN.JSON", help="Write the plan there too.")] = None,
    patched: Annotated[
        Path | None, typer.Option("--patched", metavar="DIR", help="Write the patched XML of every guest there.")
    ] = None,
    host_profile: HostProfile = None,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", metavar="S", min=0.1, help="Seconds; without it the work is limited, not time."),
    ] = None,
    change_guest_topology: Annotated[
        bool,
        typer.Option("--change-guest-topology", help="Replace a <numa> or <topology> that the guest's XML has."),
    ] = False,
) -> None:
    """Place all guests of VNF.YAML jointly and show the patch to their libvirt XML. Nothing is changed.

    \b
    Exit codes: 0 placed, 4 proven impossible (with the reason), 5 bad input, 11 neither plan nor proof.

    \b
    Examples:
      numaplan place vnf.yaml --snapshot host.tar.gz --domains xml/
      numaplan place vnf.yaml --domains xml/ --out plan.json --patched new/
    """
    with reported():
        from numaplan.api.place import place as place_guests
        from numaplan.api.place import read_question
        from numaplan.cli.show_plan import plan_document, plan_text, summary
        from numaplan.sources.files import write_files, write_text

        question = read_question(vnf, where(snapshot, domains, connect), host_profile=host_profile)
        answer = place_guests(question, time_limit_s=time_limit, change_topology=change_guest_topology)
        text = plan_text(answer, form)
        if patched is not None and answer.plan.placements:
            write_files(patched, {guest.file: guest.new for guest in answer.guests if guest.old is not None})
        if out is not None:
            write_text(out, plan_document(answer.plan), mode=0o600)
        print_data(text, None)
        # The table says it all itself.
        if form is not PlanFormat.TABLE:
            print_note(summary(answer.plan))
        code = _CODES.get(answer.plan.status.value, ExitCode.DONE)
        if code is not ExitCode.DONE:
            raise typer.Exit(code)
