"""Real faults at every call of a transaction over files; each run's recovery is a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Calls that change or sync something in an apply of four guests: well below what there are.
POINTS = 100


def campaign(which: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    every = ["--every"] if request.config.getoption("--every-fault") else []
    ran = subprocess.run(
        [sys.executable, "-m", "tests.apply.campaign", which, *every],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    assert found["wrong"] == []
    assert "Error" not in ran.stderr
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("which", "cases"), [("crashes", 2 * POINTS), ("errors", 3 * POINTS), ("oddities", 2 * POINTS)]
)
def test_a_fault_at_any_call_leaves_all_old_or_all_new(which: str, cases: int, request: pytest.FixtureRequest) -> None:
    found = campaign(which, request)
    assert found["points"] >= POINTS
    assert found["cases"] >= cases


@pytest.mark.timeout(600)
def test_a_crash_while_rolling_back_and_a_fault_while_taking_back_leave_all_old_or_all_new(
    request: pytest.FixtureRequest,
) -> None:
    assert campaign("rollbacks", request)["cases"] >= POINTS


@pytest.mark.timeout(600)
def test_a_power_cut_after_any_call_leaves_all_old_or_all_new(request: pytest.FixtureRequest) -> None:
    assert campaign("cuts", request)["cases"] >= 3 * POINTS


@pytest.mark.timeout(600)
def test_a_crash_of_the_recovery_is_recovered_by_running_it_again(request: pytest.FixtureRequest) -> None:
    assert campaign("recoveries", request)["cases"] >= POINTS


@pytest.mark.timeout(600)
def test_of_fifty_that_want_the_same_guests_one_wins_each_round(request: pytest.FixtureRequest) -> None:
    codes = campaign("rivals", request)["codes"]
    assert codes["0"] == 3
    assert sum(codes.values()) == 150
