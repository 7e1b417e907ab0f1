"""numaplan's answer to a case beside the one of trying everything."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from numaplan.model.plan import Plan
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from numaplan.records.plan import plan_json
from numaplan.records.read import read_inventory
from numaplan.spec.vnf import parse_vnf
from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.check import broken, larger_pages, values
from tests.placement.exhaustive.optimum import SIGNS, optimum, rank
from tests.placement.exhaustive.reading import Json
from tests.placement.exhaustive.wishes import Wish, wishes_of
from tests.placement.exhaustive.world import World

# How a line starts that tells of an answer that is left open, rightly.
UNDECIDED = "undecided"

LEVELS = ("priority", "cross_node_cost", "llc_spans", "free_nodes", "free_llcs", "free_cores", "moves")


@dataclass(frozen=True)
class Question:
    """A case as numaplan reads it, and as it is read here."""

    request: Request
    snapshot: Snapshot
    world: World
    wishes: tuple[Wish, ...]


def question(case: Case) -> Question:
    """Both readings of a case."""
    snapshot = read_inventory(json.dumps(case.inventory), "inventory.json")
    known = frozenset(guest.name for guest in snapshot.guests)
    # JSON is YAML.
    request = parse_vnf(json.dumps(case.vnf), "vnf.yaml", profiles={}, host_profile=None, known_guests=known)
    request, _ = keep_guest_topology(request, snapshot)
    wishes = wishes_of(case.vnf, case.inventory)
    world = World(case.inventory, case.vnf.get("host", {}), {wish.name for wish in wishes})
    return Question(request, snapshot, world, wishes)


def plan_of(asked: Question) -> tuple[Plan, Json]:
    """numaplan's plan, and the document that it makes."""
    plan = solve(asked.request, asked.snapshot, budget=Budget())
    document: Json = json.loads(plan_json(plan))
    return plan, document


def differences(case: Case) -> list[str]:
    """What is wrong with numaplan's answer; [] where it is the same as that of trying everything."""
    asked = question(case)
    plan, document = plan_of(asked)
    found = [
        f"verify refuses the plan: {violation.sentence}" for violation in verify(asked.request, asked.snapshot, plan)
    ]
    status, placements = document["status"], document["placements"]
    if status in ("optimal", "feasible"):
        found += [f"the plan breaks: {what}" for what in sorted(broken(asked.world, asked.wishes, placements))]
        counted = values(asked.world, asked.wishes, placements)
        found += _miscounted(document["levels"], counted)
        found += larger_pages(asked.world, asked.wishes, placements) if status == "optimal" else ()
    best = optimum(asked.world, asked.wishes)
    if status in ("unknown", "feasible") and _is_left_open(asked):
        return [*found, f"{UNDECIDED}: status {status}"]
    if best is None:
        return found if status == "infeasible" else [*found, f"status {status}, but nothing is feasible"]
    can_be = dict(zip(LEVELS, best.values, strict=True))
    if status not in ("optimal", "feasible"):
        return [*found, f"status {status}, but {can_be} can be had: {json.dumps(best.placements)}"]
    found += [f"{what}; {json.dumps(best.placements)}" for what in _beaten(document["levels"], best.values)]
    # So small a host leaves nothing unproven.
    return found if status == "optimal" else [*found, f"status {status}: {document['levels']}"]


def _is_left_open(asked: Question) -> bool:
    """Whether a guest wants whole cores, and the threads of one on a node are in several caches.

    Such a core is not looked at as a whole one; what matters is that nothing is claimed.
    """
    world = asked.world
    wanted = any(
        wish.thread_policy == "require" and wish.cpus(i) > 1 for wish in asked.wishes for i in range(len(wish.cells))
    )
    caches = [*world.llcs, world.online.difference(*world.llcs)]
    return wanted and any(
        sum(bool(core & here & cache) for cache in caches) > 1
        for core in world.cores
        for here in world.cpus_of.values()
    )


def _miscounted(levels: Sequence[Json], counted: Sequence[int]) -> list[str]:
    said = [level["value"] for level in levels]
    return [] if said == list(counted) else [f"levels are said to be {said}, they are {list(counted)}"]


def _beaten(levels: Sequence[Json], best: Sequence[int]) -> list[str]:
    """What the levels claim that is not so: a proof, a bound, or a value that cannot be."""
    said = [level["value"] for level in levels]
    if rank(said) < rank(best):
        return [f"levels {said} cannot be, the best is {list(best)}"]
    found = []
    for level, sign, value in zip(levels, SIGNS, best, strict=True):
        if level["proven"] and level["value"] != value:
            found.append(f"{level['name']} is proven to be {level['value']}, but {value} can be had")
        if sign * level["bound"] > sign * value:
            found.append(f"{level['name']} is bounded by {level['bound']}, but {value} can be had")
        if level["value"] != value:
            break
    return found
