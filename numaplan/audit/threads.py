"""A guest's threads and cells, each with where it may run: what libvirt makes of the pins of a domain XML."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from numaplan.cpuset import CPU_LIMIT, CpuId, CpuSet
from numaplan.model.guest import CellId, Guest, MemoryBinding


class ThreadKind(StrEnum):
    """What a thread of QEMU does."""

    VCPU = "vCPU"
    EMULATOR = "emulator"
    IOTHREAD = "iothread"


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of the guest at index `guest`. `number` is 0 for the emulator.

    `affinity` is its pin, else ``<vcpu cpuset>``, None: nothing holds it; `known` False: numad decides at the start.
    `anywhere`: it may run on every online CPU, be it said or not. `cpu` is set where the affinity is one CPU.
    `shared`: the guest's metadata says that others use its CPU, too. `line` is that of the element that says all this.
    """

    guest: int
    kind: ThreadKind
    number: int
    affinity: CpuSet | None
    known: bool
    anywhere: bool
    cpu: CpuId | None
    shared: bool
    line: int


@dataclass(frozen=True, slots=True)
class CellView:
    """A guest cell; a guest without ``<numa>`` is one. `memory` is its memnode, else the guest's binding.

    `page_kib` is its page size: 4 without hugepages, None: the host's default huge size.
    """

    id: CellId
    vcpus: tuple[Thread, ...]
    memory: MemoryBinding | None
    memory_kib: int
    page_kib: int | None

    @property
    def subject(self) -> str:
        """How findings name it."""
        return f"cell {self.id}"

    @property
    def bound(self) -> tuple[Thread, ...]:
        """Its vCPUs that may not run everywhere."""
        return tuple(thread for thread in self.vcpus if not thread.anywhere)


@dataclass(frozen=True, slots=True)
class GuestView:
    """A guest and its threads, resolved."""

    guest: Guest
    vcpus: tuple[Thread, ...]
    emulator: Thread
    iothreads: tuple[Thread, ...]
    cells: tuple[CellView, ...]

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All of them."""
        return (*self.vcpus, self.emulator, *self.iothreads)

    @property
    def planned(self) -> bool:
        """Whether it bears numaplan's metadata: what its request said is then a decision, not an oversight."""
        return self.guest.thread_policy is not None


def view_guest(guest: Guest, index: int, online: CpuSet) -> GuestView:
    """Resolve the affinities (libvirt, formatdomain, "CPU Allocation" and "CPU Tuning").

    vCPUs above libvirt's own limits are left out, and so are pins of vCPUs that the guest does not have.
    """
    everything = _Affinities(guest, index, online)
    vcpus = tuple(everything.vcpus())
    return GuestView(guest, vcpus, everything.emulator(), tuple(everything.iothreads()), tuple(_cells(guest, vcpus)))


@dataclass(frozen=True, slots=True)
class _Affinities:
    guest: Guest
    index: int
    online: CpuSet

    def vcpus(self) -> Iterator[Thread]:
        pins = {int(pin.vcpu): pin for pin in reversed(self.guest.vcpu_pins)}
        shared = frozenset(self.guest.shared_vcpus)
        for number in range(min(self.guest.vcpus, CPU_LIMIT)):
            pin = pins.get(number)
            cpus, line = (None, 0) if pin is None else (pin.cpus, pin.line)
            yield self._thread(ThreadKind.VCPU, number, cpus, line=line, shared=number in shared)

    def emulator(self) -> Thread:
        pin = self.guest.emulator_pin
        cpus, line = (None, 0) if pin is None else (pin.cpus, pin.line)
        return self._thread(ThreadKind.EMULATOR, 0, cpus, line=line)

    def iothreads(self) -> Iterator[Thread]:
        pins = {int(pin.iothread): pin for pin in reversed(self.guest.iothread_pins)}
        for number in self.guest.iothread_ids[:CPU_LIMIT]:
            pin = pins.get(number)
            cpus, line = (None, 0) if pin is None else (pin.cpus, pin.line)
            yield self._thread(ThreadKind.IOTHREAD, number, cpus, line=line)

    def _thread(
        self, kind: ThreadKind, number: int, pinned: CpuSet | None, *, line: int, shared: bool = False
    ) -> Thread:
        guest = self.guest
        if pinned is None:
            # With placement "auto" libvirt ignores cpuset (formatdomain, "CPU Allocation").
            pinned = None if guest.auto_placement else guest.vcpu_cpuset
            line = guest.vcpu_line
            known = not guest.auto_placement
        else:
            known = True
        single = pinned is not None and len(pinned) == 1
        return Thread(
            guest=self.index,
            kind=kind,
            number=number,
            affinity=pinned,
            known=known,
            anywhere=pinned is None or (not single and len(self.online) > 0 and self.online <= pinned),
            cpu=pinned.lowest if pinned is not None and single else None,
            shared=shared,
            line=line,
        )


def _cells(guest: Guest, vcpus: tuple[Thread, ...]) -> Iterator[CellView]:
    if not guest.cells:
        whole = CellId(0)
        yield CellView(whole, vcpus, _binding(guest, whole), guest.memory_kib or 0, _page_kib(guest, whole))
        return
    for cell in guest.cells:
        own = tuple(vcpus[number] for number in cell.vcpus if 0 <= number < len(vcpus))
        yield CellView(cell.id, own, _binding(guest, cell.id), cell.memory_kib, _page_kib(guest, cell.id))


def _binding(guest: Guest, cell: CellId) -> MemoryBinding | None:
    return next((memnode for memnode in guest.memnodes if memnode.cell == cell), guest.memory)


def _page_kib(guest: Guest, cell: CellId) -> int | None:
    """The page element that names the cell, else the one that names none (libvirt, formatdomain, "Memory Backing")."""
    named = (page for page in guest.hugepages if page.cells is not None and cell in page.cells)
    general = (page for page in guest.hugepages if page.cells is None)
    page = next(named, None) or next(general, None)
    return 4 if page is None else page.size_kib
