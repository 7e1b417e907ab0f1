"""What a user sees when something goes wrong: one clear line, the right exit code, and never a traceback."""

import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from numaplan import __version__
from numaplan.cli.forms import print_note
from numaplan.errors import ExitCode, NumaplanError, Problem
from numaplan.sources.streams import NO_ROOM, to_nowhere

_LONGEST: Final = 200
# XML (but no <locals> of Python's names), or the words that stand around a secret.
_SECRET: Final = re.compile(
    r"<(?!(?:locals|lambda|module|genexpr|\w+comp)>)[\w:/-]+[\s/>]|/>|<!|passw|passphrase|secret|token|cookie|credential",
    re.IGNORECASE,
)


@contextmanager
def reported() -> Iterator[None]:
    """Turns every failure of a verb into a message on stderr and an exit code."""
    try:
        with written():
            yield
    except NumaplanError as error:
        print_note("".join(f"numaplan: {_told(problem)}\n" for problem in error.problems))
        raise typer.Exit(error.exit_code) from None
    except (KeyboardInterrupt, typer.Abort):
        # The latter is Ctrl-C, or the end of the input, where somebody was asked.
        print_note("numaplan: interrupted; nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (typer.Exit, typer.BadParameter):
        raise
    except Exception:  # noqa: BLE001  # the one place where a bug becomes a message
        print_note(f"numaplan: this is a bug in numaplan {__version__}; please report it with {_save_traceback()}\n")
        raise typer.Exit(ExitCode.BUG) from None


@contextmanager
def written() -> Iterator[None]:
    """Turns an output that nobody reads, or that there is no room for, into an exit code.

    Of files that numaplan writes itself `sources/files.py` tells it.
    """
    try:
        yield
    except BrokenPipeError:
        to_nowhere(sys.stdout)
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        to_nowhere(sys.stdout)
        print_note(f"numaplan: the output cannot be written: {error.strerror}\n")
        raise typer.Exit(ExitCode.BACKEND) from None


def _told(problem: Problem) -> str:
    """A problem, made safe: names of guests and files are whatever somebody called them."""
    from numaplan.report.text import clean

    hint, excerpt = problem.hint, problem.excerpt
    told = Problem(
        clean(problem.what),
        clean(problem.where),
        None if hint is None else clean(hint),
        None if excerpt is None else "\n".join(map(clean, excerpt.split("\n"))),
    )
    return str(told)


def _save_traceback() -> str:
    """Saves the traceback, its owner's alone; where there is no room for it, it is printed. Says where it is."""
    text = _traceback_text()
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="numaplan-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
            return file.name
    except OSError:
        print_note(text)
        return "the lines above"


def _traceback_text() -> str:
    """Where it went wrong, without what an error may quote: the XML in hand holds secrets."""
    lines = []
    error = sys.exc_info()[1]
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for each in reversed(chain):
        lines += traceback.format_tb(each.__traceback__)
        lines.append(f"{type(each).__module__}.{type(each).__qualname__}: {_quotable(each)}\n\n")
    return "".join(lines)


def _quotable(error: BaseException) -> str:
    """What an error says, unless that may be somebody's XML or a secret."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  # an error that cannot say what it is
        return "(cannot be printed)"
    if len(words) > _LONGEST or _SECRET.search(words):
        return f"({len(words)} characters that may quote a guest's XML are left out)"
    return words
