"""Captured hosts of which one to four files are broken at random: no crash, and no fact that changes without a gap."""

import math
import random
from functools import cache

import pytest

from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.sources.tree import HostTree
from tests.inventory.broken import MUTATIONS, Fault, FaultyStore, Host
from tests.inventory.trees import capture_id, captures, opened

CAPTURES = {capture_id(path): path for path in captures()}
NAMES = list(CAPTURES)
SEED = 20
MOST_FILES = 4
# Most trees are broken where it hurts most: what decides packages, nodes, cores and caches.
TOPOLOGY = ("sys/devices/system/cpu", "sys/devices/system/node")
TOPOLOGY_SHARE = 0.7


def share(name: str) -> float:
    """Of all trees; a large capture gets fewer, since it takes longer to read."""
    weights = {each: 1 / math.sqrt(CAPTURES[each].stat().st_size) for each in NAMES}
    return weights[name] / sum(weights.values())


@cache
def host(name: str) -> Host:
    return Host.of(opened(name)._store)


def random_faults(rng: random.Random, read: Host) -> dict[str, Fault]:
    files = sorted(read.files)
    topology = [real for real in files if real.startswith(TOPOLOGY)]
    count = rng.randint(1, min(MOST_FILES, len(files)))
    chosen = {rng.choice(topology if topology and rng.random() < TOPOLOGY_SHARE else files) for _ in range(count)}
    return {real: rng.choice(MUTATIONS) for real in sorted(chosen)}


@pytest.mark.parametrize("name", NAMES)
def test_no_fact_changes_without_a_gap_that_names_the_file(name: str, request: pytest.FixtureRequest) -> None:
    rng = random.Random(f"{SEED} {name}")  # noqa: S311 - the same trees every time
    trees = math.ceil(request.config.getoption("--trees") * share(name))
    silent = []
    for _ in range(trees):
        faults = random_faults(rng, host(name))
        silent += [(each, faults) for each in host(name).silent(faults)]
    assert silent == []


@pytest.mark.parametrize("fault", MUTATIONS)
@pytest.mark.parametrize("name", ["host-cxl", "lscpu-s390-kvm"])
def test_a_host_all_of_whose_files_are_broken_is_still_read(name: str, fault: Fault) -> None:
    store = FaultyStore(host(name).store, dict.fromkeys(host(name).files, fault))
    read = read_host(HostTree(store, Source.CAPTURE))
    assert len(read.cpus.online)
    assert read.gaps
