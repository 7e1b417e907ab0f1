"""What a user sees when something goes wrong: one clear line, the right exit code, and never a traceback."""

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from numaplan import __version__
from numaplan.cli.forms import print_note
from numaplan.errors import ExitCode, NumaplanError

# What a full disk or a full quota says; of files that numaplan writes itself `sources/files.py` tells it.
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def reported() -> Iterator[None]:
    """Turns every failure of a verb into a message on stderr and an exit code."""
    try:
        yield
    except NumaplanError as error:
        print_note("".join(f"numaplan: {problem}\n" for problem in error.problems))
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        print_note("numaplan: interrupted; nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
    except (typer.Exit, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001  # the one place where a bug becomes a message
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _drop_output()
            print_note(f"numaplan: the output cannot be written: {error.strerror}\n")
            raise typer.Exit(ExitCode.BACKEND) from None
        print_note(f"numaplan: this is a bug in numaplan {__version__}; please report it with {_save_traceback()}\n")
        raise typer.Exit(ExitCode.BUG) from None


def _drop_output() -> None:
    """Python flushes stdout once more at its end, where there is nobody or no room for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _save_traceback() -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="numaplan-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        traceback.print_exc(file=file)
        return file.name
