"""Moves as a table: a row a step with what it costs, what to do at each, and the totals last."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, assert_never

from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind, Moves, MovesStatus, Spot
from numaplan.report.plan import conflict_text
from numaplan.report.text import NONE, UNKNOWN, clean, count, grid, known, page, wrap_list

_LIST_WIDTH: Final = 28


def moves_table(moves: Moves) -> str:
    """The moves for an engineer's eyes."""
    return page(
        [
            f"moves for host {known(moves.plan.hostname)}: {_status(moves)}",
            _steps(moves),
            "\n".join(f"step {move.step}, {clean(move.vm)}: {clean(move.sentence)}" for move in moves.moves),
            "" if moves.plan.conflict is None else conflict_text(moves.plan.conflict),
            "\n".join(f"stays in any case: {clean(each.vm)}: {clean(each.reason)}" for each in moves.unmovable),
            "\n".join(f"note: {clean(note)}" for note in moves.plan.notes),
            _totals(moves),
        ]
    )


def _status(moves: Moves) -> str:
    match moves.status:
        case MovesStatus.OPTIMAL:
            return "optimal (proven: no cheaper moves exist)"
        case MovesStatus.FEASIBLE:
            return f"feasible (cheaper moves may exist, but none that cost less than {moves.bound})"
        case MovesStatus.INFEASIBLE:
            return "infeasible (proven: no moves help)"
        case MovesStatus.UNKNOWN:
            return "unknown, neither moves nor a proof that there are none (the search ended at its limit of work)"
        case MovesStatus.NOTHING_TO_DO:
            return "nothing to do"
        case other:
            assert_never(other)


def _steps(moves: Moves) -> str:
    if not moves.moves:
        return ""
    rows = [
        [str(move.step), clean(move.vm), move.kind.value, _spot(move.before), _spot(move.after), str(move.cost)]
        for move in moves.moves
    ]
    return grid(["step", "guest", "move", "from", "to", "cost"], rows, right=["step", "cost"])


def _spot(spot: Spot | None) -> str:
    """The nodes and CPUs of each cell, the node of its memory, and the devices."""
    if spot is None:
        return NONE
    lines = []
    for cell in spot.cells:
        where = f"{_nodes(cell.numa_nodes)}, memory on {_nodes(cell.memory_nodes)}"
        lines.append(f"{where}: CPUs " + wrap_list(str(cell.cpus) or NONE, _LIST_WIDTH))
    return "\n".join([*lines, *(str(address) for address in spot.devices)])


def _nodes(nodes: Sequence[NodeId]) -> str:
    return f"node{'s' if len(nodes) > 1 else ''} {','.join(map(str, nodes)) or UNKNOWN}"


def _totals(moves: Moves) -> str:
    if not moves.moves:
        return ""
    kinds = Counter(move.kind for move in moves.moves)
    said = ", ".join(_kind(number, kind) for kind, number in sorted(kinds.items()))
    return f"{count(len(moves.moves), 'step')} ({said}); cost {moves.cost}, at least {moves.bound}"


def _kind(number: int, kind: MoveKind) -> str:
    """``1 repin``, ``2 repins``; "move-pages" is of many already."""
    return f"{number} {kind}" if kind is MoveKind.MOVE_PAGES else count(number, kind)
