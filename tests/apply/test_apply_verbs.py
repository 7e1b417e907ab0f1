"""``numaplan recover`` and ``numaplan rollback`` as a user meets them, and signals that come on the way."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from numaplan.errors import ExitCode
from tests.apply.scene import PASSWORD, Scene
from tests.apply.test_apply_recover import crashed
from tests.cli.running import Ran, numaplan

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}")


def told(ran: Ran, scene: Scene) -> str:
    """What was printed, with names in place of what differs from run to run."""
    assert PASSWORD not in ran.out + ran.err
    text = (ran.out + ran.err).replace(scene.domains.resolve().as_uri(), "URI").replace(str(scene.root), "ROOT")
    return IDENTITY.sub("ID", text)


def test_nothing_to_recover_is_done(scene: Scene) -> None:
    ran = numaplan("recover")
    assert (ran.code, ran.out, ran.err) == (0, "nothing to recover\n", "")
    assert not scene.state.exists()


def test_recover_says_what_became_of_each_guest(scene: Scene) -> None:
    crashed(scene, after=2)
    ran = numaplan("recover")
    assert ran.code == 0
    assert told(ran, scene) == (
        "transaction ID: rolled back: URI\n"
        "  fw1: put back\n  router/../../etc: put back\n  db: as it was\n  näme: as it was\n"
    )
    assert scene.standing() == "old"


def test_every_other_verb_says_that_a_transaction_is_open(scene: Scene) -> None:
    crashed(scene, after=2)
    ran = numaplan("explain", "NP101")
    assert ran.code == 0
    assert IDENTITY.sub("ID", ran.err) == (
        "numaplan: the transaction ID is open; unless another numaplan is at work, its guests are half changed: run "
        f"NUMAPLAN_STATE={scene.state} numaplan recover\n"
    )
    assert "numaplan: the transaction" not in numaplan("recover").err
    assert numaplan("explain", "NP101").err == ""


def test_recover_leaves_what_somebody_else_made_and_says_what_to_do(scene: Scene) -> None:
    crashed(scene, after=2)
    (scene.domains / "fw1.xml").write_bytes(b"theirs")
    ran = numaplan("recover")
    assert ran.code == ExitCode.ROLLBACK_INCOMPLETE
    state = "NUMAPLAN_STATE=ROOT/state numaplan recover"
    journal = "ROOT/state/transactions/ID.open"
    assert told(ran, scene) == (
        "transaction ID: still open: URI\n"
        "  fw1: changed by somebody else since, and left so\n"
        "  router/../../etc: put back\n  db: as it was\n  näme: as it was\n"
        f"numaplan: {journal}: a transaction was left open; not everything could be put back; "
        f"set right what is in the way, then run {state}; to keep what somebody else made of a guest, run "
        f"{state} --accept ID\n"
        f'numaplan: {journal}/000.old, .new: guest "fw1" is changed by somebody else since, and was left so\n'
        f'numaplan: {journal}/001.old, .new: guest "router/../../etc" is as it was\n'
        f'numaplan: {journal}/002.old, .new: guest "db" is as it was\n'
        f'numaplan: {journal}/003.old, .new: guest "näme" is as it was\n'
    )
    identity = scene.journals()[0].removesuffix(".open")
    accepted = numaplan("recover", "--accept", identity)
    assert told(accepted, scene) == "transaction ID: accepted; its guests are as they were found\n"
    assert accepted.code == 0
    assert numaplan("recover").out == "nothing to recover\n"
    assert (scene.domains / "fw1.xml").read_bytes() == b"theirs"


def test_recover_of_a_damaged_journal_is_exit_9_with_its_path(scene: Scene) -> None:
    (crashed(scene, after=2) / "001.old").unlink()
    ran = numaplan("recover")
    assert ran.code == ExitCode.ROLLBACK_INCOMPLETE
    assert told(ran, scene).startswith(
        "transaction ID: still open: its journal is damaged\n"
        "numaplan: ROOT/state/transactions/ID.open: the journal is damaged, so nothing can be put back by it; "
    )
    assert "ID.open: 001.old is missing" in told(ran, scene)


def test_recover_where_the_directory_is_gone_is_exit_7(scene: Scene) -> None:
    crashed(scene, after=2)
    scene.domains.rename(scene.root / "gone")
    ran = numaplan("recover")
    assert ran.code == ExitCode.BACKEND
    assert "cannot be opened: no such file or directory" in ran.err
    assert "stays open" in ran.err


def test_accept_of_no_open_transaction_is_exit_5(scene: Scene) -> None:
    assert numaplan("recover", "--accept", "x").code == ExitCode.BAD_INPUT
    done = scene.apply()
    ran = numaplan("recover", "--accept", done.id)
    assert ran.code == ExitCode.BAD_INPUT
    assert "open are: none" in ran.err


def test_rollback_without_an_id_lists_what_there_is(scene: Scene) -> None:
    assert numaplan("rollback").out == "no transactions\n"
    done = scene.apply()
    ran = numaplan("rollback")
    assert ran.code == 0
    lines = told(ran, scene).splitlines()
    assert lines[0].split() == ["transaction", "when", "(UTC)", "standing", "target", "guests"]
    when = f"{done.id[:4]}-{done.id[4:6]}-{done.id[6:8]} {done.id[9:11]}:{done.id[11:13]}:{done.id[13:15]}"
    assert lines[2].split("  ")[0] == "ID"
    assert when in lines[2]
    assert " committed " in lines[2]
    assert lines[2].endswith("fw1, router/../../etc, db, näme")


def test_rollback_puts_everything_back_and_says_so_once(scene: Scene) -> None:
    done = scene.apply()
    ran = numaplan("rollback", done.id)
    assert ran.code == 0
    assert told(ran, scene) == (
        "transaction ID: rolled back: URI\n"
        "  näme: put back\n  db: put back\n  router/../../etc: put back\n  fw1: put back\n"
        "to take this back: NUMAPLAN_STATE=ROOT/state numaplan rollback ID\n"
    )
    assert scene.standing() == "old"
    again = numaplan("rollback", done.id)
    assert (again.code, told(again, scene)) == (0, "transaction ID: was rolled back already: URI\n")


def test_rollback_of_an_edited_guest_is_exit_6_and_changes_nothing(scene: Scene) -> None:
    done = scene.apply()
    (scene.domains / "fw1.xml").write_bytes(b"theirs")
    ran = numaplan("rollback", done.id)
    assert ran.code == ExitCode.STALE
    assert told(ran, scene) == 'numaplan: URI: the definition of guest "fw1" was changed by somebody else\n'


def test_rollback_of_an_unknown_id_is_exit_5(scene: Scene) -> None:
    assert numaplan("rollback", "x").code == ExitCode.BAD_INPUT
    scene.apply()
    ran = numaplan("rollback", "x")
    assert ran.code == ExitCode.BAD_INPUT
    assert "there is no transaction 'x'; there are: ID" in told(ran, scene)


def test_rollback_that_fails_is_exit_8_and_changes_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    done = scene.apply()
    real, calls = os.rename, iter(range(100))

    def fails_late(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if new.endswith(".xml") and next(calls) == 2:
            raise OSError(5, "Input/output error")
        real(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", fails_late)
    ran = numaplan("rollback", done.id)
    assert ran.code == ExitCode.APPLY_FAILED
    assert "input/output error; everything is as it was" in ran.err
    assert scene.standing() == "new"


def test_verbs_of_transactions_wait_for_no_one_but_by_request(scene: Scene) -> None:
    done = scene.apply()
    with scene.target().locked(timeout_s=0):
        ran = numaplan("rollback", done.id)
    assert ran.code == ExitCode.BACKEND
    assert "another numaplan is at work in this directory" in ran.err


SIGNALLED = """
import os, signal, sys
from pathlib import Path
from numaplan.apply.files import FilesTarget
from numaplan.cli.failure import reported
from numaplan.cli.interrupts import interruptible
from tests.apply.scene import Scene
from numaplan.apply.journal import open_store
from numaplan.apply.transaction import carry_out
scene, number, times = Scene(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
class Signalled(FilesTarget):
    def write(self, guest, kind, data):
        if guest == "db" and b"new" in data:
            for _ in range(times):
                os.kill(os.getpid(), number)
        super().write(guest, kind, data)
import typer
app = typer.Typer()
@app.command()
def main():
    with reported(), interruptible() as interrupted:
        store, target = open_store(), Signalled(scene.domains, scene.files())
        with store.locked(timeout_s=0), target.locked(timeout_s=0):
            carry_out(scene.steps(), target, store, interrupted=interrupted)
sys.argv = ["signalled"]
app()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_the_first_signal_rolls_back_and_the_second_leaves_at_once_with_the_journal(
    scene: Scene, number: int, times: int
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(scene.root), str(int(number)), str(times)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == ExitCode.INTERRUPTED, ran.stderr
    asked = "numaplan: interrupted; this guest is finished, then everything is put back; once more leaves at once\n"
    assert ran.stderr.startswith(asked)
    if times == 1:
        assert ran.stderr.endswith("interrupted; everything is as it was\n")
        assert scene.standing() == "old"
        assert scene.left_over() == []
        return
    left = "numaplan: left at once; the journal is kept: run "
    assert ran.stderr == f"{asked}{left}NUMAPLAN_STATE={scene.state} numaplan recover\n"
    assert scene.standing() != "old"
    assert numaplan("recover").code == 0
    assert scene.standing() == "old"
    assert scene.left_over() == []


def test_after_an_apply_signals_mean_what_they_meant_before() -> None:
    from numaplan.cli.interrupts import interruptible  # noqa: PLC0415  # only here

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupted()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
