"""`numaplan verify`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import line, print_data, print_note
from numaplan.cli.options import Connect, Domains, HostProfile, Snapshot, Synthetic, Vnf, read_once, where
from numaplan.errors import ExitCode
from numaplan.units import format_count

# Of a plan for another host everything is wrong.
_MOST_TOLD: Final = 1_000


def verify(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", readable=False, help="The plan to check.")],
    vnf: Vnf,
    *,
    snapshot: Snapshot,
    synthetic: Synthetic = None,
    domains: Domains = None,
    connect: Connect = None,
    host_profile: HostProfile = None,
) -> None:
    """Check a plan against the request and the host, by code that shares nothing with the search.

    The request that the plan carries, by which it is carried out, must be that of vnf.yaml. Not checked, as only a
    search can tell: that nothing fits, and that no better plan exists. Of what place --why wrote, only the nodes of
    the next best place are checked, and its cost for guests with strict memory and no VFs or devices; not that the
    guest has room there, and no sentence.

    \b
    Exit codes: 0 valid, 3 violated.

    \b
    Example:
      numaplan verify plan.json vnf.yaml --snapshot host.tar.gz --domains xml/
    """
    with reported():
        from numaplan.api.question import read_question
        from numaplan.api.verify import verify_plan

        host = where(snapshot, domains, connect, synthetic=synthetic)
        read_once(("PLAN.JSON", plan), ("VNF.YAML", vnf), ("--snapshot", host.source))
        question = read_question(vnf, host, host_profile=host_profile)
        verdict = verify_plan(plan, question)
        for violation in verdict.violations[:_MOST_TOLD]:
            print_data(line(f"{violation.vm or 'host'}: {violation.constraint}: {violation.sentence}"), None)
        if len(verdict.violations) > _MOST_TOLD:
            print_data(f"and {len(verdict.violations) - _MOST_TOLD} more\n", None)
        if not verdict.same_host:
            print_note("note: the host or its guests are not as they were when the plan was made (fingerprint)\n")
        if not verdict.as_written:
            print_note("note: the plan was changed since numaplan wrote it (checksum): apply refuses it\n")
        if verdict.violations:
            raise typer.Exit(ExitCode.FINDINGS)
        doubt = "" if verdict.plan.placements else "; it places nothing, and that nothing fits is not checked"
        placed = format_count(len(verdict.plan.placements), "guest")
        print_data(f"valid: {verdict.plan.status.value}, {placed}{doubt}\n", None)
