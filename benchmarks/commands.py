"""Whole commands on the captured host that ships here: wall time and peak memory, median of several runs.

Usage: .venv/bin/python benchmarks/commands.py [RUNS]. Where lscpu is installed, it reads the same tree for comparison
(`lscpu --sysroot`); the last column is our time over its time.
"""

import os
import shutil
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMAPLAN = str(ROOT / ".venv" / "bin" / "numaplan")
HOST = str(ROOT / "fixtures" / "sysfs" / "16-2n4c2t-sriov")
VNF = str(ROOT / "examples" / "vnf.yaml")
DOMAINS = str(ROOT / "examples" / "domains")

COMMANDS = {
    "--help": [NUMAPLAN, "--help"],
    "inventory": [NUMAPLAN, "inventory", "--snapshot", HOST],
    "inventory -o json": [NUMAPLAN, "inventory", "--snapshot", HOST, "-o", "json"],
    "place": [NUMAPLAN, "place", VNF, "--snapshot", HOST, "--domains", DOMAINS],
    "audit": [NUMAPLAN, "audit", "--snapshot", HOST, "--domains", DOMAINS],
}


def run(argv: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of one run, its output thrown away."""
    start = time.perf_counter()
    pid = os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)],
    )
    _, _, usage = os.wait4(pid, 0)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main(runs: int) -> None:
    """Prints a row a command."""
    commands = dict(COMMANDS)
    lscpu = shutil.which("lscpu")
    if lscpu is not None:
        commands["lscpu (peer)"] = [lscpu, "--sysroot", HOST]
    # In turn, not in blocks: a machine whose speed drifts then treats all alike.
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, argv in commands.items():
            measured[name].append(run(argv))
    medians = {name: statistics.median(seconds for seconds, _ in rows[1:]) for name, rows in measured.items()}
    print(f"{'command':20} {'ms':>7} {'MiB':>6} {'/lscpu':>7}")
    for name, rows in measured.items():
        peak = statistics.median(mib for _, mib in rows[1:])
        ratio = f"{medians[name] / medians['lscpu (peer)']:7.1f}" if lscpu is not None else "      -"
        print(f"{name:20} {medians[name] * 1000:7.0f} {peak:6.0f} {ratio}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
