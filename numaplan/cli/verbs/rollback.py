"""`numaplan rollback`."""

from typing import Annotated

import typer

from numaplan.cli.failure import reported
from numaplan.cli.forms import print_data


def rollback(
    transaction: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="The transaction to roll back; without it, transactions are listed."),
    ] = None,
    *,
    lock_timeout: Annotated[
        float, typer.Option("--lock-timeout", metavar="S", min=0, help="Seconds to wait for another numaplan.")
    ] = 0.0,
) -> None:
    """Give the guests of an applied plan what they had before it: all of them, or none.

    Refused where one of them was changed since. It is a transaction of its own, which can be rolled back in turn.

    \b
    Exit codes: 0 done; 5 there is no such transaction; 6 a guest was changed since; 7 a target cannot be reached;
    8 failed, and everything is as it was; 9 failed, and something could not be put back.

    \b
    Examples:
      numaplan rollback
      numaplan rollback 20261126T173812.123456Z-1a2b3c4d
    """
    with reported():
        from numaplan.api.recover import roll_back_transaction, transactions
        from numaplan.cli.interrupts import interruptible
        from numaplan.cli.show_recover import entries_text, rolled_back_text

        if transaction is None:
            print_data(entries_text(transactions()), None)
            return
        with interruptible() as interrupted:
            done = roll_back_transaction(transaction, lock_timeout_s=lock_timeout, interrupted=interrupted)
        print_data(rolled_back_text(done), None)
