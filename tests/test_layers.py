"""The house: floors, circles, one home for each third-party package, imports inside functions."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "numaplan"

FLOORS = (
    {"errors"},
    {"cpuset", "units"},
    {"model"},
    {"sources", "graph", "domxml", "spec", "records"},
    {"inventory", "placement", "audit", "report", "apply", "targets"},
    {"api"},
    {"cli"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}

HOMES = {
    "libvirt": {"sources"},
    "pyroute2": {"sources"},
    "pyudev": {"sources"},
    "psutil": {"sources"},
    "zstandard": {"sources"},
    "networkx": {"graph"},
    "ortools": {"placement"},
    "pydantic": {"spec", "records"},
    "pydantic_core": {"spec", "records"},
    "ruamel": {"spec"},
    "tabulate": {"report"},
    "typer": {"cli"},
    "rich": {"cli"},
}

# Where an import inside a function keeps the start fast: verbs in cli, doors to the live host in sources,
# the one place that meets a document only sometimes, and the one that few commands get to.
LATE_IMPORTS = {"cli", "sources"}
LATE_MODULES = {"numaplan.api.inventory", "numaplan.placement.lp"}

# The search and its verifier have nothing in common but the nouns.
VERIFIER = {"numaplan.placement.verify", "numaplan.placement.verification"}


@dataclass(frozen=True)
class Import:
    module: str
    imported: str
    line: int
    late: bool

    @property
    def room(self) -> str:
        return room(self.module)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.imported}"


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path))


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(module_name(path), name.name, node.lineno, id(node) in late)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: whole names only"
            for name in node.names:
                imported = node.module or ""
                # `from package import module` is an import of the module.
                whole = ROOT.joinpath(*imported.split("."), name.name)
                if whole.with_suffix(".py").is_file() or whole.is_dir():
                    imported = f"{imported}.{name.name}"
                yield Import(module_name(path), imported, node.lineno, id(node) in late)


def ours() -> list[Import]:
    return [found for found in imports() if found.imported.split(".")[0] == "numaplan" and room(found.imported)]


def test_every_room_has_a_floor() -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert rooms - {"__init__", "__pycache__"} == set(FLOOR_OF)


def test_a_room_imports_only_from_floors_below_its_own() -> None:
    wrong = [
        str(found)
        for found in ours()
        if found.room and found.room != room(found.imported) and FLOOR_OF[room(found.imported)] >= FLOOR_OF[found.room]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {module_name(path) for path in PACKAGE.rglob("*.py")}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in ours():
        graph[found.module].add(found.imported)
    list(TopologicalSorter(graph).static_order())


def test_each_third_party_package_has_one_home() -> None:
    wrong = [
        str(found)
        for found in imports()
        if (homes := HOMES.get(found.imported.split(".")[0])) is not None and found.room not in homes
    ]
    assert wrong == []


def test_no_third_party_package_is_without_a_home() -> None:
    known = set(HOMES) | set(sys.stdlib_module_names) | {"numaplan"}
    assert sorted({found.imported.split(".")[0] for found in imports()} - known) == []


def test_nothing_is_imported_inside_a_function_but_at_the_two_doors() -> None:
    late = [found for found in imports() if found.late and found.module not in LATE_MODULES]
    assert [str(found) for found in late if found.room not in LATE_IMPORTS] == []


def test_only_sources_opens_files() -> None:
    # The report of a bug is written where everything else may be broken.
    exempt = {PACKAGE / "sources", PACKAGE / "cli" / "failure.py"}
    doors = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob"}
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if not exempt.isdisjoint({path, *path.parents}):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and node.func.attr in doors:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls .{node.func.attr}()")
            if isinstance(node.func, ast.Name) and node.func.id == "open":
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls open()")
    assert wrong == []


@pytest.mark.parametrize("word", ["the search", "its verifier"])
def test_the_verifier_shares_no_code_with(word: str) -> None:
    verifier_side = word == "its verifier"
    wrong = []
    for found in ours():
        if found.room != "placement" or room(found.imported) != "placement":
            continue
        inside = any(found.module == v or found.module.startswith(v + ".") for v in VERIFIER)
        target = any(found.imported == v or found.imported.startswith(v + ".") for v in VERIFIER)
        if inside != target and inside == verifier_side:
            wrong.append(str(found))
    assert wrong == []


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > 400} == {}
