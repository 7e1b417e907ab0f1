"""`numaplan inventory`."""

from pathlib import Path
from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import InventoryFormat, print_data
from numaplan.cli.options import Connect, Domains, Snapshot, Synthetic, not_over, where
from numaplan.errors import DegradedError, Problem


def inventory(
    *,
    snapshot: Snapshot,
    synthetic: Synthetic = None,
    domains: Domains = None,
    connect: Connect = None,
    form: Annotated[InventoryFormat, typer.Option("-o", "--output", help="Output format.")] = InventoryFormat.TABLE,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", readable=False, help="Write there, not to stdout.")
    ] = None,
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
    host = where(snapshot, domains, connect, synthetic=synthetic)
    not_over(out, host.source, domains=[host.domains])
    with reported():
        from numaplan.api.inventory import take_inventory
        from numaplan.cli.show_inventory import inventory_text

        taken = take_inventory(host)
        print_data(inventory_text(taken, form, wide=wide), out)
        if strict and taken.gaps:
            raise DegradedError.of(tuple(Problem(gap.why, gap.what) for gap in taken.gaps))
