"""Threads that may run on CPUs dedicated to vCPUs, by a pin or for want of one: what NP203 and NP204 share."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from numaplan.audit.host import Facts
from numaplan.audit.threads import Thread
from numaplan.audit.wording import ISOLATED, ONLINE, numbered, pin
from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.finding import Evidence
from numaplan.model.guest import Guest

# An intruder may meet the vCPUs of every other guest: some of them are evidence enough.
_OWNERS = 4


@dataclass(frozen=True, slots=True)
class Intrusion:
    """`threads` may run on `cpus`, all of them dedicated.

    `isolated`: nothing pins the threads and the CPUs are isolated. The kernel does not balance load onto these
    (Documentation/admin-guide/kernel-parameters.txt, "isolcpus": a task gets there by its affinity alone).
    """

    threads: tuple[Thread, ...]
    cpus: CpuSet
    isolated: bool

    def evidence(self, facts: Facts, guest: Guest) -> Iterator[Evidence]:
        """Where the threads are pinned, and on what the rest of the judgement rests."""
        for affinity in dict.fromkeys(thread.affinity for thread in self.threads):
            yield pin(guest, [thread for thread in self.threads if thread.affinity == affinity])
        if any(thread.anywhere for thread in self.threads):
            yield Evidence("online", numbered("CPU", facts.online), ONLINE)
            if facts.snapshot.cpus.isolated:
                yield Evidence("isolated", numbered("CPU", facts.snapshot.cpus.isolated), ISOLATED)
        for owner in facts.owners(self.cpus)[:_OWNERS]:
            view = facts.guests[owner]
            vcpus = [vcpu for vcpu in view.vcpus if vcpu.cpu in self.cpus]
            found = pin(view.guest, vcpus)
            yield Evidence(f'{found.what} of "{view.guest.name}"', found.value, found.where)


def find_intrusion(facts: Facts, group: Iterable[Thread], *, allowed: CpuSet = EMPTY) -> Intrusion | None:
    """Which of the threads may run on dedicated CPUs other than the `allowed`; None for none of them."""
    isolated = facts.snapshot.cpus.isolated
    known = [thread for thread in group if thread.known]
    reach = {affinity: _reach(facts, affinity) - allowed for affinity in {_affinity(facts, t) for t in known}}
    loud: list[Thread] = []
    quiet: list[Thread] = []
    for thread in known:
        hit = reach[_affinity(facts, thread)]
        if hit and thread.anywhere and hit <= isolated:
            quiet.append(thread)
        elif hit:
            loud.append(thread)
    if not loud and not quiet:
        return None
    chosen = loud or quiet
    cpus = EMPTY
    for affinity in {_affinity(facts, thread) for thread in chosen}:
        cpus |= reach[affinity]
    if loud and all(thread.anywhere for thread in loud):
        cpus -= isolated
    return Intrusion(tuple(chosen), cpus, isolated=not loud)


def _affinity(facts: Facts, thread: Thread) -> CpuSet:
    return facts.online if thread.affinity is None else thread.affinity


def _reach(facts: Facts, affinity: CpuSet) -> CpuSet:
    return affinity & facts.dedicated
