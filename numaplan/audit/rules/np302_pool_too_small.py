"""NP302: the hugepage pool of the nodes to which a guest's memory is bound is smaller than that memory."""

from collections import defaultdict
from collections.abc import Iterator

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import CellView, GuestView
from numaplan.audit.wording import at, first, listed, numbered
from numaplan.model.finding import Evidence, Finding, NotChecked, Severity
from numaplan.model.host import NodeId, NumaNode
from numaplan.units import format_count, format_size

_SMALL_KIB = 4
_FIRM = frozenset({"strict", "restrictive"})


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each guest, set of nodes and page size."""
    for view in facts.guests:
        if view.guest.running:
            continue
        demands: defaultdict[tuple[int, tuple[NodeId, ...]], list[CellView]] = defaultdict(list)
        for cell in view.cells:
            if cell.page_kib is None:
                continue
            if cell.page_kib != _SMALL_KIB:
                demands[cell.page_kib, _nodes(facts, cell)].append(cell)
        if any(cell.page_kib is None for cell in view.cells):
            yield NotChecked("NP302", f'guest "{view.guest.name}" names no page size, and the default is not known')
        for (size_kib, nodes), cells in sorted(demands.items()):
            yield from _judge(facts, view, cells, size_kib=size_kib, nodes=nodes)


def _nodes(facts: Facts, cell: CellView) -> tuple[NodeId, ...]:
    """The nodes that may give its memory: those of a firm binding, else all."""
    everywhere = [node.id for node in facts.snapshot.nodes]
    if cell.memory is None or cell.memory.nodes is None or cell.memory.mode not in _FIRM:
        return tuple(everywhere)
    return tuple(node for node in everywhere if node in cell.memory.nodes)


def _judge(
    facts: Facts, view: GuestView, cells: list[CellView], *, size_kib: int, nodes: tuple[NodeId, ...]
) -> Iterator[Finding | NotChecked]:
    found = [node for node_id in nodes if (node := facts.node(node_id)) is not None]
    mute = [node.id for node in found if not node.hugepages]
    if mute:
        yield NotChecked(
            "NP302", f'guest "{view.guest.name}": the host does not show the hugepages of {numbered("node", mute)}'
        )
    elif found:
        need = sum(-(-cell.memory_kib // size_kib) for cell in cells)
        have = sum(_total(node, size_kib) for node in found)
        if have < need:
            yield _finding(view, cells, found, size_kib=size_kib, numbers=(have, need))


def _finding(
    view: GuestView, cells: list[CellView], nodes: list[NumaNode], *, size_kib: int, numbers: tuple[int, int]
) -> Finding:
    have, need = numbers
    size, where = format_size(size_kib), numbered("node", (node.id for node in nodes))
    subject = numbered("cell", (cell.id for cell in cells))
    lines = [page.line for page in view.guest.hugepages if page.size_kib == size_kib]
    bindings = {cell.memory for cell in cells if cell.memory is not None}
    pools = [node for node in nodes if node.pool(size_kib) is not None]
    has, needs = "has" if len(nodes) == 1 else "have", "needs" if len(cells) == 1 else "need"
    there = format_count(have, f"{size} page") if pools else f"no pages of {size}, but of {_sizes(nodes)}"
    return Finding(
        rule="NP302",
        severity=Severity.WARNING,
        guest=view.guest.name,
        subject=subject,
        message=f"{where} {has} {there}; {subject} {needs} {need}",
        evidence=first(
            [
                Evidence("hugepages", f"{need} of {size}", at(view.guest, min(lines, default=0))),
                *(
                    Evidence("memory", f"{memory.mode} on {numbered('node', memory.nodes or ())}", where_bound)
                    for memory, where_bound in sorted(
                        ((memory, at(view.guest, memory.line)) for memory in bindings), key=lambda pair: pair[1]
                    )
                ),
                *(_pool(node, size_kib) for node in nodes),
            ]
        ),
        wanted=f"{format_count(need, f'{size} page')} on {where}" if pools else f"pages of a size that {where} {has}",
        fix=_reserve(pools, size_kib, need - have) if pools else _resize(cells, nodes),
    )


def _pool(node: NumaNode, size_kib: int) -> Evidence:
    """How many pages of that size a node has; where it cannot have any, of which sizes it can."""
    if node.pool(size_kib) is None:
        return Evidence(f"page sizes of node {node.id}", _sizes([node]), _directory(node))
    return Evidence(
        f"{format_size(size_kib)} pages of node {node.id}", str(_total(node, size_kib)), _path(node, size_kib)
    )


def _reserve(pools: list[NumaNode], size_kib: int, missing: int) -> str:
    paths = listed([_path(node, size_kib) for node in pools], noun="node")
    return f"reserve {missing} more there ({paths}), bind the memory to other nodes, or run `numaplan place`"


def _resize(cells: list[CellView], nodes: list[NumaNode]) -> str:
    """Other sizes, of those the ones that divide the memory of every cell."""
    fitting = [size for size in _listed_kib(nodes) if not any(cell.memory_kib % size for cell in cells)]
    pages = f"pages of {' or '.join(map(format_size, fitting))}" if fitting else "ordinary pages"
    return f"give the guest {pages}, or set page_size in vnf.yaml and run `numaplan place`"


def _sizes(nodes: list[NumaNode]) -> str:
    return listed([format_size(size) for size in _listed_kib(nodes)], noun="size")


def _listed_kib(nodes: list[NumaNode]) -> list[int]:
    return sorted({pool.size_kib for node in nodes for pool in node.hugepages})


def _total(node: NumaNode, size_kib: int) -> int:
    pool = node.pool(size_kib)
    return 0 if pool is None else pool.total


def _path(node: NumaNode, size_kib: int) -> str:
    return f"{_directory(node)}/hugepages-{size_kib}kB/nr_hugepages"


def _directory(node: NumaNode) -> str:
    return f"sys/devices/system/node/node{node.id}/hugepages"


RULE = Rule(
    id="NP302",
    name="pool-too-small",
    severity=Severity.WARNING,
    title="the hugepage pool of the nodes to which a guest's memory is bound is smaller than that memory",
    what="""The pages that the cells of a guest need, against all pages of that size, free or not, on the nodes to
which they are bound (strict or restrictive; else of the whole host). Guests known to run have their memory and are
left out. A page size that the XML does not name is not judged. No error, as pages may be reserved later, by a hook
at the start or by nr_overcommit_hugepages.""",
    why="""The guest does not start: QEMU says "unable to map backing store ... Cannot allocate memory". The pool of
the host may be large enough, yet on the wrong node, which the totals of /proc/meminfo do not show.""",
    bad="""<!-- node 1 has 8 pages of 1 GiB -->
<memory unit='GiB'>16</memory>
<memoryBacking>
  <hugepages><page size='1' unit='GiB'/></hugepages>
</memoryBacking>
<numatune><memory mode='strict' nodeset='1'/></numatune>""",
    good="""<!-- node 0 has 32 pages of 1 GiB -->
<memory unit='GiB'>16</memory>
<memoryBacking>
  <hugepages><page size='1' unit='GiB'/></hugepages>
</memoryBacking>
<numatune><memory mode='strict' nodeset='0'/></numatune>""",
    fix="""Reserve more pages on that node (at boot: hugepagesz=1G hugepages=0:32,1:16; later memory is fragmented),
or bind the guest to a node that has them. Of a size that the host does not list none can be reserved: give the guest
another page size.""",
    check=check,
)
