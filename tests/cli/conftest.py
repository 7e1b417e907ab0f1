"""Fixtures of those who try the command."""

import pytest

from tests.cli.running import DOMAINS, HOST, VNF, numaplan


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plan of the example, as text."""
    plan = tmp_path_factory.mktemp("example") / "plan.json"
    placed = numaplan("place", VNF, "--snapshot", HOST, "--domains", DOMAINS, "--out", plan)
    assert placed.code == 0, placed.err
    return plan.read_text()
