"""Answers beside plans on made hosts, with the goal for each: why not, what helps, why there, how many, which moves.

Usage: .venv/bin/python benchmarks/answers.py [RUNS] [--hosts 0,1,2,3,4]. Medians of RUNS (3) after one that is thrown
away, CPU seconds and wall-clock seconds; the hosts are those of benchmarks/instances.py.

why            of the guests of a plan that fills the host, one guest's explanation (goal 10 ms)
conflict       guests of one kind too many: pages, VFs, CPUs in slots; one more: a copy more than capacity says, beside
               many others; even: even sizes where no pool is named, so that each node keeps a CPU to float on and
               wastes one; mixed: sizes and thread policies that leave no CPU over and do not share out over the nodes;
               full: all guests of a host that has as many CPUs, pages and VFs as they ask for (on the large host);
               with how many guests are in it, and how many members are not proven to be needed (?)
fixes          of these conflicts, with how many there are
left out       reasons of guests that a full host leaves out, with how many there are
capacity       copies of one cell and of two: none beside others, and beside others that may be moved
rebalance      moves that let one guest on a host whose guests lie so that it fits nowhere
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, cycle
from typing import Final

from benchmarks.instances import HOSTS, HostKind, make_instance
from numaplan.model.guest import Guest
from numaplan.model.plan import Plan
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.conflict.explain import conflict, why_unplaced
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.fixes.proposals import proposals
from numaplan.placement.options import build_problem
from numaplan.placement.rebalance.moves import rebalance
from numaplan.placement.search import Budget, feasible
from numaplan.placement.solve import solve
from numaplan.placement.why.places import explain_places
from tests.audit.audited import guest as standing
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

WHY_S: Final = 0.010
CONFLICT_S: Final = 2.0
ALONE_S: Final = 0.150
REPACKED_S: Final = 2.0
REBALANCE_S: Final = 1.0
REBALANCED_NODES: Final = 8
# CPUs of each node that the guests of a crowded host leave.
LEFT: Final = 4
# A plan to explain need not be a good one.
HASTE: Final = Budget(scale=0.25)


@dataclass(frozen=True)
class Case:
    """One answer: `action` gives what the last column says of it; the time of a row is that of one of `parts`."""

    name: str
    goal_s: float | None
    action: Callable[[], str]
    parts: int = 1


@dataclass(frozen=True)
class Crowd:
    """A request that has no place on a host, though each of its guests has one."""

    name: str
    request: Request
    snapshot: Snapshot


def shape_of(kind: HostKind) -> tuple[int, int, int]:
    """Nodes, cores of a node, threads of a core."""
    nodes, cores, threads = (int(part[:-1]) for part in kind.shape.split(":"))
    return nodes, cores, threads


def empty_host(kind: HostKind, *, pages: int, guests: tuple[Guest, ...] = ()) -> Snapshot:
    """The kind of host with a PF of 32 VFs on its first node."""
    nics = [Nic("p0", 0, 32, speed_mbps=100_000)]
    return host(kind.shape, llcs_per_node=kind.llcs_per_node, pages={"1GiB": pages}, nics=nics, guests=guests)


def crowds(kind: HostKind) -> Iterator[Crowd]:
    """One guest too many by each count, and one mix that no count refutes."""
    nodes, cores, threads = shape_of(kind)
    snapshot = empty_host(kind, pages=2 * cores - 3)
    # Two pages a guest and an odd number of pages on each node: one is left over.
    small = [guest(f"g{i}", 1, memory_gib=2, page_size="1GiB") for i in range(nodes * (cores - 2) + 1)]
    yield Crowd("pages", ask(*small, reserved="0"), snapshot)
    yield Crowd("VFs", ask(*(guest(f"g{i}", 1, interfaces=[vfs("d", "p0", 2)]) for i in range(17))), snapshot)
    slots = (cores * threads - 2) // 5
    five = [guest(f"g{i}", 5) for i in range(nodes * slots + 1)]
    yield Crowd("CPU slots", ask(*five, reserved=first_cores(kind)), snapshot)
    yield one_more(kind)
    yield Crowd("even", ask(*even(nodes * (cores * threads - 2))), snapshot)
    pages = empty_host(kind, pages=40)
    yield next(
        Crowd("mixed", request, pages) for attempt in count() if is_impossible(request := mixed(kind, attempt), pages)
    )
    if nodes > REBALANCED_NODES:
        yield full(kind)


def full(kind: HostKind) -> Crowd:
    """Guests that ask for all that a host has, none of which may be left out."""
    made = make_instance(kind, 1.0, 5)
    guests = tuple(replace(asked, required=True) for asked in made.request.guests)
    return Crowd("full", replace(made.request, guests=guests), made.snapshot)


def one_more(kind: HostKind) -> Crowd:
    """One copy more than find a place beside half of the guests of a full host."""
    full = make_instance(kind, 1.05, 0)
    beside = beside_others(full.request, solve(full.request, full.snapshot, budget=HASTE), copies(1))
    *others, copy = beside.guests
    found = count_copies(beside, full.snapshot, copy.vm, together=False, apart=False)
    fits = found.capacity.fit if isinstance(found, Counted) else 0
    more = tuple(replace(copy, name=f"copy-{i}", required=True) for i in range(fits + 1))
    return Crowd("one more", replace(beside, guests=(*others, *more)), full.snapshot)


def even(room: int) -> Iterator[GuestRequest]:
    """Guests of even sizes that take more CPUs than `room`, by the last of them."""
    for number, size in enumerate(cycle((4, 8, 6, 10))):
        yield guest(f"g{number}", size)
        room -= size
        if room < 0:
            return


def is_impossible(request: Request, snapshot: Snapshot) -> bool:
    """Whether that is proven of a request."""
    problem = build_problem(request, host_facts(request, snapshot))
    return feasible(problem, Budget()) is Outcome.INFEASIBLE


def first_cores(kind: HostKind) -> str:
    """A core of each node, for the host itself."""
    nodes, cores, threads = shape_of(kind)
    return ",".join(str(n * cores + t * nodes * cores) for t in range(threads) for n in range(nodes))


def mixed(kind: HostKind, attempt: int) -> Request:
    """Sizes that leave something over on each node, until no more is free in all: most often too much."""
    nodes, cores, threads = shape_of(kind)
    room = cores * threads - 2
    dice = random.Random(f"{kind.name}{attempt or ''}")  # noqa: S311  # a benchmark, no secret
    third, fourth = room // 3 + 1, room // 4 + 1
    guests: list[GuestRequest] = []
    left = nodes * room
    for i in count():
        size = dice.choice((third, third + 1, fourth, fourth + 2))
        policy = dice.choice(("prefer", "prefer", "require", "isolate"))
        vcpus = size // 2 if policy == "isolate" else size
        taken = 2 * vcpus if policy == "isolate" else size
        if taken > left:
            break
        left -= taken
        guests.append(guest(f"g{i}", vcpus, thread_policy=policy, page_size="1GiB"))
    return ask(*guests, reserved=first_cores(kind))


def crowded(kind: HostKind) -> tuple[Request, Snapshot]:
    """Pinned guests of several sizes that leave every node four CPUs, and a guest that needs eight on one node."""
    empty = empty_host(kind, pages=4 * shape_of(kind)[1])
    own = set(map(int, first_cores(kind).split(",")))
    dice = random.Random(kind.name)  # noqa: S311  # a benchmark, no secret
    guests: list[Guest] = []
    for node in empty.nodes:
        free = [cpu for core in empty.cores if core.numa_node == node.id for cpu in core.cpus if cpu not in own]
        while len(free) > LEFT:
            size = min(dice.choice((4, 6, 8, 12)), len(free) - LEFT)
            pins = [str(free.pop(0)) for _ in range(size)]
            guests.append(
                standing(
                    f"s{len(guests)}", pins, memory=("strict", [node.id]), page_kib=1 << 20, emulator="0", running=True
                )
            )
    request = ask(guest("new", 8, memory_gib=4, page_size="1GiB"), reserved=first_cores(kind))
    return request, replace(empty, guests=tuple(guests))


def why_not(found: Crowd) -> tuple[str, Callable[[], tuple[str, ...]]]:
    """What a joint conflict names, and the guests in it."""
    facts = host_facts(found.request, found.snapshot)
    told, _ = conflict(found.request, facts)
    doubts = sum("no proof" in member.sentence for member in told.members)
    names = tuple(dict.fromkeys(member.vm for member in told.members if member.vm is not None))
    return f"{len(found.request.guests)} guests, {len(names)} in it{f', {doubts}?' if doubts else ''}", lambda: names


def cases(kind: HostKind) -> Iterator[Case]:
    """Every answer on a kind of host."""
    full = make_instance(kind, 1.05, 0)
    plan = solve(full.request, full.snapshot, budget=HASTE)
    facts = host_facts(full.request, full.snapshot)
    yield Case(
        "why, one guest",
        WHY_S,
        lambda: f"{len(explain_places(full.request, facts, plan.placements))} guests",
        len(plan.placements),
    )
    yield Case("left out", CONFLICT_S, lambda: f"{len(why_unplaced(full.request, facts, plan.placements))} guests")
    for crowd in crowds(kind):
        names = why_not(crowd)[1]()
        yield Case(f"conflict: {crowd.name}", CONFLICT_S, lambda crowd=crowd: why_not(crowd)[0])  # type: ignore[misc]  # bound now
        yield Case(f"fixes: {crowd.name}", None, lambda crowd=crowd, names=names: fixes(crowd, names))  # type: ignore[misc]
    for cells in (1, 2):
        alone = ask(copies(cells), reserved=first_cores(kind))
        yield Case(f"capacity, {cells} cell", ALONE_S, lambda alone=alone: fit(alone, full.snapshot))  # type: ignore[misc]
        beside = beside_others(full.request, plan, copies(cells))
        yield Case("... others repacked", REPACKED_S, lambda beside=beside: fit(beside, full.snapshot))  # type: ignore[misc]
    request, snapshot = crowded(kind)
    yield Case("rebalance", REBALANCE_S if kind.nodes <= REBALANCED_NODES else None, lambda: moves(request, snapshot))


def copies(cells: int) -> GuestRequest:
    """A guest of one or two cells on 1 GiB pages."""
    return guest("copy", (6,) * cells, memory_gib=6, page_size="1GiB", thread_policy="require")


def beside_others(request: Request, plan: Plan, more: GuestRequest) -> Request:
    """Half of the guests of a plan, all required, and `more`."""
    placed = {placement.vm for placement in plan.placements[::2]}
    others = tuple(replace(g, required=True) for g in request.guests if g.name in placed)
    return replace(request, guests=(*others, more))


def fixes(crowd: Crowd, names: tuple[str, ...]) -> str:
    """How many fixes are found."""
    return f"{len(proposals(crowd.request, crowd.snapshot, names, change_topology=False).found)} found"


def fit(request: Request, snapshot: Snapshot) -> str:
    """How many copies fit, and what is said of one more."""
    found = count_copies(request, snapshot, "copy", together=False, apart=False)
    if not isinstance(found, Counted):
        return found.status.value
    proven = "" if found.capacity.proven else " (not proven)"
    return f"{found.capacity.fit}{proven}, {found.capacity.next.sentence}"


def moves(request: Request, snapshot: Snapshot) -> str:
    """What is moved, of how many."""
    found = rebalance(request, snapshot)
    return f"{len(snapshot.guests)} guests, {found.status.value}, {len(found.moves)} steps"


def main() -> None:
    """Prints a row an answer and kind of host."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=int, nargs="?", default=3)
    parser.add_argument("--hosts", default=",".join(str(i) for i in range(len(HOSTS))))
    parser.add_argument("--only", default="", help="answers whose name has this in it")
    asked = parser.parse_args()
    print(f"{'host':12} {'answer':22} {'CPU s':>8} {'wall s':>8} {'goal s':>7}")
    for kind in (HOSTS[int(number)] for number in asked.hosts.split(",")):
        for case in cases(kind):
            if asked.only in case.name:
                print_row(kind, case, asked.runs)


def print_row(kind: HostKind, case: Case, runs: int) -> None:
    """Measures one answer."""
    cpu, wall = [], []
    said = ""
    for _ in range(runs + 1):
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        said = case.action()
        cpu.append((time.process_time() - cpu_start) / case.parts)
        wall.append((time.perf_counter() - wall_start) / case.parts)
    found = statistics.median(cpu[1:] or cpu)
    goal = "" if case.goal_s is None else f"{case.goal_s:.3f}"
    missed = " !" if case.goal_s is not None and found > case.goal_s else "  "
    measured = f"{found:8.4f} {statistics.median(wall[1:] or wall):8.4f}"
    print(f"{kind.name:12} {case.name:22} {measured} {goal:>7}{missed} {said}", flush=True)


if __name__ == "__main__":
    main()
