"""A plan as text; the room that writes a form is imported for that form alone."""

from typing import Final, assert_never

from numaplan.api.place import Answer
from numaplan.cli.forms import PlanFormat, line
from numaplan.model.plan import Plan, Status
from numaplan.units import format_count

# A terminal holds about so many.
_MOST_REASONS: Final = 40


def plan_text(answer: Answer, form: PlanFormat) -> str:
    """A plan; a diff and XML are empty where there is no plan."""
    match form:
        case PlanFormat.DIFF:
            return "".join(guest.diff for guest in answer.guests)
        case PlanFormat.XML:
            return "".join(guest.new.decode() for guest in answer.guests)
        case PlanFormat.TABLE:
            from numaplan.report.tables import plan_table

            return plan_table(answer.plan, answer.snapshot)
        case PlanFormat.JSON:
            return plan_document(answer.plan)
        case PlanFormat.VIRSH | PlanFormat.VIRT_INSTALL | PlanFormat.QEMU | PlanFormat.NOVA | PlanFormat.VMX:
            from numaplan.api.targets import render_plan

            return render_plan(answer, form.value).text
    assert_never(form)


def target_notes(answer: Answer, form: PlanFormat) -> str:
    """What another tool has no words for, guest by guest; "" with the forms that say it all."""
    if form in {PlanFormat.DIFF, PlanFormat.XML, PlanFormat.TABLE, PlanFormat.JSON}:
        return ""
    from numaplan.api.targets import render_plan

    return "".join(line(f"  not in {form.value}: {sentence}") for sentence in render_plan(answer, form.value).cannot)


def plan_document(plan: Plan) -> str:
    """Plan JSON."""
    from numaplan.records.plan import plan_json

    return plan_json(plan)


def summary(plan: Plan) -> str:
    """What a user should know beside the data: how good the plan is, who has no place and why, and the notes."""
    lines = []
    match plan.status:
        case Status.OPTIMAL | Status.FEASIBLE:
            levels = ", ".join(
                f"{level.name} {level.value}" + ("" if level.proven else " (not proven)") for level in plan.levels
            )
            placed = format_count(len(plan.placements), "guest")
            lines.append(f"{plan.status.value}: {placed} placed; {levels}")
        case Status.INFEASIBLE:
            lines.append("infeasible (proven): not all required guests fit on this host")
        case Status.UNKNOWN:
            lines.append(f"unknown: the {plan.limit.value} limit came before a plan or a proof that there is none")
    if plan.conflict is not None:
        from numaplan.report.plan import conflict_text

        lines += [f"  {said}" for said in conflict_text(plan.conflict).splitlines()]
    if plan.unplaced:
        from numaplan.report.unplaced import unplaced_lines

        reasons = unplaced_lines(plan.unplaced)
        lines += [f"  {reason}" for reason in reasons[:_MOST_REASONS]]
        if len(reasons) > _MOST_REASONS:
            lines.append(f"  and {len(reasons) - _MOST_REASONS} more reasons (-o json has them all)")
    lines += [f"  note: {note}" for note in plan.notes]
    return "".join(map(line, lines))


def why_lines(plan: Plan) -> str:
    """Why each guest lies where it does; "" where that was not asked for."""
    if not plan.whys:
        return ""
    from numaplan.report.why import why_text

    return why_text(plan) + "\n"
