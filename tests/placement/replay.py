"""Steps of a rebalancing carried out one by one, told from guests and snapshot alone."""

from collections import Counter

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId, Guest
from numaplan.model.host import NodeId
from numaplan.model.moves import Moves, Spot
from numaplan.model.snapshot import Snapshot
from tests.placement.rebalance_cases import exclusive_cpus


class Replay:
    """The host while the steps are carried out, told from guests and snapshot alone; `wrong` is what went wrong."""

    def __init__(self, snapshot: Snapshot, moves: Moves) -> None:
        self.snapshot = snapshot
        self.shared = moves.request.policy.shared_cpus or CpuSet()
        self.guests = {g.name: g for g in snapshot.guests}
        self.requests = {request.name: request for request in moves.request.guests}
        self.placements = {placement.vm: placement for placement in moves.plan.placements}
        self.cpus = {g.name: exclusive_cpus(g) for g in snapshot.guests if g.running is not False}
        self.devices = {g.name: set(g.pci_addresses) for g in snapshot.guests if g.running is not False}
        self.memory: dict[str, dict[tuple[NodeId, int], int]] = {
            g.name: _bound(g) for g in snapshot.guests if g.running
        }
        self.free: Counter[tuple[NodeId, int]] = Counter()
        reserved = moves.request.policy.reserved_memory_kib
        for node in snapshot.nodes:
            self.free[node.id, 4] = (node.available_kib or 0) - reserved
            self.free.update({(node.id, pool.size_kib): pool.free * pool.size_kib for pool in node.hugepages})
        self.wrong: list[str] = []
        for move in moves.moves:
            self._carry_out(move.vm, move.kind.value, move.before, move.after)

    def _carry_out(self, vm: str, kind: str, before: Spot | None, after: Spot | None) -> None:
        if kind == "configure":
            return
        if kind in ("stop", "restart"):
            self.cpus.pop(vm, None)
            self.devices.pop(vm, None)
            for place, size in self.memory.pop(vm, {}).items():
                self.free[place] += size
        if after is None:
            return
        wanted = CpuSet(cpu for cell in after.cells for cpu in cell.cpus) - self.shared
        for other, held in self.cpus.items():
            if other != vm and not held.isdisjoint(wanted):
                self.wrong.append(f"{kind} {vm}: CPUs {held & wanted} are those of {other}")
        for other, functions in self.devices.items():
            # Two can have had one function before: who is but pinned anew keeps it.
            kept = self.devices.get(vm, set()) if kind in ("repin", "move-pages") else set()
            if other != vm and functions & (set(after.devices) - kept):
                self.wrong.append(f"{kind} {vm}: a device of {other}")
        if before is None and vm in self.cpus:
            self.wrong.append(f"{kind} {vm}: it runs already")
        if kind in ("start", "restart", "move-pages"):
            self._take_memory(vm, kind, after)
        self.cpus[vm] = wanted
        self.devices[vm] = set(after.devices)
        self._check_idle(vm, kind)

    def _take_memory(self, vm: str, kind: str, after: Spot) -> None:
        # Pages that move need room before their old place is free.
        old = self.memory.pop(vm, {})
        cells = self.placements[vm].cells
        new: dict[tuple[NodeId, int], int] = {}
        for cell, spot in zip(cells, after.cells, strict=True):
            assert spot.memory_node is not None
            place = (spot.memory_node, cell.page_size_kib)
            new[place] = new.get(place, 0) + cell.memory_kib
        stays = {place: min(size, new.get(place, 0)) for place, size in old.items()}
        for place, size in new.items():
            self.free[place] -= size - stays.get(place, 0)
            if self.free[place] < 0:
                self.wrong.append(f"{kind} {vm}: {place} lacks {-self.free[place]} KiB")
        for place, size in old.items():
            self.free[place] += size - stays[place]
        self.memory[vm] = new

    def _check_idle(self, vm: str, kind: str) -> None:
        """Who was promised whole cores at its end has them as soon as it is there."""
        if vm not in self.requests or self.requests[vm].thread_policy != "isolate":
            return
        cores = [core.cpus for core in self.snapshot.cores if not core.cpus.isdisjoint(self.cpus[vm])]
        for other, held in self.cpus.items():
            if other != vm and any(not core.isdisjoint(held) for core in cores) and kind != "repin":
                self.wrong.append(f"{kind} {vm}: {other} is on its cores")


def _bound(of: Guest) -> dict[tuple[NodeId, int], int]:
    size = (of.hugepages[0].size_kib if of.hugepages else 4) or 4
    held: dict[tuple[NodeId, int], int] = {}
    if of.live is not None and of.live.memory:
        for part in of.live.memory:
            held[part.node, size] = held.get((part.node, size), 0) + part.size_kib
        return held
    cells = {cell.id: cell.memory_kib for cell in of.cells} if of.memnodes else {CellId(0): of.memory_kib or 0}
    for cell, memory in cells.items():
        binding = next((memnode for memnode in of.memnodes if memnode.cell == cell), of.memory)
        if binding is not None and binding.nodes is not None and len(binding.nodes) == 1:
            held[binding.nodes[0], size] = held.get((binding.nodes[0], size), 0) + memory
    return held
