"""Hosts on which a plan was carried out, more or less, and that are asked again: where guests stay and what moves."""

from copy import deepcopy
from random import Random

from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.check import broken
from tests.placement.exhaustive.compare import differences, question
from tests.placement.exhaustive.mutations import mutated
from tests.placement.exhaustive.optimum import optimum
from tests.placement.exhaustive.variants import carried_out


def wrong_replans(case: Case, seed: int) -> list[str]:
    """What is wrong with numaplan's answer where guests are there as some valid plan, mostly not the best, has them."""
    asked = question(case)
    best = optimum(asked.world, asked.wishes)
    if best is None:
        return []
    random = Random(seed)  # noqa: S311  # picks cases
    placements = list(best.placements)
    for _ in range(random.randrange(12)):
        other = mutated(asked, placements, random)
        if not broken(asked.world, asked.wishes, other):
            placements = other
    there = [placement for placement in placements if random.random() < 0.8]
    return differences(_asked_otherwise(carried_out(deepcopy(case), there), random))


def _asked_otherwise(case: Case, random: Random) -> Case:
    """The request as it was, or with one vm less (who is there stays then), or with another policy for one."""
    vms = case.vnf["vms"]
    choice = random.random()
    vm = random.choice(vms)
    if choice < 0.3 and len(vms) > 1:
        vms.remove(vm)
        for other in vms:
            for key in ("affinity", "anti_affinity"):
                if key in other:
                    other[key] = [name for name in other[key] if name != vm["name"]]
    elif choice < 0.5:
        vm["thread_policy"] = random.choice(["prefer", "require", "isolate"])
    elif choice < 0.6:
        vm["memory_policy"] = random.choice(["strict", "preferred"])
    elif choice < 0.7:
        vm["emulator"] = {"policy": random.choice(["share", "isolate"])}
    return case
