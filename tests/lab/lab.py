"""What a scenario has in hand: commands of the lab host, and rows to tell what it saw."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

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
            bug = re.search(r"/\S*numaplan-bug-\S+\.txt", done.stderr)
            trace = Path(bug[0]).read_text() if bug else ""
            said = done.stdout[-2000:] + done.stderr[-4000:] + trace
            raise AssertionError(f"{command} ended with {done.returncode}:\n{said}")
        return done.stdout

    def numaplan(self, *arguments: object) -> str:
        """What the command prints."""
        return self.run("python3", "-c", "from numaplan.cli.main import run; run()", *arguments)


def row(what: str, planned: object, found: object) -> Row:
    return {"what": what, "planned": str(planned), "found": str(found)}
