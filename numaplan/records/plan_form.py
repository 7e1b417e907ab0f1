"""The plan document (schema ``numaplan/plan/1``) as it is read: what it must hold and what it may."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.model.plan import Document, Limit, Status
from numaplan.records.document import Form
from numaplan.records.fields import Address, CpuList, Id, Integer, NumberKey, Size, Text
from numaplan.records.guest_form import TopologyForm
from numaplan.records.request_form import RequestForm

PLAN_SCHEMA: Literal["numaplan/plan/1"] = "numaplan/plan/1"


class PlanHostForm(Form):
    """``host``: which host the plan is for, and the state that it was in."""

    hostname: Text | None = None
    fingerprint: Text


class LevelForm(Form):
    """An entry of ``levels``."""

    name: Text
    value: Integer
    bound: Integer
    proven: bool


class CellPlacementForm(Form):
    """An entry of ``placements[].cells``."""

    id: Id
    numa_node: Id
    vcpus: dict[NumberKey, CpuList]
    memory_node: Id
    memory_kib: Size
    page_size_kib: Annotated[Size, Field(ge=1)]


class InterfacePlacementForm(Form):
    """An entry of ``placements[].interfaces``."""

    name: Text
    vfs: list[Address]


class DevicePlacementForm(Form):
    """An entry of ``placements[].devices``."""

    name: Text
    address: Address


class RunnerUpForm(Form):
    """``placements[].why.runner_up``."""

    numa_nodes: list[Id]
    extra_cost: Integer
    sentence: Text


class WhyForm(Form):
    """``placements[].why``."""

    reasons: list[Text]
    runner_up: RunnerUpForm | None = None


class PlacementForm(Form):
    """An entry of ``placements``."""

    vm: Text
    cells: list[CellPlacementForm]
    emulator: CpuList
    iothreads: dict[NumberKey, CpuList] = Field(default_factory=dict)
    interfaces: list[InterfacePlacementForm] = Field(default_factory=list)
    devices: list[DevicePlacementForm] = Field(default_factory=list)
    topology: TopologyForm | None = None
    why: WhyForm | None = None


class UnplacedForm(Form):
    """An entry of ``unplaced``."""

    vm: Text
    reason: Text


class ConflictMemberForm(Form):
    """An entry of ``conflict.constraints``."""

    vm: Text | None = None
    constraint: Text
    sentence: Text
    proven: bool = True


class OperationForm(Form):
    """An operation of a JSON patch (RFC 6902)."""

    op: Literal["add", "remove", "replace"]
    path: Text
    value: object = None


class ChangeForm(Form):
    """``conflict.fixes[].change``."""

    document: Annotated[Document, Field(strict=False)]
    patch: list[OperationForm]


class FixForm(Form):
    """An entry of ``conflict.fixes``."""

    sentence: Text
    cost: Integer
    change: ChangeForm


class ConflictForm(Form):
    """``conflict``."""

    constraints: list[ConflictMemberForm]
    fixes: list[FixForm] = Field(default_factory=list)


class GuestFactsForm(Form):
    """An entry of ``basis.guests``: what was so of a guest, and a digest of each part of its XML."""

    name: Text
    facts: dict[Text, Text]
    xml: dict[Text, Text] = Field(default_factory=dict)


class BasisForm(Form):
    """``basis``: what the plan takes for granted."""

    host: dict[Text, Text]
    guests: list[GuestFactsForm] = Field(default_factory=list)


class PlanForm(Form):
    """The whole document."""

    schema_id: Annotated[Literal["numaplan/plan/1"], Field(alias="schema")]
    status: Annotated[Status, Field(strict=False)]
    limit: Annotated[Limit, Field(strict=False)]
    host: PlanHostForm
    levels: list[LevelForm]
    placements: list[PlacementForm]
    unplaced: list[UnplacedForm] = Field(default_factory=list)
    notes: list[Text] = Field(default_factory=list)
    conflict: ConflictForm | None = None
    request: RequestForm | None = None
    basis: BasisForm | None = None
    change_guest_topology: bool = False
    checksum: Text | None = None
