"""libvirt-python: what happens to the tests that need it where it is not installed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HYPERVISOR = "test_sources_hypervisor.py"
ROOT = Path(__file__).resolve().parents[1]
# Runs pytest as on a machine without the binding.
WITHOUT = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "libvirt" else find(name, package)
import pytest
plugins = ("cacheprovider", "hypothesispytest", "xdist")
sys.exit(pytest.main(["-q", *(f"-pno:{plugin}" for plugin in plugins), *sys.argv[1:]]))
"""


def test_where_ci_is_true_the_binding_is_installed() -> None:
    missing = os.environ.get("CI") == "true" and find_spec("libvirt") is None
    assert not missing, "libvirt-python is not installed, so tests were left out: run make libvirt before the tests"


def test_without_the_binding_the_tests_that_need_it_are_left_out_loudly_and_ci_fails() -> None:
    needs_it = f"tests/sources/{HYPERVISOR}::test_a_connection_that_libvirt_refuses_prints_nothing"
    refuses = f"tests/{Path(__file__).name}::{test_where_ci_is_true_the_binding_is_installed.__name__}"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, needs_it, refuses],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin", "CI": "true"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 deselected" in done.stdout
    assert "the tests marked libvirt were LEFT OUT; to run them: make libvirt" in done.stdout
    assert "libvirt-python is not installed, so tests were left out: run make libvirt before the tests" in done.stdout
