"""Any number of failures in any order, edits by others among them: no definition is lost and no end is told wrongly."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.apply.journal import Standing, open_store
from numaplan.apply.recover import recover
from numaplan.apply.transaction import carry_out
from numaplan.errors import ExitCode, NumaplanError
from tests.apply.fake import FAULTS, Crash, FakeLibvirt, domain, normal
from tests.depth import draws

# How many a run of every day draws; 20,000 take five minutes.
EXAMPLES = draws(100)
CALLS = 40
THEIRS = b"<domain>theirs</domain>"
GUESTS = ("a", "b", "c", "d")

faults = st.dictionaries(st.integers(1, CALLS), st.sampled_from([*FAULTS, "crash"]), max_size=5)
edits = st.dictionaries(st.integers(1, CALLS), st.sampled_from(GUESTS), max_size=2)


def run(target: FakeLibvirt) -> int | None:
    """The exit code of an apply, None for a crash."""
    store = open_store()
    try:
        with store.locked(timeout_s=0):
            carry_out(target.steps(), target, store, interrupted=lambda: False)
    except NumaplanError as error:
        return int(error.exit_code)
    except Crash:
        return None
    return 0


def recovered(target: FakeLibvirt) -> None:
    store = open_store()
    try:
        with store.locked(timeout_s=0):
            recover(store, lambda _address: target, lock_timeout_s=0)
    except Crash:
        return


def prepared(plan: dict[int, str], by_others: dict[int, str]) -> tuple[FakeLibvirt, set[str]]:
    """A target, and the guests that somebody has really edited so far, in a window in which nobody can be kept out."""
    target = FakeLibvirt()
    edited: set[str] = set()
    for at, fault in plan.items():
        target.plan[at] = Crash() if fault == "crash" else fault

    def edit(guest: str) -> None:
        # Between the last look at a guest and its write, and between its write and the look after it, an edit of that
        # very guest can be seen by nobody.
        if target.calls[-1] != f"write {guest}":
            target.domains[guest] = THEIRS
            edited.add(guest)

    for at, guest in by_others.items():
        target.edits[at] = lambda guest=guest: edit(guest)  # type: ignore[misc]  # bound now
    return target, edited


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
@given(plan=faults, by_others=edits)
def test_no_definition_is_lost_and_no_end_is_told_wrongly(plan: dict[int, str], by_others: dict[int, str]) -> None:
    old = {guest: normal(domain(guest, "old")) for guest in GUESTS}
    new = {guest: normal(domain(guest, "new")) for guest in GUESTS}
    with (
        TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"NUMAPLAN_STATE": str(Path(folder) / "state")}),
        mock.patch.object(os, "fsync"),
    ):
        target, edited = prepared(plan, by_others)
        code = run(target)
        # What somebody else made is never written over.
        assert all(target.domains[guest] == THEIRS for guest in edited)
        mine = {guest: data for guest, data in target.domains.items() if guest not in edited}
        if code == 0:
            assert mine == {guest: new[guest] for guest in mine}
        elif code in {ExitCode.BACKEND, ExitCode.STALE, ExitCode.APPLY_FAILED}:
            assert mine == {guest: old[guest] for guest in mine}
        else:
            assert code in {None, ExitCode.ROLLBACK_INCOMPLETE}
            assert code is None or open_store().open_ids()
        recovered(target)
        recovered(target.healthy())
        mine = {guest: data for guest, data in target.domains.items() if guest not in edited}
        assert all(target.domains[guest] == THEIRS for guest in edited)
        end = new if code == 0 else old
        assert mine == {guest: end[guest] for guest in mine}
        # The texts of a transaction that an edit keeps open are all there.
        store = open_store()
        for identity in store.open_ids():
            assert edited
            assert store.load(identity, Standing.OPEN).steps[0].old == old["a"]
