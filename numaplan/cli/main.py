"""The ``numaplan`` command. Each verb imports what it needs when it runs."""

import gc
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from numaplan import __version__
from numaplan.cli.failure import written
from numaplan.cli.forms import print_note
from numaplan.cli.verbs.apply import apply
from numaplan.cli.verbs.audit import audit
from numaplan.cli.verbs.capacity import capacity
from numaplan.cli.verbs.capture import capture
from numaplan.cli.verbs.explain import explain
from numaplan.cli.verbs.inventory import inventory
from numaplan.cli.verbs.place import place
from numaplan.cli.verbs.rebalance import rebalance
from numaplan.cli.verbs.recover import recover
from numaplan.cli.verbs.rollback import rollback
from numaplan.cli.verbs.schema import schema
from numaplan.cli.verbs.verify import verify
from numaplan.errors import ExitCode
from numaplan.sources.state import command, open_transactions
from numaplan.sources.streams import NO_ROOM, open_standard_streams, to_nowhere

_HELP: Final = """Plans, proves and audits where VNFs lie on a KVM host: CPUs, memory nodes, hugepages and VFs.

\b
Examples, on the captured host that ships with numaplan:
  numaplan inventory --snapshot fixtures/sysfs/16-2n4c2t-sriov
  numaplan place examples/vnf.yaml --snapshot fixtures/sysfs/16-2n4c2t-sriov --domains examples/domains
  numaplan audit --snapshot fixtures/sysfs/16-2n4c2t-sriov --domains examples/badly-placed
"""

_SELDOM: Final = 1_000_000


class _Commands(TyperGroup):
    """The verbs. What is printed before one of them runs, such as its help, may find nobody or no room too."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401  # passed on
        """The context in which the options before the verb are read."""
        with written():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # passed on
        """Reads what stands after the verb, and runs it."""
        with written():
            return super().invoke(ctx)


app = typer.Typer(
    name="numaplan",
    cls=_Commands,
    help=_HELP,
    # Rich help costs 80 ms of every start.
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"numaplan {__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Takes the options that stand before the verb; says on any but ``recover`` that a transaction is open."""
    del version
    if context.invoked_subcommand != "recover" and (found := open_transactions()):
        print_note(
            f"numaplan: the transaction {found[0]} is open; unless another numaplan is at work, its guests are half"
            f" changed: run {command('recover')}\n"
        )


for _verb, _words in (
    (inventory, "Show a host, its devices and its guests"),
    (capture, "Write a host into one tar"),
    (place, "Place guests jointly, proven optimal"),
    (verify, "Check a plan"),
    (apply, "Carry a plan out: all of it, or none"),
    (capacity, "Count how many copies of a guest fit"),
    (rebalance, "Move guests to make room"),
    (rollback, "Put back what an applied plan replaced"),
    (recover, "Finish the rollback that a crash left open"),
    (audit, "Find placements that cost performance"),
    (explain, "Explain an audit rule"),
    (schema, "Print the JSON Schema of a document"),
):
    app.command(short_help=_words)(_verb)


def run() -> None:
    """The console script."""
    open_standard_streams()
    # A command lives for seconds and makes few cycles: looking for them costs a tenth of the time of a large host.
    gc.set_threshold(_SELDOM)
    try:
        app()
    except OSError as error:
        # All that is printed here is what is wrong with how the command was called.
        if not isinstance(error, BrokenPipeError) and error.errno not in NO_ROOM:
            raise
        to_nowhere(sys.stderr)
        sys.exit(ExitCode.USAGE)
