"""The document of moves (schema ``numaplan/moves/1``): written by us, read by others; its form makes its schema."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.model.moves import MoveKind, MovesStatus
from numaplan.records.document import Form
from numaplan.records.fields import Address, CpuList, Id, Text
from numaplan.records.plan_form import ConflictForm, PlanForm


class CellSpotForm(Form):
    """An entry of ``moves[].from.cells``."""

    id: Id
    numa_nodes: list[Id]
    cpus: CpuList
    memory_node: Id | None


class SpotForm(Form):
    """``moves[].from`` and ``moves[].to``."""

    cells: list[CellSpotForm]
    devices: list[Address]


class MoveForm(Form):
    """An entry of ``moves``."""

    step: Annotated[int, Field(ge=1)]
    vm: Text
    kind: Annotated[MoveKind, Field(strict=False)]
    cost: Annotated[int, Field(ge=0)]
    before: Annotated[SpotForm | None, Field(alias="from")]
    after: Annotated[SpotForm | None, Field(alias="to")]
    sentence: Text


class UnmovableForm(Form):
    """An entry of ``unmovable``."""

    vm: Text
    reason: Text


class MovesForm(Form):
    """The whole document."""

    schema_id: Annotated[Literal["numaplan/moves/1"], Field(alias="schema")]
    status: Annotated[MovesStatus, Field(strict=False)]
    cost: Annotated[int, Field(ge=0)]
    bound: Annotated[int, Field(ge=0)]
    moves: list[MoveForm]
    unmovable: list[UnmovableForm]
    plan: PlanForm
    conflict: ConflictForm | None
