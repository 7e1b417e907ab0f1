"""The line that a long search shows on a terminal."""

import io
from collections.abc import Iterator

from numaplan.cli.progress import CLEAR, progress_line, progress_text
from numaplan.model.plan import LevelName
from numaplan.placement.search import Progress

COST = Progress(LevelName.CROSS_NODE_COST, 4770, 4740)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seconds(*values: float) -> Iterator[float]:
    return iter(values)


def test_a_line_names_the_level_its_value_its_bound_and_the_time() -> None:
    assert progress_text(COST, 12.3) == "cross_node_cost: 4770, none below 4740 · 12 s"
    assert progress_text(Progress(LevelName.PRIORITY, 10, 12), 2.0) == "priority: 10, none above 12 · 2 s"
    assert progress_text(Progress(LevelName.PRIORITY, 12, 12), 2.0) == "priority: 12 · 2 s"
    assert progress_text(Progress(LevelName.PRIORITY, None, 12), 2.0) == "priority · 2 s"


def test_the_line_is_gone_when_the_search_is_over() -> None:
    terminal, clock = Terminal(), seconds(0.0, 2.0, 3.0)
    with progress_line(terminal, lambda: next(clock)) as report:
        assert report is not None
        report(COST)
        report(COST)
    lines = terminal.getvalue().split(CLEAR)
    assert lines == ["", progress_text(COST, 2.0), progress_text(COST, 3.0), ""]


def test_a_short_search_shows_nothing() -> None:
    terminal, clock = Terminal(), seconds(0.0, 0.5)
    with progress_line(terminal, lambda: next(clock)) as report:
        assert report is not None
        report(COST)
    assert terminal.getvalue() == ""


def test_what_is_no_terminal_is_told_nothing() -> None:
    with progress_line(io.StringIO()) as report:
        assert report is None
