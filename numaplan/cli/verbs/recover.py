"""`numaplan recover`."""

from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import print_data


def recover(
    *,
    accept: Annotated[
        str | None,
        typer.Option("--accept", metavar="ID", help="Close this open transaction and leave its guests as they are."),
    ] = None,
    lock_timeout: Annotated[
        float, typer.Option("--lock-timeout", metavar="S", min=0, help="Seconds to wait for another numaplan.")
    ] = 0.0,
) -> None:
    """Finish the rollback of transactions that a crash or a failure left open: restore definitions and pins.

    A guest that somebody else has changed since is left as it is; the journal keeps both texts.

    \b
    Exit codes: 0 done, or nothing to do; 7 a target cannot be reached; 9 something could not be put back.

    \b
    Example:
      numaplan recover
    """
    with reported():
        from numaplan.api.recover import accept_transaction, recover_transactions
        from numaplan.cli.interrupts import interruptible
        from numaplan.cli.show_recover import error_of, recovered_text

        if accept is not None:
            accept_transaction(accept, lock_timeout_s=lock_timeout)
            print_data(f"transaction {accept}: accepted; its guests are as they were found\n", None)
            return
        # Once begun it goes to its end: that is what an interrupt would ask for.
        with interruptible():
            recovered = recover_transactions(lock_timeout_s=lock_timeout)
        print_data(recovered_text(recovered), None)
        if (error := error_of(recovered)) is not None:
            raise error
