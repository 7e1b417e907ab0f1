"""The search and the verifier against trying every CPU, VF, memory node and page size, read from the contract alone.

Deeper runs: ``python -m tests.placement.exhaustive deep optimum --cases 20000 --seed 1 --keep FOLDER``.
"""

from typing import Final

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tests.depth import draws
from tests.placement.exhaustive.cases import Case, cases
from tests.placement.exhaustive.compare import UNDECIDED
from tests.placement.exhaustive.found import PROPERTIES
from tests.placement.exhaustive.limits import Limits
from tests.placement.exhaustive.resources import TooLargeError

# Hundreds a property in a minute; the deeper runs have their own command.
EXAMPLES: Final = draws(50)
# Beyond what trying everything could do.
MID_SIZE: Final = Limits(nodes=4, cpus=40, guests=4, vcpus=24)

_PROFILE: Final = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def _right(name: str, case: Case, seed: int = 0) -> bool:
    """Whether a property holds; a case that is too large for it is none."""
    try:
        found = PROPERTIES[name](case, seed)
    except TooLargeError:
        reject()
    assert [line for line in found if not line.startswith(UNDECIDED)] == []
    return True


@settings(_PROFILE, max_examples=EXAMPLES)
@given(cases())
def test_the_answer_is_that_of_trying_everything_at_every_level(case: Case) -> None:
    assert _right("optimum", case)


@settings(_PROFILE, max_examples=EXAMPLES // 4)
@given(cases(existing=False), st.integers(0, 1000))
def test_so_it_is_where_guests_are_there_already_as_some_plan_has_them(case: Case, seed: int) -> None:
    assert _right("replans", case, seed)


@settings(_PROFILE, max_examples=EXAMPLES // 4)
@given(cases(), st.integers(0, 1000))
def test_the_verifier_says_of_any_plan_what_the_contract_says(case: Case, seed: int) -> None:
    assert _right("verdicts", case, seed)


@settings(_PROFILE, max_examples=EXAMPLES // 10)
@given(cases(MID_SIZE), st.integers(0, 1000))
def test_no_other_name_or_number_or_more_of_anything_makes_a_plan_worse_and_one_carried_out_moves_nobody(
    case: Case, seed: int
) -> None:
    assert _right("variants", case, seed)
