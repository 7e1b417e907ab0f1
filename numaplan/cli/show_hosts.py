"""Several hosts as text, best first; the room that writes a form is imported for that form alone."""

from numaplan.api.hosts import Comparison
from numaplan.cli.forms import PlanFormat, line
from numaplan.cli.show_plan import plan_text, summary, why_lines


def comparison_text(comparison: Comparison, form: PlanFormat) -> str:
    """All hosts as a table or JSON; every other form is that of the best host."""
    match form:
        case PlanFormat.TABLE:
            from numaplan.report.tables import hosts_table

            reasons = why_lines(comparison.answers[0].plan)
            return hosts_table(comparison.ranking) + (f"\n{reasons}" if reasons else "")
        case PlanFormat.JSON:
            from numaplan.records.hosts import hosts_json

            return hosts_json(comparison.ranking)
        case _:
            return plan_text(comparison.answers[0], form)


def comparison_summary(comparison: Comparison) -> str:
    """Which host is the best and how good its plan is; then the other hosts, each in one line."""
    ranking = comparison.ranking
    lines = []
    for host in ranking.hosts:
        verdict = "takes all required guests" if host.takes_it else f"no: {host.plan.status.value}"
        lines.append(line(f"{host.rank}. {host.snapshot}: {verdict}"))
    lines += [line(f"not read: {problem}") for host in ranking.unread for problem in host.problems]
    return "".join(lines) + summary(comparison.answers[0].plan)
