"""Fixtures of those who try the command."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.running import DOMAINS, HOST, VNF, numaplan


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plan of the example, as text."""
    plan = tmp_path_factory.mktemp("example") / "plan.json"
    placed = numaplan("place", VNF, "--snapshot", HOST, "--domains", DOMAINS, "--out", plan)
    assert placed.code == 0, placed.err
    return plan.read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's guests, beside an empty state directory."""
    monkeypatch.setenv("NUMAPLAN_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    shutil.copytree(DOMAINS, tmp_path / "domains")
    return tmp_path
