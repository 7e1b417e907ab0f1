"""Reads that fail, one at a time, on whole hosts of two packages: no fact changes without a gap that names the file."""

import errno
import random
import re
from functools import cache
from pathlib import Path

import pytest

from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.sources.tree import HostTree, open_tree
from tests.inventory.broken import (
    PASSABLE,
    READ_FAULTS,
    Fault,
    FaultyStore,
    Host,
    facts,
    kind_of,
    names,
    new_gaps,
)
from tests.inventory.trees import opened

FIXTURE = "16-2n4c2t-sriov"
NAMES = ("host-flat", "host-snc", "host-cxl", FIXTURE)
FAULTS = (*READ_FAULTS, Fault.DELETED)
# They differ in what the gap says alone, so each file of the sample meets one of them.
ERRNOS = (Fault.EACCES, Fault.EIO, Fault.EBUSY, Fault.EINVAL)
SEED = 11


@cache
def host(name: str) -> Host:
    if name != FIXTURE:
        return Host.of(opened(name)._store)
    return Host.of(open_tree(Path(__file__).resolve().parents[2] / "fixtures" / "sysfs" / name)._store)


def one_of_each_kind(groups: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Real paths by host, of one file of each kind, on whichever host that falls."""
    rng = random.Random(SEED)  # noqa: S311 - the same files every time
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, paths in groups.items():
        for real, path in paths.items():
            kinds.setdefault(kind_of(path), []).append((name, real))
    chosen = [rng.choice(sorted(each)) for _, each in sorted(kinds.items())]
    return {name: [real for host_, real in chosen if host_ == name] for name in groups}


@cache
def sampled() -> dict[str, list[str]]:
    return one_of_each_kind({name: dict(host(name).files) for name in NAMES})


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_host_has_no_gaps(name: str) -> None:
    assert not host(name).whole.gaps


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_fact_that_a_fault_changes_has_a_gap_that_names_the_file(
    name: str, fault: Fault, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--every-fault"):
        files = sorted(host(name).files)
    else:
        files = [real for i, real in enumerate(sampled()[name]) if fault not in ERRNOS or ERRNOS[i % 4] is fault]
    assert [each for real in files for each in host(name).silent({real: fault})] == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_listed_is_a_gap(name: str, number: int, request: pytest.FixtureRequest) -> None:
    folders = dict(host(name).folders)
    if not request.config.getoption("--every-fault"):
        folders = {real: folders[real] for real in one_of_each_kind({name: folders})[name]}
    silent = []
    for real, path in folders.items():
        read = read_host(HostTree(FaultyStore(host(name).store, folders={real: number}), Source.CAPTURE))
        if facts(read) != facts(host(name).whole) and not names(new_gaps(read, host(name).whole), path):
            silent.append(path)
    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_a_link_that_cannot_be_read_is_a_gap(name: str, request: pytest.FixtureRequest) -> None:
    links = {path: path for path in host(name).links}
    if not request.config.getoption("--every-fault"):
        links = {path: path for path in one_of_each_kind({name: links})[name]}
    silent = []
    for path in links:
        store = FaultyStore(host(name).store, links={path: errno.EACCES})
        read = read_host(HostTree(store, Source.CAPTURE))
        if facts(read) != facts(host(name).whole) and not names(new_gaps(read, host(name).whole), path):
            silent.append(path)
    assert silent == []


def test_every_fault_that_may_pass_has_a_reason_and_a_file() -> None:
    read = {path for name in (*NAMES, "hwloc-2pa-pcidomain32bits") for path in host(name).files.values()}
    for each in PASSABLE:
        assert each.why
        assert any(re.fullmatch(each.files, path) for path in read), each.files
