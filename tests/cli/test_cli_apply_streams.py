"""``apply`` in a process of its own: pipes that break, streams that are closed, terminals, signals, other users."""

import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.cli.running import DOMAINS, HOST, ROOT, numaplan

CTRL_C: Final = b"\x03"
RUN: Final = [sys.executable, "-c", "from numaplan.cli.main import run; run()"]
# Waits at its second guest until it is told to go on.
HELD: Final = """
import os, sys, time
from numaplan.apply.files import FilesTarget
from numaplan.cli.main import run
write, count = FilesTarget.write, 0
def held(self, guest, kind, data):
    global count
    count += 1
    if count == 2:
        os.write(2, b"HELD\\n")
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.01)
    write(self, guest, kind, data)
FilesTarget.write = held
run()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: str) -> Path:
    """The example's guests, their plan, and a state directory that is not there yet."""
    monkeypatch.setenv("NUMAPLAN_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("GO", str(tmp_path / "go"))
    shutil.copytree(DOMAINS, tmp_path / "domains")
    (tmp_path / "plan.json").write_text(example)
    return tmp_path


def there(folder: Path) -> tuple[str, ...]:
    return "--snapshot", str(HOST), "--domains", str(folder / "domains")


def command(folder: Path, *extra: str, plan: str | None = None) -> list[str]:
    return [*RUN, "apply", plan or str(folder / "plan.json"), *there(folder), *extra]


def shell(words: list[str], redirections: str, told: str | None = None) -> subprocess.CompletedProcess[str]:
    """`told`: what it reads from standard input."""
    line = ["bash", "-c", f'"$@" {redirections}', "bash", *words]
    return subprocess.run(line, input=told, capture_output=True, text=True, check=False, cwd=ROOT)


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "domains").iterdir())}


def identity(words: str) -> str:
    found = re.search(r"numaplan rollback (\S+)", words)
    assert found is not None, words
    return found[1]


def test_a_plan_comes_through_a_pipe(folder: Path) -> None:
    before = texts(folder)
    ran = shell(command(folder, "--yes", plan="-"), "", (folder / "plan.json").read_text())
    assert ran.returncode == 0, ran.stderr
    assert texts(folder) != before
    assert numaplan("rollback", identity(ran.stderr)).code == 0
    assert texts(folder) == before


@pytest.mark.parametrize(("redirections", "code"), [("| true", 141), ("> /dev/full", 7), ("<&-", 0), (">&-", 0)])
def test_whoever_cannot_read_the_data_hears_the_id_all_the_same(folder: Path, redirections: str, code: int) -> None:
    before = texts(folder)
    ran = shell(command(folder, "--yes"), f"{redirections}; exit ${{PIPESTATUS[0]}}")
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "bug" not in ran.stderr
    assert texts(folder) != before
    assert numaplan("rollback", identity(ran.stderr)).code == 0
    assert texts(folder) == before


@pytest.mark.parametrize(("key", "code"), [(b"y\n", 0), (b"\n", 0), (CTRL_C, 130)])
def test_a_terminal_is_asked_after_it_has_seen_everything(folder: Path, key: bytes, code: int) -> None:
    before = texts(folder)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, command(folder))  # noqa: S606
    shown = b"".join(answered(terminal, key)).decode().replace("\r\n", "\n")
    _, status = os.waitpid(process, 0)
    asked, answer = shown.split("[y/N]: ")
    assert os.waitstatus_to_exitcode(status) == code, shown
    assert shown.count("--- a/router.xml") == 1
    assert "router: the guest will notice: " in asked
    assert "the guest will notice" not in answer
    assert (texts(folder) != before) == (key == b"y\n")
    assert ("to undo it" in answer) == (key == b"y\n")
    assert "bug" not in shown


def answered(terminal: int, key: bytes) -> Iterator[bytes]:
    """Everything that the terminal shows; the key is pressed when the question stands there.

    Ctrl-C is pressed again and again: Python misses one that comes right before it begins to wait.
    """
    seen, pressed = b"", False
    with suppress(OSError):
        while True:
            ready, _, _ = select.select([terminal], [], [], 1.0)
            if not ready:
                if pressed and key == CTRL_C:
                    os.write(terminal, key)
                continue
            part = os.read(terminal, 65536)
            if not part:
                break
            seen += part
            yield part
            if b"[y/N]: " in seen and not pressed:
                pressed = True
                os.write(terminal, key)
    os.close(terminal)


def held(folder: Path) -> "subprocess.Popen[str]":
    """A run that has written one guest and waits before the second."""
    words = [sys.executable, "-c", HELD, *command(folder, "--yes")[len(RUN) :]]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    assert process.stderr.readline() == "HELD\n"
    return process


def heard(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    assert words in process.stderr.readline()


def test_an_interrupt_puts_everything_back(folder: Path) -> None:
    before = texts(folder)
    process = held(folder)
    assert texts(folder) != before
    process.send_signal(signal.SIGINT)
    heard(process, "interrupted")
    (folder / "go").touch()
    _, words = process.communicate()
    assert process.returncode == 130
    assert "everything is as it was" in words
    assert texts(folder) == before
    assert numaplan("recover").out == "nothing to recover\n"


def test_while_one_is_at_work_others_are_told_and_after_two_interrupts_recover_puts_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = texts(folder)
    process = held(folder)
    half = texts(folder)
    assert half != before
    again = numaplan("apply", folder / "plan.json", *there(folder), "--yes")
    assert again.code in {6, 7}
    assert "is open" in again.err
    waited = numaplan("apply", folder / "plan.json", *there(folder), "--yes", "--lock-timeout", "0.05")
    assert waited.code == 7
    assert f"another numaplan is at work: process {process.pid}" in waited.err
    with monkeypatch.context() as patch:
        patch.setenv("NUMAPLAN_STATE", str(folder / "other"))
        other = numaplan("apply", folder / "plan.json", *there(folder), "--yes")
        assert other.code in {6, 7}
    assert numaplan("recover").code == 7
    assert texts(folder) == half
    process.send_signal(signal.SIGINT)
    heard(process, "interrupted")
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130
    assert "left at once; the journal is kept" in words
    assert texts(folder) == half
    assert numaplan("apply", folder / "plan.json", *there(folder), "--yes").code in {6, 7}
    assert texts(folder) == half
    recovered = numaplan("recover")
    assert recovered.code == 0, recovered.err
    assert texts(folder) == before
    assert numaplan("apply", folder / "plan.json", *there(folder), "--yes").code == 0


def test_who_waits_for_another_run_sees_what_it_has_done(folder: Path) -> None:
    process = held(folder)
    words = command(folder, "--yes", "--lock-timeout", "60")
    waiting = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    while not waits(waiting.pid, folder / "state" / "lock"):
        assert waiting.poll() is None
        time.sleep(0.01)
    (folder / "go").touch()
    _, said = waiting.communicate()
    process.communicate()
    assert (process.returncode, waiting.returncode) == (0, 0), said
    assert said.endswith("nothing to do: every guest is as the plan wants it\n")


def waits(pid: int, lock: Path) -> bool:
    """Whether a process has that file open."""
    with suppress(OSError):
        return any(lock.samefile(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.exists())
    return False


AS_ANOTHER_USER: Final = """
import contextlib, io, os, sys
from numaplan.cli.main import app
words = sys.argv[1:]
# Once as it is: what is imported late may not be readable for the other user.
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for verb in ([word for word in words if word != "--yes"], ["rollback"], ["recover"]):
        with contextlib.suppress(SystemExit):
            app(verb)
import numaplan.cli.interrupts
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for name in ("HOME", "NUMAPLAN_STATE", "XDG_STATE_HOME"):
    os.environ.pop(name, None)
app(words)
"""


def test_a_user_without_a_home_is_told_what_to_set(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and path != Path(path.anchor):
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    for path in (folder / "domains", *(folder / "domains").iterdir(), folder / "plan.json"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    before = texts(folder)
    words = [sys.executable, "-c", AS_ANOTHER_USER, *command(folder, "--yes")[len(RUN) :]]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 7, ran.stderr
    assert "there is no place for the journal" in ran.stderr
    assert "set NUMAPLAN_STATE to a directory of your own" in ran.stderr
    assert texts(folder) == before
