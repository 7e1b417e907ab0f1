"""Moves that the verifier accepts and whose steps can be taken, and guests to ask them of."""

from numaplan.model.guest import Guest
from numaplan.model.moves import MoveKind, Moves
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.rebalance.moves import rebalance
from numaplan.placement.verify import verify
from tests.audit.audited import guest as there
from tests.placement.replay import Replay

# "2n:4c:2t" has CPUs 0-3 and 8-11 on node 0, 4-7 and 12-15 on node 1; siblings are 8 apart.
SHAPE = "2n:4c:2t"
NODE0, NODE1 = ("strict", [0]), ("strict", [1])
POOLS = "3,7,11,15"


def moves_of(request: Request, snapshot: Snapshot, *keep: str) -> Moves:
    """Moves whose outcome the verifier accepts and whose steps can be taken."""
    moves = rebalance(request, snapshot, keep=keep)
    assert verify(moves.request, snapshot, moves.plan) == ()
    assert Replay(snapshot, moves).wrong == []
    assert moves == rebalance(request, snapshot, keep=keep)
    return moves


def steps(moves: Moves) -> list[tuple[str, MoveKind]]:
    return [(move.vm, move.kind) for move in moves.moves]


def runs(name: str, pins: list[str], memory: tuple[str, list[int]] = NODE0, **more: object) -> Guest:
    return there(name, pins, memory=memory, running=True, emulator="3", **more)  # type: ignore[arg-type]  # passed on


def sentences(moves: Moves) -> list[str]:
    return [move.sentence for move in moves.moves]
