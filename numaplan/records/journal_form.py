"""The journal of a transaction (schema ``numaplan/journal/1``) as it is read: all of it, or it is damaged."""

from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from numaplan.model.journal import StepState
from numaplan.records.document import Form
from numaplan.records.fields import Text

JOURNAL_SCHEMA: Literal["numaplan/journal/1"] = "numaplan/journal/1"
ID_PATTERN: Final = r"^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}$"
_NAME_LIMIT: Final = 255


def is_plain_name(name: str) -> bool:
    """Whether it names a file in a directory and nothing outside of it."""
    return 0 < len(name) <= _NAME_LIMIT and name not in {".", ".."} and "/" not in name and "\0" not in name


def _plain_name(value: object) -> str:
    if not isinstance(value, str) or not is_plain_name(value):
        raise PydanticCustomError("plain_name", "expected a plain file name")
    return value


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
PlainName = Annotated[str, PlainValidator(_plain_name), WithJsonSchema({"type": "string", "pattern": "^[^/]+$"})]


class JournalStepForm(Form):
    """An entry of ``steps``."""

    guest: Text
    kind: Literal["definition", "pins"]
    file: PlainName | None
    state: Annotated[StepState, Field(strict=False)]
    old: Digest
    new: Digest
    written: Digest | None


class JournalForm(Form):
    """The whole document; ``checksum`` is the SHA-256 of the document without it."""

    schema_id: Annotated[Literal["numaplan/journal/1"], Field(alias="schema")]
    id: Id
    target: Text
    undoes: Id | None
    steps: Annotated[list[JournalStepForm], Field(min_length=1)]
    checksum: Digest
