"""Each check of the verifier is needed: a plan that is near the one of a kept case would be right without it.

The cases were kept by ``python -m tests.placement.exhaustive without checks --keep FOLDER``.
"""

from pathlib import Path
from typing import Final

from tests.placement.exhaustive.found import read_case
from tests.placement.exhaustive.sensitivity import unnoticed_checks

CASES: Final = tuple(read_case(path)[0] for path in sorted((Path(__file__).parent / "noticed").glob("*.json")))


def test_that_a_check_is_gone_is_noticed() -> None:
    assert [name for name, first in unnoticed_checks(CASES).items() if first is None] == []
