"""The apply document (schema ``numaplan/apply/1``): written by us, read by others; its form makes its schema."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.records.document import Form
from numaplan.records.fields import Text


class GuestChangeForm(Form):
    """An entry of ``guests``."""

    vm: Text
    effect: Text
    diff: str
    pins: list[Text]


class CheckForm(Form):
    """An entry of ``checks``."""

    vm: Text
    what: Text
    planned: Text
    found: Text
    source: Text
    holds: bool


class ApplicationForm(Form):
    """The whole document; ``transaction`` is null where nothing was done."""

    schema_id: Annotated[Literal["numaplan/apply/1"], Field(alias="schema")]
    transaction: Text | None
    guests: list[GuestChangeForm]
    checks: list[CheckForm]
    notes: list[Text]
