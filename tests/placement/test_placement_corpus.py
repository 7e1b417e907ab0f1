"""Seeded requests on every captured machine, however odd: what the search finds is what the verifier accepts."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from numaplan.inventory.host import read_host
from numaplan.model.plan import Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import search
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from numaplan.sources.tree import open_tree
from tests.corpus import corpus
from tests.depth import draws, step
from tests.placement.corpus_requests import draw_request, draw_staying, lend_memory

DRAWS: Final = 6

# Further draws on which search and verifier once disagreed, or which took the search to its work limit.
KNOWN_HARD: Final = {
    "lscpu-rv64-milkvpioneer": (7,),
    "lscpu-armv7": (9,),
    "procfs-fixtures": (8, 10),
    "virhostcpu-aarch64-f21-mustang": (29,),
    "vircaps-basic": (89,),
}

CAPTURES = sorted([*corpus().glob("*/capture.*"), *corpus().glob("lab/host-*.tar.gz")])
HARD = [capture for capture in CAPTURES if capture.parent.name in KNOWN_HARD]


@dataclass(frozen=True)
class Drawn:
    """A request drawn from `seed`, the host that it was drawn for, and what became of it."""

    seed: str
    request: Request
    snapshot: Snapshot
    plan: Plan


def name_of(capture: Path) -> str:
    return capture.name.partition(".")[0] if capture.parent.name == "lab" else capture.parent.name


@cache
def drawn(capture: Path) -> tuple[Drawn, ...]:
    """Every second host has guests already; every fifth one has no more memory than it says."""
    read = read_host(open_tree(capture))
    name = name_of(capture)
    found = []
    for draw in (*range(DRAWS), *KNOWN_HARD.get(name, ())):
        seed = f"{name}:{draw}"
        host = read if draw % 5 == 4 else lend_memory(read)
        host = replace(host, guests=draw_staying(seed, host) if draw % 2 else ())
        request = draw_request(seed, host)
        found.append(Drawn(seed, request, host, solve(request, host, budget=Budget())))
    return tuple(found)


@pytest.mark.parametrize("capture", sorted({*CAPTURES[:: step(2)], *HARD}), ids=name_of)
def test_on_every_machine_a_plan_or_its_refusal_is_proven_and_told(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test for each machine: workers that share tests out would each solve what is drawn anew."""
    every = drawn(capture)
    for one in every:
        assert verify(one.request, one.snapshot, one.plan) == (), one.seed
        assert one.plan.status in {Status.OPTIMAL, Status.INFEASIBLE}, one.seed
        placed = {placement.vm for placement in one.plan.placements}
        told = {unplaced.vm for unplaced in one.plan.unplaced if unplaced.reason}
        assert told == {guest.name for guest in one.request.guests} - placed, one.seed
        assert (one.plan.conflict is not None) == (one.plan.status is Status.INFEASIBLE), one.seed
    for one in every[: draws(1)]:
        assert solve(one.request, one.snapshot, budget=Budget()) == one.plan, one.seed
    # As on hosts too large for a joint search: nodes are settled before the lower levels.
    monkeypatch.setattr(search, "JOINT_LIMIT", 0)
    for one in every[: draws(1)]:
        plan = solve(one.request, one.snapshot, budget=Budget())
        assert verify(one.request, one.snapshot, plan) == (), one.seed
        assert plan.levels[:2] == one.plan.levels[:2], one.seed


def test_plans_and_refusals_are_both_drawn_often_enough_to_mean_something() -> None:
    assert len(CAPTURES) > 50
    statuses = [one.plan.status for capture in CAPTURES[:: step(4)] for one in drawn(capture)]
    assert statuses.count(Status.INFEASIBLE) > len(statuses) // 5
    assert statuses.count(Status.INFEASIBLE) < len(statuses) * 2 // 3
