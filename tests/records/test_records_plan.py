"""plan_json and read_plan."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from numaplan.errors import InputError
from numaplan.model.guest import GuestTopology, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import Conflict, ConflictMember, Document, Fix, Limit, Operation, Plan, RunnerUp, Status, Why
from numaplan.records.plan import plan_json, read_carried_plan, read_plan
from tests.records.carried import carried_plan
from tests.records.samples import EVIL, full_plan, placed, refused_plan, without_places

HERE = Path(__file__).parent
Edit = Callable[[dict[str, Any]], object]


def refusal_of(edit: Edit) -> str:
    changed = json.loads(plan_json(full_plan()))
    edit(changed)
    with pytest.raises(InputError) as caught:
        read_plan(json.dumps(changed), "plan.json")
    return without_places(str(caught.value))


def test_the_document_is_the_contract_s(golden: Callable[[Path, str], None]) -> None:
    golden(HERE / "plan.json", plan_json(full_plan()))
    golden(HERE / "refused-plan.json", plan_json(refused_plan()))


@pytest.mark.parametrize(
    "plan",
    [full_plan(), refused_plan(), Plan(Status.UNKNOWN, Limit.WALL, None, "")],
    ids=["feasible", "infeasible", "unknown"],
)
def test_a_plan_reads_back_equal(plan: Plan) -> None:
    assert read_plan(plan_json(plan), "plan.json") == plan


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_survives_as_ascii(text: str) -> None:
    plan = replace(refused_plan(text), placements=(placed(f"x{text}"),), unplaced=())
    assert plan_json(plan).isascii()
    assert read_plan(plan_json(plan), "plan.json") == plan


def test_vcpus_and_iothreads_are_keyed_in_numeric_order() -> None:
    cell = placed().cells[0]
    many = replace(
        cell, vcpus=tuple((VcpuId(vcpu), cpus) for vcpu, (_, cpus) in zip((10, 2, 1, 0), cell.vcpus, strict=True))
    )
    document = json.loads(plan_json(replace(full_plan(), placements=(replace(placed(), cells=(many,)),))))
    assert list(document["placements"][0]["cells"][0]["vcpus"]) == ["0", "1", "2", "10"]
    assert list(document["placements"][0]["iothreads"]) == ["1", "12"]


def test_a_request_that_names_a_guest_twice_is_refused() -> None:
    document = json.loads(plan_json(carried_plan()))
    document["request"]["guests"] += deepcopy(document["request"]["guests"][:1])
    count, name = len(document["request"]["guests"]), document["request"]["guests"][0]["name"]
    for read in (read_plan, read_carried_plan):
        with pytest.raises(InputError) as caught:
            read(json.dumps(document), "plan.json")
        assert (
            without_places(str(caught.value))
            == f"plan.json: request.guests[{count - 1}].name: {name!a} stands there twice"
        )


def test_the_numbers_of_a_request_are_bounded_however_alike_its_lists_are() -> None:
    """A text of a few bytes stands for thousands of vCPUs in each of its cells."""
    document = json.loads(plan_json(carried_plan()))
    asked = document["request"]["guests"][0]
    asked["cells"] = [asked["cells"][0] | {"vcpus": "0-8191"}] * 600
    with pytest.raises(InputError) as caught:
        read_plan(json.dumps(document), "plan.json")
    assert str(caught.value.problems[0].what) == (
        "request.guests[0].cells[510].vcpus: expected a CPU list "
        "(the lists of the document together name more than 4194304 CPUs), found '0-8191'"
    )


def test_a_document_without_our_additions_is_read() -> None:
    document = json.loads(plan_json(full_plan()))
    for placement in document["placements"]:
        del placement["topology"]
    document["remark"] = "by hand"
    plan = read_plan(json.dumps(document), "plan.json")
    assert all(placement.topology is None for placement in plan.placements)


def test_the_guest_topology_is_written_and_read() -> None:
    document = json.loads(plan_json(full_plan()))
    assert document["placements"][0]["topology"] == {"sockets": 1, "dies": 1, "cores": 2, "threads": 2}
    assert document["placements"][1]["topology"] is None
    first = read_plan(json.dumps(document), "plan.json").placements[0]
    assert first.topology == GuestTopology(1, 1, 2, 2)


def test_the_reasons_of_a_placement_read_back_equal() -> None:
    first, second = full_plan().placements[:2]
    runner_up = RunnerUp((NodeId(0), NodeId(1)), 110, "node 0 would cost 110 more")
    whys = (Why(first.vm, ("its VFs are on node 1",), runner_up), Why(second.vm, (), None))
    plan = replace(full_plan(), placements=(first, second), whys=whys)
    assert read_plan(plan_json(plan), "plan.json") == plan


def test_a_constraint_that_is_not_proven_to_be_needed_reads_back_so() -> None:
    members = (
        ConflictMember("a", "vcpus", "needs 2 CPUs", proven=False),
        ConflictMember(None, "guest_overhead", "too"),
    )
    plan = replace(refused_plan(), conflict=Conflict(members))
    assert read_plan(plan_json(plan), "plan.json") == plan


def test_the_fixes_of_a_conflict_read_back_equal() -> None:
    document = json.loads(plan_json(refused_plan()))
    operation = {"op": "replace", "path": "/vms/0/vcpus", "value": 4}
    fix = {"sentence": "ask for less", "cost": 1, "change": {"document": "vnf", "patch": [operation]}}
    document["conflict"]["fixes"] = [fix]
    plan = read_plan(json.dumps(document), "plan.json")
    assert plan.conflict is not None
    patch = (Operation("replace", "/vms/0/vcpus", 4),)
    assert plan.conflict.fixes == (Fix("ask for less", 1, Document.VNF, patch),)
    assert read_plan(plan_json(plan), "plan.json") == plan
    document["conflict"]["fixes"] = [{"sentence": "ask for less"}]
    with pytest.raises(InputError, match=r"conflict.fixes\[0\].cost: is missing"):
        read_plan(json.dumps(document), "plan.json")


HOSTILE: list[tuple[Edit, str]] = [
    (lambda d: d.update(schema="numaplan/audit/1"), "schema: expected"),
    (lambda d: d.update(status="perfect"), "status: expected 'optimal', 'feasible', 'infeasible' or 'unknown'"),
    (lambda d: d.update(limit=None), "limit: expected 'none', 'work' or 'wall', found null"),
    (lambda d: d.pop("host"), "host: is missing"),
    (lambda d: d["host"].pop("fingerprint"), "host.fingerprint: is missing"),
    (lambda d: d["levels"][0].update(value=2**63), "levels[0].value: expected a number of"),
    (lambda d: d["levels"][0].update(proven="yes"), "levels[0].proven: expected true or false"),
    (lambda d: d.update(placements={}), "placements: expected a list, found an object"),
    (lambda d: d["placements"][0]["cells"][0].update(numa_node=-1), "cells[0].numa_node: expected a number of 0"),
    (lambda d: d["placements"][0]["cells"][0].update(page_size_kib=0), "page_size_kib: expected a number of 1 or more"),
    (lambda d: d["placements"][0]["cells"][0].update(vcpus={"01": "3"}), "expected a decimal number as key"),
    (lambda d: d["placements"][0]["cells"][0].update(vcpus={"-1": "3"}), "expected a decimal number as key"),
    (lambda d: d["placements"][0]["cells"][0].update(vcpus={"9" * 99: "3"}), "expected a decimal number as key"),
    (lambda d: d["placements"][0]["cells"][0].update(vcpus={"0": 3}), "vcpus['0']: expected a string, found 3"),
    (lambda d: d["placements"][0]["cells"][0].update(vcpus={"0": "8192"}), "vcpus['0']: expected a CPU list"),
    (lambda d: d["placements"][0].update(emulator="1;2"), "placements[0].emulator: expected a CPU list"),
    (lambda d: d["placements"][0]["devices"][0].update(address="../../etc"), "address: expected a PCI address"),
    (lambda d: d["placements"][0].update(topology={"sockets": 0, "cores": 1, "threads": 1}), "topology.sockets: expec"),
    (lambda d: d.update(conflict=[]), "conflict: expected an object, found a list"),
    (lambda d: d.update(notes=[{}]), "notes[0]: expected a string, found an object"),
]


@pytest.mark.parametrize(("edit", "sentence"), HOSTILE, ids=[sentence for _, sentence in HOSTILE])
def test_a_hostile_plan_is_refused_with_its_path(edit: Edit, sentence: str) -> None:
    message = refusal_of(edit)
    assert message.startswith("plan.json: ")
    assert sentence in message


def test_a_guest_that_is_placed_twice_is_read_and_left_to_verify() -> None:
    plan = full_plan()
    doubled = replace(plan, placements=plan.placements * 2, levels=plan.levels[::-1])
    assert read_plan(plan_json(doubled), "plan.json") == doubled


def test_whatever_one_value_is_replaced_by_a_plan_or_an_input_error_comes_out() -> None:
    document = json.loads(plan_json(full_plan()))
    values: tuple[object, ...] = (None, True, -1, 1.5, 2**70, "", "\x1b\udc80", [], {}, [[]], {"": None})
    outcomes = set()
    for holder, key in list(_slots(document)):
        kept = holder[key]
        for value in values:
            holder[key] = value
            try:
                read_plan(json.dumps(document), "plan.json")
                outcomes.add("read")
            except InputError:
                outcomes.add("refused")
        holder[key] = kept
    assert outcomes == {"read", "refused"}


def _slots(node: Any) -> Any:  # noqa: ANN401  # any JSON value
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in pairs:
        yield node, key
        if isinstance(value, dict | list):
            yield from _slots(value)
