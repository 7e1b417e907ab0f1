"""The reading of hosts: beside lstopo on captured ones, its growth on made ones, and how many files it opens.

Usage: .venv/bin/python benchmarks/inventory.py [RUNS]. Medians of RUNS (5), all in turn. The captures are those of the
folder that NUMAPLAN_CORPUS names, else ../shared/corpus beside the checkout; lstopo (hwloc) is found on PATH. Where one
of the two is missing, the script says so and goes on.
"""

import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.commands import NUMAPLAN, run
from benchmarks.synthetic import Shape, make_host
from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.sources.opening import open_store
from numaplan.sources.store import Kind, Store, join
from numaplan.sources.tree import HostTree, open_tree

CAPTURES = (
    "hwloc-256ppc-8n8s4t",
    "hwloc-128arm-2pa2n8cluster4co",
    "hwloc-64amd64-4p2n4ca2co",
    "hwloc-40intel64-2g2n4c+pcilocality",
    "lscpu-x86_64-64cpu",
    "nri-server",
    "ocp-bare-metal_worker1.internal",
)
SHAPES = tuple(Shape(cpus, nodes, vfs) for cpus, nodes in ((64, 2), (256, 8), (1024, 16)) for vfs in (0, 256, 2048))


class CountingStore:
    """Another store, and how often it was asked for what."""

    def __init__(self, base: Store) -> None:
        self._base = base
        self.reads: Counter[str] = Counter()
        self.listings: Counter[str] = Counter()
        self.looks = 0

    def kind(self, path: str) -> Kind:
        """Counted as a look."""
        self.looks += 1
        return self._base.kind(path)

    def target(self, path: str) -> str:
        """Counted as a look."""
        self.looks += 1
        return self._base.target(path)

    def names(self, path: str) -> Sequence[str]:
        """Counted by path."""
        self.listings[path] += 1
        return self._base.names(path)

    def read(self, path: str) -> bytes:
        """Counted by path."""
        self.reads[path] += 1
        return self._base.read(path)

    def below(self, path: str) -> Store:
        """Not counted."""
        return self._base.below(path)


def corpus() -> Path | None:
    """Where the captures are, if anywhere."""
    named = os.environ.get("NUMAPLAN_CORPUS")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "corpus"
    return path if path.is_dir() else None


def unpack(store: Store, folder: Path, path: str = "") -> None:
    """Everything that a capture holds, as files and links below `folder`."""
    for name in store.names(path):
        child, there = join(path, name), folder / name
        match store.kind(child):
            case Kind.FOLDER:
                there.mkdir()
                unpack(store, there, child)
            case Kind.LINK:
                there.symlink_to(store.target(child))
            case _:
                there.write_bytes(store.read(child))


def seconds_of(action: Callable[[], object]) -> float:
    """Wall time of one call, what earlier ones left behind cleared away."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def read(path: Path) -> None:
    """What numaplan does between its start and its output."""
    read_host(open_tree(path))


def medians(actions: Mapping[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """Seconds by name; in turn, so that a machine whose speed drifts treats all alike, and the first round is thrown
    away.
    """
    measured: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs + 1):
        for name, action in actions.items():
            measured[name].append(action())
    return {name: statistics.median(seconds[1:]) for name, seconds in measured.items()}


def inventory(path: Path, form: str) -> list[str]:
    """The whole command."""
    return [NUMAPLAN, "inventory", "--snapshot", str(path), "-o", form]


def beside_lstopo(folder: Path, runs: int) -> None:
    """Prints a row a capture; `read` is reading and parsing alone, the last columns are over the whole of lstopo."""
    where, lstopo = corpus(), shutil.which("lstopo-no-graphics") or shutil.which("lstopo")
    if where is None or lstopo is None:
        print("no captures: set NUMAPLAN_CORPUS" if where is None else "no lstopo on PATH: install hwloc")
        return
    print(f"{'ms, captures on disk':34} {'lstopo':>7} {'read':>7} {'json':>7} {'read/l':>7} {'json/l':>7}")
    for name in CAPTURES:
        archive = next((where / name).glob("capture.*"), None)
        if archive is None:
            print(f"{name:34} is not there")
            continue
        host = folder / name
        host.mkdir()
        unpack(open_store(archive)[0], host)
        argv = [lstopo, "--if", "fsroot", "-i", str(host), "--of", "xml", "-"]
        found = medians(
            {
                "lstopo": lambda argv=argv: run(argv)[0],  # type: ignore[misc]  # bound now, as the loop goes on
                "read": lambda host=host: seconds_of(lambda: read(host)),  # type: ignore[misc]  # as above
                "json": lambda host=host: run(inventory(host, "json"))[0],  # type: ignore[misc]  # as above
            },
            runs,
        )
        cells = " ".join(f"{found[key] * 1000:7.1f}" for key in ("lstopo", "read", "json"))
        print(f"{name:34} {cells} {found['read'] / found['lstopo']:7.1f} {found['json'] / found['lstopo']:7.1f}")


def growth(folder: Path, runs: int) -> None:
    """Prints a row a made host: milliseconds, the most memory of the whole command, and what was opened for it."""
    print(
        f"{'ms, made hosts':34} {'read':>7} {'json':>7} {'table':>7} {'MiB':>5} {'files':>7} {'twice':>6} {'lists':>7}"
    )
    for shape in SHAPES:
        host = folder / shape.name
        make_host(host, shape)
        found = medians(
            {
                "read": lambda host=host: seconds_of(lambda: read(host)),  # type: ignore[misc]  # bound now
                "json": lambda host=host: run(inventory(host, "json"))[0],  # type: ignore[misc]  # as above
                "table": lambda host=host: run(inventory(host, "table"))[0],  # type: ignore[misc]  # as above
            },
            runs,
        )
        peak = run(inventory(host, "json"))[1]
        store = CountingStore(open_store(host)[0])
        read_host(HostTree(store, Source.CAPTURE))
        twice = sum(count > 1 for counts in (store.reads, store.listings) for count in counts.values())
        cells = " ".join(f"{found[key] * 1000:7.0f}" for key in ("read", "json", "table"))
        print(f"{shape.name:34} {cells} {peak:5.0f} {len(store.reads):7} {twice:6} {len(store.listings):7}")
        shutil.rmtree(host)


def main(runs: int) -> None:
    """Prints both tables."""
    with tempfile.TemporaryDirectory() as folder:
        beside_lstopo(Path(folder), runs)
        print()
        growth(Path(folder), max(runs // 2, 1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
