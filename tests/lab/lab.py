"""What a scenario has in hand: commands of the lab host, and rows to tell what it saw."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab.forked import forked
from tests.lab.topologies import Topology

Row = dict[str, str]


@dataclass(frozen=True)
class Lab:
    """The lab host, from inside: `results` is a folder of the outer machine."""

    topology: Topology
    results: Path

    def run(self, *command: object, check: bool = True, **environment: str) -> str:
        """What a command prints; raises where it fails."""
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False,
            env={**os.environ, **environment}, cwd="/mnt/project",
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{_said(done.stdout, done.stderr)}")
        return done.stdout

    def numaplan(self, *arguments: object) -> str:
        """What the command prints; raises where it fails."""
        done = forked(arguments)
        if done.code:
            raise AssertionError(f"numaplan {arguments} ended with {done.code}:\n{_said(done.stdout, done.stderr)}")
        return done.stdout


def _said(stdout: str, stderr: str) -> str:
    """The end of what a command printed, and the report that an unexpected failure left."""
    bug = re.search(r"/\S*numaplan-bug-\S+\.txt", stderr)
    return stdout[-2000:] + stderr[-4000:] + (Path(bug[0]).read_text() if bug else "")


def row(what: str, planned: object, found: object) -> Row:
    return {"what": what, "planned": str(planned), "found": str(found)}
