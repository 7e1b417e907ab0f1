"""A part of a QEMU command line (qemu(1)): memory by host node, cells, iothreads, devices; disks and boot are missing.

QEMU pins nothing itself: the pins follow as comments, `taskset` by the names of its threads.
"""

from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.model.guest import Guest
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import CpuCache, GuestRequest, MemoryAllocation
from numaplan.model.snapshot import Snapshot
from numaplan.model.target import Rendered
from numaplan.targets.asked import (
    SMALL_PAGE_KIB,
    cell_distances,
    has_balloon,
    is_strict,
    is_uneven,
    mebibytes,
    shares_memory,
    shows_cells,
    vcpu_pins,
)
from numaplan.targets.qemu_devices import escaped, network_options, on_bus, passthrough, vf_sentences
from numaplan.targets.shell import command, comment, long_command

_MACHINES: Final = {"x86_64": "q35", "i686": "q35", "aarch64": "virt", "riscv64": "virt", "ppc64le": "pseries"}
_BINARIES: Final = {"i686": "i386", "ppc64le": "ppc64"}
# As libvirt translates them (qemu_command.c, qemuBuildCpuCommandLine).
_CACHES: Final = {
    CpuCache.PASSTHROUGH: "host-cache-info=on,l3-cache=off",
    CpuCache.EMULATE: "l3-cache=on",
    CpuCache.DISABLE: "l3-cache=off,host-cache-info=off",
}

_Options = list[tuple[str, ...]]


def render(request: GuestRequest, placement: Placement, snapshot: Snapshot, existing: Guest | None) -> Rendered:
    """The command, then the pins as comments."""
    cells = shows_cells(placement, existing)
    machine = _machine(snapshot, existing)
    root = _root_bus(machine) if len(placement.cells) > 1 else None
    devices = passthrough(request, placement, snapshot, root=root)
    networks, unknown = network_options(request, existing, root=root)
    distances, not_told = cell_distances(placement, snapshot, existing)
    options = [
        ("-name", f"guest={escaped(request.name)},debug-threads=on"),
        ("-machine", _machine_words(request, machine, cells=cells)),
        *_cpu(request, existing),
        ("-m", f"size={sum(mebibytes(cell) for cell in placement.cells)}M"),
        ("-smp", _smp(request, placement)),
        *((("-overcommit", "mem-lock=on"),) if request.memory_backing.locked else ()),
        *_memory(request, placement, cells=cells),
        *(("-numa", f"dist,src={one},dst={other},val={distance}") for one, other, distance in distances),
        *(("-object", f"iothread,id=iothread{number}") for number, _ in sorted(placement.iothreads)),
        *devices,
        *networks,
        *((("-device", f"virtio-balloon-pci{on_bus(root)}"),) if has_balloon(request, placement, existing) else ()),
    ]
    lines = [long_command((_binary(snapshot, existing),), options), *map(comment, _pins(request, placement))]
    cannot = [
        *_cannot(request, placement, existing),
        *([not_told] if not_told else []),
        *unknown,
        *vf_sentences(request, placement, snapshot),
    ]
    return Rendered("".join(f"{line}\n" for line in lines), tuple(cannot))


def _cannot(request: GuestRequest, placement: Placement, existing: Guest | None) -> Iterator[str]:
    yield "disks, boot and console are no part of a plan: add them"
    yield (
        "QEMU pins no thread: run the taskset lines in the comments once it runs, or start it paused (-S) and continue"
        " it after them"
    )
    if not _cpu(request, existing):
        yield "the plan says nothing of the CPU model: add -cpu, or it is QEMU's own default"
    if request.realtime is not None:
        yield "QEMU schedules no thread as fifo: run the chrt lines in the comments"
    if request.memory_backing.hard_limit_kib is not None:
        yield f"a limit of {request.memory_backing.hard_limit_kib} KiB on its memory: set it on its cgroup (memory.max)"
    if is_uneven(placement):
        yield "memory that is no multiple of 1 MiB is rounded up, as libvirt does"
    if placement.iothreads:
        yield "which device uses which iothread: add iothread=ID to -device of the disks"


def _binary(snapshot: Snapshot, existing: Guest | None) -> str:
    if existing is not None and existing.emulator:
        return existing.emulator
    architecture = _architecture(snapshot, existing)
    return f"qemu-system-{_BINARIES.get(architecture, architecture)}"


def _architecture(snapshot: Snapshot, existing: Guest | None) -> str:
    there = None if existing is None else existing.architecture
    return there or snapshot.host.architecture or "x86_64"


def _machine(snapshot: Snapshot, existing: Guest | None) -> str | None:
    there = None if existing is None else existing.machine
    return there or _MACHINES.get(_architecture(snapshot, existing))


def _root_bus(machine: str | None) -> str | None:
    """The PCI Express bus that an expander may be on; None for machines that have none, or that we do not know."""
    known = machine is not None and (machine in {"q35", "virt"} or machine.startswith(("pc-q35-", "virt-")))
    return "pcie.0" if known else None


def _machine_words(request: GuestRequest, machine: str | None, *, cells: bool) -> str:
    words = [f"type={escaped(machine)}"] if machine else []
    words.append("accel=kvm")
    if request.memory_backing.nosharepages:
        words.append("mem-merge=off")
    if not cells:
        words.append("memory-backend=ram0")
    return ",".join(words)


def _cpu(request: GuestRequest, existing: Guest | None) -> _Options:
    """`-cpu host` where the guest's XML says so, or where its caches are to be those of the host."""
    mode = None if existing is None else existing.cpu_mode
    if mode != "host-passthrough" and request.cpu_cache is None:
        return []
    caches = [] if request.cpu_cache is None else [_CACHES[request.cpu_cache]]
    return [("-cpu", ",".join(["host", *caches]))]


def _smp(request: GuestRequest, placement: Placement) -> str:
    topology = placement.topology
    if topology is None or topology.vcpus != request.vcpus:
        return f"cpus={request.vcpus}"
    # Machines other than a PC refuse the word "dies" where they have no such level.
    dies = f",dies={topology.dies}" if topology.dies > 1 else ""
    return f"cpus={request.vcpus},sockets={topology.sockets}{dies},cores={topology.cores},threads={topology.threads}"


def _memory(request: GuestRequest, placement: Placement, *, cells: bool) -> _Options:
    options: _Options = []
    for cell in placement.cells:
        name = f"ram{cell.id}" if cells else "ram0"
        options.append(("-object", _backend(request, cell, name)))
        if cells:
            vcpus = format_id_list(vcpu for vcpu, _ in cell.vcpus)
            runs = [f"cpus={run}" for run in vcpus.split(",") if run]
            options.append(("-numa", ",".join(["node", f"nodeid={cell.id}", *runs, f"memdev={name}"])))
    return options


def _backend(request: GuestRequest, cell: CellPlacement, name: str) -> str:
    """A memfd for huge and for shared pages: it needs no mount of hugetlbfs, and takes pages of any size."""
    huge = cell.page_size_kib != SMALL_PAGE_KIB
    shared = shares_memory(request)
    words = [f"memory-backend-{'memfd' if huge or shared else 'ram'}", f"id={name}", f"size={mebibytes(cell)}M"]
    if huge:
        words += ["hugetlb=on", f"hugetlbsize={cell.page_size_kib}k"]
    words.append(f"share={'on' if shared else 'off'}")
    policy = "bind" if is_strict(request, cell.id) else "preferred"
    words += [f"host-nodes={cell.memory_node}", f"policy={policy}"]
    allocation = request.memory_backing.allocation
    if allocation is MemoryAllocation.IMMEDIATE or (huge and allocation is None):
        words.append("prealloc=on")
    return ",".join(words)


def _pins(request: GuestRequest, placement: Placement) -> Iterator[str]:
    """Comments that are commands once their first characters are gone."""
    yield "pins, once it runs; PID is that of its process:"
    yield r"""tid() { grep -lx "$1" /proc/"$PID"/task/*/comm | cut -d/ -f5; }"""
    if placement.emulator:
        yield f'taskset -a -cp {placement.emulator} "$PID"'
    for vcpu, cpus in vcpu_pins(placement):
        if cpus:
            yield f"taskset -cp {cpus} \"$(tid 'CPU {vcpu}/KVM')\""
    for number, cpus in sorted(placement.iothreads):
        if cpus:
            yield f"taskset -cp {cpus} \"$(tid 'IO iothread{number}')\""
    if request.realtime is not None:
        for vcpu in sorted(request.realtime.vcpus):
            yield command("chrt", "-f", "-p", str(request.realtime.priority)) + f" \"$(tid 'CPU {vcpu}/KVM')\""
