"""What a running guest does, as the inventory document has it, and the noun that it makes."""

from typing import Annotated

from pydantic import Field

from numaplan.model.guest import GuestThread, ResidentMemory, RunningGuest, ThreadKind
from numaplan.model.host import NodeId
from numaplan.records.document import Form
from numaplan.records.fields import Count, CpuList, Id, Size, Text


class ThreadForm(Form):
    """An entry of ``guests[].live.threads``."""

    kind: Annotated[ThreadKind, Field(strict=False)]
    affinity: CpuList
    index: Count | None = None
    tid: Id | None = None
    name: Text | None = None


class ResidentForm(Form):
    """An entry of ``guests[].live.memory``."""

    node: Id
    page_size_kib: Annotated[Size, Field(ge=1)]
    size_kib: Size


class LiveForm(Form):
    """``guests[].live``."""

    pid: Id | None = None
    threads: list[ThreadForm] = Field(default_factory=list)
    memory: list[ResidentForm] = Field(default_factory=list)
    allowed_nodes: list[Id] | None = None


def to_live(form: LiveForm) -> RunningGuest:
    """The noun of ``guests[].live``; threads and memory keep the order of the document."""
    return RunningGuest(
        pid=form.pid,
        threads=tuple(
            GuestThread(thread.kind, thread.affinity, thread.index, thread.tid, thread.name) for thread in form.threads
        ),
        memory=tuple(ResidentMemory(NodeId(part.node), part.page_size_kib, part.size_kib) for part in form.memory),
        allowed_nodes=None
        if form.allowed_nodes is None
        else tuple(NodeId(node) for node in sorted(form.allowed_nodes)),
    )
