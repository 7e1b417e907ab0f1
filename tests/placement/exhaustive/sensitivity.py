"""How many drawn cases it takes until the absence of one constraint, or of one check of the verifier, is noticed."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final
from unittest.mock import patch

from numaplan.placement import constraints
from numaplan.placement import verify as whole
from numaplan.placement.verification import cpus, devices, groups, memory, shape
from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.compare import Question, plan_of, question
from tests.placement.exhaustive.mutations import plans_beside, violations, wrong_verdict
from tests.placement.exhaustive.reading import Json
from tests.placement.exhaustive.relaxed import plans_of_less

# Generators of violations, functions that say what is wrong with one thing (None: nothing), and whether it is near.
CHECKS: Final[tuple[tuple[ModuleType, str], ...]] = (
    *(
        (cpus, name)
        for name in ("_distinct", "_allocatable", "thread_violations", "_sharing", "_shared_cell", "_pools")
    ),
    *((memory, name) for name in ("_page_problem", "_node_problem", "_capacity")),
    *((devices, name) for name in ("vf_problem", "vf_filter_problem", "device_problem", "_ports", "_iommu")),
    *((devices, name) for name in ("_once", "_bandwidth", "_id_problem")),
    (devices, "near_enough"),
    (groups, "_partners"),
    (whole, "group_violations"),
    (whole, "plan_violations"),
    (whole, "cell_violations"),
    *((shape, name) for name in ("_account", "_cell_violations", "_vcpu_violations", "_own_thread_violations")),
    *((shape, name) for name in ("_interface_violations", "_device_violations")),
)


def unnoticed_constraints(cases: Iterable[Case]) -> dict[str, int | None]:
    """By constraint, the number of the first case whose plan is another one without it; None: there is none."""
    left = {constraint.id for constraint in constraints.CONSTRAINTS}
    found: dict[str, int | None] = dict.fromkeys(sorted(left))
    for number, case in enumerate(cases, 1):
        asked = question(case)
        expected = _answer(asked)
        for name in sorted(left):
            kept = tuple(constraint for constraint in constraints.CONSTRAINTS if constraint.id != name)
            with patch.object(constraints, "CONSTRAINTS", kept):
                answer = _answer(asked)
            if answer != expected:
                found[name] = number
                left.discard(name)
    return found


def unnoticed_checks(cases: Iterable[Case]) -> dict[str, int | None]:
    """By check of the verifier, the number of the first case that shows that it is gone.

    That is one with a plan that breaks one thing alone, which without the check would be right.
    """
    left = {f"{module.__name__.rpartition('.')[2]}.{name}": (module, name) for module, name in CHECKS}
    found: dict[str, int | None] = dict.fromkeys(left)
    for number, case in enumerate(cases, 1):
        if not left:
            break
        asked = question(case)
        _, document = plan_of(asked)
        near = (*plans_beside(asked, document["placements"]), *plans_of_less(case))
        plans = [plan for plan in near if _one_violation(asked, document, plan)]
        for label, (module, name) in list(left.items()):
            with _gone(module, name):
                if any(wrong_verdict(asked, document, plan) for plan in plans):
                    found[label] = number
                    del left[label]
    return found


def _one_violation(asked: Question, document: Json, placements: list[Json]) -> bool:
    """Whether the verifier has one thing to say of them, however often, beside their levels."""
    told = {violation.constraint for violation in violations(asked, document, placements)}
    return len(told - {"levels"}) == 1


@contextmanager
def _gone(module: ModuleType, name: str) -> Iterator[None]:
    def nothing(*_: object, **__: object) -> object:
        return None if name.endswith("_problem") else True if name == "near_enough" else iter(())

    with patch.object(module, name, nothing):
        yield


def _answer(asked: Question) -> str:
    """What decides whether an answer is right: its status, the levels, and who is placed; a crash is one as well."""
    try:
        _, document = plan_of(asked)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is noticed
        return repr(error)
    placed = [placement["vm"] for placement in document["placements"]]
    return json.dumps([document["status"], document["levels"], placed])
