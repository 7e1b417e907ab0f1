"""Plans with something else in them: what a verifier must judge as trying everything does."""

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Final

from numaplan.placement.verify import verify
from numaplan.records.plan import read_plan
from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.check import broken, functions_of, given_cpus, values
from tests.placement.exhaustive.compare import LEVELS, Question, plan_of, question
from tests.placement.exhaustive.optimum import optimum
from tests.placement.exhaustive.reading import Json, list_text

PLANS: Final = 24

Mutation = Callable[[Question, list[Json], Json, Json, Random], None]


def wrong_verdicts(case: Case, seed: int) -> list[str]:
    """Where numaplan's verifier and the check here do not agree on plans near a good one."""
    asked = question(case)
    found = []
    for document, placements in plans_near(asked, seed):
        found += wrong_verdict(asked, document, placements)
    return found


def plans_near(asked: Question, seed: int) -> list[tuple[Json, list[Json]]]:
    """numaplan's plan document, beside placements: those of good plans, and of many that are right in most things."""
    _, document = plan_of(asked)
    best = optimum(asked.world, asked.wishes)
    random = Random(seed)  # noqa: S311  # picks cases
    found = []
    starts = [document["placements"], [] if best is None else list(best.placements)]
    for start in starts:
        found += [(document, start)] if start else []
        placements = start
        for step in range(PLANS // 2):
            # A walk, from time to time from its start again: plans that are right in most things tell the most.
            placements = mutated(asked, start if step % 3 == 0 else placements, random)
            found.append((document, placements))
    return found


def wrong_verdict(asked: Question, document: Json, placements: list[Json]) -> list[str]:
    """What is wrong with the verifier's answer to these placements; [] where nothing is."""
    mine = broken(asked.world, asked.wishes, placements)
    counted = (0,) * len(LEVELS) if mine else values(asked.world, asked.wishes, placements)
    placed = {placement["vm"] for placement in placements}
    plan = document | {
        "status": "feasible",
        "placements": placements,
        "unplaced": [{"vm": wish.name, "reason": ""} for wish in asked.wishes if wish.name not in placed],
        "levels": [
            {"name": name, "value": value, "bound": value, "proven": False}
            for name, value in zip(LEVELS, counted, strict=True)
        ],
        "conflict": None,
    }
    theirs = [
        violation.sentence
        for violation in verify(asked.request, asked.snapshot, read_plan(json.dumps(plan), "plan.json"))
    ]
    if bool(mine) == bool([sentence for sentence in theirs if not (mine and sentence.startswith("level "))]):
        return []
    return [f"verify says {theirs or 'it is right'}, but {sorted(mine) or 'it is right'}: {json.dumps(placements)}"]


def mutated(asked: Question, start: list[Json], random: Random) -> list[Json]:
    """The placements with one thing elsewhere, or gone."""
    placements = deepcopy(start)
    if not placements:
        return placements
    placement = random.choice(placements)
    cell = random.choice(placement["cells"])
    functions: list[Mutation] = [_other_function] * 3 if functions_of(placement) else []
    some: list[Mutation] = [
        _other_cpu,
        _other_cpu,
        _swapped,
        _other_node,
        _other_memory,
        _other_thread,
        _gone,
        _relocated,
        _relocated,
    ]
    random.choice(some + functions)(asked, placements, placement, cell, random)
    return placements


def _some_cpu(asked: Question, random: Random) -> str:
    return str(random.choice(sorted(asked.world.online)))


def _other_cpu(asked: Question, _: list[Json], __: Json, cell: Json, random: Random) -> None:
    vcpu = random.choice(list(cell["vcpus"]))
    cell["vcpus"][vcpu] = _some_cpu(asked, random)


def _swapped(_: Question, placements: list[Json], __: Json, cell: Json, random: Random) -> None:
    other = random.choice(random.choice(placements)["cells"])
    one, two = random.choice(list(cell["vcpus"])), random.choice(list(other["vcpus"]))
    cell["vcpus"][one], other["vcpus"][two] = other["vcpus"][two], cell["vcpus"][one]


def _other_node(asked: Question, _: list[Json], __: Json, cell: Json, random: Random) -> None:
    """The cell to another node: its memory and its shared vCPUs go with it, or not."""
    cell["numa_node"] = random.choice(asked.world.nodes)
    if random.random() < 0.7:
        cell["memory_node"] = cell["numa_node"]
        here = sorted(asked.world.free & asked.world.cpus_of[cell["numa_node"]])
        random.shuffle(here)
        pool = list_text(asked.world.shared & asked.world.cpus_of[cell["numa_node"]])
        for vcpu, cpus in cell["vcpus"].items():
            cell["vcpus"][vcpu] = str(here.pop()) if "," not in cpus and here else pool


def _other_memory(asked: Question, _: list[Json], __: Json, cell: Json, random: Random) -> None:
    if random.random() < 0.5:
        cell["memory_node"] = random.choice(asked.world.nodes)
    else:
        cell["page_size_kib"] = random.choice([4, 2048, 1 << 20])


def _other_thread(asked: Question, _: list[Json], placement: Json, cell: Json, random: Random) -> None:
    """An emulator or iothread elsewhere."""
    here = asked.world.cpus_of[cell["numa_node"]]
    sets = [_some_cpu(asked, random), list_text(asked.world.shared & here), list_text(here & asked.world.free), ""]
    if placement["iothreads"] and random.random() < 0.5:
        placement["iothreads"][random.choice(list(placement["iothreads"]))] = random.choice(sets)
    else:
        placement["emulator"] = random.choice([*sets, f"{_some_cpu(asked, random)},{_some_cpu(asked, random)}"])


def _relocated(asked: Question, placements: list[Json], placement: Json, cell: Json, random: Random) -> None:
    """The cell to another node with all that goes there of itself: what is wrong then is between it and others."""
    world = asked.world
    wish = next(wish for wish in asked.wishes if wish.name == placement["vm"])
    wish_of = {other.name: other for other in asked.wishes}
    held = {cpu for other in placements for cpu in given_cpus(wish_of[other["vm"]], other)}
    node = cell["numa_node"] = cell["memory_node"] = random.choice(world.nodes)
    free = sorted((world.free & world.cpus_of[node]) - held)
    pool = list_text(world.shared & world.cpus_of[node])
    dedicated = wish.cells[cell["id"]].dedicated
    for vcpu in cell["vcpus"]:
        cell["vcpus"][vcpu] = pool if int(vcpu) not in dedicated else str(free.pop(0)) if free else ""
    nodes = {one["numa_node"] for one in placement["cells"]}
    rung = world.ladder(nodes)
    if rung is not None and not wish.own_emulator:
        placement["emulator"] = list_text(rung)
    if rung is not None and wish.iothreads_share:
        placement["iothreads"] = {iothread: list_text(rung) for iothread in placement["iothreads"]}


def _other_function(asked: Question, _: list[Json], placement: Json, __: Json, random: Random) -> None:
    """Another function: mostly one of its kind, which then is wrong in one thing only, or in none."""
    entries = [entry for entry in placement["interfaces"] if entry["vfs"]]
    vfs = [function.address for function in asked.world.functions.values() if function.pf is not None]
    others = [address for address in asked.world.functions if address not in vfs]
    likely = random.random() < 0.9
    if entries and (not placement["devices"] or random.random() < 0.6):
        mine = random.choice(entries)["vfs"]
        mine[random.randrange(len(mine))] = random.choice(vfs if likely else [*vfs, *others])
    elif placement["devices"]:
        random.choice(placement["devices"])["address"] = random.choice(others if likely and others else [*vfs, *others])


def _gone(_: Question, placements: list[Json], placement: Json, __: Json, ___: Random) -> None:
    placements.remove(placement)
