"""`numaplan schema`."""

from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import RecordKind, print_data


def schema(kind: Annotated[RecordKind, typer.Argument(metavar="DOCUMENT", help="The document to describe.")]) -> None:
    """Print the JSON Schema of a document, for editors and other tools.

    \b
    Example:
      numaplan schema vnf
    """
    with reported():
        from numaplan.api.schema import schema_of

        print_data(schema_of(kind.value), None)
