"""``<numatune>``: on which host nodes the guest's memory lies."""

from numaplan.cpuset import CPU_LIMIT, format_id_list
from numaplan.domxml.element import New
from numaplan.domxml.numbers import attribute, id_set
from numaplan.domxml.task import Task
from numaplan.domxml.tree import Element


def patch_numatune(task: Task, cells: tuple[int, ...]) -> None:
    """``<memory>`` with the nodes of all cells, and a ``<memnode>`` for each of `cells`, those that the XML will have.

    libvirt takes memnodes for guest NUMA cells only, none beside automatic placement, and one node in mode "preferred".
    """
    planned = {int(cell.id): cell.memory_node for cell in task.placement.cells}
    nodes = frozenset(planned.values())
    modes = {task.memory_mode(cell) for cell in planned}
    mode = "preferred" if modes == {"preferred"} and len(nodes) == 1 else "strict"
    memnodes = {cell: (task.memory_mode(cell), frozenset({planned[cell]})) for cell in sorted(cells) if cell in planned}
    numatune = task.root.child("numatune")
    memory = New("memory", (("mode", mode), ("nodeset", format_id_list(nodes))))
    if numatune is None:
        new = tuple(_memnode(cell, *binding) for cell, binding in memnodes.items())
        task.add_to_domain(New("numatune", children=(memory, *new)))
        return
    existing = numatune.child("memory")
    if existing is None:
        task.edits.insert(numatune, memory, after=None)
    else:
        _bind(task, existing, mode, nodes)
    there: dict[int, Element] = {}
    for element in numatune.all("memnode"):
        cell = attribute(task.document, element, "cellid", least=0, most=CPU_LIMIT)
        there[cell] = element
        if cell in memnodes:
            _bind(task, element, *memnodes[cell])
        else:
            task.edits.remove(element)
    for cell, binding in memnodes.items():
        if cell not in there:
            before = max((known for known in there if known < cell), default=None)
            after = existing if before is None else there[before]
            task.edits.insert(numatune, _memnode(cell, *binding), after=after)


def _bind(task: Task, element: Element, mode: str, nodes: frozenset[int]) -> None:
    if (element.get("mode") or "strict") != mode:
        task.edits.set_attribute(element, "mode", mode)
    if element.get("placement") == "auto":
        task.edits.drop_attribute(element, "placement")
    if id_set(task.document, element, "nodeset") != nodes:
        task.edits.set_attribute(element, "nodeset", format_id_list(nodes))


def _memnode(cell: int, mode: str, nodes: frozenset[int]) -> New:
    return New("memnode", (("cellid", str(cell)), ("mode", mode), ("nodeset", format_id_list(nodes))))
