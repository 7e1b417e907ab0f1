"""Plans for made telco hosts beside the best of several first fits: what is placed, how well, proven how far, how fast.

Usage: .venv/bin/python benchmarks/placement.py [--seeds N] [--hosts 0,1,2,3,4] [--fills 0.5,0.8,0.95,1.05] [--limit S].
Each instance has a process of its own, and so its own peak of memory. With N = 1 (the default) some minutes; `--limit`
solves with a wall-clock limit instead of a limit of work. A row is a kind of host at a fill: sums over its seeds,
medians and maxima of times. `--repeat 20` instead plans each of the hosts so often, two at a time, and compares bytes;
`--cases` sets our plans of small instances from the field (tests/cases) beside the same first fits; `--within S` counts
of the instances with at most 60 guests those of which priority and cost are done with in S CPU seconds of this machine
(its pace: benchmarks/pace.py); what is not proven of them takes all its work, some 5 s.

columns: guests placed, ours : the most of any first fit : first fit in the order of the request; priority placed, of
the same; the cost of exactly the guests of the best first fit, ours : its own; instances of which priority and cost are
proven, and all levels; the largest ratio of cost to its bound; CPU seconds to a first plan, to the end of priority and
cost, and in all (on 16 nodes two solves go on at a time, so on two cores some two thirds of that go by); peak MiB.
"""

import argparse
import contextlib
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.first_fit import NODE_ORDERS, all_first_fits
from benchmarks.instances import FILLS, HOSTS, Instance, make_instance
from numaplan.model.plan import LEVELS, Placement, Plan, Status
from numaplan.model.request import Request
from numaplan.placement.search import Budget, Progress
from numaplan.placement.solve import solve
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import objective, placement_violations, verify

ROOT: Final = Path(__file__).resolve().parents[1]
# A scale at which hardly anything but the start is left of the search.
HASTE: Final = 0.001
# The part of its work for the guests of a first fit again: their cost alone is looked at.
AGAIN: Final = 0.5
UPPER: Final = LEVELS[:2]
FEW_GUESTS: Final = 60
# So many processes of `--repeat` run at once: each is load for the others.
AT_ONCE: Final = 2

Row = dict[str, Any]


def measure(instance: Instance, limit: float | None) -> Row:
    """Everything that a table says of one instance; fails where a plan is wrong or first fit is better.

    And where the guests of the plan, all required, are not placed at once.
    """
    request, snapshot = instance.request, instance.snapshot
    start = time.process_time()
    first = solve(request, snapshot, budget=Budget(scale=HASTE))
    first_s = time.process_time() - start
    below: list[float] = []

    def note(progress: Progress) -> None:
        if progress.level not in UPPER:
            below.append(time.process_time() - start)

    start = time.process_time()
    plan = solve(request, snapshot, budget=replace(_budget(limit), report=note))
    total_s = time.process_time() - start
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for found in (first, plan):
        _insist(not verify(request, snapshot, found), instance, "a plan breaks a constraint")
    required = solve(_only(request, plan.placements), snapshot, budget=Budget(scale=HASTE))
    _insist(len(required.placements) == len(plan.placements), instance, "what is placed finds no place where required")
    runs = all_first_fits(request, snapshot)
    theirs = max(runs, key=lambda run: (_priority(request, run), len(run)))
    _insist(not list(placement_violations(Facts(request, snapshot), theirs)), instance, "first fit breaks a constraint")
    _insist(_priority(request, plan.placements) >= _priority(request, theirs), instance, "first fit places more")
    plain = max(runs[: len(NODE_ORDERS)], key=lambda run: (_priority(request, run), len(run)))
    same = _only(request, theirs)
    again = solve(same, snapshot, budget=_budget(limit) if limit else Budget(scale=AGAIN))
    cost, their_cost = _level(again, "cross_node_cost"), _cost(instance, theirs)
    _insist(again.status is not Status.UNKNOWN and cost <= their_cost, instance, "first fit costs less")
    proven = [level.proven for level in plan.levels]
    level = next(level for level in plan.levels if level.name == "cross_node_cost")
    return {
        "asked": len(request.guests),
        "placed": len(plan.placements),
        "ff_placed": max(len(run) for run in runs),
        "plain_placed": len(plain),
        "priority": _priority(request, plan.placements),
        "ff_priority": _priority(request, theirs),
        "plain_priority": _priority(request, plain),
        "cost": cost,
        "ff_cost": their_cost,
        "two": all(proven[:2]),
        "all": all(proven),
        "gap": level.value / level.bound if level.bound else 1.0 + level.value,
        "first_s": first_s,
        "upper_s": below[0] if below else total_s,
        "total_s": total_s,
        "peak_mib": peak_mib,
    }


def _budget(limit: float | None) -> Budget:
    if limit is None:
        return Budget()
    end = time.monotonic() + limit
    return Budget(scale=1_000, remaining=lambda: end - time.monotonic())


def _insist(holds: bool, instance: Instance, what: str) -> None:  # noqa: FBT001
    if not holds:
        sys.exit(f"{instance.name}: {what}")


def _priority(request: Request, placements: Sequence[Placement]) -> int:
    priorities = {guest.name: guest.priority for guest in request.guests}
    return sum(priorities[placement.vm] for placement in placements)


def _only(request: Request, placements: Sequence[Placement]) -> Request:
    names = {placement.vm for placement in placements}
    return replace(request, guests=tuple(replace(g, required=True) for g in request.guests if g.name in names))


def _level(plan: Plan, name: str) -> int:
    return next((level.value for level in plan.levels if level.name == name), 0)


def _cost(instance: Instance, placements: Sequence[Placement]) -> int:
    return objective(instance.request, instance.snapshot, placements)[LEVELS.index("cross_node_cost")]


def _in_child(kind: int, fill: float, seed: int, limit: float | None) -> Row:
    argv = [sys.executable, __file__, "--one", f"{kind},{fill},{seed}", *(["--limit", str(limit)] if limit else [])]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ)  # noqa: S603
    if done.returncode:
        sys.exit(done.stderr)
    row: Row = json.loads(done.stdout)
    return row


def _print_row(name: str, rows: list[Row]) -> None:
    def sums(*keys: str) -> str:
        return " : ".join(str(sum(row[key] for row in rows)) for key in keys)

    def times(key: str) -> str:
        found = [row[key] for row in rows]
        return f"{statistics.median(found):6.2f} {max(found):6.2f}"

    print(
        f"{name:15} {sums('asked'):>6} {sums('placed', 'ff_placed', 'plain_placed'):>18}"
        f" {sums('priority', 'ff_priority', 'plain_priority'):>20} {sums('cost', 'ff_cost'):>13}"
        f" {sum(row['two'] for row in rows)}/{sum(row['all'] for row in rows)}/{len(rows):<3}"
        f" {max(row['gap'] for row in rows):6.3f} {times('first_s')} {times('upper_s')} {times('total_s')}"
        f" {max(row['peak_mib'] for row in rows):5.0f}",
        flush=True,
    )


def _print_cases() -> None:
    """Guests placed of each instance of the field, and how many of the orders of first fit place them all."""
    # Its readers of files would count in every peak of memory.
    from tests.placement.case_files import cases, load, request_of, snapshot_of  # noqa: PLC0415

    print(f"{'instance':40} {'guests':>6} {'placed : ff : plain':>20} {'orders that place all':>22}")
    for path in cases():
        if not path.stem.startswith("instance-"):
            continue
        case = load(path)
        snapshot = snapshot_of(case)
        request = request_of(case, snapshot)
        placed = len(solve(request, snapshot, budget=Budget()).placements)
        runs = all_first_fits(request, snapshot)
        facts = Facts(request, snapshot)
        counts = [0 if any(placement_violations(facts, run)) else len(run) for run in runs]
        asked, plain = len(request.guests), max(counts[: len(NODE_ORDERS)])
        beside = f"{placed} : {max(counts)} : {plain}"
        print(f"{path.stem:40} {asked:>6} {beside:>20} {counts.count(asked):>16} of {len(runs)}")


def _answer(instance: Instance) -> str:
    plan = solve(instance.request, instance.snapshot, budget=Budget())
    return hashlib.sha256(repr(plan).encode()).hexdigest()


class _EnoughError(Exception):
    """Both upper levels are done with."""


def _upper_s(instance: Instance) -> float:
    """How long they take, in CPU seconds."""

    def note(progress: Progress) -> None:
        if progress.level not in UPPER:
            raise _EnoughError

    start = time.process_time()
    with contextlib.suppress(_EnoughError):
        solve(instance.request, instance.snapshot, budget=Budget(report=note))
    return time.process_time() - start


def _count_within(kinds: Sequence[int], fills: Sequence[float], seeds: int, seconds: float) -> None:
    """A row a kind of host: how many of the instances with few guests are done with within so many seconds."""
    done = asked = 0
    for kind in kinds:
        instances = [make_instance(HOSTS[kind], fill, seed) for fill in fills for seed in range(seeds)]
        took = [_upper_s(instance) for instance in instances if len(instance.request.guests) <= FEW_GUESTS]
        quick = sum(each <= seconds for each in took)
        done, asked = done + quick, asked + len(took)
        print(f"{HOSTS[kind].name:15} {quick} of {len(took)}, median {statistics.median(took):.2f} s", flush=True)
    print(f"{'all':15} {done} of {asked} within {seconds:.2f} s: {done / asked:.1%}")


def _repeat(kinds: Sequence[int], fill: float, times: int) -> None:
    """Plans one instance of each host in `times` fresh processes, each with a hash seed of its own."""

    def run(kind: int, number: int) -> str:
        argv = [sys.executable, __file__, "--answer", f"{kind},{fill},0"]
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)  # noqa: S603
        return done.stdout.strip()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for kind in kinds:
            answers = list(pool.map(lambda number, kind=kind: run(kind, number), range(times)))
            print(f"{HOSTS[kind].name:15} {times} runs, {len(set(answers))} answers", flush=True)


def main() -> None:
    """Prints a row a host kind and fill, and one of all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hosts", default=",".join(str(i) for i in range(len(HOSTS))))
    parser.add_argument("--fills", default=",".join(str(fill) for fill in FILLS))
    parser.add_argument("--limit", type=float)
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--within", type=float)
    parser.add_argument("--cases", action="store_true")
    parser.add_argument("--one")
    parser.add_argument("--answer")
    asked = parser.parse_args()
    if asked.one or asked.answer:
        kind, fill, seed = (asked.one or asked.answer).split(",")
        instance = make_instance(HOSTS[int(kind)], float(fill), int(seed))
        print(json.dumps(measure(instance, asked.limit)) if asked.one else _answer(instance))
        return
    if asked.cases:
        _print_cases()
        return
    kinds = [int(part) for part in asked.hosts.split(",")]
    fills = [float(part) for part in asked.fills.split(",")]
    if asked.within:
        _count_within(kinds, fills, asked.seeds, asked.within)
        return
    if asked.repeat:
        for fill in fills:
            _repeat(kinds, fill, asked.repeat)
        return
    print(
        f"{'host, fill':15} {'guests':>6} {'placed : ff : plain':>18} {'priority : ff : plain':>20} {'cost : ff':>13}"
        f" proven    gap  first    max  upper    max    all    max   MiB"
    )
    everything: list[Row] = []
    for i in kinds:
        for fill in fills:
            rows = [_in_child(i, fill, seed, asked.limit) for seed in range(asked.seeds)]
            everything += rows
            _print_row(f"{HOSTS[i].name}, {fill:.2f}", rows)
    _print_row("all", everything)


if __name__ == "__main__":
    main()
