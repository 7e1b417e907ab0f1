"""`numaplan apply`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import ApplyFormat, print_data, print_note
from numaplan.cli.options import Connect, Domains, Snapshot, read_once, where
from numaplan.errors import ExitCode


def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", readable=False, help="A plan that place --out wrote.")],
    *,
    snapshot: Snapshot,
    domains: Domains = None,
    connect: Connect = None,
    config: Annotated[
        bool, typer.Option("--config", help="Change the definitions, used at the next start (default).")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Only re-pin the threads of running guests, now.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Both --config and --live.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without it a terminal is asked.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Change guests too that Nova, oVirt or KubeVirt made.")
    ] = False,
    lock_timeout: Annotated[
        float, typer.Option("--lock-timeout", metavar="S", min=0, help="Seconds to wait for another numaplan.")
    ] = 0.0,
    form: Annotated[ApplyFormat, typer.Option("-o", "--output", help="Output format.")] = ApplyFormat.DIFF,
) -> None:
    """Carry a plan out: all of its guests, or none. Without --yes it only shows what would change.

    The host is read again first, and a plan that no longer fits it is refused with what changed since. What is
    replaced is kept: numaplan rollback puts it back.

    \b
    Exit codes: 0 done (or shown), 3 done but not all is as planned, 5 bad plan, 6 the plan is stale,
    7 no permission, 8 failed and undone, 9 failed and not all undone.

    \b
    Examples:
      numaplan apply plan.json
      numaplan apply plan.json --connect qemu:///system --both --yes
      numaplan apply plan.json --snapshot host.tar.gz --domains xml/ --yes
    """
    if config + live + both > 1:
        raise typer.BadParameter("--config, --live and --both are three ways to do it: give one")
    host = where(snapshot, domains, connect)
    read_once(("PLAN.JSON", plan), ("--snapshot", host.source))
    with reported():
        from numaplan.api.apply import Carrying, Mode, await_turn, carry_out, prepare
        from numaplan.cli.interrupts import interruptible
        from numaplan.cli.show_applied import application_text
        from numaplan.report.applied import change_lines, outcome_lines
        from numaplan.sources.state import command

        mode = Mode.LIVE if live else Mode.BOTH if both else Mode.CONFIG
        carrying = Carrying(plan, host, mode, force=force)
        if yes and lock_timeout:
            await_turn(lock_timeout_s=lock_timeout)
        prepared = prepare(carrying)
        shown = prepared.shown
        told: tuple[str, ...] = ()
        confirmed = yes and bool(prepared.steps)
        if prepared.steps and not yes and _is_read_by_somebody():
            told = (application_text(shown, form), *change_lines(shown))
            print_data(told[0], None)
            print_note(_lines(told[1:]))
            confirmed = typer.confirm("Carry it out?", default=False, err=True)
        if confirmed:
            with interruptible() as interrupted:
                shown = carry_out(prepared, carrying, lock_timeout_s=lock_timeout, interrupted=interrupted)
        try:
            text = application_text(shown, form)
            print_data("" if text in told else text, None)
        finally:
            # Whoever cannot read the data any more, a full disk or `head`, needs the id all the same.
            undo = None if shown.transaction is None else command("rollback", shown.transaction)
            lines = (*change_lines(shown), *outcome_lines(shown, undo=undo))
            print_note(_lines([line for line in lines if line not in told]))
        if shown.differences:
            raise typer.Exit(ExitCode.FINDINGS)


def _is_read_by_somebody() -> bool:
    """Whether there is a terminal that can be asked; a pipe never says yes."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
