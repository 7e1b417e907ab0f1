"""Thread policies: how the cell sets of a guest use SMT siblings."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import assert_never

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, ThreadPolicy
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import Grant, cell_grants, cpus_of
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count


def thread_violations(
    facts: Facts, guest: GuestRequest, placement: Placement, *, own: Sequence[Grant], held: CpuSet
) -> Iterator[Violation]:
    """`own` are the guest's grants, `held` all CPUs that anybody in the plan or on the host has for good."""
    for cell in placement.cells:
        cell_set = cell_grants(own, cell)
        if not cell_set:
            continue
        match guest.thread_policy:
            case ThreadPolicy.PREFER:
                problem = None
            case ThreadPolicy.REQUIRE:
                problem = _require(facts, cell_set)
            case ThreadPolicy.ISOLATE:
                problem = _isolate(facts, cell_set, held)
            case _:
                assert_never(guest.thread_policy)
        if problem is not None:
            yield Violation(guest.name, "thread_policy", f'guest "{guest.name}" cell {cell.id} {problem}')


def _require(facts: Facts, cell_set: Sequence[Grant]) -> str | None:
    if facts.threads == 1:
        return "requires siblings; the host has 1 thread per core, it needs 2"
    cpus = cpus_of(cell_set)
    by_core = _by_core(facts, cpus)
    whole, rest = divmod(len(cpus), facts.threads)
    full = [core for core, used in by_core.items() if len(used) == facts.threads]
    if len(full) != whole or len(by_core) != whole + bool(rest):
        return (
            f'has CPUs "{cpus}" on {format_count(len(by_core), "core")}, {len(full)} of them whole; '
            f"its {format_count(len(cpus), 'CPU')} need {format_count(whole, 'whole core')}"
            + (f" and {format_count(rest, 'thread')} of one other" if rest else "")
        )
    on_whole = CpuSet(cpu for core in full for cpu in core)
    outside = sum(grant.is_vcpu and grant.cpu not in on_whole for grant in cell_set)
    unavoidable = max(0, sum(grant.is_vcpu for grant in cell_set) - whole * facts.threads)
    if outside != unavoidable:
        said = f"has {format_count(outside, 'vCPU')} outside its {format_count(whole, 'whole core')}"
        return f"{said}; vCPUs come first, it needs {unavoidable}"
    return None


def _isolate(facts: Facts, cell_set: Sequence[Grant], held: CpuSet) -> str | None:
    for core in _by_core(facts, cpus_of(cell_set)):
        busy = core & held
        if len(busy) > 1:
            return f'isolates core "{core}", of which {len(busy)} threads are held ("{busy}"); it needs 1'
    return None


def _by_core(facts: Facts, cpus: CpuSet) -> dict[CpuSet, list[CpuId]]:
    cores: defaultdict[CpuSet, list[CpuId]] = defaultdict(list)
    for cpu in cpus:
        cores[facts.core(cpu)].append(cpu)
    return cores
