"""Captures of real machines by other projects: each opens, and its root is found."""

import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from numaplan.sources.tree import open_tree
from tests.corpus import corpus
from tests.depth import step

CAPTURES = sorted([*corpus().glob("*/capture.*"), *corpus().glob("lab/host-*.tar.gz")])


def test_the_corpus_has_captures() -> None:
    assert len(CAPTURES) >= 50


@pytest.mark.parametrize(
    "path", CAPTURES[:: step(3)], ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}"
)
def test_every_file_of_a_capture_is_found_with_its_content(path: Path) -> None:
    tree = open_tree(path)
    assert "devices" in tree.names("sys")
    assert any(name.removeprefix("cpu").isdigit() for name in tree.names("sys/devices/system/cpu"))
    files, folders = members_by_tarfile(path)
    assert len(files) > 15
    for name, content in files.items():
        assert (tree.text(name) or "").encode("utf-8", "surrogateescape") == content, name
    for name, entries in folders.items():
        assert tree.names(name) == tuple(sorted(entries)), name
    assert tree.gaps == ()
    assert tree.opened == tuple(sorted(files))


def members_by_tarfile(path: Path) -> tuple[dict[str, bytes], dict[str, set[str]]]:
    """The files below the folder that holds sys/, and the entries of its folders, by the standard library's reader."""
    with tarfile.open(path) as archive:
        members = [(f"./{info.name}/".replace("/./", "/"), info) for info in archive]
        roots = [name.partition("/sys/")[0] for name, _ in members if "/sys/" in name]
        root = min(roots, key=lambda name: (name.count("/"), name)) + "/"
        files: dict[str, bytes] = {}
        folders: dict[str, set[str]] = defaultdict(set)
        for name, info in members:
            inside = name.removeprefix(root).rstrip("/")
            if not name.startswith(root) or not inside:
                continue
            folder, _, entry = inside.rpartition("/")
            folders[folder].add(entry)
            if reader := archive.extractfile(info) if info.isreg() else None:
                files[inside] = reader.read()
    return files, folders


def test_the_links_of_a_lab_host_resolve() -> None:
    tree = open_tree(corpus() / "lab" / "host-snc.tar.gz")
    devices = tree.names("sys/bus/pci/devices")
    assert len(devices) == 28
    for address in devices:
        real = tree.resolve(f"sys/bus/pci/devices/{address}")
        assert real is not None
        assert real.startswith("sys/devices/pci")
        assert tree.text(f"sys/bus/pci/devices/{address}/vendor") == tree.text(f"{real}/vendor")
        group = tree.link_name(f"sys/bus/pci/devices/{address}/iommu_group")
        assert group is not None
        assert tree.exists(f"sys/kernel/iommu_groups/{group}/devices/{address}")
    assert tree.gaps == ()
