"""A vm, merged and validated, to the guests that it asks for: what its keys must agree on, and its copies."""

from dataclasses import replace

from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    CellRequest,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
)
from numaplan.spec.cells import cells_of
from numaplan.spec.devices import InterfaceKeys
from numaplan.spec.models import VmKeys
from numaplan.spec.names import Names
from numaplan.spec.nodes import Mistake, YamlList, YamlMap
from numaplan.spec.tuning import memory_backing_of, realtime_of


def guests_of(vm: VmKeys, node: YamlMap, names: Names, mistakes: list[Mistake]) -> tuple[GuestRequest, ...]:
    """Its copies in order; () where it asks for nothing that can be had, with the reasons added to `mistakes`."""
    before = len(mistakes)
    cells = cells_of(vm, node, mistakes)
    dedicated = _dedicated_vcpus(vm, cells, node, mistakes)
    emulator_cpus = _emulator_cpus(vm, node, mistakes)
    _check_items(vm, node, mistakes)
    vcpus = sum(len(cell.vcpus) for cell in cells)
    realtime = realtime_of(vm.realtime, node, dedicated, vcpus, mistakes) if cells else None
    memory_backing = memory_backing_of(vm.memory_backing, node, cells, vm.interfaces, mistakes)
    if len(mistakes) > before:
        return ()
    guest = GuestRequest(
        name=vm.name,
        vm=vm.name,
        cells=cells,
        required=vm.required,
        priority=vm.priority,
        distinct_nodes=vm.distinct_nodes,
        cpu_policy=vm.cpu_policy,
        dedicated_vcpus=dedicated,
        thread_policy=vm.thread_policy,
        emulator=vm.emulator.policy,
        emulator_cpus=emulator_cpus,
        iothreads=vm.iothreads.count,
        iothread_policy=vm.iothreads.policy,
        interfaces=tuple(_interface(interface) for interface in vm.interfaces),
        devices=tuple(
            DeviceRequest(device.name, device.vendor, device.device, device.address, device.affinity)
            for device in vm.devices
        ),
        realtime=realtime,
        memory_backing=memory_backing,
        cpu_cache=vm.cpu_cache,
        memballoon=vm.memballoon,
        device_locality=vm.device_locality,
    )
    near, far = names.partners(vm.affinity), names.partners(vm.anti_affinity)
    return tuple(
        replace(
            guest,
            name=name,
            affinity=tuple(partner for partner in near if partner != name),
            anti_affinity=tuple(partner for partner in far if partner != name),
        )
        for name in names.copies(vm.name)
    )


def _dedicated_vcpus(
    vm: VmKeys, cells: tuple[CellRequest, ...], node: YamlMap, mistakes: list[Mistake]
) -> frozenset[VcpuId]:
    vcpus = frozenset(vcpu for cell in cells for vcpu in cell.vcpus)
    if vm.cpu_policy is not CpuPolicy.MIXED:
        if vm.dedicated_vcpus is not None:
            what = f"goes with cpu_policy mixed alone, this vm has {vm.cpu_policy}"
            _tell(node, "dedicated_vcpus", what, mistakes)
        return vcpus if vm.cpu_policy is CpuPolicy.DEDICATED else frozenset()
    if vm.dedicated_vcpus is None:
        _tell(node, "cpu_policy", 'mixed needs dedicated_vcpus, such as "0-5"', mistakes)
        return frozenset()
    chosen = frozenset(VcpuId(vcpu) for vcpu in vm.dedicated_vcpus)
    if cells and not chosen <= vcpus:
        what = f"vCPU {max(chosen - vcpus)} does not exist, the vm has vCPUs 0-{len(vcpus) - 1}"
        _tell(node, "dedicated_vcpus", what, mistakes)
    elif cells and chosen == vcpus:
        _tell(node, "dedicated_vcpus", "these are all of its vCPUs: that is cpu_policy dedicated", mistakes)
    return chosen


def _emulator_cpus(vm: VmKeys, node: YamlMap, mistakes: list[Mistake]) -> int:
    emulator = node.get("emulator")
    at = emulator if isinstance(emulator, YamlMap) else None
    policy, cpus = vm.emulator.policy, vm.emulator.cpus
    if policy is EmulatorPolicy.SET and cpus is None:
        _tell(
            at or node, "policy" if at else "emulator", "set needs cpus", mistakes, hint="write {policy: set, cpus: 2}"
        )
    elif policy is not EmulatorPolicy.SET and cpus is not None and at is not None:
        _tell(
            at,
            "cpus",
            f"goes with policy set alone, here it is {policy}",
            mistakes,
            hint="write {policy: set, cpus: 2}",
        )
    if policy is EmulatorPolicy.ISOLATE:
        return 1
    return cpus or 0


def _check_items(vm: VmKeys, node: YamlMap, mistakes: list[Mistake]) -> None:
    for key, names in (("interfaces", [i.name for i in vm.interfaces]), ("devices", [d.name for d in vm.devices])):
        taken: set[str] = set()
        for index, name in enumerate(names):
            if name in taken:
                _tell(_item(node, key, index), "name", f"another of the {key} is called {name!r}", mistakes)
            taken.add(name)
    macs: set[str] = set()
    for index, mac in enumerate(interface.mac for interface in vm.interfaces):
        if mac is None:
            continue
        if vm.count > 1:
            what = f"one MAC address cannot be that of {vm.count} copies"
            _tell(_item(node, "interfaces", index), "mac", what, mistakes, hint="give one vm for each")
        elif mac in macs:
            _tell(_item(node, "interfaces", index), "mac", "another interface of this vm has this address", mistakes)
        macs.add(mac)


def _interface(keys: InterfaceKeys) -> InterfaceRequest:
    return InterfaceRequest(
        name=keys.name,
        type=keys.type,
        physnet=keys.physnet,
        pf=None if keys.pf is None else keys.pf.name,
        vf_indexes=None if keys.pf is None else keys.pf.indexes,
        vendor=keys.vendor,
        device=keys.device,
        count=keys.count,
        affinity=keys.affinity or keys.type.default_affinity,
        mbps=keys.mbps,
        distinct_pfs=keys.distinct_pfs,
        mac=keys.mac,
        vlan=keys.vlan,
        trust=keys.trust,
        bridge=keys.bridge,
        queues=keys.queues,
    )


def _item(node: YamlMap, key: str, index: int) -> YamlMap:
    items = node.get(key)
    item = items.items[index] if isinstance(items, YamlList) else node
    return item if isinstance(item, YamlMap) else node


def _tell(node: YamlMap, key: str, what: str, mistakes: list[Mistake], *, hint: str | None = None) -> None:
    mistakes.append(Mistake(node.mark_of(key), node.path_of(key), what, hint))
