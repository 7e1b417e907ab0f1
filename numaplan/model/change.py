"""Changes that would make a request possible, before they are written as patches of the documents that say it."""

from dataclasses import dataclass

from numaplan.model.plan import Document
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot

Step = str | int


@dataclass(frozen=True, slots=True)
class Edit:
    """A value of vnf.yaml to be set: of the merged vm that is called `vm`, or of ``host`` where `vm` is None.

    `path` leads there from the vm or from ``host``, as in ("interfaces", 0, "affinity"); `value` as JSON has it.
    """

    vm: str | None
    path: tuple[Step, ...]
    value: object


@dataclass(frozen=True, slots=True)
class Drop:
    """These names (a vm's and its copies') are to be taken out of a vm's ``affinity`` or ``anti_affinity``: `key`."""

    vm: str
    key: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change for which a plan exists: `request` and `snapshot` are the question as it stands after the change.

    `edits` say it in the words of vnf.yaml; a change of the host has none: `snapshot` says it.
    """

    sentence: str
    cost: int
    document: Document
    request: Request
    snapshot: Snapshot
    edits: tuple[Edit | Drop, ...] = ()
