"""The lab: a NUMA host with SR-IOV under QEMU, made of Debian packages, in which numaplan runs from this checkout.

Usage: python -m tests.lab [TOPOLOGY[:SCENARIO,...]]...; without a word, everything. Prints planned against found.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tabulate import tabulate

from tests.lab.image import ROOT, LabError, built, cache
from tests.lab.machine import run
from tests.lab.scenarios import SCENARIOS
from tests.lab.seeing import CAPTURE, REPLAYED
from tests.lab.topologies import TOPOLOGIES

LONGEST = 400
NUMAPLAN = "from numaplan.cli.main import run; run()"


def main(words: Sequence[str]) -> int:
    try:
        asked = [_asked(word) for word in words or TOPOLOGIES]
        start = time.monotonic()
        folder = built()
        _say(f"image: {time.monotonic() - start:.0f} s")
        return int(any([_try(folder, *each) for each in asked]))  # noqa: C419 - all are tried
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _asked(word: str) -> tuple[str, tuple[str, ...]]:
    """A topology and its scenarios; raises LabError."""
    topology, _, names = word.partition(":")
    if topology not in TOPOLOGIES or not set(names.split(",")) <= {"", *SCENARIOS}:
        raise LabError(f"{word}: expected one of {', '.join(TOPOLOGIES)}, and scenarios of {', '.join(SCENARIOS)}")
    return topology, tuple(names.split(",")) if names else tuple(SCENARIOS)


def _try(folder: Path, topology: str, scenarios: tuple[str, ...]) -> bool:
    """Whether something was not as planned."""
    results = cache() / "results" / topology
    start = time.monotonic()
    try:
        output = run(folder, TOPOLOGIES[topology], scenarios, results)
    except LabError as error:
        _say(f"{topology}: {error}")
        return True
    rows = [json.loads(line) for line in (results / "rows.jsonl").read_text().splitlines()]
    rows += _replayed(results)
    table = [(row["scenario"], row["what"], *_shown(row["planned"], row["found"])) for row in rows]
    _say(tabulate(table, headers=("scenario", "what", "planned", "found", ""), maxcolwidths=[None, 40, 50, 50, None]))
    wrong = sum(1 for *_, mark in table if mark)
    code = (results / "code").read_text().strip()
    _say(output if code != "0" else "")
    _say(f"{topology}: {len(rows)} compared, {wrong} differ; {time.monotonic() - start:.0f} s")
    return wrong > 0 or code != "0"


def _replayed(results: Path) -> list[dict[str, str]]:
    """A capture that the lab host made, replayed here, beside what the lab host made of it."""
    capture = results / CAPTURE
    if not capture.exists():
        return []
    ran = subprocess.run(
        [sys.executable, "-c", NUMAPLAN, "inventory", "--snapshot", capture, "-o", "json"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    there = json.loads((results / REPLAYED).read_text())
    here = json.loads(ran.stdout) if ran.returncode == 0 else ran.stderr
    return [{"scenario": "capture", "what": "replayed on the outer machine", "planned": str(there), "found": str(here)}]


def _shown(planned: str, found: str) -> tuple[str, str, str]:
    """Both, and whether they differ; what is longer than a table bears by its digest."""
    if max(len(planned), len(found)) <= LONGEST:
        return planned, found, "" if planned == found else "DIFFERS"
    short = [f"{len(text)} characters, {sha256(text.encode()).hexdigest()[:12]}" for text in (planned, found)]
    return short[0], short[1], "" if planned == found else "DIFFERS"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
