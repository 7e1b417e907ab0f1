"""NP101: the vCPUs of one guest cell run on several host nodes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import CellView, GuestView, Thread
from numaplan.audit.wording import first, node_cpus, numbered, pin, quoted, threads
from numaplan.model.finding import Evidence, Finding, NotChecked, Severity
from numaplan.model.host import NodeId


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each cell whose pins reach more than one node."""
    if facts.hides_nodes and facts.guests:
        yield NotChecked("NP101", "the host may have NUMA nodes that it does not show")
    if not facts.several_nodes:
        return
    unknown = [index for index, view in enumerate(facts.guests) if not all(vcpu.known for vcpu in view.vcpus)]
    if unknown:
        yield NotChecked(
            "NP101", f'placement "auto": numad chooses the CPUs at the start of {quoted(facts.name, unknown)}'
        )
    for view in facts.guests:
        for cell in view.cells:
            yield from _judge(facts, view, cell)


def _judge(facts: Facts, view: GuestView, cell: CellView) -> Iterator[Finding]:
    nodes = facts.nodes_of(cell.bound)
    if len(nodes) > 1:
        yield _spanning(facts, view, cell, nodes=nodes)
        return
    loose = [vcpu for vcpu in cell.vcpus if vcpu.anywhere and vcpu.known]
    if nodes and loose:
        yield _half_pinned(facts, view, cell, loose=loose)


def _spanning(facts: Facts, view: GuestView, cell: CellView, *, nodes: frozenset[NodeId]) -> Finding:
    single = [vcpu for vcpu in cell.bound if vcpu.cpu is not None]
    split = len(facts.nodes_of(single)) > 1
    by_nodes: defaultdict[tuple[NodeId, ...], list[Thread]] = defaultdict(list)
    for vcpu in cell.bound:
        if vcpu.affinity is not None and (reached := facts.nodes(vcpu.affinity)):
            by_nodes[tuple(sorted(reached))].append(vcpu)
    groups = sorted(by_nodes.items())
    parts = ", ".join(f"{threads(group)} on {numbered('node', reached)}" for reached, group in groups)
    home = min(nodes, key=lambda node: (-len(by_nodes[node,]), node))
    moved = [vcpu for reached, group in groups if reached != (home,) for vcpu in group]
    return Finding(
        rule="NP101",
        severity=Severity.ERROR if split else Severity.WARNING,
        guest=view.guest.name,
        subject=cell.subject,
        message=f"{cell.subject} has vCPUs on {numbered('node', nodes)}: {parts}",
        evidence=first([*_evidence(facts, view, groups), *(_cpus_of(facts, node) for node in sorted(nodes))]),
        wanted="all vCPUs of a cell on one node",
        fix=f"pin {threads(moved)} to CPUs of node {home} ({facts.node_cpus([home])}), give the guest a cell"
        f" for each node, or run `numaplan place`",
    )


def _half_pinned(facts: Facts, view: GuestView, cell: CellView, *, loose: Sequence[Thread]) -> Finding:
    (home,) = facts.nodes_of(cell.bound)
    return Finding(
        rule="NP101",
        severity=Severity.INFO,
        guest=view.guest.name,
        subject=cell.subject,
        message=f"{cell.subject} has {threads(cell.bound)} on node {home}, but {threads(loose)} may run on every node",
        evidence=(pin(view.guest, cell.bound), pin(view.guest, loose), _cpus_of(facts, home)),
        wanted="all vCPUs of a cell on one node",
        fix=f"pin {threads(loose)} to CPUs of node {home} ({facts.node_cpus([home])}), or run `numaplan place`",
    )


def _evidence(
    facts: Facts, view: GuestView, groups: Sequence[tuple[tuple[NodeId, ...], list[Thread]]]
) -> Iterator[Evidence]:
    for reached, group in groups:
        cpus = facts.node_cpus(reached)
        affinities = {vcpu.affinity for vcpu in group}
        held = {cpu for affinity in affinities if affinity is not None for cpu in affinity & cpus}
        yield pin(view.guest, group, f"{numbered('CPU', held)} ({numbered('node', reached)})")


def _cpus_of(facts: Facts, node: NodeId) -> Evidence:
    return node_cpus(node, facts.node_cpus([node]))


RULE = Rule(
    id="NP101",
    name="cell-spans-nodes",
    severity=Severity.ERROR,
    title="the vCPUs of one guest cell run on several host nodes",
    what="""The host nodes of the CPUs to which the vCPUs of each guest cell are pinned; a guest without <numa> is
one cell. An error where vCPUs with one CPU each are on different nodes, a warning where a wider pin spans nodes,
info where some vCPUs are pinned to one node and others not at all (they may be there for hot-plugging). A guest
without any pin, or pinned to all CPUs of the host, is left to the scheduler and is no finding.""",
    why="""The guest takes a cell for memory that is equally near to all of its vCPUs, and so does a DPDK
application in it. The firmware tells otherwise: in the ACPI SLIT a local access is 10, and 21, a usual entry for
another socket, is an access that takes 2.1 times as long. Vendors of VNFs ask for a single node (Juniper for the
vMX: spanning sockets gives non-deterministic performance).""",
    bad="""<!-- node 0 has CPUs 0-7, node 1 CPUs 8-15 -->
<vcpu placement='static'>2</vcpu>
<cputune>
  <vcpupin vcpu='0' cpuset='7'/>
  <vcpupin vcpu='1' cpuset='8'/>
</cputune>""",
    good="""<vcpu placement='static'>2</vcpu>
<cputune>
  <vcpupin vcpu='0' cpuset='6'/>
  <vcpupin vcpu='1' cpuset='7'/>
</cputune>""",
    fix="""Pin the vCPUs of a cell to CPUs of one node. A guest that is larger than a node needs several cells
(<cpu><numa><cell>), each on a node of its own. `numaplan place` does both.""",
    check=check,
)
