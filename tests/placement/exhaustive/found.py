"""Cases that were found: documents of a host, a request and what was wrong, as small as they could be made."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from numaplan.errors import NumaplanError
from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.compare import differences, question
from tests.placement.exhaustive.mutations import wrong_verdicts
from tests.placement.exhaustive.reading import Json
from tests.placement.exhaustive.replans import wrong_replans
from tests.placement.exhaustive.resources import TooLargeError
from tests.placement.exhaustive.variants import wrong_values

Property = Callable[[Case, int], list[str]]

PROPERTIES: Final[dict[str, Property]] = {
    "optimum": lambda case, _: differences(case),
    "replans": wrong_replans,
    "verdicts": wrong_verdicts,
    "variants": wrong_values,
}


def read_case(path: Path) -> tuple[Case, str, int]:
    """A kept case, the property that it broke and the seed of what was done to it."""
    document: Json = json.loads(path.read_text(encoding="utf-8"))
    return Case(document["inventory"], document["vnf"]), document["property"], document["seed"]


def case_text(case: Case, name: str, seed: int, wrong: str) -> str:
    """The document of a case that is kept; ``inventory`` and ``vnf`` are what ``numaplan place`` reads."""
    document = {"wrong": wrong, "property": name, "seed": seed, "vnf": case.vnf, "inventory": case.inventory}
    return json.dumps(document, indent=1) + "\n"


def shrunk(case: Case, fails: Callable[[Case], bool], *, tries: int = 3000) -> Case:
    """The case with everything left out without which it fails as well."""
    left = tries
    shorter = True
    while shorter and left > 0:
        shorter = False
        for smaller in _smaller(case):
            left -= 1
            if fails(smaller):
                case, shorter = smaller, True
                break
            if left <= 0:
                break
    return case


def wrong_of(name: str, case: Case, seed: int) -> list[str]:
    """What a property says of a case; a crash of numaplan's is told too. Raises TooLargeError."""
    try:
        return PROPERTIES[name](case, seed)
    except TooLargeError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, no answer is none
        return [f"crash: {error!r}"]


def breaks(name: str, seed: int, wrong: str) -> Callable[[Case], bool]:
    """Whether a case is well-formed and broken in that property as `wrong` has it, to the second word."""
    kind = wrong.split()[:2]

    def fails(case: Case) -> bool:
        try:
            question(case)
        except (NumaplanError, LookupError, TypeError, ValueError):
            return False
        try:
            found = wrong_of(name, case, seed)
        except TooLargeError:
            return False
        return any(what.split()[:2] == kind for what in found)

    return fails


def _smaller(case: Case) -> Iterator[Case]:
    """The case with one thing less, the large ones first."""
    parts = [(("vnf",), case.vnf), (("inventory",), case.inventory)]
    paths = sorted((path for root, part in parts for path in _paths(part, root)), key=lambda path: (len(path), path[0]))
    for path in paths:
        documents: Json = {"vnf": deepcopy(case.vnf), "inventory": deepcopy(case.inventory)}
        parent: Any = documents
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
        yield Case(documents["inventory"], documents["vnf"])


def _paths(part: object, root: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where something stands that can be left out."""
    steps: list[tuple[str | int, object]] = []
    if isinstance(part, dict):
        steps = list(part.items())
    elif isinstance(part, list):
        steps = list(enumerate(part))
    for step, value in steps:
        yield (*root, step)
        yield from _paths(value, (*root, step))
