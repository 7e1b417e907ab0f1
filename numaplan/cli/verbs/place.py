"""`numaplan place`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from numaplan.api.where import Where
from numaplan.cli.failure import reported
from numaplan.cli.forms import PlanFormat, print_data, print_note
from numaplan.cli.options import (
    Connect,
    HostProfile,
    Synthetic,
    Vnf,
    finite,
    not_over,
    path,
    read_once,
    snapshot_of_environment,
    where,
)
from numaplan.errors import ExitCode
from numaplan.units import format_count

_FORMS: Final = (
    "Output format: a diff of the guests' XML, the XML, a table, JSON; or the plan in the words of another"
    " tool: virsh (pins of running guests), virt-install and qemu (options for new ones), nova (flavors), vmx (ESXi)."
    " What a tool has no words for is said on stderr."
)
_CODES: Final = {"infeasible": ExitCode.INFEASIBLE, "unknown": ExitCode.UNDECIDED}


def place(
    vnf: Vnf,
    *,
    snapshot: Annotated[
        list[Path],
        typer.Option(
            "--snapshot",
            parser=path,
            metavar="FILE|DIR",
            default_factory=snapshot_of_environment,
            show_default="NUMAPLAN_SNAPSHOT",
            help="A captured host: a directory with sys/ and proc/ below it, a tar of one, or inventory JSON. "
            "Without it: this machine. Several: which of these hosts takes the guests, best first.",
        ),
    ],
    domains: Annotated[
        list[Path] | None,
        typer.Option(
            "--domains",
            parser=path,
            metavar="DIR",
            help="Take guests from a directory of libvirt domain XML files (*.xml). "
            "With several hosts: one for each, or none.",
        ),
    ] = None,
    connect: Connect = None,
    synthetic: Synthetic = None,
    form: Annotated[PlanFormat, typer.Option("-o", "--output", help=_FORMS)] = PlanFormat.DIFF,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PLAN.JSON", readable=False, help="Write the plan there too.")
    ] = None,
    patched: Annotated[
        Path | None,
        typer.Option("--patched", parser=path, metavar="DIR", help="Write the patched XML of every guest there."),
    ] = None,
    host_profile: HostProfile = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            metavar="S",
            min=0.1,
            callback=finite,
            help="Seconds for a host, all in all; without it the work is limited, not time.",
        ),
    ] = None,
    change_guest_topology: Annotated[
        bool,
        typer.Option("--change-guest-topology", help="Replace a <numa> or <topology> that the guest's XML has."),
    ] = False,
    why: Annotated[bool, typer.Option("--why", help="Say what binds each guest to its place.")] = False,
) -> None:
    """Place all guests of VNF.YAML jointly and show the patch to their libvirt XML. Nothing is changed.

    \b
    With several --snapshot: on each host by itself. -o table and json have all hosts, a diff, XML,
    --out and --patched are those of the best.

    \b
    Exit codes: 0 placed, 4 proven impossible (with the reason), 5 bad input, 11 neither plan nor proof.

    \b
    Examples:
      numaplan place vnf.yaml --snapshot host.tar.gz --domains xml/
      numaplan place vnf.yaml --domains xml/ --out plan.json --patched new/
      numaplan place vnf.yaml --snapshot a.tar.gz --snapshot b.tar.gz -o table
    """
    wheres = _wheres(snapshot, domains or [], connect, synthetic)
    read_once(("VNF.YAML", vnf), *(("--snapshot", each.source) for each in wheres))
    not_over(out, vnf, *(each.source for each in wheres), domains=[each.domains for each in wheres])
    with reported():
        from numaplan.api.clock import Clock
        from numaplan.api.place import Asking
        from numaplan.api.place import place as place_guests
        from numaplan.api.question import read_question
        from numaplan.cli import show_plan
        from numaplan.cli.progress import progress_line
        from numaplan.sources.files import write_files, write_text

        with progress_line() as report:
            asking = Asking(time_limit, change_topology=change_guest_topology, why=why, report=report)
            if len(wheres) == 1:
                clock = Clock(time_limit)
                question = read_question(vnf, wheres[0], host_profile=host_profile)
                answer = place_guests(question, asking, clock)
                code = _CODES.get(answer.plan.status.value, ExitCode.DONE)
                if code is ExitCode.INFEASIBLE:
                    from numaplan.api.fixes import with_fixes

                    plan = with_fixes(question, answer.plan, change_topology=change_guest_topology, clock=clock)
                    answer = replace(answer, plan=plan)
                text, told = show_plan.plan_text(answer, form), show_plan.summary(answer.plan)
            else:
                from numaplan.api.hosts import place_on_each
                from numaplan.cli.show_hosts import comparison_summary, comparison_text

                comparison = place_on_each(vnf, wheres, asking, host_profile=host_profile)
                answer, code = comparison.answers[0], comparison.exit_code
                text, told = comparison_text(comparison, form), comparison_summary(comparison)
        if patched is not None and answer.plan.placements:
            write_files(patched, {guest.file: guest.new for guest in answer.guests if guest.old is not None})
        if out is not None:
            write_text(out, show_plan.plan_document(answer.plan), mode=0o600)
        print_data(text, None)
        # The table says it all itself.
        if form is not PlanFormat.TABLE:
            print_note(told + show_plan.target_notes(answer, form) + show_plan.why_lines(answer.plan))
        if code is not ExitCode.DONE:
            raise typer.Exit(code)


def _wheres(
    snapshots: list[Path], domains: list[Path], connect: list[str] | None, synthetic: str | None
) -> list[Where]:
    """A host each; a usage error where it is not clear which guests go with which host."""
    if len(snapshots) <= 1:
        return [where(snapshots, domains, connect, synthetic=synthetic)]
    if connect:
        raise typer.BadParameter("--connect has the guests of one host; with several, give --domains for each")
    if len(domains) not in (0, len(snapshots)):
        often = format_count(len(domains), "time")
        raise typer.BadParameter(
            f"--domains is given {often} and --snapshot {len(snapshots)} times; give one for each host, in the same"
            " order, or none"
        )
    guests = [[xml] for xml in domains] or [[]] * len(snapshots)
    return [where([host], xml, None, synthetic=synthetic) for host, xml in zip(snapshots, guests, strict=True)]
