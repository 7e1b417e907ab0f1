"""Why each guest lies where it does, in lines."""

from collections.abc import Sequence

from numaplan.model.plan import Plan, Why
from numaplan.report.text import clean


def why_text(plan: Plan) -> str:
    """The reasons of a plan guest by guest, and where each would go next; "" where none were asked for."""
    cells = {placement.vm: [cell.numa_node for cell in placement.cells] for placement in plan.placements}
    return "\n".join(_guest(why, cells.get(why.vm, [])) for why in plan.whys)


def _guest(why: Why, cells: Sequence[int]) -> str:
    nodes = sorted(set(cells))
    where = f"is on node{'s' * (len(nodes) != 1)} {', '.join(map(str, nodes))}"
    if len(nodes) > 1 and nodes != list(cells):
        # Another order of the same nodes is another place.
        where = f"has its cells on nodes ({', '.join(map(str, cells))})"
    lines = [f"why {clean(why.vm)} {where}:", *(f"  - {clean(reason)}" for reason in why.reasons)]
    other = why.runner_up
    lines.append("  next best: none found" if other is None else f"  next best: {clean(other.sentence)}")
    return "\n".join(lines)
