"""``<cpu>``: the CPU topology and the NUMA cells that the guest sees."""

from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.domxml.backing import general_access, wanted_access
from numaplan.domxml.cache import wanted_cache
from numaplan.domxml.distances import Matrix, host_matrix, new_distances, seen_matrix, write_distances
from numaplan.domxml.element import New
from numaplan.domxml.numbers import id_set
from numaplan.domxml.read import cell_elements, cell_ids
from numaplan.domxml.sizes import set_size_attribute
from numaplan.domxml.task import FLAG, Task, by_name
from numaplan.domxml.tree import Element
from numaplan.model.guest import GuestTopology
from numaplan.model.plan import CellPlacement
from numaplan.units import format_count

# The order in which libvirt prints the children of <cpu> (virCPUDefFormatBuf, virDomainNumaDefFormatXML).
_ORDER: Final = ["arch", "model", "vendor", "topology", "cache", "maxphysaddr", "feature", "numa"]


def keeps_cells(task: Task) -> bool:
    """Whether the XML has other NUMA cells than the plan, and keeps them."""
    return bool(task.guest.cells) and not task.change_topology and _shape_there(task) != _shape_wanted(task)


def cells_after(task: Task) -> tuple[int, ...]:
    """The ids of the NUMA cells that the XML will have; none where it shows the guest no NUMA."""
    if keeps_cells(task):
        return tuple(int(cell.id) for cell in task.guest.cells)
    planned = tuple(int(cell.id) for cell in task.placement.cells)
    return planned if task.guest.cells or len(planned) > 1 else ()


def patch_cpu(task: Task) -> None:
    """``<topology>``, ``<cache>`` and ``<numa>``. A new ``<cpu>`` says nothing of the CPU model."""
    cpu = task.root.child("cpu")
    wanted = (_wanted_topology(task), wanted_cache(task), _wanted_numa(task))
    new = tuple(element for element in wanted if element is not None)
    if cpu is None:
        if new:
            task.add_to_domain(New("cpu", children=new))
        return
    for element in new:
        task.edits.insert_ranked(cpu, element, rank=(_ORDER.index(element.name),), rank_of=by_name(_ORDER))


def _wanted_topology(task: Task) -> New | None:
    """The element to be added; one that is there is changed here."""
    count = task.request.vcpus
    planned = task.placement.topology
    if planned is not None and planned.vcpus != count:
        planned = None
    cpu = task.root.child("cpu")
    element = None if cpu is None else cpu.child("topology")
    existing = task.guest.topology
    if element is None or existing is None:
        return None if planned is None else New("topology", _attributes(planned))
    if existing == planned:
        return None
    if task.change_topology and planned is not None:
        for name, value in _attributes(planned):
            if (element.get(name) or "1") != value:
                task.edits.set_attribute(element, name, value)
        if element.get("clusters") is not None:
            task.edits.set_attribute(element, "clusters", "1")
    elif existing.vcpus == count:
        if planned is not None:
            task.withheld.append(
                f"<topology> on line {element.line} stays ({_shown(existing)}),"
                f" its CPUs make up {_shown(planned)}: {FLAG}"
            )
    elif task.change_topology:
        task.edits.remove(element)
        task.notes.append(
            f"<topology> on line {element.line} goes: it has {format_count(existing.vcpus, 'vCPU')}, the guest {count}"
        )
    else:
        raise task.document.error(
            element,
            f"<topology> has {format_count(existing.vcpus, 'vCPU')}, vnf.yaml asks for {count}",
            f"libvirt wants them equal: {FLAG}",
        )
    return None


def _wanted_numa(task: Task) -> New | None:
    """The element to be added; one that is there is changed here."""
    planned = task.placement.cells
    elements = cell_elements(task.document)
    if not elements:
        if len(planned) == 1:
            return None
        matrix = host_matrix(task)
        return New("numa", children=tuple(_cell(task, cell, matrix) for cell in planned))
    if keeps_cells(task):
        _check_kept_cells(task)
        return None
    by_id = dict(zip(cell_ids(task.document), elements, strict=True))
    there = {int(cell.id): cell.vcpus for cell in task.guest.cells}
    wanted = {int(cell.id): cell for cell in planned}
    cpu = task.root.child("cpu")
    numa = None if cpu is None else cpu.child("numa")
    for cell_id, element in by_id.items():
        if cell_id not in wanted:
            task.edits.remove(element)
            continue
        vcpus = _vcpus(wanted[cell_id])
        if tuple(there[cell_id]) != vcpus:
            task.edits.set_attribute(element, "cpus", format_id_list(vcpus))
        set_size_attribute(task, element, "memory", wanted[cell_id].memory_kib)
    matrix = _patch_distances(task, {cell: element for cell, element in by_id.items() if cell in wanted})
    for cell_id, cell in wanted.items():
        if cell_id not in by_id and numa is not None:
            task.edits.insert(numa, _cell(task, cell, matrix), after=elements[-1])
    if len(wanted) < len(by_id):
        _note_dead_cells(task, len(wanted))
    return None


def _shape_there(task: Task) -> list[tuple[int, tuple[int, ...]]]:
    """The cells as they are once the guest has its new number of vCPUs: those that none names are in cell 0."""
    document = task.document
    named = {
        cell_id: id_set(document, cell, "cpus") or frozenset()
        for cell_id, cell in zip(cell_ids(document), cell_elements(document), strict=True)
    }
    rest = frozenset(range(task.request.vcpus)).difference(*named.values())
    return [(cell, tuple(sorted(named[cell] | rest if cell == 0 else named[cell]))) for cell in sorted(named)]


def _shape_wanted(task: Task) -> list[tuple[int, tuple[int, ...]]]:
    return [(int(cell.id), _vcpus(cell)) for cell in task.placement.cells]


def _vcpus(cell: CellPlacement) -> tuple[int, ...]:
    return tuple(sorted(int(vcpu) for vcpu, _ in cell.vcpus))


def _cell(task: Task, cell: CellPlacement, matrix: Matrix | None) -> New:
    cpus = (("cpus", format_id_list(_vcpus(cell))),) if cell.vcpus else ()
    access = wanted_access(task)
    own = (("memAccess", access),) if access not in {None, general_access(task) or "private"} else ()
    attributes = (("id", str(cell.id)), *cpus, ("memory", str(cell.memory_kib)), ("unit", "KiB"), *own)
    return New("cell", attributes, new_distances(matrix, int(cell.id)))


def _attributes(topology: GuestTopology) -> tuple[tuple[str, str], ...]:
    return (
        ("sockets", str(topology.sockets)),
        ("dies", str(topology.dies)),
        ("cores", str(topology.cores)),
        ("threads", str(topology.threads)),
    )


def _shown(topology: GuestTopology) -> str:
    return "x".join(value for _, value in _attributes(topology))


def _check_kept_cells(task: Task) -> None:
    line = task.guest.cells[0].line
    count = task.request.vcpus
    highest = max((vcpu for _, vcpus in _shape_there(task) for vcpu in vcpus), default=0)
    if highest >= count:
        raise task.document.error(
            cell_elements(task.document)[0],
            f"<numa> names vCPU {highest}, vnf.yaml asks for {format_count(count, 'vCPU')}",
            f"libvirt refuses that: {FLAG}",
        )
    task.withheld.append(
        f"<numa> on line {line} stays, with {format_count(len(task.guest.cells), 'cell')} of its own: {FLAG}"
    )


def _patch_distances(task: Task, kept: dict[int, Element]) -> Matrix | None:
    """Brings the distances of cells that stay to those of the host; returns what new cells are to say."""
    matrix = host_matrix(task)
    seen = seen_matrix(task.document)
    if matrix is None or (not task.change_topology and matrix != seen):
        for element in kept.values():
            _drop_dead_distances(task, element, frozenset(int(cell.id) for cell in task.placement.cells))
        if matrix is not None:
            line = task.guest.cells[0].line
            task.withheld.append(f"the distances of the cells on line {line} stay other than the host's: {FLAG}")
        return None
    if matrix != seen:
        write_distances(task, kept, matrix)
    return matrix


def _drop_dead_distances(task: Task, cell: Element, ids: frozenset[int]) -> None:
    """Distances to cells that go away would be refused; libvirt fills in the rest."""
    distances = cell.child("distances")
    if distances is None:
        return
    siblings = {sibling.get("id") or "" for sibling in distances.all("sibling")}
    if siblings - {str(cell_id) for cell_id in ids}:
        task.edits.remove(distances)
        task.notes.append(f"<distances> on line {distances.line} go: they name cells that the guest has no longer")


def _note_dead_cells(task: Task, count: int) -> None:
    for element in task.root.walk():
        node = element.child("node") if element.name == "target" else None
        if node is not None and node.text.isdecimal() and int(node.text) >= count:
            task.notes.append(f"<node> on line {node.line} names cell {node.text}, the guest has {count}")
        if element.name == "interconnects":
            task.notes.append(f"<interconnects> on line {element.line} may name cells that the guest has no longer")
