"""Searches that a limit or an interrupt ends: what was found counts, and no more is claimed."""

import subprocess
import sys
from pathlib import Path

import pytest

from numaplan.model.plan import Limit, Status
from numaplan.placement import demands
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.hosts import Nic, host
from tests.placement.solving import solved
from tests.requests import ask, guest, vfs


def test_without_time_the_first_plan_found_counts() -> None:
    request, snapshot = ask(guest("g", 2), guest("h", 2)), host("2n:4c:2t")
    plan = solve(request, snapshot, budget=Budget(remaining=lambda: 0.0))
    assert (plan.status, plan.limit, len(plan.placements)) == (Status.FEASIBLE, Limit.WALL, 2)
    assert verify(request, snapshot, plan) == ()


def test_without_time_and_a_first_plan_the_answer_is_unknown_and_says_so() -> None:
    # 5 + 5 and 4 + 3 + 3 fill both nodes, but one guest after the other goes to the emptiest node.
    request = ask(*(guest(f"g{i}", vcpus) for i, vcpus in enumerate((5, 5, 4, 3, 3))))
    snapshot = host("2n:11c:1t")
    plan = solve(request, snapshot, budget=Budget(remaining=lambda: 0.0))
    assert (plan.status, plan.limit, plan.placements) == (Status.UNKNOWN, Limit.WALL, ())
    assert [unplaced.vm for unplaced in plan.unplaced] == ["g0", "g1", "g2", "g3", "g4"]
    assert len(solved(request, snapshot).placements) == len(request.guests)


def test_a_search_that_runs_out_of_time_keeps_its_best_plan_and_claims_no_proof() -> None:
    snapshot = host("4n:8c:2t", llcs_per_node=2)
    request = ask(*(guest(f"g{i}", 3, thread_policy="isolate", required=False) for i in range(9)))
    clock = iter([10.0, 10.0, *([0.0] * 100)])
    plan = solve(request, snapshot, budget=Budget(remaining=lambda: next(clock)))
    assert (plan.status, plan.limit, len(plan.placements)) == (Status.FEASIBLE, Limit.WALL, 8)
    assert not plan.levels[-1].proven
    assert verify(request, snapshot, plan) == ()


def test_a_guest_with_more_ways_to_lie_than_are_searched_is_placed_but_not_called_optimal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demands, "MAX_OPTIONS", 3)
    snapshot = host("4n:2c:1t")
    request = ask(guest("g", [1, 2], emulator="isolate"))
    plan = solved(request, snapshot)
    assert plan.status is Status.FEASIBLE
    # Nobody is left out, and that is all that is known.
    priority, cost, *below = plan.levels
    assert priority.proven
    assert not any(level.proven for level in (cost, *below))
    assert cost.bound == 0


def test_nothing_is_called_impossible_where_not_all_ways_were_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demands, "MAX_OPTIONS", 1)
    snapshot = host("3n:2c:1t", nics=[Nic("p0", 2, 1)])
    request = ask(guest("g", 1, emulator="isolate", interfaces=[vfs("d", "p0")]))
    assert solve(request, snapshot, budget=Budget()).status is Status.UNKNOWN


def test_an_interrupt_ends_the_search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, signal, threading
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from tests.hosts import host
from tests.requests import ask, guest
snapshot = host("8n:32c:2t", llcs_per_node=4)
request = ask(*(guest(f"g{i}", 3 + i % 5, thread_policy="require", required=i % 2 == 0) for i in range(90)))
threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    solve(request, snapshot, budget=Budget(scale=1000))
except KeyboardInterrupt:
    print("interrupted")
"""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("interrupted\n", "", 0)
