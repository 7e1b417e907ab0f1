"""Runs the command as a user does, in this process or in one of its own."""

import io
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from numaplan.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "fixtures" / "sysfs" / "16-2n4c2t-sriov"
EXAMPLES = ROOT / "examples"
VNF = EXAMPLES / "vnf.yaml"
DOMAINS = EXAMPLES / "domains"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def numaplan(*arguments: object) -> Ran:
    """In this process: fast, and a bug shows as exit code 1."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Ran(result.exit_code, result.stdout, result.stderr)


def spawned(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, through the console script's entry point."""
    command = [sys.executable, "-c", "from numaplan.cli.main import run; run()", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, cwd=ROOT
    )


def placed(*extra: object) -> Ran:
    """The example, on the host that ships."""
    return numaplan("place", VNF, "--snapshot", HOST, "--domains", DOMAINS, *extra)


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    """A tar.gz with these members, whatever their names."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
