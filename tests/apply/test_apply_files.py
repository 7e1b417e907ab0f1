"""A directory of domain XML as a target: what is kept of a file, what is refused, and nothing outside is touched."""

import os
import stat

import pytest

from numaplan.apply.files import FilesTarget
from numaplan.apply.journal import Standing, open_store
from numaplan.apply.recover import recover, roll_back
from numaplan.apply.step import Kind, Step
from numaplan.apply.transaction import carry_out
from numaplan.errors import ApplyError, BackendError, InputError, RollbackError, StaleError
from tests.apply.scene import GUESTS, PASSWORD, Scene, labels, open_target, text

DEFINITION = Kind.DEFINITION


def carried_out(scene: Scene, target: FilesTarget, steps: tuple[Step, ...]) -> str:
    del scene
    store = open_store()
    with store.locked(timeout_s=0), target.locked(timeout_s=0):
        return carry_out(steps, target, store, interrupted=lambda: False).id


def test_every_byte_of_the_new_text_arrives_with_its_comments_and_its_password(scene: Scene) -> None:
    scene.apply()
    assert scene.standing() == "new"
    assert scene.left_over() == []
    for path in scene.domains.iterdir():
        data = path.read_bytes()
        assert PASSWORD.encode() in data
        assert b"by hand -->\r\n" in data


def test_a_file_keeps_its_mode_its_owner_and_its_labels(scene: Scene) -> None:
    path = scene.domains / "fw1.xml"
    path.chmod(0o4654)
    before = path.stat()
    scene.apply()
    after = path.stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    # A file that is run as its owner is none of a guest.
    assert stat.S_IMODE(after.st_mode) == 0o654
    path.chmod(0o600)
    assert scene.attributes_lost() == []


def test_an_owner_that_cannot_be_kept_is_a_refusal_and_all_is_as_it_was(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def as_anothers(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        if stat.S_ISREG(int(found[0])):
            found[4] += 1
        return os.stat_result(found)

    def forbidden(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    store = open_store()
    target = scene.target()
    monkeypatch.setattr(os, "fchown", forbidden)
    with store.locked(timeout_s=0):
        monkeypatch.setattr(os, "fstat", as_anothers)
        with pytest.raises(ApplyError, match="operation not permitted; everything is as it was"):
            carry_out(scene.steps(), target, store, interrupted=lambda: False)
    monkeypatch.undo()
    assert scene.standing() == "old"


def test_labels_are_really_looked_at_where_there_are_any(scene: Scene) -> None:
    path = scene.domains / "fw1.xml"
    if labels():
        scene.apply()
        assert "user.label" in os.listxattr(path)


def test_a_rollback_brings_back_the_very_file_that_was_there(scene: Scene) -> None:
    before = {path.name: path.stat().st_ino for path in scene.domains.iterdir()}
    with pytest.raises(ApplyError):
        scene.apply(stop_after=4)
    assert {path.name: path.stat().st_ino for path in scene.domains.iterdir()} == before
    assert scene.left_over() == []


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_can_read_the_journal_whatever_the_umask(scene: Scene, mask: int) -> None:
    before = os.umask(mask)
    try:
        done = scene.apply()
        with pytest.raises(ApplyError):
            scene.apply("newer", "old") if scene.standing() == "old" else raise_stopped(scene)
    finally:
        os.umask(before)
    assert scene.readable_by_others() == []
    assert scene.attributes_lost() == []
    assert (scene.transactions / done.id / "000.old").stat().st_mode & 0o777 == 0o600


def raise_stopped(scene: Scene) -> None:
    """From new to old and, interrupted, back to new: a journal that was rolled back."""
    steps = tuple(Step(step.guest, step.kind, step.new, step.old) for step in scene.steps())
    asked = iter(range(10))
    store, target = open_store(), scene.target()
    with store.locked(timeout_s=0), target.locked(timeout_s=0):
        carry_out(steps, target, store, interrupted=lambda: next(asked) >= 2)


def test_a_symbolic_link_is_refused_and_what_it_points_to_is_not_written(scene: Scene) -> None:
    path = scene.domains / "fw1.xml"
    path.unlink()
    elsewhere = scene.root / "outside.xml"
    elsewhere.write_bytes(text("fw1", "old"))
    path.symlink_to(elsewhere)
    with pytest.raises(BackendError, match="it is a symbolic link"):
        scene.apply()
    assert elsewhere.read_bytes() == text("fw1", "old")
    assert scene.journals() == []


def test_a_link_that_is_put_in_place_on_the_way_is_left_and_never_followed(scene: Scene) -> None:
    elsewhere = scene.root / "outside.xml"
    path = scene.domains / "zz-db.xml"

    class Watched(FilesTarget):
        def write(self, guest: str, kind: Kind, data: bytes) -> None:
            if guest == "db":
                path.unlink()
                path.symlink_to(elsewhere)
            super().write(guest, kind, data)

    with pytest.raises(RollbackError):
        carried_out(scene, Watched(scene.domains, scene.files()), scene.steps())
    assert path.is_symlink()
    assert elsewhere.read_bytes() == b"not yours\n"
    assert (scene.domains / "fw1.xml").read_bytes() == text("fw1", "old")


def test_a_fifo_or_a_directory_in_place_of_a_file_is_refused_at_once(scene: Scene) -> None:
    path = scene.domains / "fw1.xml"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BackendError, match="it is no regular file"):
        scene.apply()
    path.unlink()
    path.mkdir()
    with pytest.raises(BackendError, match="it is no regular file"):
        scene.apply()


def test_a_file_is_found_by_its_name_and_never_by_that_of_its_guest(scene: Scene) -> None:
    assert "router/../../etc" in GUESTS
    done = scene.apply()
    assert scene.standing() == "new"
    (entry,) = open_store().entries()
    assert entry.journal is not None
    assert [(step.guest, step.file) for step in entry.journal.steps] == [
        (guest, name) for guest, (name, _, _) in GUESTS.items()
    ]
    assert done.id == entry.id


@pytest.mark.parametrize("name", ["../outside.xml", "/etc/passwd", "..", ".", "", "a\0b", "x" * 256])
def test_a_name_that_leads_out_of_the_directory_is_refused(scene: Scene, name: str) -> None:
    target = FilesTarget(scene.domains, {})
    with pytest.raises(InputError, match="no plain file name"):
        target.locate({"fw1": name})


def test_a_path_in_another_directory_is_no_guest_of_this_target(scene: Scene) -> None:
    target = FilesTarget(scene.domains, {"fw1": scene.root / "fw1.xml"})
    assert target.read("fw1", DEFINITION) is None
    with pytest.raises(StaleError, match='guest "fw1" is gone'):
        carried_out(scene, target, scene.steps()[:1])
    with pytest.raises(BackendError, match="no file of guest"):
        target.write("fw1", DEFINITION, b"")


def test_two_guests_cannot_stand_in_one_file_nor_one_in_two(scene: Scene) -> None:
    with pytest.raises(InputError, match="two guests stand in one file"):
        FilesTarget(scene.domains, {"a": scene.domains / "fw1.xml", "b": scene.domains / "fw1.xml"})
    with pytest.raises(InputError, match=r'guest "fw1" stands in fw1\.xml and other\.xml'):
        scene.target().locate({"fw1": "other.xml"})


def test_files_have_no_pins(scene: Scene) -> None:
    target = scene.target()
    for work in (
        lambda: target.read("fw1", Kind.PINS),
        lambda: target.write("fw1", Kind.PINS, b""),
        lambda: target.same(Kind.PINS, b"", b""),
        lambda: target.may_be(Kind.PINS, b"", old=b"", written=b""),
    ):
        with pytest.raises(BackendError, match="a file has no threads to pin"):
            work()


def test_the_address_is_that_of_the_real_directory_and_opens_it_again(scene: Scene) -> None:
    strange = scene.root / "dö main %20\udcff"
    scene.domains.rename(strange)
    alias = scene.root / "alias"
    alias.symlink_to(strange)
    target = FilesTarget(alias, {"fw1": alias / "fw1.xml"})
    assert target.address.startswith("file:///")
    again = FilesTarget.at(target.address)
    again.locate({"fw1": "fw1.xml"})
    assert again.address == target.address
    assert again.read("fw1", DEFINITION) == text("fw1", "old")


@pytest.mark.parametrize("address", ["file://host/x", "file://", "file:///a%00b", "http:///x", "/x"])
def test_an_address_of_no_directory_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        FilesTarget.at(address)


def test_a_directory_that_is_gone_is_told(scene: Scene) -> None:
    with pytest.raises(BackendError, match="no such file or directory"):
        FilesTarget(scene.root / "none", {})


def test_a_directory_that_was_exchanged_is_not_written(scene: Scene) -> None:
    target = scene.target()
    scene.domains.rename(scene.root / "moved")
    scene.domains.mkdir()
    store = open_store()
    with (
        store.locked(timeout_s=0),
        pytest.raises(BackendError, match="another directory was put in its place"),
        target.locked(timeout_s=0),
    ):
        pass


def test_a_directory_that_is_exchanged_on_the_way_leads_nowhere_else(scene: Scene) -> None:
    class Watched(FilesTarget):
        def write(self, guest: str, kind: Kind, data: bytes) -> None:
            if guest == "db":
                scene.domains.rename(scene.root / "moved")
                scene.domains.symlink_to(scene.root)
            super().write(guest, kind, data)

    carried_out(scene, Watched(scene.domains, scene.files()), scene.steps())
    assert sorted(path.name for path in scene.root.iterdir()) == ["domains", "moved", "outside.xml", "state"]
    scene.domains.unlink()
    (scene.root / "moved").rename(scene.domains)
    assert scene.standing() == "new"


def test_an_edit_after_a_write_survives_and_both_texts_are_kept(scene: Scene) -> None:
    theirs = b"<domain>theirs</domain>"

    class Failing(FilesTarget):
        def write(self, guest: str, kind: Kind, data: bytes) -> None:
            if guest == "db" and b"new" in data:
                (scene.domains / "fw1.xml").write_bytes(theirs)
                raise BackendError("no more", "here")
            super().write(guest, kind, data)

    with pytest.raises(RollbackError, match='guest "fw1" is changed by somebody else since'):
        carried_out(scene, Failing(scene.domains, scene.files()), scene.steps())
    assert (scene.domains / "fw1.xml").read_bytes() == theirs
    (identity,) = open_store().open_ids()
    kept = open_store().load(identity, Standing.OPEN)
    assert (kept.steps[0].old, kept.steps[0].new) == (text("fw1", "old"), text("fw1", "new"))
    store = open_store()
    with store.locked(timeout_s=0):
        (again,) = recover(store, open_target, lock_timeout_s=0)
    assert isinstance(again.error, RollbackError)
    assert (scene.domains / "fw1.xml").read_bytes() == theirs
    (scene.domains / "fw1.xml").write_bytes(text("fw1", "old"))
    with store.locked(timeout_s=0):
        (last,) = recover(store, open_target, lock_timeout_s=0)
    assert last.error is None
    assert scene.standing() == "old"


def test_a_spare_that_somebody_planted_is_not_taken_for_the_old_file(scene: Scene) -> None:
    planted = {path.name for path in scene.domains.iterdir()}
    with pytest.raises(ApplyError):
        scene.apply(stop_after=1)
    spare = next(iter(_beside("fw1.xml")))
    (scene.domains / spare).write_bytes(b"planted")
    scene.apply()
    assert scene.standing() == "new"
    assert {path.name for path in scene.domains.iterdir()} == planted


def _beside(name: str) -> list[str]:
    from numaplan.apply.files import _beside as beside  # noqa: PLC0415  # white box: the names are nobody's business

    return list(reversed(beside(name)))


def test_taking_back_gives_every_guest_the_text_of_before(scene: Scene) -> None:
    done = scene.apply()
    store = open_store()
    with store.locked(timeout_s=0):
        back = roll_back(store, done.id, open_target, lock_timeout_s=0, interrupted=lambda: False)
    assert back.by is not None
    assert scene.standing() == "old"
    assert scene.left_over() == []
    assert scene.attributes_lost() == []
