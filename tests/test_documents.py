"""The documents are true: every command that the README shows is run, and says what is printed there."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.api.profiles import shipped_profiles
from numaplan.spec.vnf import parse_vnf

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PICTURE = ROOT / "docs" / "host.svg"
BLOCK = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)


def output_of(command: str, **environment: str) -> str:
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["/bin/sh", "-c", f"({command}) 2>&1"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PATH": path, **environment},
    )
    assert "bug in numaplan" not in ran.stdout
    return ran.stdout


@pytest.mark.parametrize(
    "path",
    [path for path in (README, *sorted(DOCS.glob("*.md"))) if BLOCK.search(path.read_text(encoding="utf-8"))],
    ids=lambda path: path.name,
)
def test_a_document_shows_what_its_commands_print(
    path: Path, golden: Callable[[Path, str], None], tmp_path: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    # Commands of one document follow upon each other: $WORK is what they share.
    own = {"WORK": str(tmp_path), "NUMAPLAN_STATE": str(tmp_path / "state")}

    def run(block: re.Match[str]) -> str:
        output = output_of(block["command"], **own).replace(str(tmp_path), "$WORK")
        return f"```console\n$ {block['command']}\n{output}```"

    golden(path, BLOCK.sub(run, text))


def test_the_readme_has_a_tour() -> None:
    assert len(BLOCK.findall(README.read_text(encoding="utf-8"))) >= 8


def test_the_picture_in_the_readme_is_that_of_the_host_it_speaks_of(golden: Callable[[Path, str], None]) -> None:
    golden(PICTURE, output_of("numaplan inventory --snapshot fixtures/sysfs/16-2n4c2t-guests/capture.tar.gz -o svg"))


def test_the_live_host_can_be_read() -> None:
    assert "online CPUs" in output_of("numaplan inventory")


@pytest.mark.parametrize(
    "document",
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *sorted(path.name for path in (ROOT / "docs").glob("*.md"))],
)
def test_links_lead_somewhere(document: str) -> None:
    path = next(path for path in (ROOT / document, ROOT / "docs" / document) if path.is_file())
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_paths_that_the_architecture_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text):
        assert (ROOT / "numaplan" / name).is_file() or (ROOT / name).is_file(), name


def test_the_architecture_names_every_module_of_placement_and_no_other() -> None:
    """In a row of its table a bare name stands in the folder of the path before it."""
    named = set()
    for row in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines():
        folder = ""
        for path in re.findall(r"`([a-z_/]+\.py)`", row) if row.startswith("|") else ():
            folder = path.rpartition("/")[0] or folder
            named.add(f"{folder}/{path.rpartition('/')[2]}")
    placement = (ROOT / "numaplan" / "placement").rglob("*.py")
    modules = {path.relative_to(ROOT / "numaplan").as_posix() for path in placement if path.name != "__init__.py"}
    assert {path for path in named if path.startswith("placement/")} == modules


def test_the_vnf_yaml_of_the_documents_parses() -> None:
    text = (ROOT / "docs" / "vnf-yaml.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    request = parse_vnf(
        block, "docs/vnf-yaml.md", profiles=shipped_profiles(), host_profile=None, known_guests=frozenset()
    )
    assert [guest.name for guest in request.guests] == ["fw1"]
