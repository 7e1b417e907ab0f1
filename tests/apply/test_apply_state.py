"""Where the journals stand, that nobody else can write there, and one run at a time."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from numaplan.apply.journal import find_store, open_store
from numaplan.errors import BackendError
from numaplan.sources.state import command, open_transactions, state_path
from tests.apply.scene import Scene

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMAPLAN_STATE", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)


def test_the_variable_comes_before_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMAPLAN_STATE", "/some/where")
    monkeypatch.setenv("XDG_STATE_HOME", "/else/where")
    assert state_path() == Path("/some/where")


def test_root_has_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMAPLAN_STATE", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_path() == Path("/var/lib/numaplan")


@pytest.mark.usefixtures("nobody")
def test_a_user_has_the_place_that_xdg_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert state_path() == Path("/home/u/state/numaplan")
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert state_path() == Path("/home/u/.local/state/numaplan")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_path() == Path("/home/u/.local/state/numaplan")


@pytest.mark.usefixtures("nobody")
def test_without_a_home_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(BackendError, match=r"there is no place for the journal.*set NUMAPLAN_STATE to a directory"):
        state_path()


@pytest.mark.parametrize("value", ["relative", "./x", "a\udcff"])
def test_a_path_that_depends_on_where_one_stands_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NUMAPLAN_STATE", value)
    with pytest.raises(BackendError, match="is no absolute path"):
        state_path()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_every_part_that_is_made_is_its_owners_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch, mask: int) -> None:
    deep = scene.root / "a" / "b" / "c"
    monkeypatch.setenv("NUMAPLAN_STATE", str(deep))
    before = os.umask(mask)
    try:
        store = open_store()
        with store.locked(timeout_s=0):
            pass
    finally:
        os.umask(before)
    for path in (scene.root / "a", scene.root / "a" / "b", deep, deep / "transactions"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((deep / "lock").stat().st_mode) == 0o600


def test_looking_makes_nothing(scene: Scene) -> None:
    assert find_store() is None
    assert open_transactions() == ()
    assert not scene.state.exists()


def test_a_directory_that_was_there_keeps_its_mode_and_what_is_made_in_it_is_private(scene: Scene) -> None:
    scene.state.mkdir()
    scene.state.chmod(0o755)
    open_store()
    assert stat.S_IMODE(scene.state.stat().st_mode) == 0o755
    assert stat.S_IMODE((scene.state / "transactions").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_place_where_others_may_write_is_refused(scene: Scene, mode: int) -> None:
    scene.state.mkdir()
    scene.state.chmod(mode)
    with pytest.raises(BackendError, match="others may write to the state directory"):
        scene.apply()
    assert list(scene.state.iterdir()) == []


def test_a_place_that_is_a_link_is_refused(scene: Scene) -> None:
    elsewhere = scene.root / "elsewhere"
    elsewhere.mkdir()
    scene.state.symlink_to(elsewhere)
    with pytest.raises(BackendError, match="is a symbolic link"):
        scene.apply()
    assert list(elsewhere.iterdir()) == []


def test_a_link_to_nowhere_is_refused_and_nothing_is_made_there(scene: Scene) -> None:
    scene.state.symlink_to(scene.root / "nowhere")
    with pytest.raises(BackendError, match="is a symbolic link"):
        open_store()
    assert not (scene.root / "nowhere").exists()


def test_a_place_that_belongs_to_somebody_else_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.state.mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(BackendError, match=f"the state directory belongs to user {owner}"):
        open_store()


def test_a_place_that_everybody_may_exchange_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = scene.root / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("NUMAPLAN_STATE", str(open_to_all / "state"))
    with pytest.raises(BackendError, match="everybody may exchange what is in it"):
        open_store()
    open_to_all.chmod(0o1777)
    open_store()


def test_a_file_in_its_place_is_told(scene: Scene) -> None:
    scene.state.write_bytes(b"")
    with pytest.raises(BackendError, match="not a directory"):
        open_store()


@pytest.mark.parametrize("name", ["transactions", "lock"])
def test_a_link_inside_is_not_followed(scene: Scene, name: str) -> None:
    elsewhere = scene.root / "elsewhere"
    elsewhere.mkdir()
    scene.state.mkdir(mode=0o700)
    (scene.state / name).symlink_to(elsewhere if name == "transactions" else elsewhere / "file")
    with pytest.raises(BackendError):
        scene.apply()
    assert list(elsewhere.iterdir()) == []
    assert scene.standing() == "old"


def test_a_command_finds_the_state_directory_that_was_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("recover") == f"NUMAPLAN_STATE={scene.state} numaplan recover"
    monkeypatch.setenv("NUMAPLAN_STATE", "/a b")
    assert command("rollback", "x y") == "NUMAPLAN_STATE='/a b' numaplan rollback 'x y'"
    monkeypatch.delenv("NUMAPLAN_STATE")
    assert command("recover") == "numaplan recover"


def test_who_comes_second_is_told_who_is_at_work(scene: Scene) -> None:
    held = "import sys; from numaplan.apply.journal import open_store\nwith open_store().locked(timeout_s=0):"
    held += " print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", held, "apply", "plan\x1b.json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BackendError) as caught:
            scene.apply()
        told = caught.value.problems[0]
        since = json.loads((scene.state / "lock").read_bytes())["since"]
        expected = rf"another numaplan is at work: process {holder.pid}, '-c apply plan\x1b.json', since {since}"
        assert told.what == expected
        assert told.hint == "wait for it, or give --lock-timeout"
        # The kernel takes the lock from who dies.
        holder.kill()
        holder.wait()
        scene.apply()
    finally:
        holder.kill()
        holder.communicate()
    assert scene.standing() == "new"


def test_who_waits_gets_the_lock_as_soon_as_it_is_free(scene: Scene) -> None:
    first, second = open_store(), open_store()
    got = threading.Event()

    def wait() -> None:
        with second.locked(timeout_s=600):
            got.set()

    with first.locked(timeout_s=0):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.is_set()
    waiting.join()
    assert got.is_set()
    assert (scene.state / "lock").read_bytes() == b""


def test_a_directory_at_work_keeps_out_those_with_another_home(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.target().locked(timeout_s=0):
        monkeypatch.setenv("NUMAPLAN_STATE", str(scene.root / "other"))
        with pytest.raises(BackendError, match="another numaplan is at work in this directory"):
            scene.apply()
    scene.apply()


def test_open_transactions_are_told_without_opening_anything(scene: Scene) -> None:
    open_store()
    (scene.transactions / "20260101T000000.000000Z-00000000.open").mkdir()
    (scene.transactions / "20260101T000000.000000Z-00000001").mkdir()
    assert open_transactions() == ("20260101T000000.000000Z-00000000",)
