"""For testers: ``ask`` compares numaplan's answer with that of trying everything, for documents of one's own;
``deep`` draws many cases and keeps those with a wrong answer, ``shrink`` makes one of them small.

    python -m tests.placement.exhaustive ask inventory.json vnf.json
    python -m tests.placement.exhaustive deep optimum --cases 20000 --seed 1 --keep FOLDER
    python -m tests.placement.exhaustive without constraints --cases 300
    python -m tests.placement.exhaustive without checks --cases 100 --themes choice,network --keep FOLDER
    python -m tests.placement.exhaustive shrink FOLDER/optimum-1-17.json
    python -m tests.placement.exhaustive documents FOLDER/optimum-1-17.json FOLDER
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from tests.placement.exhaustive.cases import Case, cases
from tests.placement.exhaustive.compare import LEVELS, UNDECIDED, differences, plan_of, question
from tests.placement.exhaustive.found import PROPERTIES, breaks, case_text, read_case, shrunk, wrong_of
from tests.placement.exhaustive.limits import THEMES, Limits
from tests.placement.exhaustive.optimum import optimum
from tests.placement.exhaustive.resources import TooLargeError
from tests.placement.exhaustive.sensitivity import unnoticed_checks, unnoticed_constraints

MID_SIZE = Limits(nodes=4, cpus=40, guests=4, vcpus=24)

_GENERATE = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def main() -> int:
    """The exit code: 0 where nothing was found, 3 where something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.placement.exhaustive", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    ask = verbs.add_parser("ask", help="one host and one request; vnf.yaml in its JSON form, without profiles")
    ask.add_argument("inventory", type=Path)
    ask.add_argument("vnf", type=Path)
    deep = verbs.add_parser("deep", help="many drawn cases")
    deep.add_argument("property", choices=sorted(PROPERTIES))
    deep.add_argument("--cases", type=int, default=1000)
    deep.add_argument("--seed", type=int, default=0)
    deep.add_argument("--keep", type=Path, required=True, help="the folder for cases with a wrong answer")
    gone = verbs.add_parser("without", help="how many cases it takes to notice that a constraint or a check is gone")
    gone.add_argument("what", choices=["constraints", "checks"])
    gone.add_argument("--cases", type=int, default=300)
    gone.add_argument("--seed", type=int, default=0)
    gone.add_argument("--themes", default=",".join(dict.fromkeys(THEMES)), help="what is scarce in the cases")
    gone.add_argument("--keep", type=Path, help="the folder for the cases that noticed something first")
    shrink = verbs.add_parser("shrink", help="leaves out of a kept case what it does not need")
    shrink.add_argument("case", type=Path)
    documents = verbs.add_parser("documents", help="writes the inventory and the vnf.yaml of a kept case")
    documents.add_argument("case", type=Path)
    documents.add_argument("folder", type=Path)
    given_ = parser.parse_args()
    match given_.verb:
        case "ask":
            return _ask(given_.inventory, given_.vnf)
        case "deep":
            return _deep(given_.property, given_.cases, given_.seed, given_.keep)
        case "without":
            return _without(given_.what, given_.cases, given_.seed, themes=given_.themes.split(","), keep=given_.keep)
        case "shrink":
            return _shrink(given_.case)
        case _:
            return _documents(given_.case, given_.folder)


def _ask(inventory: Path, vnf: Path) -> int:
    texts = [path.read_text(encoding="utf-8") for path in (inventory, vnf)]
    case = Case(*map(json.loads, texts))
    asked = question(case)
    best = optimum(asked.world, asked.wishes)
    _, document = plan_of(asked)
    _say(f"numaplan: {document['status']}")
    for level, value in zip(document["levels"], best.values if best else (), strict=False):
        _say(f"  {level['name']}: {level['value']}, proven: {level['proven']}; by trying everything: {value}")
    if best is None:
        _say("by trying everything: infeasible")
    elif not document["levels"]:
        _say(f"by trying everything: {dict(zip(LEVELS, best.values, strict=True))}")
    found = differences(case)
    for what in found:
        _say(f"DIFFERENT: {what}")
    return 3 if found else 0


def _deep(name: str, count: int, number: int, keep: Path) -> int:
    keep.mkdir(parents=True, exist_ok=True)
    counts = {"cases": 0, "too large": 0, "undecided": 0, "wrong": 0}

    @hypothesis_seed(number)
    @settings(_GENERATE, max_examples=count)
    @given(cases(MID_SIZE if name == "variants" else Limits()), st.integers(0, 1000))
    def each(case: Case, seed: int) -> None:
        counts["cases"] += 1
        try:
            found = wrong_of(name, case, seed)
        except TooLargeError:
            counts["too large"] += 1
            return
        wrong = [line for line in found if not line.startswith(UNDECIDED)]
        counts["undecided"] += len(wrong) < len(found)
        if wrong:
            counts["wrong"] += 1
            path = keep / f"{name}-{number}-{counts['cases']}.json"
            path.write_text(case_text(case, name, seed, wrong[0]), encoding="utf-8")

    each()
    _say(", ".join(f"{key}: {value}" for key, value in counts.items()))
    return 3 if counts["wrong"] else 0


def _without(what: str, count: int, number: int, *, themes: Sequence[str], keep: Path | None) -> int:
    drawn: list[Case] = []

    @hypothesis_seed(number)
    @settings(_GENERATE, max_examples=count)
    @given(cases(themes=themes))
    def each(case: Case) -> None:
        drawn.append(case)

    each()
    found = {"constraints": unnoticed_constraints, "checks": unnoticed_checks}[what](drawn)
    for name, first in found.items():
        _say(f"without {name}: {'unnoticed' if first is None else f'case {first}'}")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for first in sorted({first for first in found.values() if first is not None}):
            names = [name for name, other in found.items() if other == first]
            text = case_text(drawn[first - 1], what, number, f"noticed: {', '.join(names)}")
            (keep / f"{names[0]}.json").write_text(text, encoding="utf-8")
    return 3 if None in found.values() else 0


def _shrink(path: Path) -> int:
    case, name, seed = read_case(path)
    wrong = wrong_of(name, case, seed)
    if not wrong:
        _say("the answer to this case is right")
        return 0
    small = shrunk(case, breaks(name, seed, wrong[0]))
    wrong = wrong_of(name, small, seed)
    path.write_text(case_text(small, name, seed, wrong[0]), encoding="utf-8")
    _say(wrong[0])
    return 3


def _documents(path: Path, folder: Path) -> int:
    case, _, _ = read_case(path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (("inventory.json", case.inventory), ("vnf.yaml", case.vnf)):
        (folder / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
