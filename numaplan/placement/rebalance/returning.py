"""In which ways a guest that is there already can be asked for: with all that it has, and as vnf.yaml has it."""

from collections.abc import Sequence
from dataclasses import replace

from numaplan.model.devices import PciAddress
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest, InterfaceType
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import current_devices, entries, matching_devices
from numaplan.placement.rebalance.kind import same_shape
from numaplan.placement.rebalance.standing import Standing


def ways_to_return(facts: HostFacts, asked: GuestRequest, standing: Standing) -> tuple[GuestRequest, ...]:
    """A guest with the pages and functions that it has, with its pages alone, and as it is asked for.

    Only those that differ: where it is to have another shape, or has not all that it is to have, there are fewer.
    """
    ways = [asked]
    if same_shape(standing, asked):
        if (paged := _with_its_pages(asked, standing)) is not None:
            ways.insert(0, paged)
        if (same := _with_its_functions(facts, ways[0], standing)) is not None:
            ways.insert(0, same)
    return tuple(replace(way, required=False) for way in dict.fromkeys(ways))


def names_pages(request: GuestRequest) -> bool:
    """Whether it leaves no choice of page size."""
    return all(cell.page_size.size_kib is not None for cell in request.cells)


def names_its_functions(facts: HostFacts, request: GuestRequest, standing: Standing) -> bool:
    """Whether a guest has all PCI functions that are asked for, and no others would do."""
    found = current_devices(facts, request, standing.guest)
    return all(
        {device.address for device in matching_devices(facts, entry)} == set(functions)
        for entry, functions in zip(entries(request), found, strict=True)
    )


def _with_its_pages(asked: GuestRequest, standing: Standing) -> GuestRequest | None:
    pages = [cell.page_size for cell in standing.cells if cell.page_size is not None]
    if len(pages) < len(asked.cells):
        return None
    cells = (replace(cell, page_size=page) for cell, page in zip(asked.cells, pages, strict=True))
    return replace(asked, cells=tuple(cells))


def _with_its_functions(facts: HostFacts, asked: GuestRequest, standing: Standing) -> GuestRequest | None:
    """None where it lacks one or has one that would not do, or where no request names those that it has."""
    named: list[InterfaceRequest | DeviceRequest] = []
    for entry, functions in zip(entries(asked), current_devices(facts, asked, standing.guest), strict=True):
        would_do = [device.address for device in matching_devices(facts, entry) if device.address in functions]
        same = _named(facts, entry, would_do)
        if same is None:
            return None
        named.append(same)
    vfs = iter([entry for entry in named if isinstance(entry, InterfaceRequest)])
    interfaces = (next(vfs) if each.type is InterfaceType.SRIOV else each for each in asked.interfaces)
    devices = (entry for entry in named if isinstance(entry, DeviceRequest))
    return replace(asked, interfaces=tuple(interfaces), devices=tuple(devices))


def _named(
    facts: HostFacts, entry: InterfaceRequest | DeviceRequest, functions: Sequence[PciAddress]
) -> InterfaceRequest | DeviceRequest | None:
    """An entry that asks for these functions alone: VFs by their numbers on one PF, a device by its address."""
    if isinstance(entry, DeviceRequest):
        return replace(entry, address=functions[0]) if functions else None
    pfs = {facts.devices[address].physfn for address in functions}
    pf = next(iter(pfs), None)
    name = None if pf is None else min(facts.port_names.get(pf, ()), default=None)
    indexes = frozenset(facts.vf_indexes[address] for address in functions if address in facts.vf_indexes)
    if name is None or len(pfs) > 1 or len(indexes) < entry.count:
        return None
    return replace(entry, pf=name, physnet=None, vf_indexes=indexes)
