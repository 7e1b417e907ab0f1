"""Why each guest lies where it does, in lines."""

from numaplan.model.plan import Plan, Why
from numaplan.report.text import clean


def why_text(plan: Plan) -> str:
    """The reasons of a plan guest by guest, and where each would go next; "" where none were asked for."""
    nodes = {placement.vm: placement.nodes for placement in plan.placements}
    return "\n".join(_guest(why, nodes.get(why.vm, ())) for why in plan.whys)


def _guest(why: Why, nodes: tuple[int, ...]) -> str:
    where = f"node {nodes[0]}" if len(nodes) == 1 else f"nodes {', '.join(map(str, nodes))}"
    lines = [f"why {clean(why.vm)} is on {where}:", *(f"  - {clean(reason)}" for reason in why.reasons)]
    other = why.runner_up
    lines.append("  next best: none found" if other is None else f"  next best: {clean(other.sentence)}")
    return "\n".join(lines)
