"""What guests, and a switch's polling threads, hold of a host: which CPUs, and which VFs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from numaplan.cpuset import CPU_LIMIT, EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import Guest
from numaplan.model.snapshot import Snapshot


class Role(StrEnum):
    """What a thread of a guest does."""

    VCPU = "vCPU"
    EMULATOR = "emulator"
    IOTHREAD = "iothread"


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of the guest at place `guest` in the snapshot, and where its XML lets it run; None: anywhere.

    `cpu` is the one that it holds: its only one that is online, or at all.
    """

    guest: int
    role: Role
    number: int
    affinity: CpuSet | None
    cpu: CpuId | None

    @property
    def words(self) -> str:
        """``vCPU 3``, ``emulator``."""
        return self.role.value if self.role is Role.EMULATOR else f"{self.role.value} {self.number}"


@dataclass(frozen=True, slots=True)
class Holding:
    """Who is where: `holders` have the threads whose only CPU it is, `floaters` the guests that may run on it too.

    A thread that may run on every online CPU is in neither. `threads` are all of them, guest by guest.
    """

    threads: tuple[tuple[Thread, ...], ...]
    holders: Mapping[CpuId, tuple[Thread, ...]]
    floaters: Mapping[CpuId, tuple[int, ...]]
    taken: CpuSet

    def guests_on(self, cpu: CpuId) -> tuple[int, ...]:
        """Places of the guests that hold it."""
        return tuple(sorted({thread.guest for thread in self.holders.get(cpu, ())}))

    def held_by(self, guest: int) -> CpuSet:
        """The CPUs that a guest holds."""
        return CpuSet(thread.cpu for thread in self.threads[guest] if thread.cpu is not None)


def holding(snapshot: Snapshot) -> Holding:
    """From the guests' XML: what they ask for whenever they run, be it now or not."""
    online = snapshot.cpus.online
    threads = tuple(tuple(_threads(guest, place, online)) for place, guest in enumerate(snapshot.guests))
    holders: dict[CpuId, list[Thread]] = {}
    floaters: dict[CpuId, list[int]] = {}
    for place, of_guest in enumerate(threads):
        # Many threads have one affinity; each is looked at once.
        loose = {thread.affinity for thread in of_guest if thread.affinity is not None and thread.cpu is None}
        for cpu in {cpu for cpus in loose if not online <= cpus for cpu in cpus}:
            floaters.setdefault(cpu, []).append(place)
        for thread in of_guest:
            if thread.cpu is not None:
                holders.setdefault(thread.cpu, []).append(thread)
    return Holding(
        threads,
        {cpu: tuple(found) for cpu, found in holders.items()},
        {cpu: tuple(found) for cpu, found in floaters.items()},
        CpuSet(holders),
    )


def polling_cpus(snapshot: Snapshot) -> CpuSet:
    """CPUs that Open vSwitch's poll-mode threads burn."""
    return EMPTY if snapshot.openvswitch is None else snapshot.openvswitch.polling_cpus


def _threads(guest: Guest, place: int, online: CpuSet) -> Iterator[Thread]:
    def thread(role: Role, number: int, affinity: CpuSet | None) -> Thread:
        found = (affinity, affinity & online) if affinity is not None else ()
        return Thread(place, role, number, affinity, next((cpus.lowest for cpus in found if len(cpus) == 1), None))

    # Built in reverse so that the first of two pins of one vCPU counts, as it does for `Guest.vcpu_affinity`.
    vcpus = {int(pin.vcpu): pin.cpus for pin in reversed(guest.vcpu_pins)}
    for number in range(min(guest.vcpus, CPU_LIMIT)):
        yield thread(Role.VCPU, number, vcpus.get(number, guest.vcpu_cpuset))
    yield thread(Role.EMULATOR, 0, guest.emulator_affinity())
    iothreads = {int(pin.iothread): pin.cpus for pin in reversed(guest.iothread_pins)}
    for number in guest.iothread_ids[:CPU_LIMIT]:
        yield thread(Role.IOTHREAD, number, iothreads.get(number, guest.vcpu_cpuset))


def device_owners(snapshot: Snapshot) -> Mapping[PciAddress, tuple[int, ...]]:
    """Places of the guests that each PCI function is handed to."""
    owners: dict[PciAddress, list[int]] = {}
    for place, guest in enumerate(snapshot.guests):
        for address in dict.fromkeys(guest.pci_addresses):
            owners.setdefault(address, []).append(place)
    return {address: tuple(places) for address, places in owners.items()}


def used_vfs(snapshot: Snapshot, device: PciDevice, owners: Mapping[PciAddress, tuple[int, ...]]) -> int | None:
    """How many of its VFs guests hold; None where that cannot be told."""
    sriov = device.sriov
    # Without any guest we cannot tell whether there is none or nobody looked; of a guest that is a process and no
    # more, neither memory nor devices are known.
    looked = bool(snapshot.guests) and all(guest.memory_kib is not None for guest in snapshot.guests)
    if sriov is None or (sriov.configured and not looked):
        return None
    return sum(vf in owners for vf in sriov.vfs)
