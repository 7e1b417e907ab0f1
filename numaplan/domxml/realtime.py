"""``<vcpusched>``: vCPUs that the kernel runs first in, first out."""

from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.domxml.element import New
from numaplan.domxml.numbers import id_set
from numaplan.domxml.task import Task
from numaplan.domxml.tree import Element

_FIFO: Final = "fifo"
_REALTIME: Final = frozenset({_FIFO, "rr"})


@dataclass(slots=True)
class _Sched:
    """An element that is there, the vCPUs that it names, and those that it is to name."""

    element: Element
    named: frozenset[int]
    kept: frozenset[int]

    def says(self, priority: int) -> bool:
        text = (self.element.get("priority") or "").strip()
        return self.element.get("scheduler") == _FIFO and text.isdecimal() and int(text) == priority


def patch_schedulers(task: Task) -> New | None:
    """The ``<vcpusched>`` that is to be added, if any; those that are there are changed here.

    What they say of vCPUs that the guest has no longer goes. Where vnf.yaml names realtime vCPUs, no others stay so.
    """
    there = _elements(task)
    wanted = task.request.realtime
    missing: frozenset[int] = frozenset()
    taker = None
    if wanted is not None:
        covered = frozenset(v for sched in there if sched.says(wanted.priority) for v in sched.kept)
        missing = frozenset(int(vcpu) for vcpu in wanted.vcpus) - covered
        taker = _taker(there, wanted.priority) if missing else None
        if taker is not None:
            taker.kept |= missing
    for sched in there:
        if not sched.kept:
            task.edits.remove(sched.element)
            continue
        if sched.kept != sched.named:
            task.edits.set_attribute(sched.element, "vcpus", format_id_list(sched.kept))
        if sched is taker and wanted is not None and not sched.says(wanted.priority):
            task.edits.set_attribute(sched.element, "scheduler", _FIFO)
            task.edits.set_attribute(sched.element, "priority", str(wanted.priority))
    if wanted is None or taker is not None or not missing:
        return None
    vcpus = ("vcpus", format_id_list(missing))
    return New("vcpusched", (vcpus, ("scheduler", _FIFO), ("priority", str(wanted.priority))))


def _elements(task: Task) -> list[_Sched]:
    cputune = task.root.child("cputune")
    wanted = task.request.realtime
    found = []
    for element in () if cputune is None else cputune.all("vcpusched"):
        named = id_set(task.document, element, "vcpus")
        if named is None:
            continue
        sched = _Sched(element, named, frozenset(vcpu for vcpu in named if vcpu < task.request.vcpus))
        if wanted is not None and sched.says(wanted.priority):
            sched.kept &= {int(vcpu) for vcpu in wanted.vcpus}
        elif wanted is not None and element.get("scheduler") in _REALTIME:
            sched.kept = frozenset()
        elif wanted is not None:
            sched.kept -= {int(vcpu) for vcpu in wanted.vcpus}
        found.append(sched)
    return found


def _taker(there: list[_Sched], priority: int) -> _Sched | None:
    """Which element takes vCPUs that none has: one that says the same, else one that would go."""
    same = [sched for sched in there if sched.says(priority)]
    return next(iter((*same, *(sched for sched in there if not sched.kept))), None)
