"""`numaplan audit`."""

from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import AuditFormat, FailOn, print_data
from numaplan.cli.options import Connect, Domains, Snapshot, Synthetic, where
from numaplan.errors import ExitCode


def audit(
    *,
    snapshot: Snapshot,
    synthetic: Synthetic = None,
    domains: Domains = None,
    connect: Connect = None,
    form: Annotated[AuditFormat, typer.Option("-o", "--output", help="Output format.")] = AuditFormat.TABLE,
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

        report = audit_host(where(snapshot, domains, connect, synthetic=synthetic))
        print_data(audit_text(report, form), None)
        if any(fail_on.includes(finding.severity.value) for finding in report.findings):
            raise typer.Exit(ExitCode.FINDINGS)
