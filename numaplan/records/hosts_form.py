"""The document of several hosts (schema ``numaplan/hosts/1``): the form makes its JSON Schema."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.records.document import Form
from numaplan.records.fields import Text
from numaplan.records.plan_form import PlanForm


class RankedHostForm(Form):
    """An entry of ``hosts``: the best host has rank 1."""

    rank: Annotated[int, Field(ge=1)]
    snapshot: Text
    hostname: Text | None
    plan: PlanForm


class UnreadHostForm(Form):
    """An entry of ``unread``."""

    snapshot: Text
    problems: list[Text]


class HostsForm(Form):
    """The whole document."""

    schema_id: Annotated[Literal["numaplan/hosts/1"], Field(alias="schema")]
    hosts: list[RankedHostForm]
    unread: list[UnreadHostForm]
