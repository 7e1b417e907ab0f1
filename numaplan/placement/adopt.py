"""What a guest's XML already fixes: the guest NUMA cells and CPU topology that its operating system knows."""

from dataclasses import replace

from numaplan.cpuset import format_id_list
from numaplan.model.guest import Guest, VcpuId
from numaplan.model.request import CellRequest, CpuPolicy, GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.units import format_count


def keep_guest_topology(request: Request, snapshot: Snapshot) -> tuple[Request, tuple[str, ...]]:
    """The request with every guest's cells as its XML has them, and a note on each that asked for others.

    An operating system that finds other NUMA cells or another topology at its next boot may lose licences and tuning,
    so they change only when that is asked for.
    """
    existing = {guest.name: guest for guest in snapshot.guests}
    guests = []
    notes = []
    for asked in request.guests:
        kept = _kept(asked, existing[asked.name]) if asked.name in existing else None
        guests.append(kept or asked)
        if kept is not None:
            named = _differ_in_which(kept, asked)
            there, wanted = (_shape(each, named=named) for each in (kept, asked))
            notes.append(
                f"{asked.name}: its XML has {there}, vnf.yaml asks for {wanted}:"
                " the plan keeps to the XML (--change-guest-topology changes it)"
            )
            if kept.realtime != asked.realtime and asked.realtime is not None:
                left = "none" if kept.realtime is None else format_id_list(kept.realtime.vcpus)
                wished = format_id_list(asked.realtime.vcpus)
                notes.append(f"{asked.name}: realtime vCPUs {wished} are asked for; of these it has {left}")
    return replace(request, guests=tuple(guests)), tuple(notes)


def _kept(asked: GuestRequest, guest: Guest) -> GuestRequest | None:
    """The request with the XML's cells; None where it asks for nothing else."""
    if guest.cells:
        cells = tuple((cell.vcpus, cell.memory_kib) for cell in guest.cells)
    elif guest.topology is not None and guest.topology.vcpus != asked.vcpus:
        cells = ((tuple(VcpuId(v) for v in range(guest.topology.vcpus)), asked.memory_kib),)
    else:
        return None
    if cells == tuple((cell.vcpus, cell.memory_kib) for cell in asked.cells):
        return None
    # Cell by cell where there are as many; else what the first asks for holds for all.
    templates = asked.cells if len(asked.cells) == len(cells) else asked.cells[:1] * len(cells)
    kept = tuple(
        CellRequest(vcpus, memory, like.page_size, like.memory_policy)
        for (vcpus, memory), like in zip(cells, templates, strict=True)
    )
    everything = frozenset(vcpu for vcpus, _ in cells for vcpu in vcpus)
    dedicated = everything if asked.cpu_policy is CpuPolicy.DEDICATED else asked.dedicated_vcpus & everything
    realtime = None if asked.realtime is None else asked.realtime.vcpus & everything
    return replace(
        asked,
        cells=kept,
        dedicated_vcpus=dedicated,
        realtime=replace(asked.realtime, vcpus=realtime) if asked.realtime and realtime else None,
    )


def _differ_in_which(one: GuestRequest, other: GuestRequest) -> bool:
    """Whether their cells have as many vCPUs, and others."""
    vcpus = [[cell.vcpus for cell in request.cells] for request in (one, other)]
    return vcpus[0] != vcpus[1] and [*map(len, vcpus[0])] == [*map(len, vcpus[1])]


def _shape(request: GuestRequest, *, named: bool) -> str:
    cells = ", ".join(f"{_vcpus(cell, named=named)} with {cell.memory_kib} KiB" for cell in request.cells)
    return f"{format_count(len(request.cells), 'cell')}: {cells}"


def _vcpus(cell: CellRequest, *, named: bool) -> str:
    if not named or not cell.vcpus:
        return format_count(len(cell.vcpus), "vCPU")
    return f"vCPU{'s' if len(cell.vcpus) > 1 else ''} {format_id_list(cell.vcpus)}"
