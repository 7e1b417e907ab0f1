"""Memory of guests that counts as not given back, as nobody saw where it lies, or knows that they run.

That is on the safe side where somebody else would want it. But it may be there, under the vCPUs that it belongs to, and
then asks for nothing more: what does not hold with it too is not proven.
"""

from collections import Counter
from dataclasses import replace
from typing import Final

from numaplan.placement.facts import SMALL_PAGE_KIB, Place, lies_on
from numaplan.placement.rebalance.kind import memory_nodes
from numaplan.placement.rebalance.problem import Rebalancing, with_memory
from numaplan.placement.rebalance.standing import Standing
from numaplan.units import format_few

_MOST_NAMED: Final = 5


def with_unseen_memory(question: Rebalancing) -> Rebalancing:
    """The same question with that memory free, wherever it may be; the very one where there is none."""
    there = Counter[Place]()
    for each in (*question.movable, *question.returning):
        there.update(_unseen(question, each))
    if not there:
        return question
    return replace(question, snapshot=replace(question.snapshot, nodes=with_memory(there, question.snapshot.nodes)))


def note_on_unseen(question: Rebalancing, what: str) -> tuple[str, ...]:
    """A note on whose memory that is, so that `what` is not ruled out."""
    names = [each.guest.name for each in (*question.movable, *question.returning) if _unseen(question, each)]
    whose = format_few(names, _MOST_NAMED)
    counts = f"memory of {whose} counts as needed anew where the guest moves, be it in place"
    return (f"{counts}: nobody knows that it lies there, so {what} is not ruled out",)


def _unseen(question: Rebalancing, standing: Standing) -> Counter[Place]:
    """What is not known to lie where it is taken to be, or anywhere.

    Nothing of a guest that is shut off, nor of one all of whose memory was seen, be it on several nodes.
    """
    guest = standing.guest
    seen = 0 if guest.live is None else sum(part.size_kib for part in guest.live.memory)
    if guest.running is False or (guest.running and seen >= sum(cell.memory_kib for cell in standing.cells)):
        return Counter()
    taken = memory_nodes(standing)
    overhead_kib = question.asked.policy.guest_overhead_kib
    # Of a guest of which it is not known that it runs, QEMU's own may be there too.
    found = Counter[Place]({(node, SMALL_PAGE_KIB): overhead_kib for node in lies_on(guest, question.snapshot)})
    for k, cell in enumerate(standing.cells):
        nodes = [node.id for node in question.snapshot.nodes] if taken is None else [taken[k]]
        if cell.page_kib is not None:
            found.update({(node, cell.page_kib): cell.memory_kib for node in nodes})
    return found - Counter(dict(standing.memory))
