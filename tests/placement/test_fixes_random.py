"""Every fix that is named, carried out on the documents and asked again, is enough, and no page, VF or CPU too much."""

import json
import re
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from ruamel.yaml import YAML

from numaplan.api.fixes import with_fixes
from numaplan.api.place import place
from numaplan.api.question import Question
from numaplan.cpuset import CpuSet
from numaplan.model.plan import Document, Fix, Operation, Status
from numaplan.placement.facts import host_facts
from tests.depth import draws
from tests.placement.fixes_cases import after, applied, inventory, on_host, question, questions

FOUND = {Status.OPTIMAL, Status.FEASIBLE}


def fixes_of(asked: Question) -> tuple[Fix, ...]:
    plan = place(asked).plan
    if plan.status is not Status.INFEASIBLE:
        return ()
    conflict = with_fixes(asked, plan).conflict
    assert conflict is not None
    assert conflict.fixes, "leaving guests out always helps"
    return conflict.fixes


@settings(deadline=None, derandomize=True, max_examples=draws(10))
@given(questions())
def test_every_fix_carried_out_is_enough_and_no_page_vf_or_cpu_of_it_is_too_many(asked: Question) -> None:
    fixes = fixes_of(asked)
    assert [fix.cost for fix in fixes] == sorted(fix.cost for fix in fixes)
    for fix in fixes:
        assert place(after(asked, fix)).plan.status in FOUND, fix
        for less in one_less(asked, fix) if fix.document is Document.INVENTORY else one_more_reserved(asked, fix):
            assert place(less).plan.status is Status.INFEASIBLE, fix
        if further := re.match(r"let (\w+)'s (affinity of \w+|memory_policy) be \w+: ", fix.sentence):
            assert least_distance(after(asked, fix), further[1]) <= fix.cost, fix


def least_distance(asked: Question, vm: str) -> int:
    """The cross-node cost of a vm's guests where they have the host for themselves, as far as it is known."""
    guests = tuple(guest for guest in asked.request.guests if guest.vm == vm)
    plan = place(replace(asked, request=replace(asked.request, guests=guests))).plan
    return next(level.bound for level in plan.levels if level.name == "cross_node_cost")


def one_more_reserved(asked: Question, fix: Fix) -> list[Question]:
    """What the fix makes of vnf.yaml, with one of the CPUs that it takes from reserved_cpus there again, for each."""
    changed = after(asked, fix)
    left = changed.request.policy.reserved_cpus
    if left is None or left == asked.request.policy.reserved_cpus:
        return []
    before = host_facts(asked.request, asked.snapshot).reserved
    texts = [Operation("add", "/host/reserved_cpus", str(left | CpuSet((cpu,)))) for cpu in sorted(before - left)]
    document = YAML(typ="safe", pure=True).load(changed.text)
    return [question(applied(document, (text,)), asked.snapshot) for text in texts]


def one_less(asked: Question, fix: Fix) -> list[Question]:
    """The host with one page, or one VF, less than the fix gives it, for each pool and PF that the fix changes."""
    document = applied(inventory(asked), fix.patch)
    changed = {
        match[1]
        for operation in fix.patch
        if (match := re.match(r"(/numa_nodes/\d+/hugepages/\d+)/free", operation.path))
    }
    questions = []
    for path in sorted(changed):
        less = json.loads(json.dumps(document))
        _, _, node, _, pool = path.split("/")
        here = less["numa_nodes"][int(node)]["hugepages"][int(pool)]
        here["free"] -= 1
        here["total"] -= 1
        questions.append(on_host(asked, less))
    before = {device["address"]: device["sriov"] for device in inventory(asked)["pci"]}
    grown = [d["address"] for d in document["pci"] if d["sriov"] is not None and d["sriov"] != before[d["address"]]]
    questions += [on_host(asked, _without_last_vf(document, pf)) for pf in grown]
    return questions


def _without_last_vf(document: Any, pf: str) -> Any:  # noqa: ANN401  # JSON
    less = json.loads(json.dumps(document))
    sriov = next(device["sriov"] for device in less["pci"] if device["address"] == pf)
    gone = sriov["vfs"].pop()
    sriov["configured"] -= 1
    less["pci"] = [device for device in less["pci"] if device["address"] != gone]
    less["iommu_groups"] = [group for group in less["iommu_groups"] if gone not in group["devices"]]
    return less
