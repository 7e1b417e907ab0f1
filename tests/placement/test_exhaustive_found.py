"""Cases that once had a wrong answer, and ones that show the contract at its corners: each is asked again."""

from pathlib import Path
from typing import Final

import pytest

from tests.placement.exhaustive.compare import UNDECIDED
from tests.placement.exhaustive.found import PROPERTIES, read_case

FOUND: Final = sorted((Path(__file__).parent / "found").glob("*.json"))
LEFT_OPEN: Final = frozenset({"require-on-cores-with-siblings-in-two-caches"})


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_the_answer_to_a_case_that_was_found_is_right(path: Path) -> None:
    case, name, seed = read_case(path)
    wrong = PROPERTIES[name](case, seed)
    assert wrong == ([f"{UNDECIDED}: status unknown"] if path.stem in LEFT_OPEN else [])


def test_cases_are_kept() -> None:
    assert FOUND
