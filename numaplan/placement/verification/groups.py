"""What guests and cells say of each other's nodes: distinct nodes, affinity, anti-affinity."""

from collections.abc import Iterator, Mapping, Sequence

from numaplan.cpuset import format_id_list
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count


def group_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Partners that are neither in the plan nor on the host to stay do not count."""
    placed = {placement.vm: frozenset(placement.nodes) for placement in placements}
    for placement in placements:
        guest = facts.asked(placement.vm)
        if guest is None:
            continue
        cells = [cell.numa_node for cell in placement.cells]
        if guest.distinct_nodes and len(set(cells)) != len(cells):
            said = f"has {format_count(len(cells), 'cell')} on {format_count(len(set(cells)), 'node')}"
            yield Violation(guest.name, "distinct_nodes", f'guest "{guest.name}" {said}; it needs a node for each')
        yield from _partners(facts, guest, placed)


def _partners(facts: Facts, guest: GuestRequest, placed: Mapping[str, frozenset[NodeId]]) -> Iterator[Violation]:
    own = placed[guest.name]
    for name in sorted({*guest.affinity, *guest.anti_affinity} - {guest.name}):
        theirs = placed.get(name, facts.staying_nodes(name))
        if theirs is None:
            continue
        where = f'guest "{guest.name}" is on nodes {format_id_list(own)}, guest "{name}" on {format_id_list(theirs)}'
        if name in guest.affinity and not (own <= theirs or theirs <= own):
            yield Violation(guest.name, "affinity", f"{where}; affinity needs the nodes of one among the other's")
        if name in guest.anti_affinity and own & theirs:
            yield Violation(guest.name, "anti_affinity", f"{where}; anti-affinity needs 0 nodes in common")
