"""The hard constraints on VFs and other passed-through devices."""

from collections import defaultdict
from functools import cache, partial

from numaplan.model.devices import PciAddress
from numaplan.placement.cpsat import Linear, total
from numaplan.placement.formulation import DeviceKey, Formulation, device_key, near_kinds


def devices(f: Formulation) -> None:
    """Every demand gets as many devices as it asks for, near enough, and every device goes to one guest."""
    near_of = cache(partial(near_kinds, f.problem))
    demands: dict[DeviceKey, list[tuple[Linear, int]]] = defaultdict(list)
    for u, unit in enumerate(f.units):
        for d, demand in enumerate(unit.guests.devices):
            for option, guests in f.options(u):
                if option.keep is None or not option.keep.has(d):
                    near = near_of(demand.kinds, demand.affinity, option.nodes)
                    demands[device_key(f.problem, u, demand, near)].append((guests, demand.count))
    for key, parts in demands.items():
        flows = {i: f.model.integer(0, len(f.problem.device_kinds[i].members)) for i, _ in key.kinds}
        f.model.equal(total(flows.values()) - total(guests * count for guests, count in parts))
        f.device_flows[key] = flows
        f.device_cost += total(flows[i] * cost for i, cost in key.kinds)
        if key.count is not None:
            _spread(f, flows, total(guests for guests, _ in parts))
    for i, amounts in uses_by_kind(f).items():
        f.model.at_most(total(amounts), len(f.problem.device_kinds[i].members))
    _keep_once(f)


def bandwidth(f: Formulation) -> None:
    """No PF's link is promised more than it carries; a link whose speed is not known carries anything."""
    load: dict[PciAddress, list[Linear]] = defaultdict(list)
    for _, i, amount, mbps in device_uses(f):
        pf = f.problem.device_kinds[i].pf
        if pf is not None and mbps:
            load[pf].append(amount * mbps)
    for pf, parts in load.items():
        speed = f.problem.facts.link_speed(pf)
        if speed is not None:
            f.model.at_most(total(parts), speed)


def iommu_groups(f: Formulation) -> None:
    """An IOMMU group of several devices goes to one guest whole, or to none."""
    uses = device_uses(f)
    for bundle, size in sorted(f.problem.bundles.items()):
        got: dict[int, list[Linear]] = defaultdict(list)
        for u, i, amount, _ in uses:
            if u is not None and f.problem.device_kinds[i].bundle == bundle:
                got[u].append(amount)
        owners = {u: f.model.boolean() for u in got}
        for u, amounts in got.items():
            f.model.equal(total(amounts) - owners[u] * size)
        f.model.at_most(total(owners.values()), 1)


def _spread(f: Formulation, flows: dict[int, Linear], guests: Linear) -> None:
    """No guest has two of these on one PF: then no PF has more of them than there are guests."""
    by_pf: dict[PciAddress | None, list[Linear]] = defaultdict(list)
    for i, flow in flows.items():
        by_pf[f.problem.device_kinds[i].pf].append(flow)
    for parts in by_pf.values():
        f.model.at_most(total(parts) - guests, 0)


def _keep_once(f: Formulation) -> None:
    """Where the XML of several guests names one device, at most one of them is kept as it is."""
    keeping: dict[PciAddress, list[Linear]] = defaultdict(list)
    for u in range(len(f.units)):
        for option, kept in f.options(u):
            for functions in () if option.keep is None else option.keep.placement.functions:
                for address in functions:
                    keeping[address].append(kept)
    for guests in keeping.values():
        if len(guests) > 1:
            f.model.at_most(total(guests), 1)


def device_uses(f: Formulation) -> list[tuple[int | None, int, Linear, int]]:
    """(unit where it matters, device kind, how many of it, Mbit/s of each), of flows and of guests kept as they are."""
    uses = [(key.unit, i, flow, key.mbps) for key, flows in f.device_flows.items() for i, flow in flows.items()]
    for u, unit in enumerate(f.units):
        for option, kept in f.options(u):
            for d, i, count in () if option.keep is None else option.keep.devices:
                uses.append((u, i, kept * count, unit.guests.devices[d].mbps))
    return uses


def uses_by_kind(f: Formulation) -> dict[int, list[Linear]]:
    """How many of each device kind are used."""
    used: dict[int, list[Linear]] = defaultdict(list)
    for _, i, amount, _ in device_uses(f):
        used[i].append(amount)
    return used
