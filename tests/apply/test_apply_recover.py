"""Journals after a crash, damaged ones too; and transactions that are taken back."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.apply.journal import Standing, open_store
from numaplan.apply.recover import Recovered, RolledBack, recover, roll_back
from numaplan.apply.step import Kind, Step, Target
from numaplan.errors import ApplyError, BackendError, ExitCode, InputError, RollbackError, StaleError
from numaplan.model.journal import Journal, JournalStep, StepState
from numaplan.records.journal import journal_json, read_journal
from tests.apply.fake import REFUSES, Crash, FakeLibvirt
from tests.apply.scene import PASSWORD, Scene, open_target, text
from tests.apply.test_apply_transaction import apply, still_open


def recovered(scene: Scene) -> tuple[Recovered, ...]:
    del scene
    store = open_store()
    with store.locked(timeout_s=0):
        return recover(store, open_target, lock_timeout_s=0)


def taken_back(identity: str, target: Target | None = None) -> RolledBack:
    store = open_store()
    with store.locked(timeout_s=0):
        return roll_back(
            store,
            identity,
            open_target if target is None else lambda _address: target,
            lock_timeout_s=0,
            interrupted=lambda: False,
        )


def crashed(scene: Scene, *, after: int) -> Path:
    """An open journal with so many guests written, and the guests as they are then."""

    def stop() -> bool:
        if (len(list(scene.transactions.glob("*.open/*.written")))) >= after:
            raise Crash
        return False

    from numaplan.apply.transaction import carry_out  # noqa: PLC0415  # only here

    store, target = open_store(), scene.target()
    with store.locked(timeout_s=0), target.locked(timeout_s=0), pytest.raises(Crash):
        carry_out(scene.steps(), target, store, interrupted=stop)
    (path,) = scene.transactions.glob("*.open")
    return path


def test_each_guest_is_told_what_became_of_it(scene: Scene) -> None:
    crashed(scene, after=2)
    (found,) = recovered(scene)
    assert [(each.guest, each.fate.value) for each in found.outcomes] == [
        ("fw1", "put back"),
        ("router/../../etc", "put back"),
        ("db", "as it was"),
        ("näme", "as it was"),
    ]
    assert found.error is None
    assert scene.standing() == "old"
    assert recovered(scene) == ()


def test_a_journal_holds_the_password_and_its_document_does_not(scene: Scene) -> None:
    path = crashed(scene, after=2)
    assert PASSWORD.encode() in (path / "000.old").read_bytes()
    assert PASSWORD not in (path / "journal.json").read_text()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("000.old"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "journal.json is missing": lambda path: (path / "journal.json").unlink(),
    "journal.json is empty": lambda path: (path / "journal.json").write_bytes(b""),
    "journal.json is cut": lambda path: (path / "journal.json").write_bytes((path / "journal.json").read_bytes()[:-9]),
    "a text is missing": lambda path: (path / "001.old").unlink(),
    "a text is empty": lambda path: (path / "001.old").write_bytes(b""),
    "a text is another one": lambda path: (path / "002.new").write_bytes(b"<domain/>"),
    "what was read back is missing": lambda path: (path / "000.written").unlink(),
    "a text is a link": lambda path: _link(path / "001.old"),
    "a text is a directory": lambda path: _folder(path / "001.old"),
    "it has the name of another": lambda path: path.rename(path.with_name("20200101T000000.000000Z-00000000.open")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_told_and_nothing_is_written_by_it(scene: Scene, damage: str) -> None:
    path = crashed(scene, after=2)
    before = {each.name: each.read_bytes() for each in scene.domains.iterdir()}
    DAMAGES[damage](path)
    (path,) = scene.transactions.glob("*.open")
    (found,) = recovered(scene)
    assert isinstance(found.error, RollbackError)
    assert found.error.exit_code is ExitCode.ROLLBACK_INCOMPLETE
    assert found.outcomes == ()
    told = str(found.error)
    assert f"{path}: the journal is damaged, so nothing can be put back by it" in told
    assert f"numaplan recover --accept {path.name.removesuffix('.open')}" in told
    assert {each.name: each.read_bytes() for each in scene.domains.iterdir()} == before
    with pytest.raises(BackendError, match="is not over"):
        scene.apply()


def test_a_journal_with_any_byte_changed_is_damaged_or_says_the_same(scene: Scene) -> None:
    path = crashed(scene, after=2) / "journal.json"
    whole = path.read_bytes()
    said = read_journal(whole.decode(), "journal.json")
    other = 0
    for position in range(0, len(whole), 3):
        for byte in (whole[position] ^ 1, ord("0"), ord(" ")):
            if byte == whole[position]:
                continue
            changed = whole[:position] + bytes([byte]) + whole[position + 1 :]
            try:
                found = read_journal(changed.decode("utf-8", "replace"), "journal.json")
            except InputError:
                other += 1
                continue
            assert found == said, changed
    assert other > 500


def test_a_journal_cut_anywhere_is_damaged(scene: Scene) -> None:
    whole = (crashed(scene, after=2) / "journal.json").read_text()
    for length in range(0, len(whole) - 2, 7):
        with pytest.raises(InputError):
            read_journal(whole[:length], "journal.json")


def test_a_journal_whose_checksum_is_right_must_make_sense_all_the_same() -> None:
    digest = "0" * 64
    step = JournalStep("a", "definition", None, StepState.WRITTEN, digest, digest)
    journal = Journal("20260101T000000.000000Z-00000000", "qemu:///system", None, (step,))
    with pytest.raises(InputError, match="written exactly where"):
        read_journal(journal_json(journal), "journal.json")
    document = json.loads(journal_json(journal))
    for key, value in (("id", "../x"), ("steps", []), ("schema", "numaplan/journal/2"), ("undoes", "x")):
        with pytest.raises(InputError):
            read_journal(json.dumps(document | {key: value}), "journal.json")
    for name in ("../x", "a/b", "", "..", "a\0"):
        wrong = JournalStep("a", "definition", name, StepState.PLANNED, digest, digest)
        with pytest.raises(InputError, match="plain file name"):
            read_journal(journal_json(Journal(journal.id, journal.target, None, (wrong,))), "journal.json")


def test_a_journal_reads_back_as_it_was_written_whatever_the_names() -> None:
    steps = tuple(
        JournalStep(name, "pins", f"{number}\udcff ü.xml", StepState.PLANNED, f"{number:064x}", "f" * 64)
        for number, name in enumerate(("a", 'q"uo\\te', "</domain>", "\u202e", "ü\udcff"))
    )
    journal = Journal("20260101T000000.000000Z-00000000", "file:///a%20b", "20250101T000000.000000Z-00000000", steps)
    assert read_journal(journal_json(journal), "journal.json") == journal


def test_a_target_that_is_gone_keeps_its_transaction_open_and_no_other(scene: Scene) -> None:
    crashed(scene, after=2)
    gone = scene.root / "gone"
    scene.domains.rename(gone)
    (found,) = recovered(scene)
    assert isinstance(found.error, BackendError)
    assert "stays open" in str(found.error)
    gone.rename(scene.domains)
    (found,) = recovered(scene)
    assert found.error is None
    assert scene.standing() == "old"


def test_several_open_transactions_each_have_their_turn(scene: Scene) -> None:
    path = crashed(scene, after=1)
    spoiled = scene.transactions / "20200101T000000.000000Z-00000000.open"
    shutil.copytree(path, spoiled)
    first, second = recovered(scene)
    assert first.error is None
    assert isinstance(second.error, RollbackError)
    assert scene.standing() == "old"


def test_what_a_crash_left_half_made_is_removed_and_never_read(scene: Scene) -> None:
    open_store()
    half = scene.transactions / "20260101T000000.000000Z-00000000.tmp"
    half.mkdir()
    (half / "000.old").write_bytes(b"x")
    assert recovered(scene) == ()
    assert scene.journals() == []
    half.mkdir()
    scene.apply()
    assert scene.left_over() == []


def test_taking_back_is_a_transaction_that_can_be_taken_back(scene: Scene) -> None:
    first = scene.apply()
    back = taken_back(first.id)
    assert back.by is not None
    assert scene.standing() == "old"
    again = taken_back(back.by.id)
    assert again.by is not None
    assert scene.standing() == "new"
    assert [entry.standing for entry in open_store().entries()] == [
        Standing.UNDONE,
        Standing.UNDONE,
        Standing.COMMITTED,
    ]


def test_what_was_rolled_back_already_is_said_to_be_and_not_touched(scene: Scene) -> None:
    first = scene.apply()
    taken_back(first.id)
    (scene.domains / "fw1.xml").write_bytes(b"theirs")
    found = taken_back(first.id)
    assert found.by is None
    assert found.target == scene.target().address
    assert (scene.domains / "fw1.xml").read_bytes() == b"theirs"


def test_a_crash_between_the_commit_of_a_rollback_and_its_mark_is_no_second_rollback(scene: Scene) -> None:
    first = scene.apply()
    taken_back(first.id)
    (scene.transactions / f"{first.id}.undone").rename(scene.transactions / first.id)
    assert [entry.standing for entry in open_store().entries()] == [Standing.UNDONE, Standing.COMMITTED]
    assert taken_back(first.id).by is None
    assert scene.standing() == "old"


def test_a_guest_that_was_edited_since_keeps_its_edit_and_all_stays(scene: Scene) -> None:
    first = scene.apply()
    (scene.domains / "fw1.xml").write_bytes(b"theirs")
    (scene.domains / "zz-db.xml").unlink()
    with pytest.raises(StaleError) as caught:
        taken_back(first.id)
    assert [problem.what for problem in caught.value.problems] == [
        'guest "db" is gone, or does not run any more',
        'the definition of guest "fw1" was changed by somebody else',
    ]
    assert (scene.domains / "fw1.xml").read_bytes() == b"theirs"
    assert (scene.domains / "a router.xml").read_bytes() == text("router/../../etc", "new", longer=700)


@pytest.mark.parametrize("identity", ["20200101T000000.000000Z-00000000", "../../etc", "", "lock", ".", "a\0b"])
def test_an_id_of_no_transaction_is_refused_with_those_that_are(scene: Scene, identity: str) -> None:
    with pytest.raises(InputError, match="there are: none"):
        taken_back(identity)
    first = scene.apply()
    with pytest.raises(InputError) as caught:
        taken_back(identity)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert f"there are: {first.id}" in str(caught.value)


def test_an_open_transaction_is_recovered_not_rolled_back(scene: Scene) -> None:
    path = crashed(scene, after=2)
    with pytest.raises(BackendError, match=r"is not over.*run .*numaplan recover"):
        taken_back(path.name.removesuffix(".open"))


def test_an_accepted_transaction_is_for_hands(scene: Scene) -> None:
    path = crashed(scene, after=2)
    identity = path.name.removesuffix(".open")
    store = open_store()
    with store.locked(timeout_s=0):
        store.accept(identity)
    with pytest.raises(RollbackError, match="accepted as they were"):
        taken_back(identity)
    assert (scene.transactions / f"{identity}.accepted" / "000.old").is_file()


def test_a_damaged_journal_takes_nothing_back(scene: Scene) -> None:
    first = scene.apply()
    (scene.transactions / first.id / "000.old").write_bytes(b"")
    with pytest.raises(RollbackError, match="the journal is damaged"):
        taken_back(first.id)
    assert scene.standing() == "new"
    (scene.transactions / first.id / "journal.json").write_bytes(b"")
    (entry,) = open_store().entries()
    assert entry.journal is None


def test_a_libvirt_that_fails_at_any_call_while_taking_back_leaves_all_new_or_all_old(scene: Scene) -> None:
    del scene
    for at in range(1, 18):
        target = FakeLibvirt()
        done = apply(target)
        target.plan[len(target.calls) + at] = Crash()
        with pytest.raises(Crash):
            taken_back(done.id, target)
        store = open_store()
        with store.locked(timeout_s=0):
            recover(store, lambda _address, target=target: target, lock_timeout_s=0)  # type: ignore[misc]  # bound now
        assert target.standing() == "new"
        assert not still_open()
        assert taken_back(done.id, target).by is not None
        assert target.standing() == "old"


class Running(FakeLibvirt):
    """Guests whose pins are there while they run; `b` can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: set[str] = set()

    def read(self, guest: str, kind: Kind) -> bytes | None:
        return None if guest in self.stopped and kind is Kind.PINS else super().read(guest, kind)

    def steps(self) -> tuple[Step, ...]:
        return tuple(Step(step.guest, Kind.PINS, step.old, step.new) for step in super().steps())


def test_pins_of_a_guest_that_stopped_are_not_missed_in_a_rollback(scene: Scene) -> None:
    del scene
    target = Running()
    target.edits[15] = lambda: target.stopped.add("b")
    target.plan[15] = REFUSES
    with pytest.raises(ApplyError, match="everything is as it was"):
        apply(target)
    assert target.calls[14] == "write d"
    assert not still_open()


def test_pins_of_a_guest_that_stopped_are_left_out_when_the_others_are_taken_back(scene: Scene) -> None:
    del scene
    target = Running()
    done = apply(target)
    target.stopped.add("b")
    found = taken_back(done.id, target)
    assert found.by is not None
    assert [each.guest for each in found.by.written] == ["d", "c", "a"]
    del target.domains["b"]
    assert target.standing() == "old"
    again = Running()
    done = apply(again)
    again.stopped.update("abcd")
    with pytest.raises(StaleError, match="none of its guests runs any more"):
        taken_back(done.id, again)


def test_other_names_in_the_directory_of_journals_are_none_of_ours(scene: Scene) -> None:
    first = scene.apply()
    (scene.transactions / "lost+found").mkdir()
    (scene.transactions / "notes").write_bytes(b"")
    assert [entry.id for entry in open_store().entries()] == [first.id]
    assert recovered(scene) == ()
