"""A plan is looked for near another that is known, by one way to make room and then by another."""

from unittest.mock import patch

from numaplan.placement.facts import host_facts
from numaplan.placement.joined import joined
from numaplan.placement.levels import Budget
from numaplan.placement.nearby import BRISK, STEADY, Emptying, Nearby, Neighbour
from numaplan.placement.options import build_problem
from tests.hosts import host
from tests.requests import ask, guest

LOOKS = 3


def test_what_one_way_to_make_room_leaves_behind_is_nothing_to_the_next() -> None:
    # A node of five CPUs takes one guest of three: the last of five has no place, however room is made.
    request = ask(*(guest(f"g{i}", 3) for i in range(5)))
    joint = joined(build_problem(request, host_facts(request, host("4n:5c:1t"))))
    known = Neighbour(Budget())
    begun: list[tuple[Emptying, tuple[int, ...], object]] = []

    def looked(nearby: Nearby, _budget: Budget, emptying: Emptying, rounds: int) -> dict[int, int]:
        assert rounds == LOOKS
        begun.append((emptying, nearby.solution, nearby))
        # As if it had moved everybody about, in vain.
        nearby.solution = tuple(0 for _ in nearby.solution)
        return {}

    with patch.object(Nearby, "make_room", autospec=True, side_effect=looked):
        for emptying in (BRISK, BRISK, STEADY):
            assert not known.has_all(joint, emptying, LOOKS)
    first, again, other = begun
    assert again[2] is first[2]
    assert not any(again[1])
    assert other[1] == first[1] != again[1]
