"""`numaplan explain`."""

from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import print_data


def explain(rule: Annotated[str, typer.Argument(metavar="RULE", help="An audit rule, such as NP101.")]) -> None:
    """Explain an audit rule: what it finds, why that matters, and how to fix it.

    \b
    Example:
      numaplan explain NP103
    """
    with reported():
        from numaplan.api.explain import explain_rule

        print_data(explain_rule(rule), None)
