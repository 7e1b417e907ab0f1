"""What a start costs is what it imports: held by module list, never by the clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / "fixtures" / "sysfs" / "16-2n4c2t-sriov"
HEAVY = ("networkx", "pyroute2", "psutil", "pyudev", "libvirt", "ortools", "numpy", "pandas")
PROBE = """
import atexit, json, os, sys
def report():
    sys.stderr.write("MODULES " + json.dumps(sorted(sys.modules)))
atexit.register(report)
from numaplan.cli.main import run
sys.argv = ["numaplan", *sys.argv[1:]]
run()
"""


def modules_after(*arguments: str, **environment: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin", **environment},
    )
    return set(json.loads(result.stderr.rpartition("MODULES ")[2]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("place", "--help"), ("audit", "--help")])
def test_help_and_version_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert modules_after(*arguments).isdisjoint({*HEAVY, "ruamel.yaml", "tabulate", "lxml"})


def test_a_completion_imports_nothing_heavy() -> None:
    modules = modules_after(_NUMAPLAN_COMPLETE="complete_bash", COMP_WORDS="numaplan pl", COMP_CWORD="1")
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize("form", ["table", "json"])
def test_an_inventory_of_a_capture_imports_no_solver_and_no_live_door(form: str) -> None:
    modules = modules_after("inventory", "--snapshot", str(HOST), "-o", form)
    assert "numaplan.inventory.host" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize("verb", [("inventory", "-o", "json"), ("audit", "-o", "json")], ids=["inventory", "audit"])
def test_a_capture_needs_none_of_the_forms_that_read_documents(verb: tuple[str, ...]) -> None:
    modules = modules_after(*verb, "--snapshot", str(HOST))
    assert "numaplan.records.text" in modules
    assert modules.isdisjoint({"numaplan.records.document", "numaplan.records.read", "numaplan.spec"})


def test_an_audit_imports_no_solver() -> None:
    assert modules_after("audit", "--snapshot", str(HOST)).isdisjoint(HEAVY)
