"""One line on a terminal while a search goes on: the level at hand, how good it is, how good it can get, how long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from numaplan.placement.search import Progress

# A search that is over by then shows nothing.
AFTER_S: Final = 1.0
CLEAR: Final = "\r\x1b[K"


@contextmanager
def progress_line(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Progress], None] | None]:
    """What a search may report to; None where `stream` (stderr) is no terminal. The line is gone at the end."""
    out = sys.stderr if stream is None else stream
    if not out.isatty():
        yield None
        return
    start = clock()
    shown = False

    def report(progress: Progress) -> None:
        nonlocal shown
        elapsed = clock() - start
        if elapsed >= AFTER_S:
            out.write(CLEAR + progress_text(progress, elapsed))
            out.flush()
            shown = True

    try:
        yield report
    finally:
        if shown:
            out.write(CLEAR)
            out.flush()


def progress_text(progress: Progress, elapsed_s: float) -> str:
    """``cross_node_cost: 4770, none below 4740 · 12 s``."""
    text = str(progress.level)
    if progress.value is not None:
        text += f": {progress.value}"
        if progress.bound is not None and progress.bound != progress.value:
            text += f", none {'above' if progress.bound > progress.value else 'below'} {progress.bound}"
    return f"{text} · {elapsed_s:.0f} s"
