"""Changes of several kinds in vnf.yaml: hardly ever is there another mix that costs less."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import combinations
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numaplan.api.fixes import with_fixes
from numaplan.api.place import place
from numaplan.model.plan import Document, Status
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, feasible
from numaplan.spec.synthetic import parse_synthetic
from tests.placement.fixes_cases import question
from tests.placement.test_fixes_cheapest import sentences, vm

Vm = dict[str, Any]
# A key of a vm, its new value, and what that costs.
Edit = tuple[int, str, Any, int]

ISOLATED = "isolated 2-7,10-15,18-23,26-31"
SMALL = "2 packages, 2 nodes, 8 cores, 2 threads, 16GiB; 1GiB=8; pa@0: 8 VFs; pb@1: 8 VFs"
RESERVED = {"reserved_cpus": "0", "reserved_memory": "1GiB"}


def wired(pf: str, **keys: Any) -> list[Vm]:  # noqa: ANN401  # whatever an interface takes
    return [{"name": "d", "pf": pf, **keys}]


@pytest.mark.parametrize(
    ("host", "policy", "guests", "said"),
    [
        pytest.param(
            f"2 packages, 2 nodes, 16 cores, 2 threads, 64GiB; 1GiB=4; ens1@0: 8 VFs; {ISOLATED}",
            {},
            [
                vm(name, 4, memory="4GiB", page_size="1GiB", thread_policy="isolate", interfaces=wired("ens1"))
                for name in "ab"
            ],
            "let b's thread_policy be require and let a's page_size and b's page_size be 4KiB: cost 36",
            id="less-than-to-be-away-from-its-vfs",
        ),
        pytest.param(
            f"2 packages, 2 nodes, 16 cores, 2 threads, 64GiB; 1GiB=24; ens1@0: 8 VFs; {ISOLATED}",
            {},
            [
                vm(
                    name,
                    6,
                    memory="8GiB",
                    page_size="1GiB",
                    thread_policy="isolate",
                    emulator="isolate",
                    interfaces=wired("ens1", count=2),
                )
                for name in "ab"
            ],
            "let a's thread_policy and b's thread_policy be require, let a's emulator and b's emulator be share"
            " and let b's page_size be 4KiB: cost 76",
            id="three-kinds",
        ),
        pytest.param(
            SMALL,
            RESERVED,
            [
                vm("a", 2, memory="2GiB", page_size="1GiB", thread_policy="isolate", interfaces=wired("pa")),
                vm("b", 3, memory="3GiB", page_size="1GiB", thread_policy="isolate", interfaces=wired("pa")),
            ],
            "let b's thread_policy be require and let a's page_size be 4KiB: cost 24",
            id="less-than-one-kind-alone",
        ),
        pytest.param(
            "2 packages, 2 nodes, 16 cores, 1 threads, 32GiB; 2MiB=4608; e0@0: 8 VFs",
            {"reserved_cpus": "0,8"},
            [
                *(vm(name, 6, memory="4GiB", page_size="2MiB", interfaces=wired("e0")) for name in "ab"),
                vm("c", page_size="2MiB"),
            ],
            "let b's affinity of d be preferred and let c's page_size be 4KiB: cost 112",
            id="a-guest-that-is-in-no-conflict-makes-room",
        ),
        pytest.param(
            "4 packages, 4 nodes, 32 cores, 1 threads, 128GiB",
            {"reserved_cpus": "0"},
            [
                vm("a", 7, memory="20GiB", count=3),
                vm("b", 4, memory="4GiB", cells=4, emulator="isolate"),
                vm("c", 6, memory="4GiB", thread_policy="require"),
            ],
            "let c's thread_policy be prefer and let b's emulator be share: cost 30",
            id="less-than-to-leave-one-out",
        ),
        pytest.param(
            "2 nodes, 8 cores, 1 threads, 16GiB",
            {"reserved_cpus": "0", "reserved_memory": "0KiB", "shared_ratio": 4},
            [vm("a", 4, cpu_policy="shared"), vm("b", 3, page_size="1GiB"), vm("c", 3, thread_policy="isolate")],
            "let b's page_size be 4KiB and add CPU 7 of node 1 to shared_cpus: cost 7",
            id="a-pool-on-one-node-where-all-nodes-are-too-many",
        ),
        pytest.param(
            "1 nodes, 8 cores, 1 threads, 16GiB",
            {"reserved_cpus": "0"},
            [vm("a", 4, interfaces=wired("nope")), vm("b", 4, cpu_policy="shared")],
            "let a be left out (required: false) and add CPU 7 of node 0 to shared_cpus: cost 1005",
            id="a-pool-beside-a-guest-that-is-left-out",
        ),
        pytest.param(
            "1 nodes, 8 cores, 1 threads, 5GiB; 2MiB=512",
            {"reserved_cpus": "", "shared_cpus": "7", "shared_ratio": 2, "reserved_memory": "0KiB"},
            [vm("a", 1, memory="1GiB", cpu_policy="shared", count=4), vm("b", 1, memory="1GiB", cpu_policy="shared")],
            "let b's page_size be 2MiB and add CPUs 5-6 of node 0 to shared_cpus: cost 12",
            id="what-may-do-harm-where-what-does-none-is-dearer",
        ),
        pytest.param(
            "3 nodes, 3 cores, 1 threads, 3GiB",
            {"reserved_memory": "0KiB"},
            [vm(name, memory="64MiB") for name in "abc"],
            "let c be left out (required: false) and add CPU 0 of node 0 to shared_cpus: cost 1005",
            id="a-cpu-to-float-on-and-one-guest-less",
        ),
    ],
)
def test_the_cheapest_mix_is_told_first(host: str, policy: dict[str, Any], guests: list[Vm], said: str) -> None:
    assert sentences(host, policy, *guests)[0] == said


def test_an_emulator_may_have_fewer_cpus_of_its_own_and_no_fewer_than_must_be() -> None:
    emulator = {"policy": "set", "cpus": 5}
    said = sentences("1 nodes, 8 cores, 1 threads, 16GiB", RESERVED, vm("a", 4, emulator=emulator))
    assert said[:2] == ["give a's emulator 3 CPUs of its own: cost 20", "let a's emulator be share: cost 50"]
    both = sentences("1 nodes, 8 cores, 1 threads, 16GiB", RESERVED, vm("a", 3, emulator=emulator, count=2))
    assert both[0] == "let a's emulator be share: cost 100"


@st.composite
def crowded(draw: st.DrawFn) -> list[Vm]:
    """Two or three guests that want cores, pages and VFs of two small nodes."""
    vms = []
    for name in "abc"[: draw(st.integers(2, 3))]:
        gib = draw(st.integers(1, 3))
        guest = vm(name, draw(st.integers(2, 4)), memory=f"{gib}GiB", page_size="1GiB")
        guest["thread_policy"] = draw(st.sampled_from(["prefer", "require", "isolate", "isolate"]))
        if draw(st.booleans()):
            guest["emulator"] = "isolate"
        if draw(st.booleans()):
            guest["interfaces"] = wired(draw(st.sampled_from(["pa", "pa", "pb"])))
        vms.append(guest)
    return vms


def edits(vms: list[Vm]) -> Iterator[Edit]:
    """What may be changed without leaving a guest further from anything; docs/why-not.md has the prices."""
    steps = {"isolate": [("require", 20), ("prefer", 40)], "require": [("prefer", 20)], "prefer": []}
    for number, guest in enumerate(vms):
        yield from ((number, "thread_policy", word, cost) for word, cost in steps[guest["thread_policy"]])
        yield number, "page_size", "4KiB", 2 * int(guest["memory"].removesuffix("GiB"))
        if "emulator" in guest:
            yield number, "emulator", "share", 10


@settings(deadline=None, derandomize=True, max_examples=12, database=None)
@given(crowded())
def test_no_three_changes_cost_less_than_what_is_told(vms: list[Vm]) -> None:
    snapshot = parse_synthetic(SMALL.replace("1GiB=8", "1GiB=4"))

    def asked_with(guests: list[Vm]) -> Any:  # noqa: ANN401  # a question
        return question({"apiVersion": "numaplan/v1", "host": RESERVED, "vms": guests}, snapshot)

    asked = asked_with(vms)
    plan = place(asked).plan
    assume(plan.status is Status.INFEASIBLE)
    conflict = with_fixes(asked, plan).conflict
    assert conflict is not None
    told = min(fix.cost for fix in conflict.fixes if fix.document is Document.VNF)
    for count in (1, 2, 3):
        for some in combinations(edits(vms), count):
            if len({edit[:2] for edit in some}) == count and sum(edit[3] for edit in some) < told:
                guests = deepcopy(vms)
                for number, key, value, _ in some:
                    guests[number][key] = value
                request = asked_with(guests).request
                problem = build_problem(request, host_facts(request, snapshot))
                assert feasible(problem, Budget()) is not Outcome.FEASIBLE, (vms, some)
