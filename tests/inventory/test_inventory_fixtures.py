"""The captured hosts that ship here, each with what we know that it is."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.api.inventory import take_inventory
from numaplan.api.where import Where
from numaplan.records.inventory import inventory_json

FIXTURES = sorted((Path(__file__).resolve().parents[2] / "fixtures" / "sysfs").iterdir())


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_a_captured_host_reads_as_expected(fixture: Path, golden: Callable[[Path, str], None]) -> None:
    archive = fixture / "capture.tar.gz"
    snapshot = take_inventory(Where(archive if archive.is_file() else fixture))
    assert snapshot.gaps == ()
    golden(fixture / "expected.json", inventory_json(snapshot))


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_a_captured_host_says_where_it_is_from(fixture: Path) -> None:
    about = tomllib.loads((fixture / "ABOUT.toml").read_text(encoding="utf-8"))
    assert {"what", "machine", "kernel", "why"} <= set(about)
