"""What a plan takes for granted of a host and its guests, as short facts: whether they still hold can be told later.

What changes by itself is no fact: free memory, counters, frequencies, threads' ids.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from numaplan.cpuset import CpuSet, format_id_list
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.fact import UNPINNED, GuestFact, HostFact, PartFact, fact_of
from numaplan.model.guest import Guest, MemoryBinding, VcpuId
from numaplan.model.host import NumaNode
from numaplan.model.plan import Basis, GuestFacts, Placement, Plan
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.units import format_count, format_size

Pair = tuple[str, str]

NONE: Final = "none"
# A value is told in a sentence: of what is longer, how many there are and a digest.
_LONGEST: Final = 240
_DIGITS: Final = 16


def basis_of(snapshot: Snapshot, xml: Mapping[str, tuple[Pair, ...]], plan: Plan) -> Basis:
    """What `plan` rests on, as `snapshot` has it; `xml` has the digests of the guests' XML (`domxml/digest.py`).

    Functions and bridges that the plan uses are told one by one, other VFs in one fact for each PF. Of a guest that the
    plan does not place its XML does not count.
    """
    used = _used(plan.placements)
    placed = {placement.vm for placement in plan.placements}
    request = plan.request
    devices: Iterable[Pair] = ()
    if request is not None:
        facts = host_facts(request, snapshot)
        bridges = _bridges(request, placed)
        devices = [*_device_facts(facts, used), *_bridge_facts(facts, bridges)]
    guests = _guests(snapshot, {name: digests for name, digests in xml.items() if name in placed})
    return Basis(_plain(*_host_facts(snapshot), *_pf_facts(snapshot, used), *devices), guests)


def fingerprint(snapshot: Snapshot) -> str:
    """A digest of every fact of the host and its guests that does not depend on the plan."""
    host = (*_host_facts(snapshot), *_pf_facts(snapshot, frozenset()))
    facts = [host, [(guest.name, guest.facts) for guest in _guests(snapshot, {})]]
    return "sha256:" + hashlib.sha256(_canonical(facts)).hexdigest()


def _plain(*facts: Pair) -> tuple[Pair, ...]:
    return tuple((str(what), value) for what, value in facts)


def _used(placements: Iterable[Placement]) -> frozenset[PciAddress]:
    return frozenset(one for placement in placements for functions in placement.functions for one in functions)


def _bridges(request: Request, placed: set[str]) -> list[str]:
    """The bridges that guests of the plan are plugged into."""
    ports = (port for guest in request.guests if guest.name in placed for port in guest.interfaces)
    return sorted({port.bridge for port in ports if port.type.is_port and port.bridge is not None})


def _host_facts(snapshot: Snapshot) -> Iterator[Pair]:
    host = snapshot.host
    if host.hostname is not None:
        yield HostFact.HOSTNAME, host.hostname
    if host.boot_id is not None:
        yield HostFact.BOOT_ID, host.boot_id
    yield HostFact.ONLINE, _ids(snapshot.cpus.online)
    yield HostFact.ISOLATED, _ids(snapshot.cpus.isolated)
    for package in snapshot.packages:
        if package.id is not None:
            yield fact_of(PartFact.CPUS, f"package {package.id}"), _ids(package.cpus)
    for node in snapshot.nodes:
        yield from _node_facts(node)
    if snapshot.llcs:
        caches = [f"L{llc.level} of {llc.cpus}" for llc in snapshot.llcs]
        yield HostFact.CACHES, _joined(caches, "cache")
    siblings = [str(core.cpus) for core in snapshot.cores if len(core.cpus) > 1]
    yield HostFact.SIBLINGS, _joined(siblings, "core")
    yield from _switch_facts(snapshot)


def _node_facts(node: NumaNode) -> Iterator[Pair]:
    part = f"node {node.id}"
    yield fact_of(PartFact.CPUS, part), _ids(node.cpus)
    if node.memory_kib is not None:
        yield fact_of(PartFact.MEMORY, part), "there" if node.memory_kib else NONE
    if node.distances:
        by_entry: dict[int, list[int]] = {}
        for other, entry in node.distances:
            by_entry.setdefault(entry, []).append(other)
        distances = [f"{entry} to node {format_id_list(others)}" for entry, others in sorted(by_entry.items())]
        yield fact_of(PartFact.DISTANCES, part), _joined(distances, "distance")
    for pool in node.hugepages:
        # What the kernel adds and takes back as it likes (nr_overcommit_hugepages) is no part of the pool.
        yield fact_of(f"{PartFact.PAGES} of {format_size(pool.size_kib)}", part), str(pool.total - pool.surplus)


def _switch_facts(snapshot: Snapshot) -> Iterator[Pair]:
    switch = snapshot.openvswitch
    if switch is None:
        return
    cpus = switch.polling_cpus
    if switch.has_dpdk:
        cpus |= (switch.pmd_cpus or CpuSet()) | (switch.lcore_cpus or CpuSet())
    yield HostFact.SWITCH_CPUS, _ids(cpus)
    memory = [f"{format_size(part.size_kib)} of node {part.node}" for part in switch.socket_memory if part.size_kib]
    yield HostFact.SWITCH_MEMORY, _joined(memory, "node")


def _pf_facts(snapshot: Snapshot, used: frozenset[PciAddress]) -> Iterator[Pair]:
    """Of every PF: who it is, how many VFs it has, and what kind those are that the plan does not use."""
    devices = {device.address: device for device in snapshot.pci}
    for pf in snapshot.pci:
        if pf.sriov is None:
            continue
        part = str(pf.address)
        if pf.netdevs:
            yield fact_of(PartFact.NAMES, part), ", ".join(pf.netdevs)
        if pf.driver is not None:
            yield fact_of(PartFact.DRIVER, part), pf.driver
        if pf.numa_node is not None:
            yield fact_of(PartFact.NODE, part), str(pf.numa_node)
        yield fact_of(PartFact.VFS, part), f"{pf.sriov.configured} of {pf.sriov.total}"
        others = [_folded(index, vf, devices.get(vf)) for index, vf in enumerate(pf.sriov.vfs) if vf not in used]
        if others:
            yield fact_of(PartFact.OTHER_VFS, part), _digested(others, "VF")


def _folded(index: int, address: PciAddress, vf: PciDevice | None) -> str:
    """Its driver is left out: it changes whenever a guest starts or stops that has nothing to do with the plan."""
    return f"{index} {address}" if vf is None else f"{index} {address} {vf.vendor}:{vf.device} {vf.iommu_group}"


def _device_facts(facts: HostFacts, used: frozenset[PciAddress]) -> Iterator[Pair]:
    """Everything about each function that the plan hands to a guest."""
    for address in sorted(used):
        device = facts.devices.get(address)
        if device is None:
            continue
        part = str(address)
        if device.physfn is not None:
            index = facts.vf_indexes.get(address)
            yield fact_of(PartFact.PF, part), f"{device.physfn}" + ("" if index is None else f", VF {index}")
        yield fact_of(PartFact.IDS, part), f"{device.vendor}:{device.device}"
        if device.driver is not None:
            yield fact_of(PartFact.DRIVER, part), device.driver
        node = facts.device_node(device)
        if node is not None:
            yield fact_of(PartFact.NODE, part), str(node)
        if device.iommu_group is not None:
            members = facts.groups.get(device.iommu_group, ())
            others = [
                str(other)
                for other in members
                if other != address and not (other in facts.devices and facts.devices[other].is_bridge)
            ]
            beside = f", with {_joined(others, 'other')}" if others else ""
            yield fact_of(PartFact.GROUP, part), f"{device.iommu_group}{beside}"
        yield fact_of(PartFact.USE, part), facts.busy_devices.get(address, NONE)


def _bridge_facts(facts: HostFacts, bridges: Iterable[str]) -> Iterator[Pair]:
    for bridge in bridges:
        node = facts.uplink_node(bridge)
        if node is not None:
            yield fact_of(PartFact.UPLINK, f"bridge {bridge}"), f"node {node}"


def _guests(snapshot: Snapshot, xml: Mapping[str, tuple[Pair, ...]]) -> tuple[GuestFacts, ...]:
    online = snapshot.cpus.online
    return tuple(
        GuestFacts(guest.name, _plain(*_guest_facts(guest, online)), xml.get(guest.name, ()))
        for guest in sorted(snapshot.guests, key=lambda guest: guest.name)
    )


def _guest_facts(guest: Guest, online: CpuSet) -> Iterator[Pair]:
    flags = (
        (GuestFact.RUNNING, guest.running),
        (GuestFact.PERSISTENT, guest.persistent),
        (GuestFact.MANAGED_SAVE, guest.managed_save),
    )
    if guest.uuid is not None:
        yield GuestFact.UUID, guest.uuid.lower()
    for fact, flag in flags:
        if flag is not None:
            yield fact, "yes" if flag else "no"
    vcpus = [(vcpu, guest.effective_vcpu_affinity(VcpuId(vcpu))) for vcpu in range(guest.vcpus)]
    iothreads = [(thread, guest.effective_iothread_affinity(thread)) for thread in guest.iothread_ids]
    emulator = guest.effective_emulator_affinity()
    affinities = (*(cpus for _, cpus in vcpus), emulator, *(cpus for _, cpus in iothreads))
    yield GuestFact.OWN_CPUS, _ids(CpuSet(cpus.lowest for cpus in affinities if cpus is not None and len(cpus) == 1))
    yield GuestFact.VCPUS, _threads(vcpus, online)
    yield GuestFact.EMULATOR, _affinity(emulator, online)
    if iothreads:
        yield GuestFact.IOTHREADS, _threads(iothreads, online)
    yield GuestFact.DEVICES, ", ".join(str(address) for address in sorted(set(guest.pci_addresses))) or NONE
    yield GuestFact.MEMORY, _memory(guest)


def _threads(threads: Iterable[tuple[int, CpuSet | None]], online: CpuSet) -> str:
    """Those that may run on the same CPUs together: "0 on 4, 1 on 5", "0-7 on any CPU"."""
    by_cpus: dict[str, list[int]] = {}
    for number, cpus in threads:
        by_cpus.setdefault(_affinity(cpus, online), []).append(number)
    return _joined([f"{format_id_list(numbers)} on {cpus}" for cpus, numbers in by_cpus.items()], "CPU set")


def _affinity(cpus: CpuSet | None, online: CpuSet) -> str:
    """Every CPU there is is as good as no pin: a thread without one has them all once it runs."""
    return UNPINNED if cpus is None or online <= cpus else _ids(cpus)


def _memory(guest: Guest) -> str:
    bindings = ([] if guest.memory is None else [guest.memory]) + list(guest.memnodes)
    return _joined([_binding(binding) for binding in bindings], "binding")


def _binding(binding: MemoryBinding) -> str:
    nodes = "automatic" if binding.nodes is None else f"node {format_id_list(binding.nodes)}"
    cell = "" if binding.cell is None else f"cell {binding.cell}: "
    return f"{cell}{binding.mode} on {nodes}"


def _ids(cpus: CpuSet) -> str:
    return str(cpus) or NONE


def _joined(parts: list[str], noun: str) -> str:
    """All of them, or how many they are and a digest where that would be too long to read."""
    text = ", ".join(parts) or NONE
    return text if len(text) <= _LONGEST else _digested(parts, noun)


def _digested(parts: list[str], noun: str) -> str:
    return f"{format_count(len(parts), noun)}, sha256 {hashlib.sha256(_canonical(parts)).hexdigest()[:_DIGITS]}"


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
