"""No change of vnf.yaml that would be enough costs less than the first that is told, where no note doubts it."""

from typing import Any

from hypothesis import assume, example, given, settings

from numaplan.api.fixes import with_fixes
from numaplan.api.place import place
from numaplan.api.question import Question
from numaplan.model.plan import Document, Fix, Status
from numaplan.model.snapshot import Snapshot
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.every_change import EveryChange
from tests.placement.fixes_cases import question, questions
from tests.placement.test_fixes_cheapest import vm

# With more choices than that it takes too long.
_MOST_CHOICES = 20_000


def asked(snapshot: Snapshot, policy: dict[str, Any], *vms: dict[str, Any]) -> Question:
    return question({"apiVersion": "numaplan/v1", "host": policy, "vms": list(vms)}, snapshot)


def wired(affinity: str = "required") -> list[dict[str, Any]]:
    return [{"name": "d", "pf": "ens0", "affinity": affinity}]


# Of two guests that are worth as much, one can stay with less than the other.
ANOTHER_STAYS = asked(
    host("2n:2c:1t", pages={"2MiB": [1024, 512]}, memory_gib=2, nics=[Nic("ens0", None, 1)]),
    {"reserved_cpus": "0,2", "reserved_memory": "0KiB"},
    vm("a", 3, priority=2, page_size="2MiB", emulator="isolate", affinity=["b"], interfaces=wired("socket"))
    | {"cells": [{"vcpus": cpus, "memory": "512MiB"} for cpus in ("0,1", "2")], "distinct_nodes": False},
    vm("b", priority=2, interfaces=wired("socket")),
)
# A CPU for the pool, which no other guest can have then, instead of an iothread's.
A_POOL_INSTEAD = asked(
    host("2n:6c:1t", pages={"2MiB": [512, 1024]}, memory_gib=3, nics=[Nic("ens0", 1, 3)]),
    {"reserved_cpus": "", "reserved_memory": "512MiB", "shared_ratio": 1},
    vm("a", 3, memory="512MiB", page_size="2MiB", emulator="isolate", anti_affinity=["b"], priority=3),
    vm("b", 2, count=3, memory="512MiB", page_size="2MiB", interfaces=wired())
    | {"emulator": {"policy": "set", "cpus": 2}, "iothreads": {"count": 1, "policy": "dedicated"}},
    vm("c", page_size="4KiB", priority=3, interfaces=wired("preferred")),
)
# With an iothread less beside it, a guest need not lie on two nodes.
MORE_AND_NEARER = asked(
    host("2n:3c:2t", pages={"1GiB": [2, 2]}, memory_gib=2, nics=[Nic("ens0", None, 1)]),
    {"reserved_cpus": "1,5", "reserved_memory": "512MiB"},
    vm("b", 3, page_size="any", thread_policy="isolate", interfaces=wired())
    | {"cells": [{"vcpus": cpus, "memory": "1GiB"} for cpus in ("0", "1,2")], "distinct_nodes": False}
    | {"memory": "2GiB", "iothreads": {"count": 1, "policy": "dedicated"}},
)


def told(question: Question) -> tuple[list[Fix], bool]:
    """The changes of vnf.yaml, none where there is a plan; and whether a note doubts that they are the cheapest."""
    plan = place(question).plan
    found = with_fixes(question, plan)
    conflict = found.conflict if plan.status is Status.INFEASIBLE else None
    fixes = [] if conflict is None else [fix for fix in conflict.fixes if fix.document is Document.VNF]
    return fixes, found.notes != plan.notes


def test_another_guest_is_left_out_where_that_costs_less_in_all() -> None:
    said = told(ANOTHER_STAYS)[0][0].sentence
    assert said == "let a be left out (required: false) and let b's affinity of d be preferred: cost 2000"


def test_a_pool_is_widened_beside_a_copy_that_is_left_out() -> None:
    said = told(A_POOL_INSTEAD)[0][0].sentence
    assert (
        said == "place 2 of 3 copies of b, let b's emulator be share and add CPU 5 of node 0 to shared_cpus: cost 1065"
    )


def test_more_is_changed_where_a_guest_then_lies_nearer() -> None:
    said = told(MORE_AND_NEARER)[0][0].sentence
    assert said == "let b's affinity of d be preferred and let the policy of b's iothreads be share: cost 10"


@settings(deadline=None, derandomize=True, max_examples=draws(20), database=None)
@given(questions(small=True))
@example(ANOTHER_STAYS)
@example(MORE_AND_NEARER)
def test_no_change_costs_less_than_the_first_that_is_told(question: Question) -> None:
    fixes, doubtful = told(question)
    assume(fixes and not doubtful)
    every = EveryChange(question.request, question.snapshot)
    assume(every.choices(fixes[0].cost) <= _MOST_CHOICES)
    assert every.cheaper(fixes[0].cost) is None, fixes[0].sentence
