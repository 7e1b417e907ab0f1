"""numaplan's command in a process of its own, forked from one that has loaded all of it.

Emulated, a Python that starts anew takes ten seconds to load what a command needs.
"""

import importlib
import os
import pkgutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numaplan

# What numaplan itself loads only when it needs it.
LATE = ("libvirt", "pyroute2", "pyudev", "psutil")


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    def ended(self, expected: int) -> str:
        """The exit code, and where it is not the one expected, what was said."""
        return str(self.code) if self.code == expected else f"{self.code}: {self.stderr[-800:]}"


def load() -> None:
    """All that a command might need; it starts nothing and keeps no state that a command would not make itself."""
    for module in pkgutil.walk_packages(numaplan.__path__, "numaplan."):
        importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)


def forked(arguments: Sequence[object], before: Callable[[], None] = lambda: None) -> Done:
    """`before` runs in the new process first."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _run([str(word) for word in arguments], before, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return Done(os.waitstatus_to_exitcode(status), out.read().decode(), err.read().decode())


def _run(arguments: list[str], before: Callable[[], None], out: int, err: int) -> None:
    code = 70
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        sys.argv = ["numaplan", *arguments]
        before()
        from numaplan.cli.main import run  # noqa: PLC0415 - as the console script does

        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as the scenario's process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
