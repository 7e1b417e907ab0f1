"""How slow this machine is just now, beside the one on which the goals were set: what turns seconds into each other.

Usage: .venv/bin/python benchmarks/pace.py. Some packages are each imported by RUNS fresh interpreters; their median is
divided by the milliseconds that the same import took there, and the median of these ratios is the pace. A shared
machine's pace changes by the hour, so it is taken before and after what it is to stand for.
"""

import statistics
import subprocess
import sys
from typing import Final

RUNS: Final = 7
# Milliseconds, medians of seven fresh interpreters on two cores of a shared machine.
REFERENCE_MS: Final = {
    "typer": 59,
    "ruamel.yaml": 21,
    "pydantic": 40,
    "networkx": 114,
    "pyroute2": 130,
    "tabulate": 44,
    "psutil": 22,
    "pyudev": 23,
}
PROBE: Final = "import time; start = time.perf_counter(); import {}; print((time.perf_counter() - start) * 1e3)"


def import_ms(package: str) -> float:
    """The median time that a fresh interpreter takes to import a package."""
    probe = [sys.executable, "-c", PROBE.format(package)]
    runs = [subprocess.run(probe, capture_output=True, text=True, check=True) for _ in range(RUNS)]  # noqa: S603  # ours
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    """Prints a line for each package, and the pace."""
    ratios = []
    for package, reference in REFERENCE_MS.items():
        here = import_ms(package)
        ratios.append(here / reference)
        print(f"{package:12} {here:7.1f} ms, there {reference:4} ms: {ratios[-1]:.2f}")
    print(f"pace {statistics.median(ratios):.2f}: a second there is {statistics.median(ratios):.2f} s here")


if __name__ == "__main__":
    main()
