"""Plans with something else in them: what a verifier must judge as trying everything does."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Final

from numaplan.placement.verify import Violation, verify
from numaplan.records.plan import read_plan
from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.check import broken, functions_of, given_cpus, values
from tests.placement.exhaustive.compare import LEVELS, Question, plan_of, question
from tests.placement.exhaustive.optimum import optimum
from tests.placement.exhaustive.reading import Json, list_text

PLANS: Final = 24

Mutation = Callable[[Question, list[Json], Json, Json, Random], None]
_Change = Callable[[list[Json], Json], None]


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
        found += [(document, near) for near in plans_beside(asked, start)]
        placements = start
        for step in range(PLANS // 2):
            # A walk, from time to time from its start again: plans that are right in most things tell the most.
            placements = mutated(asked, start if step % 3 == 0 else placements, random)
            found.append((document, placements))
    return found


def wrong_verdict(asked: Question, document: Json, placements: list[Json]) -> list[str]:
    """What is wrong with the verifier's answer to these placements; [] where nothing is."""
    mine = broken(asked.world, asked.wishes, placements)
    theirs = [
        violation.sentence
        for violation in violations(asked, document, placements)
        # Levels of what is no plan are not counted here.
        if not (mine and violation.sentence.startswith("level "))
    ]
    if bool(mine) == bool(theirs):
        return []
    return [f"verify says {theirs or 'it is right'}, but {sorted(mine) or 'it is right'}: {json.dumps(placements)}"]


def violations(asked: Question, document: Json, placements: list[Json]) -> tuple[Violation, ...]:
    """What the verifier says of the document with these placements, and with the levels that these have."""
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
    return verify(asked.request, asked.snapshot, read_plan(json.dumps(plan), "plan.json"))


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
    _relocate(asked, placements, placement, cell, random.choice(asked.world.nodes))


def _relocate(asked: Question, placements: list[Json], placement: Json, cell: Json, node: int) -> None:
    """The cell to another node with all that goes there of itself: what is wrong then is between it and others."""
    world = asked.world
    wish = next(wish for wish in asked.wishes if wish.name == placement["vm"])
    wish_of = {other.name: other for other in asked.wishes}
    held = {cpu for other in placements for cpu in given_cpus(wish_of[other["vm"]], other)}
    cell["numa_node"] = cell["memory_node"] = node
    free = sorted((world.free & world.cpus_of[node]) - held)
    pool = list_text(world.shared & world.cpus_of[node])
    dedicated = wish.cells[cell["id"]].dedicated
    for vcpu in cell["vcpus"]:
        cell["vcpus"][vcpu] = pool if int(vcpu) not in dedicated else str(free.pop(0)) if free else ""
    nodes = {one["numa_node"] for one in placement["cells"]}
    rung = world.ladder(nodes)
    floating = list_text(free if rung is None else rung)
    if not wish.own_emulator:
        placement["emulator"] = floating
    if wish.iothreads_share:
        placement["iothreads"] = dict.fromkeys(placement["iothreads"], floating)


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


def plans_beside(asked: Question, start: list[Json]) -> Iterator[list[Json]]:
    """The placements with one thing changed: all that is just wrong, and what nobody asked for."""
    yield from _just_wrong(asked, start)
    yield from _not_as_asked(start)


def _just_wrong(asked: Question, start: list[Json]) -> Iterator[list[Json]]:
    """The placements with one function, cell, CPU or memory elsewhere, where that breaks one meaning alone.

    One for each meaning and guest, and for each kind of function.
    """
    seen: set[tuple[str, ...]] = set()
    for kind, placements in _elsewhere(asked, start):
        found = broken(asked.world, asked.wishes, placements)
        # What is meant without which function, CPU or node it is.
        meant = tuple(word for what in found for word in what.split() if not any(map(str.isdigit, word)))
        if len(found) == 1 and (*kind, *meant) not in seen:
            seen.add((*kind, *meant))
            yield placements


def _elsewhere(asked: Question, start: list[Json]) -> Iterator[tuple[tuple[str, ...], list[Json]]]:
    """(what is new, the placements) for everything that could be elsewhere."""
    for i, placement in enumerate(start):
        for what, changes in (
            ("emulator", _other_emulators(asked)),
            ("iothread", _other_iothreads(asked, placement)),
            ("vCPU", _other_vcpus(asked, placement)),
            ("cell", _other_cells(asked, placement)),
        ):
            for change in changes:
                placements = deepcopy(start)
                change(placements, placements[i])
                yield (str(i), what), placements
        for function in asked.world.functions.values():
            for change in _with_function(placement, function.address):
                placements = deepcopy(start)
                change(placements, placements[i])
                yield (str(i), str(function.pf), function.vendor, function.device), placements


def _other_emulators(asked: Question) -> Iterator[_Change]:
    for cpu in map(str, sorted(asked.world.online)):
        yield lambda _, mine, cpu=cpu: mine.update(emulator=cpu)  # type: ignore[misc]  # bound now


def _other_iothreads(asked: Question, placement: Json) -> Iterator[_Change]:
    for cpu in map(str, sorted(asked.world.online)):
        for which in placement["iothreads"]:
            yield lambda _, mine, cpu=cpu, which=which: mine["iothreads"].update({which: cpu})  # type: ignore[misc]


def _other_vcpus(asked: Question, placement: Json) -> Iterator[_Change]:
    for cpu in map(str, sorted(asked.world.online)):
        for k, cell in enumerate(placement["cells"]):
            for vcpu in cell["vcpus"]:
                yield lambda _, mine, cpu=cpu, k=k, vcpu=vcpu: (  # type: ignore[misc]
                    mine["cells"][k]["vcpus"].update({vcpu: cpu})
                )


def _other_cells(asked: Question, placement: Json) -> Iterator[_Change]:
    """Each cell on each node, and its memory there in pages of each size."""
    for k in range(len(placement["cells"])):
        for node in asked.world.nodes:
            yield lambda all_, mine, k=k, node=node: _relocate(asked, all_, mine, mine["cells"][k], node)  # type: ignore[misc]
            for size in (4, 2048, 1 << 20):
                yield lambda _, mine, k=k, node=node, size=size: (  # type: ignore[misc]
                    mine["cells"][k].update(memory_node=node, page_size_kib=size)
                )


def _with_function(placement: Json, address: str) -> Iterator[_Change]:
    """A function in the place of each that it has."""
    for j, entry in enumerate(placement["interfaces"]):
        for v in range(len(entry["vfs"])):
            yield lambda _, mine, j=j, v=v: mine["interfaces"][j]["vfs"].__setitem__(v, address)  # type: ignore[misc]
    for j in range(len(placement["devices"])):
        yield lambda _, mine, j=j: mine["devices"][j].update(address=address)  # type: ignore[misc]


def _not_as_asked(start: list[Json]) -> Iterator[list[Json]]:
    """The placements with something too often, not often enough, or by another name or number."""
    for i, placement in enumerate(start):
        yield [*deepcopy(start), deepcopy(placement)]
        yield [deepcopy(other) for other in start if other is not placement]
        for parts, change in _PARTS:
            for j in range(len(placement[parts])):
                placements = deepcopy(start)
                change(placements[i][parts], j)
                yield placements
        placements = deepcopy(start)
        placements[i]["vm"] = "nobody"
        yield placements


def _renamed(parts: list[Json], j: int) -> None:
    parts[j]["name"] = "nothing"


def _one_vf_less(parts: list[Json], j: int) -> None:
    parts[j]["vfs"] = parts[j]["vfs"][1:]


def _renumbered(parts: list[Json], j: int) -> None:
    parts[j]["id"] += 1


def _one_vcpu_less(parts: list[Json], j: int) -> None:
    parts[j]["vcpus"].popitem()


def _less_memory(parts: list[Json], j: int) -> None:
    parts[j]["memory_kib"] -= parts[j]["page_size_kib"]


def _dropped(parts: list[Json], j: int) -> None:
    del parts[j]


_PARTS: Final[tuple[tuple[str, Callable[[list[Json], int], None]], ...]] = (
    ("cells", _renumbered),
    ("cells", _one_vcpu_less),
    ("cells", _less_memory),
    ("cells", _dropped),
    ("interfaces", _renamed),
    ("interfaces", _one_vf_less),
    ("interfaces", _dropped),
    ("devices", _renamed),
    ("devices", _dropped),
)
