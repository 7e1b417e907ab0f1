"""The search on hosts as large as sites have them: one answer every time, sound bounds, no worse than first fit."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.first_fit import all_first_fits
from benchmarks.instances import HOSTS, make_instance
from numaplan.model.plan import MAXIMIZED, Plan, Status
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.demands import MAX_CELLS
from numaplan.placement.facts import host_facts
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, Progress, search
from numaplan.placement.solve import solve
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import objective, placement_violations, verify
from tests.depth import step
from tests.hosts import host
from tests.requests import ask, guest

ROOT = Path(__file__).resolve().parents[2]
SMALL = Budget(scale=0.1)
# Too little for the model as a whole to find any plan.
HASTE = Budget(scale=0.03)

SCRIPT = """
from benchmarks.instances import HOSTS, make_instance
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
made = make_instance(HOSTS[3], 0.95, 0)
print(solve(made.request, made.snapshot, budget=Budget(scale=0.01)))
"""


def values(plan: Plan) -> dict[str, int]:
    return {level.name: level.value for level in plan.levels}


def test_the_same_question_has_the_same_answer_whatever_the_hash_seed() -> None:
    answers = set()
    for seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, env=environment)
        answers.add(ran.stdout)
    assert len(answers) == 1


@pytest.mark.parametrize(("kind", "fill"), [(0, 0.95), (1, 1.05)])
def test_no_first_fit_places_more_priority_or_the_same_guests_at_less_cost(kind: int, fill: float) -> None:
    made = make_instance(HOSTS[kind], fill, 1)
    request, snapshot = made.request, made.snapshot
    priority = values(solve(request, snapshot, budget=SMALL))["priority"]
    runs = all_first_fits(request, snapshot)
    for run in runs:
        assert list(placement_violations(Facts(request, snapshot), run)) == []
        assert objective(request, snapshot, run)[0] <= priority
    best = max(runs, key=lambda run: objective(request, snapshot, run)[0])
    names = {placement.vm for placement in best}
    same = replace(request, guests=tuple(replace(g, required=True) for g in request.guests if g.name in names))
    assert values(solve(same, snapshot, budget=SMALL))["cross_node_cost"] <= objective(request, snapshot, best)[1]


@pytest.mark.parametrize(("kind", "fill", "seed"), [(1, 0.95, 3), (3, 1.05, 1)])
def test_a_search_cut_short_tells_what_its_plan_is_worth(kind: int, fill: float, seed: int) -> None:
    made = make_instance(HOSTS[kind], fill, seed)
    plan = solve(made.request, made.snapshot, budget=Budget(scale=0.001))
    assert verify(made.request, made.snapshot, plan) == ()


@pytest.mark.parametrize("kind", [1, 2])
def test_more_work_never_passes_a_bound_nor_beats_what_was_proven(kind: int) -> None:
    made = make_instance(HOSTS[kind], 0.5, 1)
    quick = solve(made.request, made.snapshot, budget=Budget(scale=0.01))
    slow = solve(made.request, made.snapshot, budget=SMALL)
    assert verify(made.request, made.snapshot, quick) == verify(made.request, made.snapshot, slow) == ()
    for one, other in zip(quick.levels, slow.levels, strict=True):
        if one.value != other.value:
            # Levels below depend on what those above reached.
            assert not one.proven
            assert (other.value > one.value) is (one.name in MAXIMIZED)
            assert other.value <= one.bound if one.name in MAXIMIZED else other.value >= one.bound
            break


def test_a_plan_is_there_at_once_on_the_largest_host_and_no_lie_in_it() -> None:
    made = make_instance(HOSTS[4], 0.95, 0)
    plan = solve(made.request, made.snapshot, budget=Budget(remaining=lambda: 0.0))
    assert plan.status is Status.FEASIBLE
    assert verify(made.request, made.snapshot, plan) == ()


def test_a_search_tells_how_far_it_is_level_by_level() -> None:
    made = make_instance(HOSTS[1], 0.95, 0)
    told: list[Progress] = []
    search(build_problem(made.request, host_facts(made.request, made.snapshot)), replace(SMALL, report=told.append))
    assert {progress.level for progress in told} >= {"cross_node_cost", "free_cores"}
    assert all(progress.bound is not None for progress in told)


@pytest.mark.parametrize(("kind", "seed"), [(3, 1), (4, 3)][:: step(2)])
def test_guests_that_fill_the_host_and_must_all_be_placed_are_though_none_after_the_other_finds_a_place(
    kind: int, seed: int
) -> None:
    made = make_instance(HOSTS[kind], 0.95, seed)
    names = {placement.vm for placement in solve(made.request, made.snapshot, budget=HASTE).placements}
    those = replace(
        made.request, guests=tuple(replace(g, required=True) for g in made.request.guests if g.name in names)
    )
    plan = solve(those, made.snapshot, budget=HASTE)
    assert {placement.vm for placement in plan.placements} == names
    assert verify(those, made.snapshot, plan) == ()


def cut_up(nodes: int, cores: int, seed: int) -> tuple[Request, Snapshot]:
    """A host of `cores` on each node, and guests that take all of its CPUs and pages but one core of each node."""
    dice = random.Random(seed)  # noqa: S311  # the same guests every time
    left, pages = [cores - 1] * nodes, [0] * nodes
    guests: list[GuestRequest] = []
    while any(left):
        node = dice.choice([n for n in range(nodes) if left[n]])
        other = dice.choice([n for n in range(nodes) if left[n] and n // 4 == node // 4])
        chosen = [node, other] if other != node and dice.random() < 0.5 else [node]
        size = min(dice.choice([1, 2, 3, 4, 6]), *(left[n] for n in chosen))
        memory = size * dice.choice([1, 2, 3, 6])
        for n in chosen:
            left[n] -= size
            pages[n] += memory
        policy, width = ("isolate", 1) if dice.random() < 0.3 else ("require", 2)
        vcpus = [size * width] * len(chosen)
        guests.append(guest(f"g{len(guests)}", vcpus, memory_gib=memory, page_size="1GiB", thread_policy=policy))
    dice.shuffle(guests)
    own = ",".join(f"{n * cores},{(nodes + n) * cores}" for n in range(nodes))
    return ask(*guests, reserved=own), host(f"{nodes}n:{cores}c:2t", pages={"1GiB": pages}, memory_gib=64)


def test_guests_find_the_places_that_leave_nothing_over() -> None:
    request, snapshot = cut_up(nodes=8, cores=20, seed=11)
    plan = solve(request, snapshot, budget=HASTE)
    assert len(plan.placements) == len(request.guests)
    assert verify(request, snapshot, plan) == ()


def test_guests_of_unequal_cells_have_so_many_ways_as_a_model_can_take_and_begin_at_any_node() -> None:
    """Each guest has 43,680 ways; the model of all would take gigabytes."""
    guests = [
        replace(one, cells=tuple(replace(cell, memory_kib=(1 + i + k) << 12) for k, cell in enumerate(one.cells)))
        for i in range(10)
        for one in [guest(f"g{i}", range(1, 5))]
    ]
    request = ask(*guests, reserved="0")
    problem = build_problem(request, host_facts(request, host("16n:8c:1t", memory_gib=4)))
    assert problem.truncated
    assert sum(len(guests.options) * len(guests.cells) for guests in problem.classes) == MAX_CELLS
    for guests_ in problem.classes:
        assert {option.nodes[0] for option in guests_.options} == set(problem.facts.nodes)


def test_few_unequal_cells_lie_in_all_ways_that_there_are() -> None:
    request = ask(guest("g", range(1, 6)), reserved="0")
    problem = build_problem(request, host_facts(request, host("8n:8c:1t", memory_gib=4)))
    assert (problem.truncated, len(problem.classes[0].options)) == (False, 8 * 7 * 6 * 5 * 4)
