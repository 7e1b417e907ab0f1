"""The model of a host that may have more of everything, and that pays for it: what does it take to place all copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.model import (
    CopiesProblem,
    WaysTaken,
    copies_problem,
    formulate_copies,
    hold,
)
from numaplan.placement.capacity.supply import Supply, Thing, grown, new_vfs
from numaplan.placement.constraints import memory_uses, use_at_most
from numaplan.placement.cpsat import Aim, Linear, Outcome, total
from numaplan.placement.device_constraints import device_uses
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, Place, host_facts
from numaplan.placement.formulation import Formulation
from numaplan.placement.kinds import entries
from numaplan.placement.problem import CoreKind, Problem
from numaplan.placement.switch import memory_to_come

# CP-SAT's deterministic time of the search for the least addition.
LEAST_WORK: Final = 0.3

# What all of a supply that one copy asks for is worth; of what no copy asks for, each is worth that much.
_WORTH: Final = 10_000


@dataclass(frozen=True, slots=True)
class Stretched:
    """`added`: how much more of each supply there has to be, the least where the outcome is OPTIMAL."""

    outcome: Outcome
    added: Mapping[Supply, int]


@dataclass(frozen=True, slots=True)
class _Slack:
    """`amount` steps of a supply, less what is there already and no whole step; memory in KiB, most else one by one."""

    supply: Supply
    amount: Linear
    step: int = 1
    odd: int = 0

    def added(self, steps: int) -> int:
        """So many steps in what the supply is counted in."""
        each = self.supply.size_kib if self.supply.thing is Thing.PAGE else 1
        return (steps * self.step - self.odd) // each

    def worth(self, is_open: Linear, need: int) -> Linear:
        """What the addition is worth where one copy needs `need` of the supply; no less of a step where it is `odd`."""
        each = max(1, need) * (self.supply.size_kib if self.supply.thing is Thing.PAGE else 1)
        first, whole = (max(1, _WORTH * size // each) for size in (self.step - self.odd, self.step))
        return is_open * first + (self.amount - is_open) * whole


class Stretch:
    """Everything for one question: a host, `count` copies, and the supplies that there may be more of.

    `reach` is more of each supply than any guest could make use of.
    """

    def __init__(
        self, request: Request, snapshot: Snapshot, asked: CopiesProblem, supplies: Sequence[Supply], *, count: int
    ) -> None:
        self.base = asked
        self.count = count
        self.supplies = tuple(supplies)
        self.threads = asked.problem.facts.threads
        entries_asked = [entry for guests in asked.problem.classes for entry in entries(guests.request)]
        named = [indexes for entry in entries_asked if (indexes := getattr(entry, "vf_indexes", None))]
        self.by_index = bool(named)
        # A range may begin beyond the VFs that are there, whatever PF it is of.
        self.skipped = [min(indexes) for indexes in named]
        self.limit = {supply: self._limit(supply) for supply in supplies}
        self.reach = {supply: self._within_reach(supply) for supply in supplies}
        facts = grown_facts(request, snapshot, self.reach, threads=self.threads)
        self.free_kib = facts.capacity_kib
        if memory_to_come(snapshot.openvswitch):
            self.free_kib = _free_of_each_size(request, snapshot, self.reach, threads=self.threads)
        self.asked = copies_problem(request, facts, asked.copies)
        known = snapshot.cpus.present | snapshot.cpus.online
        self.new_cpus = facts.snapshot.cpus.online - known
        self.new_vfs = {
            address: supply
            for supply in supplies
            if supply.thing is Thing.VF
            for address in new_vfs(snapshot, supply.pf, self.reach[supply])
        }
        self.real_cores = [_without(kind, self.new_cpus) for kind in self.asked.problem.core_kinds]
        self.real_devices = [
            sum(member not in self.new_vfs for member in kind.members) for kind in self.asked.problem.device_kinds
        ]

    def least(
        self, needs: Mapping[Supply, int], *, single: bool, linked: bool = True, held: WaysTaken | None = None
    ) -> Stretched:
        """The least that makes room for all copies: of a `single` supply, else of as few supplies as can be.

        How much is little is measured by `needs`, what one copy asks for of a supply. Guests that are `held` go the
        ways that they went without the last copy.
        """
        widened = replace(self.asked, problem=self._widened())
        f, placed = formulate_copies(widened, self.count, without="floating_threads", linked=linked)
        f.model.at_least(placed, self.count)
        hold(f, held or {})
        slacks = self._cores(f) + self._memory(f) + self._pools(f) + self._devices(f) + self._links(f)
        self._floats(f, slacks)
        # Where all others lie where they did, little is left to decide.
        aim = Aim.BOTH if held is None else Aim.ANSWER
        opened = []
        for slack in slacks:
            most = f.model.upper(slack.amount)
            opened.append(f.model.boolean())
            f.model.at_most(slack.amount - opened[-1] * most, 0)
            f.model.at_most(opened[-1] - slack.amount, 0)
        if single:
            f.model.at_most(total(opened), 1)
        else:
            fewest = f.model.solve(total(opened), maximize=False, work=LEAST_WORK, aim=aim)
            if fewest.outcome is not Outcome.OPTIMAL:
                return Stretched(fewest.outcome, {})
            f.model.at_most(total(opened), total(opened).value(fewest.solution))
        worth = total(
            slack.worth(is_open, needs.get(slack.supply, 0)) for slack, is_open in zip(slacks, opened, strict=True)
        )
        first = total(is_open * i for i, is_open in enumerate(opened))
        result = f.model.solve(worth * (len(slacks) + 1) + first, maximize=False, work=LEAST_WORK, aim=aim)
        if not result.solution:
            return Stretched(result.outcome, {})
        added: dict[Supply, int] = {}
        for slack in slacks:
            if steps := slack.amount.value(result.solution):
                # Further VFs come in the order of their indexes: the farthest that is used brings those before it.
                added[slack.supply] = max(added.get(slack.supply, 0), slack.added(steps))
        return Stretched(result.outcome, added)

    def of_copy(self, supply: Supply) -> int:
        """What all cells of a copy ask for together."""
        return self._of_guest(supply, self.base.number)

    def _limit(self, supply: Supply) -> int:
        """More than this is of no use to anybody; by guest, in the units of the supply."""
        return max((self._of_guest(supply, c) for c in range(len(self.base.problem.classes))), default=0)

    def _of_guest(self, supply: Supply, number: int) -> int:
        guests = self.base.problem.classes[number]
        match supply.thing:
            case Thing.CPU:
                # Threads that float need a CPU that nobody holds.
                parts = [*(cell.cpus(self.threads) for cell in guests.cells), int(guests.floats)]
            case Thing.WHOLE_CORE:
                # What is no whole core can lie on one all the same.
                odd = [-(-(cell.part + cell.threads) // self.threads) for cell in guests.cells]
                parts = [*(cell.whole + cell.isolated for cell in guests.cells), *odd, int(guests.floats)]
            case Thing.PAGE:
                parts = [-(-cell.memory_kib // supply.size_kib) for cell in guests.cells]
            case Thing.ORDINARY:
                overhead = self.base.problem.facts.policy.guest_overhead_kib
                parts = [cell.memory_kib + overhead for cell in guests.cells]
            case Thing.SHARED_VCPU:
                parts = [cell.shared for cell in guests.cells]
            case Thing.VF:
                parts = [demand.count for demand in guests.devices]
            case Thing.BANDWIDTH:
                parts = [demand.count * demand.mbps for demand in guests.devices]
        return sum(parts)

    def _total(self, supply: Supply) -> int:
        """What all guests and the copies ask for."""
        return sum(
            self._of_guest(supply, c) * (self.count if c == self.base.number else len(guests.members))
            for c, guests in enumerate(self.base.problem.classes)
            if c not in self.base.staying
        )

    def _within_reach(self, supply: Supply) -> int:
        """Enough for any one guest to see the place as one where it could lie; memory and links come as numbers."""
        if supply.thing in (Thing.CPU, Thing.WHOLE_CORE) or (supply.thing is Thing.VF and not self.by_index):
            return self.limit[supply]
        if supply.thing is Thing.VF:
            # One VF does not stand for others where an index tells them apart.
            return self._total(supply) + max(self.skipped, default=0)
        return max(1, self._total(supply)) + self._below_zero(supply)

    def _below_zero(self, supply: Supply) -> int:
        """What is promised beyond what there is: reserved memory, pages that a switch is still to take, pools."""
        if supply.thing is Thing.ORDINARY:
            return self.base.problem.facts.policy.reserved_memory_kib
        if supply.thing is Thing.PAGE:
            to_come = memory_to_come(self.base.problem.facts.snapshot.openvswitch)
            return 0 if supply.node is None else -(-to_come.get(supply.node, 0) // supply.size_kib)
        if supply.thing is Thing.SHARED_VCPU and supply.node is not None:
            return self.base.problem.facts.pool_owed[supply.node]
        return 0

    def _widened(self) -> Problem:
        """The problem with as many new cores and VFs of each kind as all guests could use."""
        problem = self.asked.problem
        cores = []
        for kind, real in zip(problem.core_kinds, self.real_cores, strict=True):
            new = kind.cores[len(real.cores) :] if len(real.cores) < len(kind.cores) else ()
            supply = self._supply_of(kind) if new else None
            more = self._total(supply) if supply is not None else 0
            cores.append(replace(kind, cores=(*real.cores, *new[:1] * more)) if new else kind)
        devices = []
        for device in problem.device_kinds:
            new_members = [member for member in device.members if member in self.new_vfs]
            more = self._total(self.new_vfs[new_members[0]]) if new_members else 0
            old = tuple(member for member in device.members if member not in self.new_vfs)
            devices.append(replace(device, members=(*old, *new_members[:1] * more)) if new_members else device)
        kinds = problem.device_kinds if self.by_index else tuple(devices)
        return replace(problem, core_kinds=tuple(cores), device_kinds=kinds)

    def _supply_of(self, kind: CoreKind) -> Supply:
        thing = Thing.CPU if kind.free == 1 else Thing.WHOLE_CORE
        return next(s for s in self.supplies if s.thing is thing and s.node == kind.node)

    def _cores(self, f: Formulation) -> list[_Slack]:
        slacks = []
        for i, (kind, real) in enumerate(zip(f.problem.core_kinds, self.real_cores, strict=True)):
            if len(real.cores) < len(kind.cores):
                use = f.kind_use[i]
                more = f.model.integer(0, len(kind.cores) - len(real.cores))
                f.model.at_most(use.isolated + use.whole + use.opened - more, len(real.cores))
                slacks.append(_Slack(self._supply_of(kind), more))
        return slacks

    def _memory(self, f: Formulation) -> list[_Slack]:
        used = memory_uses(f)
        slacks = []
        for supply in self.supplies:
            if supply.thing not in (Thing.PAGE, Thing.ORDINARY) or supply.node is None:
                continue
            each = supply.size_kib if supply.thing is Thing.PAGE else 1
            size = supply.size_kib if supply.thing is Thing.PAGE else SMALL_PAGE_KIB
            grown_kib = self.free_kib.get((supply.node, size), 0)
            reach = self._within_reach(supply) * each
            parts = used.get((supply.node, size))
            if parts:
                slacks.append(_in_steps(f, supply, parts, there=grown_kib - reach, reach=reach))
        return slacks

    def _pools(self, f: Formulation) -> list[_Slack]:
        slacks = []
        for supply in self.supplies:
            if supply.thing is Thing.SHARED_VCPU and supply.node is not None:
                wanted = total(f.on(u, k, supply.node) * cell.shared for u, k, cell in f.cells() if cell.shared)
                more = f.model.integer(0, self._within_reach(supply))
                facts = self.base.problem.facts
                use_at_most(f, wanted, facts.pool_left[supply.node] - facts.pool_owed[supply.node], more)
                slacks.append(_Slack(supply, more))
        return slacks

    def _devices(self, f: Formulation) -> list[_Slack]:
        slacks = []
        uses = device_uses(f)
        for i, (kind, real) in enumerate(zip(f.problem.device_kinds, self.real_devices, strict=True)):
            supply = next((self.new_vfs[member] for member in kind.members if member in self.new_vfs), None)
            if supply is not None:
                more = f.model.integer(0, len(kind.members) - real)
                f.model.at_most(total(n for _, j, n, _ in uses if j == i) - more, real)
                new = [member for member, one in self.new_vfs.items() if one == supply]
                before = next(n for n, member in enumerate(new) if member in kind.members) if self.by_index else 0
                slacks.append(_Slack(supply, more, odd=-before))
        return slacks

    def _links(self, f: Formulation) -> list[_Slack]:
        slacks = []
        kinds = f.problem.device_kinds
        uses = [(kinds[i].pf, n, mbps) for _, i, n, mbps in device_uses(f) if mbps]
        for supply in self.supplies:
            parts = [(n, mbps) for pf, n, mbps in uses if pf == supply.pf]
            if supply.thing is Thing.BANDWIDTH and parts:
                speed = self.base.problem.facts.link_speed(supply.pf) or 0
                slacks.append(_in_steps(f, supply, parts, there=speed, reach=self._within_reach(supply)))
        return slacks

    def _floats(self, f: Formulation, slacks: Sequence[_Slack]) -> None:
        """What floats on CPUs that nobody holds finds one among those that there are, new ones included."""
        if not any(unit.guests.floats for unit in f.units):
            return
        facts = f.problem.facts
        rooms: dict[int, Linear] = {}
        for node in facts.nodes:
            online = Linear(constant=len(facts.unheld(node) - self.new_cpus))
            for slack in slacks:
                if slack.supply.node == node and slack.supply.thing in (Thing.CPU, Thing.WHOLE_CORE):
                    online += slack.amount * (1 if slack.supply.thing is Thing.CPU else self.threads)
            held = total(f.on(u, k, node) * cell.cpus(self.threads) for u, k, cell in f.cells())
            rooms[node] = f.model.boolean()
            f.model.at_most(held + rooms[node] - online, 0)
        for u, unit in enumerate(f.units):
            if unit.guests.floats:
                for option, count in f.options(u):
                    near = total(rooms[node] for node in sorted(set(option.nodes)))
                    f.model.at_most(count - near * unit.count, 0)


def _in_steps(f: Formulation, supply: Supply, uses: Sequence[tuple[Linear, int]], *, there: int, reach: int) -> _Slack:
    """As much as `reach` more of a supply than is `there`, for so many that take so much of it each.

    All together take a sum of that, so what is no whole step makes no difference.
    """
    step = gcd(*(each for _, each in uses))
    more = f.model.integer(0, max(0, reach) // step + 1)
    use_at_most(f, total(n * (each // step) for n, each in uses), there // step, more)
    return _Slack(supply, more, step, there % step)


def grown_facts(request: Request, snapshot: Snapshot, more: Mapping[Supply, int], *, threads: int) -> HostFacts:
    """What the host has for the request where there is so much more of each supply."""
    facts = host_facts(request, grown(snapshot, more, policy=request.policy, threads=threads))
    pools = dict(facts.pool_left)
    for supply, amount in more.items():
        if supply.thing is Thing.SHARED_VCPU and supply.node is not None:
            pools[supply.node] = max(0, pools[supply.node] - facts.pool_owed[supply.node] + amount)
    return replace(facts, pool_left=pools)


def _free_of_each_size(
    request: Request, snapshot: Snapshot, more: Mapping[Supply, int], *, threads: int
) -> dict[Place, int]:
    """Free memory by node and page size, with more of that size alone: a switch takes of the largest first."""
    free: dict[Place, int] = {}
    for size in sorted({supply.size_kib for supply in more}):
        only = {supply: amount for supply, amount in more.items() if supply.size_kib == size}
        grown_kib = grown_facts(request, snapshot, only, threads=threads).capacity_kib
        free |= {place: kib for place, kib in grown_kib.items() if place[1] == (size or SMALL_PAGE_KIB)}
    return free


def _without(kind: CoreKind, new: CpuSet) -> CoreKind:
    return replace(kind, cores=tuple(cpus for cpus in kind.cores if cpus.isdisjoint(new)))
