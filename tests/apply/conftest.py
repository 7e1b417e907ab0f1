"""A scene for each test, on a disk that is never waited for: what a lost write does is the campaigns' subject."""

import os
from pathlib import Path

import pytest

from tests.apply.scene import Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path / "root").make()
    monkeypatch.setenv("NUMAPLAN_STATE", str(made.state))
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    return made
