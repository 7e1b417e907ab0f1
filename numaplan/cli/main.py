"""The ``numaplan`` command: its verbs with their options. Each verb imports what it needs when it runs."""

import gc
from pathlib import Path
from typing import Annotated, Final

import typer

from numaplan import __version__
from numaplan.api.where import Where
from numaplan.cli.failure import reported
from numaplan.cli.forms import (
    AuditFormat,
    FailOn,
    InventoryFormat,
    PlanFormat,
    RecordKind,
    print_data,
    print_note,
)
from numaplan.errors import DegradedError, ExitCode, Problem

_HELP: Final = """Plans, proves and audits where VNFs lie on a KVM host: CPUs, memory nodes, hugepages and VFs.

\b
Examples, on the captured host that ships with numaplan:
  numaplan inventory --snapshot fixtures/sysfs/16-2n4c2t-sriov
  numaplan place examples/vnf.yaml --snapshot fixtures/sysfs/16-2n4c2t-sriov --domains examples/domains
  numaplan audit --snapshot fixtures/sysfs/16-2n4c2t-sriov --domains examples/badly-placed
"""

_SELDOM: Final = 1_000_000

app = typer.Typer(
    name="numaplan",
    help=_HELP,
    # Rich help costs 80 ms of every start.
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Snapshot = Annotated[
    Path | None,
    typer.Option(
        "--snapshot",
        metavar="FILE|DIR",
        envvar="NUMAPLAN_SNAPSHOT",
        help="A captured host: a directory with sys/ and proc/ below it, a tar of one, or inventory JSON. "
        "Without it: this machine.",
    ),
]
Domains = Annotated[
    Path | None,
    typer.Option("--domains", metavar="DIR", help="Guests: a directory of libvirt domain XML files (*.xml)."),
]
Connect = Annotated[
    str | None,
    typer.Option(
        "--connect",
        "-c",
        metavar="URI",
        help="Guests: of the libvirt there, such as qemu:///system or qemu+ssh://host/system. "
        "Without it the live host's own, where one answers.",
    ),
]
HostProfile = Annotated[
    str | None,
    typer.Option("--host-profile", metavar="NAME", help="A host profile, under the host section of vnf.yaml."),
]
Vnf = Annotated[Path, typer.Argument(metavar="VNF.YAML", help="The guests to place.")]


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"numaplan {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Takes the options that stand before the verb."""
    del version


@app.command()
def inventory(
    *,
    snapshot: Snapshot = None,
    domains: Domains = None,
    connect: Connect = None,
    form: Annotated[InventoryFormat, typer.Option("-o", "--output", help="The form of the output.")] = (
        InventoryFormat.TABLE
    ),
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there, not to stdout.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="The table with everything in it.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 10 where something could not be read.")] = False,
) -> None:
    """Show a host: packages, NUMA nodes, cores, caches, hugepages, PFs and VFs, guests, and what the kernel is set to.

    \b
    Examples:
      numaplan inventory
      numaplan inventory --wide
      numaplan inventory -o svg --out host.svg
      numaplan inventory --snapshot host.tar.gz -o json
    """
    with reported():
        from numaplan.api.inventory import take_inventory
        from numaplan.cli.show_inventory import inventory_text

        taken = take_inventory(_where(snapshot, domains, connect))
        print_data(inventory_text(taken, form, wide=wide), out)
        if strict and taken.gaps:
            raise DegradedError.of(tuple(Problem(gap.why, gap.what) for gap in taken.gaps))


@app.command()
def capture(
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.tar.gz", help="A .tar, .tar.gz, .tar.xz, .tar.bz2 or .tar.zst.")
    ],
    snapshot: Snapshot = None,
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
    with reported():
        from numaplan.api.capture import capture_host

        captured = capture_host(snapshot, out, anonymize=anonymize)
        print_note(f"{out}: {captured.files} files, {len(captured.snapshot.gaps)} gaps\n")


@app.command()
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

        question = read_question(vnf, _where(snapshot, domains, connect), host_profile=host_profile)
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


_CODES: Final = {"infeasible": ExitCode.INFEASIBLE, "unknown": ExitCode.UNDECIDED}


@app.command()
def verify(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="The plan to check.")],
    vnf: Vnf,
    *,
    snapshot: Snapshot = None,
    domains: Domains = None,
    connect: Connect = None,
    host_profile: HostProfile = None,
) -> None:
    """Check a plan against the request and the host, by code that shares nothing with the search.

    \b
    Exit codes: 0 valid, 3 violated.

    \b
    Example:
      numaplan verify plan.json vnf.yaml --snapshot host.tar.gz --domains xml/
    """
    with reported():
        from numaplan.api.place import read_question
        from numaplan.api.verify import verify_plan

        question = read_question(vnf, _where(snapshot, domains, connect), host_profile=host_profile)
        parsed, violations = verify_plan(plan, question)
        for violation in violations:
            print_data(f"{violation.vm or 'host'}: {violation.constraint}: {violation.sentence}\n", None)
        if violations:
            raise typer.Exit(ExitCode.FINDINGS)
        print_data(f"valid: {parsed.status.value}, {len(parsed.placements)} guests\n", None)


@app.command()
def audit(
    *,
    snapshot: Snapshot = None,
    domains: Domains = None,
    connect: Connect = None,
    form: Annotated[AuditFormat, typer.Option("-o", "--output", help="The form of the output.")] = AuditFormat.TABLE,
    fail_on: Annotated[FailOn, typer.Option("--fail-on", help="Exit 3 at findings of this severity or above.")] = (
        FailOn.ERROR
    ),
) -> None:
    """Find placements that cost performance, with the evidence and the fix.

    \b
    Examples:
      numaplan audit --domains /etc/libvirt/qemu
      numaplan audit --snapshot host.tar.gz --domains xml/ -o json --fail-on warning
    """
    with reported():
        from numaplan.api.audit import audit_host
        from numaplan.cli.show_audit import audit_text

        report = audit_host(_where(snapshot, domains, connect))
        print_data(audit_text(report, form), None)
        if any(fail_on.includes(finding.severity.value) for finding in report.findings):
            raise typer.Exit(ExitCode.FINDINGS)


@app.command()
def explain(rule: Annotated[str, typer.Argument(metavar="RULE", help="An audit rule, such as NP101.")]) -> None:
    """Explain an audit rule: what it finds, why that matters, and how to fix it.

    \b
    Example:
      numaplan explain NP103
    """
    with reported():
        from numaplan.api.explain import explain_rule

        print_data(explain_rule(rule), None)


@app.command()
def schema(kind: Annotated[RecordKind, typer.Argument(help="Which document.")]) -> None:
    """Print the JSON Schema of a document, for editors and other tools.

    \b
    Example:
      numaplan schema vnf
    """
    with reported():
        from numaplan.api.schema import schema_of

        print_data(schema_of(kind.value), None)


def _where(snapshot: Path | None, domains: Path | None, connect: str | None) -> Where:
    if domains is not None and connect is not None:
        raise typer.BadParameter("guests come from --domains or from --connect, not from both")
    return Where(snapshot, domains, connect)


def run() -> None:
    """The console script."""
    # A command lives for seconds and makes few cycles: looking for them costs a tenth of the time of a large host.
    gc.set_threshold(_SELDOM)
    app()
