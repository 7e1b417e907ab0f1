"""Fixtures that every room's tests share."""

import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.depth import draws


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="rewrite golden files from what the code says now")
    parser.addoption("--trees", type=int, default=draws(500), metavar="N", help="so many broken hosts are read")
    parser.addoption("--every-fault", action="store_true", help="break each file, not one of each kind")
    parser.addoption("--every-document", action="store_true", help="patch each domain XML, not each fourth")


def pytest_configure() -> None:
    """Shells start what runs in the background deaf to ^C, and so would be what the tests start and interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what needs libvirt-python where it is not installed; test_binding.py refuses that where CI is true."""
    if find_spec("libvirt") is not None:
        return
    without = [item for item in items if item.get_closest_marker("libvirt") is not None]
    if without:
        items[:] = [item for item in items if item.get_closest_marker("libvirt") is None]
        config.hook.pytest_deselected(items=without)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says so, in the process that reports, whichever one collected the tests."""
    if find_spec("libvirt") is None:
        terminalreporter.section("libvirt-python is not installed", red=True, bold=True)
        terminalreporter.line("the tests marked libvirt were LEFT OUT; to run them: make libvirt")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """`golden(path, actual)` compares with a file that stands beside the test."""

    def compare(path: Path, actual: str) -> None:
        if request.config.getoption("--regenerate"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        assert path.is_file(), f"no golden file {path.name}: run pytest --regenerate and read what it wrote"
        assert actual == path.read_text(encoding="utf-8")

    return compare
