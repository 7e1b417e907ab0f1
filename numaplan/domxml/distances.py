"""``<distances>`` of guest NUMA cells: how far apart the guest sees them, as far as the host's nodes below them are."""

from itertools import product
from typing import Final

from numaplan.domxml.element import New
from numaplan.domxml.numbers import attribute
from numaplan.domxml.read import cell_elements, cell_ids
from numaplan.domxml.task import Task
from numaplan.domxml.tree import Document, Element

# ACPI, System Locality Information Table; what libvirt and QEMU take where nobody says anything.
LOCAL: Final = 10
REMOTE: Final = 20
UNREACHABLE: Final = 255

# Distances by (cell, cell).
Matrix = dict[tuple[int, int], int]


def host_matrix(task: Task) -> Matrix | None:
    """The host's distances between the nodes of the planned cells; None where it does not say all of them.

    None too where two cells lie on one node: Linux throws a table away that has 10 or less between different nodes
    (`slit_valid` in drivers/acpi/numa/srat.c).
    """
    slit = {(node.id, other): entry for node in task.host.nodes for other, entry in node.distances}
    nodes = {int(cell.id): cell.numa_node for cell in task.placement.cells}
    matrix: Matrix = {}
    for one, other in product(nodes, nodes):
        entry = LOCAL if one == other else slit.get((nodes[one], nodes[other]))
        if entry is None or not LOCAL <= entry < UNREACHABLE or (one != other and entry == LOCAL):
            return None
        matrix[one, other] = entry
    return matrix


def is_default(matrix: Matrix) -> bool:
    """Whether libvirt's own distances say the same."""
    return all(entry == _default(*pair) for pair, entry in matrix.items())


def seen_matrix(document: Document) -> Matrix:
    """The distances that the XML says, as libvirt fills them in: the way back is as long as the way there."""
    ids = cell_ids(document)
    said: Matrix = {}
    for cell, element in zip(ids, cell_elements(document), strict=True):
        for sibling in _siblings(element):
            other = attribute(document, sibling, "id", least=0, most=UNREACHABLE)
            said[cell, other] = attribute(document, sibling, "value", least=0, most=UNREACHABLE)
    return {(a, b): said.get((a, b), said.get((b, a), _default(a, b))) for a, b in product(ids, ids)}


def new_distances(matrix: Matrix | None, cell: int) -> tuple[New, ...]:
    """The ``<distances>`` of a cell, or nothing where libvirt's own will do."""
    if matrix is None or is_default(matrix):
        return ()
    row = [(other, entry) for (one, other), entry in matrix.items() if one == cell]
    siblings = (New("sibling", (("id", str(other)), ("value", str(entry)))) for other, entry in sorted(row))
    return (New("distances", children=tuple(siblings)),)


def write_distances(task: Task, cells: dict[int, Element], matrix: Matrix) -> None:
    """Makes the ``<distances>`` of cells that are there and stay say all of `matrix`."""
    for cell, element in cells.items():
        there = element.child("distances")
        (new, *_) = (*new_distances(matrix, cell), None)
        if there is None:
            if new is not None:
                task.edits.insert(element, new, after=None)
            continue
        if new is None:
            task.edits.remove(there)
            continue
        wanted = {dict(sibling.attributes)["id"]: dict(sibling.attributes)["value"] for sibling in new.children}
        for sibling in _siblings(element):
            number = str(attribute(task.document, sibling, "id", least=0, most=UNREACHABLE))
            if number not in wanted:
                task.edits.remove(sibling)
                continue
            value = wanted.pop(number)
            if attribute(task.document, sibling, "value", least=0, most=UNREACHABLE) != int(value):
                task.edits.set_attribute(sibling, "value", value)
        for number, value in wanted.items():
            after = there.children[-1] if there.children else None
            task.edits.insert(there, New("sibling", (("id", number), ("value", value))), after=after)


def _siblings(cell: Element) -> tuple[Element, ...]:
    distances = cell.child("distances")
    return () if distances is None else distances.all("sibling")


def _default(one: int, other: int) -> int:
    return LOCAL if one == other else REMOTE
