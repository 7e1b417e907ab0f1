"""Whether a guest finds its VFs and devices near the nodes of a way with all others held, and what is missing there."""

from collections.abc import Mapping
from dataclasses import replace

from numaplan.model.request import DeviceRequest, InterfaceRequest
from numaplan.placement.conflict.entry import choice, group_bound
from numaplan.placement.kinds import bound_to_groups, entries
from numaplan.placement.problem import DeviceDemand, GuestClass, Problem, near_enough
from numaplan.placement.why.beside import Beside
from numaplan.placement.why.cheapest import Offer, Service, Steps, Stock, Want
from numaplan.placement.why.lack import Lack, Nodes, listed
from numaplan.units import format_count


def serve_devices(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes) -> Service:
    """The VFs and devices that it asks for, near enough to `nodes`, out of those that are left."""
    kinds = problem.device_kinds
    left: dict[Stock, int] = {("kind", i): count for i, count in beside.devices.items()}
    left |= {("link", pf): mbps for pf, mbps in beside.mbps.items()}
    wants = []
    for d, demand in enumerate(guests.devices):
        offers = []
        for i in _admitted(problem, beside, demand, nodes):
            uses: list[tuple[Stock, int]] = [(("kind", i), 1), (("link", kinds[i].pf), demand.mbps)]
            if demand.distinct:
                left["own", d, kinds[i].pf] = 1
                uses.append((("own", d, kinds[i].pf), 1))
            if kinds[i].bundle is not None:
                uses.append((("bundle", kinds[i].bundle), 1))
            offers.append(Offer(problem.device_cost(kinds[i], nodes), tuple(uses)))
        wants.append(Want(demand.count, tuple(sorted(offers, key=lambda offer: offer.cost))))

    def whole_groups(used: Mapping[Stock, int]) -> bool:
        return all(used.get(("bundle", bundle), 0) in (0, size) for bundle, size in problem.bundles.items())

    return Service(wants, left, accepts=whole_groups)


def devices_lack(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes, steps: Steps) -> Lack:
    """What of its VFs and devices is missing for a guest on `nodes`, which cannot be served there."""
    for entry, demand in zip(entries(guests.request), guests.devices, strict=True):
        have = sum(beside.devices[i] for i in _admitted(problem, beside, demand, nodes))
        if have < demand.count:
            asked = choice(entry, demand.count)
            bound = _bound(problem, entry, demand, nodes=nodes)
            if len(nodes) == 1:
                free = format_count(have, "free device")
                said = f'has {free} near enough for "{entry.name}", needs {asked}'
                return Lack(nodes[0], ": ".join(filter(None, (said, bound))))
            said = f'"{entry.name}" needs {asked}: {have} free near enough to {listed(sorted(set(nodes)))}'
            return Lack(None, "; ".join(filter(None, (said, bound))))
    if serve_devices(problem, replace(beside, mbps={}), guests, nodes=nodes).served(steps).cost is not None:
        return Lack(None, _links_left(problem, beside, guests, nodes=nodes))
    what = "too few of the VFs and devices that it needs, or too little of their bandwidth, are left near"
    return Lack(None, f"{what} {listed(sorted(set(nodes)))}")


def _bound(problem: Problem, entry: InterfaceRequest | DeviceRequest, demand: DeviceDemand, *, nodes: Nodes) -> str:
    """The devices near enough that only their IOMMU groups keep from being given."""
    bound = bound_to_groups(problem, entry, demand)
    where = [problem.facts.device_node(device) for device in bound]
    near = [d for d, node in zip(bound, where, strict=True) if near_enough(problem.facts, demand.affinity, node, nodes)]
    return group_bound(problem.facts, near)


def _links_left(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes) -> str:
    """What its VFs need of the links in reach, and what these still carry."""
    wanting = [demand for demand in guests.devices if demand.mbps]
    pfs = {problem.device_kinds[i].pf for demand in wanting for i in _admitted(problem, beside, demand, nodes)}
    needs = [f'"{demand.name}" needs {demand.mbps} Mbit/s for {_each_vf(demand.count)}' for demand in wanting]
    left = [
        f"{problem.facts.links[pf][0].name} has {mbps} left" for pf, mbps in sorted(beside.mbps.items()) if pf in pfs
    ]
    return f"{', '.join(needs)}: {', '.join(left)}"


def _each_vf(count: int) -> str:
    return "its VF" if count == 1 else f"each of its {count} VFs"


def _admitted(problem: Problem, beside: Beside, demand: DeviceDemand, nodes: Nodes) -> list[int]:
    kinds = problem.device_kinds
    return [i for i in demand.kinds if beside.devices[i] > 0 and problem.admits(demand, kinds[i], nodes)]
