"""Transactions of before: which there are, how to finish the rollback of open ones, how to take one back."""

from collections.abc import Callable

from numaplan.apply.files import SCHEME, FilesTarget
from numaplan.apply.journal import Entry, find_store
from numaplan.apply.libvirt import LibvirtTarget
from numaplan.apply.recover import Recovered, RolledBack, recover, roll_back
from numaplan.apply.step import Target
from numaplan.errors import InputError
from numaplan.sources.definitions import Definitions
from numaplan.sources.state import state_path


def open_target(address: str) -> Target:
    """Where the guests of a journal are defined; raises InputError for an address of no kind, BackendError."""
    return FilesTarget.at(address) if address.startswith(SCHEME) else LibvirtTarget(Definitions(address))


def transactions() -> tuple[Entry, ...]:
    """Every transaction that there is, oldest first; raises BackendError where the state directory is not safe."""
    store = find_store()
    return () if store is None else store.entries()


def recover_transactions(*, lock_timeout_s: float) -> tuple[Recovered, ...]:
    """Finishes the rollback of every open transaction; raises BackendError where another run is at work."""
    store = find_store()
    if store is None:
        return ()
    with store.locked(timeout_s=lock_timeout_s):
        return recover(store, open_target, lock_timeout_s=lock_timeout_s)


def accept_transaction(identity: str, *, lock_timeout_s: float) -> None:
    """Closes an open transaction and leaves its guests as they are; raises InputError for an id that is none."""
    store = find_store()
    if store is None:
        raise InputError(f"there is no transaction {identity[:80]!a}", str(state_path()))
    with store.locked(timeout_s=lock_timeout_s):
        if identity not in store.open_ids():
            listed = ", ".join(store.open_ids()) or "none"
            raise InputError(f"no transaction {identity[:80]!a} is open", str(store.path), f"open are: {listed}")
        store.accept(identity)


def roll_back_transaction(identity: str, *, lock_timeout_s: float, interrupted: Callable[[], bool]) -> RolledBack:
    """Takes a committed transaction back; see `roll_back` for what it raises."""
    store = find_store()
    if store is None:
        raise InputError(f"there is no transaction {identity[:80]!a}", str(state_path()), "nothing was applied yet")
    with store.locked(timeout_s=lock_timeout_s):
        return roll_back(store, identity, open_target, lock_timeout_s=lock_timeout_s, interrupted=interrupted)
