"""NP102: the memory of a guest cell is bound to other host nodes than those of its vCPUs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import CellView, GuestView, Thread
from numaplan.audit.wording import at, first, node_cpus, numbered, pin, quoted, threads
from numaplan.model.finding import Evidence, Finding, NotChecked, Severity
from numaplan.model.guest import MemoryBinding
from numaplan.model.host import NodeId


@dataclass(frozen=True, slots=True)
class _Case:
    """A cell whose vCPUs run on `nodes` and whose memory lies on `bound`; `remote` vCPUs run on none of these."""

    view: GuestView
    cell: CellView
    memory: MemoryBinding
    bound: frozenset[NodeId]
    nodes: frozenset[NodeId]
    remote: Sequence[Thread]


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each cell with memory that is not local to its vCPUs."""
    if facts.hides_nodes and facts.guests:
        yield NotChecked("NP102", "the host may have NUMA nodes that it does not show")
    if not facts.several_nodes:
        return
    automatic = [
        index
        for index, view in enumerate(facts.guests)
        if any(cell.bound and cell.memory is not None and cell.memory.nodes is None for cell in view.cells)
    ]
    if automatic:
        yield NotChecked(
            "NP102", f'placement "auto": numad chooses the memory at the start of {quoted(facts.name, automatic)}'
        )
    for view in facts.guests:
        for cell in view.cells:
            case = _case(facts, view, cell)
            if case is not None and (severity := _severity(facts, case)) is not None:
                yield _finding(facts, case, severity)


def _case(facts: Facts, view: GuestView, cell: CellView) -> _Case | None:
    """None where either side is open, or names nothing that this host has (which NP104 reports)."""
    if cell.memory is None or cell.memory.nodes is None:
        return None
    bound = frozenset(node for node in cell.memory.nodes if facts.node(node) is not None)
    placed = [vcpu for vcpu in cell.bound if facts.nodes_of([vcpu])]
    if not bound or not placed:
        return None
    remote = [vcpu for vcpu in placed if not facts.nodes_of([vcpu]) & bound]
    return _Case(view, cell, cell.memory, bound=bound, nodes=facts.nodes_of(placed), remote=remote)


def _severity(facts: Facts, case: _Case) -> Severity | None:
    """How far the memory is from the vCPUs, and how firmly: None where it is local."""
    spread = bool(case.bound - case.nodes)
    match case.memory.mode:
        case "preferred":
            return Severity.INFO if case.remote else None
        case "interleave":
            if not case.remote and not spread:
                return None
            firm = Severity.WARNING
        case _:
            if not case.remote:
                return Severity.INFO if spread else None
            firm = Severity.WARNING if case.bound & case.nodes else Severity.ERROR
    if _all_without_memory(facts, case.nodes):
        return Severity.INFO
    return Severity.WARNING if not facts.node_cpus(case.bound) else firm


def _all_without_memory(facts: Facts, nodes: frozenset[NodeId]) -> bool:
    found = [node for node_id in nodes if (node := facts.node(node_id)) is not None]
    return all(node.memory_kib == 0 for node in found)


def _finding(facts: Facts, case: _Case, severity: Severity) -> Finding:
    cell, nodes = case.cell, case.nodes
    home = min(nodes, key=lambda node: (-sum(facts.nodes_of([vcpu]) == {node} for vcpu in cell.bound), node))
    return Finding(
        rule="NP102",
        severity=severity,
        guest=case.view.guest.name,
        subject=cell.subject,
        message=_message(facts, case),
        evidence=first(_evidence(facts, case)),
        wanted=f"the memory of {cell.subject} on {numbered('node', nodes)}",
        fix=f"bind it with {_element(case, home)}, or run `numaplan place`"
        if len(nodes) == 1
        else "bring the vCPUs of the cell to one node (NP101) and bind its memory there, or run `numaplan place`",
    )


def _message(facts: Facts, case: _Case) -> str:
    cell, mode, bound = case.cell, case.memory.mode, numbered("node", case.bound)
    if not case.remote:
        return (
            f"{cell.subject} has vCPUs on {numbered('node', case.nodes)}, but its memory may come from {bound} ({mode})"
        )
    away = numbered("node", facts.nodes_of(case.remote))
    who = "vCPUs" if not case.bound & case.nodes else threads(case.remote)
    return f"{cell.subject} has {who} on {away}, but its memory is bound to {bound} ({mode}){_far(facts, case)}"


def _far(facts: Facts, case: _Case) -> str:
    """The distance between the two, where there is one."""
    away = facts.nodes_of(case.remote)
    distances = {facts.distance(a, b) for a in away for b in case.bound}
    return f", distance {distances.pop()}" if len(distances) == 1 and None not in distances else ""


def _element(case: _Case, home: NodeId) -> str:
    name = "memory" if case.memory.cell is None else f"memnode cellid='{case.cell.id}'"
    return f"<{name} mode='strict' nodeset='{home}'/>"


def _evidence(facts: Facts, case: _Case) -> Iterator[Evidence]:
    guest, memory = case.view.guest, case.memory
    name = "memory" if memory.cell is None else f"memnode of cell {memory.cell}"
    yield Evidence(name, f"{memory.mode} on {numbered('node', memory.nodes or ())}", at(guest, memory.line))
    yield pin(guest, case.remote or case.cell.bound)
    for node in sorted(case.nodes | case.bound):
        yield node_cpus(node, facts.node_cpus([node]))


RULE = Rule(
    id="NP102",
    name="memory-elsewhere",
    severity=Severity.ERROR,
    title="the memory of a guest cell is bound to other host nodes than those of its vCPUs",
    what="""<memnode> of each guest cell, else <numatune><memory>, against the nodes of the vCPUs of that cell.
strict and restrictive: an error where no vCPU is on a bound node, a warning where some are not, info where all are
but further nodes may give memory too (the kernel takes local memory first, and silently remote memory when that is
used up). interleave: a warning where part of the memory is remote to the vCPUs. preferred: info, it was said to be
a wish. A node without CPUs makes it a warning (a choice of slower or faster memory), vCPUs on nodes without memory
make it info. Cells without pins or without a binding are no finding.""",
    why="""Every access that misses the caches crosses the link between the sockets: 2.1 times as long as a local
one where the SLIT says 21 (ACPI: 10 is local). A strict binding makes sure that it never gets better.""",
    bad="""<!-- node 0 has CPUs 0-7, node 1 CPUs 8-15 -->
<cputune>
  <vcpupin vcpu='0' cpuset='8'/>
</cputune>
<numatune>
  <memory mode='strict' nodeset='0'/>
</numatune>""",
    good="""<cputune>
  <vcpupin vcpu='0' cpuset='8'/>
</cputune>
<numatune>
  <memory mode='strict' nodeset='1'/>
</numatune>""",
    fix="""Bind the memory of each cell to the node of its vCPUs (<memnode cellid='0' mode='strict' nodeset='1'/>),
or move the vCPUs. The node must have the pages: see `numaplan inventory`.""",
    check=check,
)
