"""How far a guest's NUMA nodes are from one another: ``<cpu><numa><cell><distances>``."""

from collections.abc import Iterator, Sequence
from typing import Final

from numaplan.domxml.numbers import lenient
from numaplan.domxml.tree import Element
from numaplan.model.guest import CellId

Distances = tuple[tuple[CellId, int], ...]

# SLIT entries (ACPI, "System Locality Distance Information Table"), and libvirt's for what the XML does not say.
LOCAL: Final = 10
REMOTE: Final = 20
UNREACHABLE: Final = 255
# No kernel knows more nodes (CONFIG_NODES_SHIFT), and each has an entry for every other one.
CELL_LIMIT: Final = 1024


def read_distances(cells: Sequence[Element], ids: Sequence[int]) -> dict[int, Distances]:
    """The distances from each cell that the guest sees, by cell; `ids` are those of `cells`.

    Where a cell gives any, QEMU is told all of them: what one cell says of another holds in the other direction too
    unless that is said, what nobody says is 10 on a cell and 20 between two (libvirt,
    virDomainNumaDefNodeDistanceParseXML). They only inform: what libvirt refuses is passed over.
    """
    said: dict[tuple[int, int], int] = {}
    mirrored: dict[tuple[int, int], int] = {}
    for cell, number in zip(cells, ids, strict=True):
        for other, value in _siblings(cell, number, cells=len(cells)):
            said[number, other] = value
            mirrored.setdefault((other, number), value)
    if not said or len(cells) > CELL_LIMIT:
        return dict.fromkeys(ids, ())
    both = mirrored | said
    return {
        number: tuple(
            (CellId(other), both.get((number, other), LOCAL if other == number else REMOTE)) for other in sorted(ids)
        )
        for number in ids
    }


def _siblings(cell: Element, number: int, *, cells: int) -> Iterator[tuple[int, int]]:
    distances = cell.child("distances")
    for sibling in () if distances is None else distances.all("sibling"):
        other = lenient(sibling.get("id"), most=cells - 1)
        value = lenient(sibling.get("value"), most=UNREACHABLE)
        # 10 is the distance of a cell to itself, and of no other two.
        if other is not None and value is not None and value >= LOCAL and (other == number) == (value == LOCAL):
            yield other, value
