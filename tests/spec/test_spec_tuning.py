"""How a vm's vCPUs are scheduled, its memory held, and what it sees of the machine."""

import pytest

from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    CpuCache,
    DeviceLocality,
    Memballoon,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    Realtime,
)
from tests.spec.reading import guest, read, refused, vm

GIB = 1 << 20


def ids(*numbers: int) -> frozenset[VcpuId]:
    return frozenset(VcpuId(number) for number in numbers)


def test_without_a_word_all_is_as_the_xml_has_it_and_a_balloon_goes_with_huge_pages() -> None:
    least = guest()
    assert (least.realtime, least.memory_backing, least.cpu_cache) == (None, MemoryBackingRequest(), None)
    assert (least.memballoon, least.device_locality) == (Memballoon.AUTO, DeviceLocality.AUTO)
    nothing = "{nosharepages: false, locked: false, hard_limit: null, allocation: null, access: null}"
    assert guest(f"realtime: null\nmemory_backing: {nothing}\ncpu_cache: ~") == least


def test_what_is_said_is_read() -> None:
    assert guest('realtime: {vcpus: "1-3"}').realtime == Realtime(ids(1, 2, 3), 1)
    assert guest("realtime: {vcpus: 7, priority: 99}").realtime == Realtime(ids(7), 99)
    every = "{nosharepages: true, locked: true, hard_limit: 17GiB, allocation: immediate, access: private}"
    assert guest(f"memory_backing: {every}").memory_backing == MemoryBackingRequest(
        nosharepages=True,
        locked=True,
        hard_limit_kib=17 * GIB,
        allocation=MemoryAllocation.IMMEDIATE,
        access=MemoryAccess.PRIVATE,
    )
    assert guest("cpu_cache: emulate").cpu_cache is CpuCache.EMULATE
    assert guest("memballoon: keep").memballoon is Memballoon.KEEP
    assert guest("device_locality: never").device_locality is DeviceLocality.NEVER


def test_a_vm_adds_to_what_its_defaults_say_or_takes_it_away() -> None:
    defaults = "{realtime: {vcpus: '1-3', priority: 5}, memory_backing: {nosharepages: true}}"
    both = guest("realtime: {vcpus: 2}\nmemory_backing: {access: shared}", defaults=defaults)
    assert both.realtime == Realtime(ids(2), 5)
    assert (both.memory_backing.nosharepages, both.memory_backing.access) == (True, MemoryAccess.SHARED)
    assert guest("realtime: null", defaults=defaults).realtime is None


def test_realtime_vcpus_of_a_mixed_vm_are_dedicated_ones() -> None:
    mixed = 'cpu_policy: mixed\ndedicated_vcpus: "4-7"\nrealtime: {vcpus: "5-6"}'
    assert guest(mixed).realtime == Realtime(ids(5, 6))


def test_every_copy_has_the_same() -> None:
    first, second = read(vm("count: 2\nrealtime: {vcpus: 1}")).guests
    assert first.realtime == second.realtime == Realtime(ids(1))


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ('realtime: {vcpus: "1-9"}', "vnf.yaml:8:23: vms[0].realtime.vcpus: vCPU 9 does not exist, the vm has"),
        ("realtime: {vcpus: 1, priority: 0}", "realtime.priority: expected a whole number of 1 or more, found '0'"),
        ("realtime: {}", "vnf.yaml:8:15: vms[0].realtime.vcpus: is missing"),
        ("realtime: {vcpu: 1}", "vms[0].realtime.vcpu: unknown key; did you mean 'vcpus'?"),
        (
            'cpu_policy: mixed\ndedicated_vcpus: "0-3"\nrealtime: {vcpus: "3-4"}',
            "vnf.yaml:10:23: vms[0].realtime.vcpus: vCPU 4 has no CPU of its own: a realtime vCPU keeps others off",
        ),
        (
            "memory_backing: {hard_limit: 16GiB}",
            "vnf.yaml:8:34: vms[0].memory_backing.hard_limit: 16 GiB must be more than the vm's memory, 16 GiB;",
        ),
        (
            "page_size: large\nmemory_backing: {allocation: ondemand}",
            "vms[0].memory_backing.allocation: libvirt takes ondemand for ordinary pages alone, this vm has huge ones",
        ),
        (
            "interfaces: [{name: a, type: vhostuser}]\nmemory_backing: {access: private}",
            "vms[0].memory_backing.access: interface 'a' is of type vhostuser, which needs shared memory",
        ),
        ("memory_backing: {lock: true}", "vms[0].memory_backing.lock: unknown key; did you mean 'locked'?"),
        ("memory_backing: locked", "vms[0].memory_backing: expected a map of keys and values, found 'locked'"),
        ("cpu_cache: host", "vms[0].cpu_cache: expected passthrough, emulate or disable, found 'host'"),
        ("memballoon: no", "vms[0].memballoon: expected auto, none or keep, found 'no'"),
        ("device_locality: always", "vms[0].device_locality: expected auto or never, found 'always'"),
    ],
)
def test_a_mistake_is_named_at_its_place(keys: str, text: str) -> None:
    assert text in refused(vm(keys))


def test_pages_of_any_size_may_be_allocated_on_demand_until_it_is_known_which_they_are() -> None:
    asked = guest("page_size: any\nmemory_backing: {allocation: ondemand}").memory_backing
    assert asked.allocation is MemoryAllocation.ONDEMAND
