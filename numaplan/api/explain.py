"""Explains an audit rule."""

from numaplan.audit.audit import explanation


def explain_rule(rule: str) -> str:
    """What the rule finds, why, and how to fix it; raises InputError for an id that is not known."""
    return explanation(rule)
