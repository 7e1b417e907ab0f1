"""One transaction over a target that fails at any call, in any way; and what somebody else does meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.apply.journal import JournalStore, Standing, open_store
from numaplan.apply.recover import recover
from numaplan.apply.transaction import StoppedError, Transaction, carry_out
from numaplan.errors import ApplyError, BackendError, ExitCode, NumaplanError, RollbackError, StaleError
from numaplan.model.journal import StepState
from tests.apply.fake import ADDRESS, FAULTS, HANGS_AFTER, LIES, REFUSES, Crash, FakeLibvirt, domain, normal
from tests.apply.scene import Scene

pytestmark = pytest.mark.usefixtures("scene")


def apply(target: FakeLibvirt, interrupted: Callable[[], bool] = lambda: False) -> Transaction:
    store = open_store()
    with store.locked(timeout_s=0):
        return carry_out(target.steps(), target, store, interrupted=interrupted)


def recovered(target: FakeLibvirt) -> list[NumaplanError | None]:
    store = open_store()
    with store.locked(timeout_s=0):
        return [each.error for each in recover(store, lambda _address: target, lock_timeout_s=0)]


def standings() -> list[Standing]:
    return [entry.standing for entry in open_store().entries()]


def still_open() -> bool:
    return open_store().open_ids() != ()


def calls_of_apply() -> list[str]:
    target = FakeLibvirt()
    apply(target)
    return target.calls


def writing() -> int:
    """The number of the first call that writes."""
    return calls_of_apply().index("write a") + 1


def test_all_guests_are_new_and_what_they_read_back_as_is_told() -> None:
    target = FakeLibvirt()
    done = apply(target)
    assert target.standing() == "new"
    assert [(each.guest, each.data) for each in done.written] == [
        (guest, normal(domain(guest, "new"))) for guest in ("a", "b", "c", "d")
    ]
    assert [(entry.id, entry.standing) for entry in open_store().entries()] == [(done.id, Standing.COMMITTED)]


def test_every_guest_is_compared_before_the_first_is_written_and_read_back_right_after() -> None:
    assert calls_of_apply() == [
        *(f"read {guest}" for guest in "abcd"),
        *(f"{what} {guest}" for guest in "abcd" for what in ("read", "write", "read")),
        "settle",
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_target_that_fails_at_any_call_leaves_all_old(fault: str) -> None:
    for at in range(1, len(calls_of_apply()) + 1):
        target = FakeLibvirt()
        target.plan[at] = fault
        with pytest.raises(NumaplanError) as caught:
            apply(target)
        # Before the first guest is written nothing has to be undone.
        expected = ExitCode.BACKEND if at <= 4 else ExitCode.APPLY_FAILED
        assert caught.value.exit_code is expected, (at, fault)
        assert target.standing() == "old", (at, fault)
        assert not still_open()
        if expected is ExitCode.APPLY_FAILED:
            assert "no answer; everything is as it was" in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("second", FAULTS)
def test_a_second_failure_while_rolling_back_is_met_by_connecting_anew(fault: str, second: str) -> None:
    first = calls_of_apply().index("write d") + 1
    for then in range(first + 1, first + 12):
        target = FakeLibvirt()
        target.plan = {first: fault, then: second}
        with pytest.raises(NumaplanError) as caught:
            apply(target)
        open_still = still_open()
        if caught.value.exit_code is ExitCode.APPLY_FAILED:
            assert target.standing() == "old"
        else:
            assert caught.value.exit_code is ExitCode.ROLLBACK_INCOMPLETE
            assert open_still
        recovered(target.healthy())
        assert target.standing() == "old", (then, fault, second)
        assert not still_open()


def test_a_target_that_is_gone_for_good_leaves_a_journal_from_which_all_is_put_back() -> None:
    for at in range(writing() + 1, len(calls_of_apply()) + 1):
        target = FakeLibvirt()
        target.refuses_from = at
        with pytest.raises(RollbackError) as caught:
            apply(target)
        assert target.reopened == 1
        told = str(caught.value)
        assert "no answer; not everything could be put back" in told
        assert "numaplan recover" in told
        assert 'guest "a" is in a state that nobody knows' in told
        assert recovered(target.healthy()) == [None]
        assert target.standing() == "old"
        assert not still_open()


def test_a_crash_at_any_call_is_recovered_and_a_crash_of_that_recovery_too() -> None:
    calls = calls_of_apply()
    for at in range(5, len(calls) + 1):
        for then in range(1, 14):
            target = FakeLibvirt()
            target.plan[at] = Crash()
            with pytest.raises(Crash):
                apply(target)
            target.healthy().plan[len(target.calls) + then] = Crash()
            try:
                recovered(target)
                over = True
            except Crash:
                over = False
            assert recovered(target.healthy()) == ([] if over else [None])
            assert target.standing() == "old", (at, then)
            assert not still_open()


def test_a_write_that_comes_true_after_its_guest_was_found_old_is_put_back_all_the_same() -> None:
    target = FakeLibvirt()
    first = calls_of_apply().index("write d") + 1
    target.plan[first] = REFUSES

    def late() -> None:
        target.domains["d"] = normal(domain("d", "new"))

    # After d was read and found old, while c is put back.
    target.edits[first + 2] = late
    with pytest.raises(ApplyError, match="everything is as it was"):
        apply(target)
    assert target.standing() == "old"


@pytest.mark.parametrize("edited", ["a", "b", "c"])
@pytest.mark.parametrize("failing", ["write d", "settle"])
def test_an_edit_by_somebody_else_after_a_write_survives_the_rollback(edited: str, failing: str) -> None:
    target = FakeLibvirt()
    at = calls_of_apply().index(failing) + 1
    theirs = b"<domain>theirs</domain>"
    target.edits[at] = lambda: target.domains.update({edited: theirs})
    target.plan[at] = LIES
    with pytest.raises(RollbackError) as caught:
        apply(target)
    assert caught.value.exit_code is ExitCode.ROLLBACK_INCOMPLETE
    assert target.domains.pop(edited) == theirs
    assert target.standing() == "old"
    told = str(caught.value)
    assert f'guest "{edited}" is changed by somebody else since, and was left so' in told
    assert told.count("is as it was") == 3
    entry = open_store().entries()[-1]
    assert f"numaplan recover --accept {entry.id}" in told
    kept = open_store().load(entry.id, Standing.OPEN)
    step = kept.steps["abcd".index(edited)]
    assert (step.old, step.new) == (normal(domain(edited, "old")), domain(edited, "new"))
    assert str(open_store().path_of(entry.id, Standing.OPEN)) in told


def test_a_transaction_that_an_edit_keeps_open_blocks_others_until_it_is_accepted() -> None:
    target = FakeLibvirt()
    at = calls_of_apply().index("write d") + 1
    target.edits[at] = lambda: target.domains.update(a=b"theirs")
    target.plan[at] = REFUSES
    with pytest.raises(RollbackError):
        apply(target)
    assert [type(error) for error in recovered(target.healthy())] == [RollbackError]
    with pytest.raises(BackendError, match="is not over"):
        apply(target)
    store = open_store()
    with store.locked(timeout_s=0):
        store.accept(store.open_ids()[0])
    assert recovered(target) == []
    target.domains["a"] = normal(domain("a", "old"))
    apply(target)
    assert target.standing() == "new"


def test_a_guest_that_somebody_removed_is_told_and_not_made_again() -> None:
    target = FakeLibvirt()
    at = calls_of_apply().index("write d") + 1
    target.edits[at] = lambda: target.domains.__delitem__("b")
    target.plan[at] = REFUSES
    with pytest.raises(RollbackError, match='guest "b" is removed by somebody else since'):
        apply(target)
    assert sorted(target.domains) == ["a", "c", "d"]
    assert target.standing() == "old"


@pytest.mark.parametrize("edited", ["a", "c", "d"])
def test_an_edit_right_before_a_guest_is_written_is_kept_and_all_others_are_put_back(edited: str) -> None:
    target = FakeLibvirt()
    calls = calls_of_apply()
    # The second read of the guest, right before its write.
    at = calls.index(f"write {edited}")
    target.edits[at] = lambda: target.domains.update({edited: b"theirs"})
    with pytest.raises(ApplyError) as caught:
        apply(target)
    assert caught.value.exit_code is ExitCode.APPLY_FAILED
    assert f'the definition of guest "{edited}" was changed by somebody else; everything is as it was' in str(
        caught.value
    )
    assert target.domains.pop(edited) == b"theirs"
    assert target.standing() == "old"


def test_guests_that_are_not_what_the_steps_start_from_are_all_named_and_nothing_is_written() -> None:
    target = FakeLibvirt()
    steps = target.steps()
    target.domains["b"] = b"theirs"
    del target.domains["d"]
    store = open_store()
    with store.locked(timeout_s=0), pytest.raises(StaleError) as caught:
        carry_out(steps, target, store, interrupted=lambda: False)
    assert [problem.what for problem in caught.value.problems] == [
        'the definition of guest "b" was changed by somebody else',
        'guest "d" is gone, or does not run any more',
    ]
    assert not [call for call in target.calls if call.startswith("write")]
    assert standings() == []


def test_a_write_without_effect_that_is_called_done_is_a_failure() -> None:
    class Idle(FakeLibvirt):
        def write(self, guest: str, _kind: object, data: bytes) -> None:
            if guest != "c":
                super().write(guest, _kind, data)  # type: ignore[arg-type]  # whatever kind

    target = Idle()
    with pytest.raises(ApplyError, match='guest "c" is as before, though the write was said to be done'):
        apply(target)
    assert target.standing() == "old"


def test_a_guest_that_reads_back_as_something_else_is_somebody_elses() -> None:
    target = FakeLibvirt()
    at = calls_of_apply().index("write b") + 2
    target.edits[at] = lambda: target.domains.update(b=b"theirs")
    with pytest.raises(RollbackError, match="reads back as something else than was written"):
        apply(target)
    assert target.domains.pop("b") == b"theirs"
    assert target.standing() == "old"


def test_a_bug_in_a_target_is_rolled_back_and_stays_a_bug() -> None:
    target = FakeLibvirt()
    target.plan[calls_of_apply().index("write c") + 1] = TypeError("a bug")
    with pytest.raises(TypeError, match="a bug"):
        apply(target)
    assert target.standing() == "old"
    assert standings()[-1] is Standing.UNDONE


@pytest.mark.parametrize("finished", range(5))
def test_who_interrupts_gets_the_current_guest_finished_and_then_everything_back(finished: int) -> None:
    target = FakeLibvirt()
    asked = iter(range(10))
    with pytest.raises(StoppedError, match="interrupted; everything is as it was") as caught:
        apply(target, lambda: next(asked) >= finished)
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert sum(call.startswith("write") for call in target.calls) == 2 * finished
    assert target.standing() == "old"
    assert standings() == [Standing.UNDONE]


def test_a_journal_that_cannot_be_closed_after_the_rollback_is_told_and_recovered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = FakeLibvirt()
    at = calls_of_apply().index("write c") + 1
    target.plan = {at: REFUSES, at + 9: LIES, at + 10: LIES}
    with pytest.raises(ApplyError) as caught:
        apply(target)
    assert target.calls[at + 8] == "settle"
    assert "the journal cannot be closed" in str(caught.value)
    assert target.standing() == "old"
    assert recovered(target.healthy()) == [None]
    assert not still_open()
    monkeypatch.undo()


def test_no_step_begins_before_the_one_before_it_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[StepState]] = []

    class Watching(FakeLibvirt):
        def write(self, guest: str, _kind: object, data: bytes) -> None:
            store = open_store()
            (identity,) = store.open_ids()
            states = [step.state for step in store.load(identity, Standing.OPEN).journal.steps]
            seen.append(states)
            super().write(guest, _kind, data)  # type: ignore[arg-type]  # whatever kind

    apply(Watching())
    done, now, planned = StepState.WRITTEN, StepState.WRITING, StepState.PLANNED
    assert seen == [[done] * number + [now] + [planned] * (3 - number) for number in range(4)]
    monkeypatch.undo()


def test_a_transaction_of_nothing_or_with_a_guest_twice_is_a_bug_of_the_caller() -> None:
    target = FakeLibvirt()
    store = open_store()
    steps = target.steps()
    with store.locked(timeout_s=0):
        with pytest.raises(ValueError, match="one step at least"):
            carry_out((), target, store, interrupted=lambda: False)
        with pytest.raises(ValueError, match="one step for each"):
            carry_out((*steps, steps[0]), target, store, interrupted=lambda: False)
    with pytest.raises(RuntimeError, match="lock"):
        carry_out(steps, target, store, interrupted=lambda: False)


def test_the_journal_names_the_target_by_its_address(scene: Scene) -> None:
    done = apply(FakeLibvirt())
    (entry,) = open_store().entries()
    assert entry.journal is not None
    assert entry.journal.target == ADDRESS
    assert (scene.transactions / done.id / "journal.json").is_file()


def test_hanging_for_good_after_the_last_write_is_rolled_back_by_one_new_connection() -> None:
    target = FakeLibvirt()
    target.plan[calls_of_apply().index("write d") + 1] = HANGS_AFTER
    with pytest.raises(ApplyError):
        apply(target)
    assert target.reopened == 1
    assert target.standing() == "old"


def test_a_store_is_found_where_it_was_made(scene: Scene) -> None:
    store: JournalStore = open_store()
    assert store.path == Path(scene.state) / "transactions"
