"""Where other projects' captures and domain XMLs are found: they are read, never shipped."""

import os
from pathlib import Path


def corpus() -> Path:
    """NUMAPLAN_CORPUS, else ../shared/corpus beside the checkout; an AssertionError says so where neither is there."""
    named = os.environ.get("NUMAPLAN_CORPUS")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "corpus"
    assert path.is_dir(), f"no corpus at {path}: set NUMAPLAN_CORPUS to the folder that holds MANIFEST.tsv"
    return path
