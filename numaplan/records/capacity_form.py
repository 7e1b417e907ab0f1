"""The capacity document (schema ``numaplan/capacity/1``): written by us, read by others; its form makes its schema."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.records.document import Form
from numaplan.records.fields import Id, Text


class ShortageForm(Form):
    """An entry of ``next.short``."""

    resource: Text
    numa_node: Id | None
    have: Annotated[int, Field(ge=0)]
    need: Annotated[int, Field(ge=1)]


class NextForm(Form):
    """``next``."""

    sentence: Text
    short: list[ShortageForm]


class CapacityForm(Form):
    """The whole document."""

    schema_id: Annotated[Literal["numaplan/capacity/1"], Field(alias="schema")]
    vm: Text
    fit: Annotated[int, Field(ge=0)]
    proven: bool
    next: NextForm
    notes: list[Text]
