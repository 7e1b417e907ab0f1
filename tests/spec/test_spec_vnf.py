import pytest

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    Affinity,
    CellRequest,
    Costs,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    HostPolicy,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    ThreadPolicy,
)
from numaplan.spec import vnf
from tests.spec.reading import PROFILES, guest, interface, read, refused, vm

GIB = 1 << 20

CONTRACT = """\
apiVersion: numaplan/v1
host:
  reserved_cpus: "0-1,64-65"
  shared_cpus: "2-3,66-67"
  shared_ratio: 4
  reserved_memory: 2GiB
  physnets: {phys0: [ens1f0, ens2f0]}
  costs: {vf: 10, cell: 10, memory_gib: 1}
defaults: {}
vms:
  - name: fw1
    profile: dpdk-forwarder
    count: 1
    required: true
    priority: 1
    vcpus: 8
    memory: 16GiB
    page_size: 4KiB
    memory_policy: strict
    cells: 1
    distinct_nodes: true
    cpu_policy: dedicated
    thread_policy: prefer
    emulator: {policy: share}
    iothreads: {count: 0, policy: share}
    interfaces:
      - {name: data, type: sriov, physnet: phys0, count: 2, affinity: required, mbps: 0, distinct_pfs: false,
         mac: null, vlan: null, trust: null}
      - {name: mgmt, type: virtio, bridge: br-mgmt, queues: null}
    devices: []
    affinity: []
    anti_affinity: []
"""

LEAST = """\
apiVersion: numaplan/v1
host: {physnets: {phys0: [ens1f0, ens2f0]}}
vms:
  - name: fw1
    vcpus: 8
    memory: 16GiB
    interfaces: [{name: data, type: sriov, physnet: phys0}]
"""


def ids(*numbers: int) -> tuple[VcpuId, ...]:
    return tuple(VcpuId(number) for number in numbers)


def test_the_file_of_the_contract_is_read_in_full() -> None:
    profiles = {"dpdk-forwarder": (PROFILES / "dpdk-forwarder.yaml").read_text()}
    request = read(CONTRACT, profiles=profiles)
    assert request.policy == HostPolicy(
        CpuSet.parse("0-1,64-65"),
        CpuSet.parse("2-3,66-67"),
        4,
        2 * GIB,
        (("phys0", ("ens1f0", "ens2f0")),),
        Costs(10, 10, 1),
    )
    assert request.guests == (
        GuestRequest(
            name="fw1",
            vm="fw1",
            cells=(CellRequest(ids(*range(8)), 16 * GIB, PageSize.SMALL, MemoryPolicy.STRICT),),
            dedicated_vcpus=frozenset(ids(*range(8))),
            interfaces=(
                InterfaceRequest("data", InterfaceType.SRIOV, physnet="phys0", count=2),
                InterfaceRequest("mgmt", InterfaceType.VIRTIO, bridge="br-mgmt"),
            ),
        ),
    )


def test_what_is_not_said_is_as_the_contract_shows_it() -> None:
    least = read(LEAST)
    assert least.policy == HostPolicy(physnets=(("phys0", ("ens1f0", "ens2f0")),))
    assert least.policy.reserved_memory_kib == 2 * GIB
    (fw1,) = least.guests
    assert (fw1.required, fw1.priority, fw1.distinct_nodes) == (True, 1, True)
    assert (fw1.cpu_policy, fw1.thread_policy) == (CpuPolicy.DEDICATED, ThreadPolicy.PREFER)
    assert (fw1.emulator, fw1.emulator_cpus) == (EmulatorPolicy.SHARE, 0)
    assert (fw1.iothreads, fw1.iothread_policy) == (0, IothreadPolicy.SHARE)
    assert fw1.cells == (CellRequest(ids(*range(8)), 16 * GIB, PageSize.SMALL, MemoryPolicy.STRICT),)
    assert fw1.interfaces == (InterfaceRequest("data", InterfaceType.SRIOV, physnet="phys0"),)
    assert fw1.interfaces[0].affinity is Affinity.REQUIRED
    assert (fw1.devices, fw1.affinity, fw1.anti_affinity) == ((), (), ())


def test_the_form_of_the_file_is_the_one_there_is_where_it_is_not_said() -> None:
    said = "apiVersion: numaplan/v1\n"
    for left_out in ("", "apiVersion: null\n"):
        assert read(vm().replace(said, left_out)) == read(vm())


def test_host_and_defaults_may_be_absent_null_or_empty() -> None:
    body = "vms: [{name: a, vcpus: 1, memory: 1GiB}]\n"
    for parts in ("", "host:\ndefaults:\n", "host: null\ndefaults: ~\n", "host: {}\ndefaults: {}\n"):
        assert read(f"apiVersion: numaplan/v1\n{parts}{body}").policy == HostPolicy()


def test_cpu_sets_of_the_host_are_none_where_not_named_and_empty_where_named_empty() -> None:
    assert read(vm(host="{}")).policy.reserved_cpus is None
    assert read(vm(host="{reserved_cpus: null}")).policy.reserved_cpus is None
    assert read(vm(host='{reserved_cpus: ""}')).policy.reserved_cpus == EMPTY


def test_reserved_memory_may_be_nothing() -> None:
    for zero in ("0", "0KiB", "0GiB", '"0"'):
        assert read(vm(host=f"{{reserved_memory: {zero}}}")).policy.reserved_memory_kib == 0


def test_a_vm_has_its_own_keys_over_its_profile_over_defaults() -> None:
    profile = "apiVersion: numaplan/v1\nkind: GuestProfile\nspec: {thread_policy: require, page_size: 2MiB}\n"
    text = vm("profile: p\npage_size: 1GiB", defaults="{thread_policy: isolate, page_size: any, priority: 7}")
    (fw1,) = read(text, profiles={"p": profile}).guests
    assert fw1.cells[0].page_size is PageSize.HUGE_1G
    assert fw1.thread_policy is ThreadPolicy.REQUIRE
    assert fw1.priority == 7


def test_maps_are_merged_deep_and_lists_replaced() -> None:
    defaults = (
        "{emulator: {policy: set, cpus: 2}, iothreads: {count: 3}, affinity: [x], devices: [{name: d, address: 1:0.0}]}"
    )
    defaults = defaults.replace("1:0.0", "01:00.0")
    text = vm("emulator: {cpus: 3}\niothreads: {policy: dedicated}\naffinity: [y]", defaults=defaults)
    (fw1,) = read(text, known_guests=("x", "y")).guests
    assert (fw1.emulator, fw1.emulator_cpus) == (EmulatorPolicy.SET, 3)
    assert (fw1.iothreads, fw1.iothread_policy) == (3, IothreadPolicy.DEDICATED)
    assert fw1.affinity == ("y",)
    assert [device.name for device in fw1.devices] == ["d"]


def test_a_null_takes_away_what_lies_below() -> None:
    fw1 = guest("thread_policy: null\niothreads: ~\naffinity:", defaults="{thread_policy: isolate, iothreads: 2}")
    assert fw1.thread_policy is ThreadPolicy.PREFER
    assert fw1.iothreads == 0


def test_what_an_upper_layer_makes_meaningless_is_left_out() -> None:
    defaults = "{emulator: {policy: set, cpus: 2}, cpu_policy: mixed, dedicated_vcpus: 0-1, vcpus: 3, memory: 3GiB}"
    keys = "emulator: {policy: isolate}\ncpu_policy: shared\ncells: [{vcpus: 4, memory: 8GiB}]"
    text = vm(keys, defaults=defaults).replace("    vcpus: 8\n    memory: 16GiB\n", "")
    (fw1,) = read(text).guests
    assert (fw1.emulator, fw1.emulator_cpus) == (EmulatorPolicy.ISOLATE, 1)
    assert (fw1.cpu_policy, fw1.dedicated_vcpus) == (CpuPolicy.SHARED, frozenset())
    assert (fw1.vcpus, fw1.memory_kib) == (4, 8 * GIB)


def test_defaults_may_name_the_profile_and_a_vm_may_refuse_it() -> None:
    profile = "apiVersion: numaplan/v1\nkind: GuestProfile\nspec: {thread_policy: require}\n"
    for keys, policy in (("", ThreadPolicy.REQUIRE), ("profile: null", ThreadPolicy.PREFER)):
        (fw1,) = read(vm(keys, defaults="{profile: p}"), profiles={"p": profile}).guests
        assert fw1.thread_policy is policy


def test_copies_are_numbered_from_one_and_keep_the_name_of_their_vm() -> None:
    guests = read(vm("count: 3")).guests
    assert [(each.name, each.vm) for each in guests] == [("fw1-1", "fw1"), ("fw1-2", "fw1"), ("fw1-3", "fw1")]


def test_a_partner_is_all_copies_of_a_vm_or_one_copy_or_a_guest_of_the_host() -> None:
    text = (
        vm("count: 2\nanti_affinity: [fw1, old, db]\naffinity: [db]")
        + "  - {name: db, vcpus: 2, memory: 1GiB, affinity: [fw1-2, fw1, fw1-1]}\n"
    )
    first, second, third = read(text, known_guests=("old",)).guests
    assert first.anti_affinity == ("fw1-2", "old", "db")
    assert second.anti_affinity == ("fw1-1", "old", "db")
    assert first.affinity == second.affinity == ("db",)
    assert third.affinity == ("fw1-2", "fw1-1")


def test_a_partner_may_be_declared_later_and_be_wanted_near_and_far() -> None:
    text = vm("affinity: [late]\nanti_affinity: [late]") + "  - {name: late, vcpus: 1, memory: 1GiB}\n"
    assert read(text).guests[0].affinity == read(text).guests[0].anti_affinity == ("late",)


def test_a_number_of_cells_splits_evenly_with_contiguous_vcpus() -> None:
    assert guest("cells: 2\npage_size: 2MiB").cells == (
        CellRequest(ids(0, 1, 2, 3), 8 * GIB, PageSize.HUGE_2M, MemoryPolicy.STRICT),
        CellRequest(ids(4, 5, 6, 7), 8 * GIB, PageSize.HUGE_2M, MemoryPolicy.STRICT),
    )


def test_a_list_of_cells_counts_its_vcpus_on_and_takes_over_what_it_does_not_say() -> None:
    text = vm(
        "page_size: large\nmemory_policy: preferred\n"
        "cells: [{vcpus: 3, memory: 6GiB}, {vcpus: 5, memory: 10GiB, page_size: 1GiB, memory_policy: strict}]"
    )
    assert read(text).guests[0].cells == (
        CellRequest(ids(0, 1, 2), 6 * GIB, PageSize.LARGE, MemoryPolicy.PREFERRED),
        CellRequest(ids(3, 4, 5, 6, 7), 10 * GIB, PageSize.HUGE_1G, MemoryPolicy.STRICT),
    )
    assert read(text.replace("    vcpus: 8\n    memory: 16GiB\n", "")).guests == read(text).guests


def test_a_list_of_cells_may_name_its_vcpus() -> None:
    cells = guest("cells:\n- {vcpus: '0,2-3', memory: 8GiB}\n- vcpus: 1,4-7\n  memory: 8GiB").cells
    assert [cell.vcpus for cell in cells] == [ids(0, 2, 3), ids(1, 4, 5, 6, 7)]


def test_memory_that_is_no_multiple_of_its_page_is_no_mistake_of_the_file() -> None:
    assert guest("memory: 1537MiB\npage_size: 1GiB").memory_kib == 1537 << 10


def test_cpu_policy_says_which_vcpus_are_dedicated() -> None:
    assert guest().dedicated_vcpus == frozenset(range(8))
    assert guest("cpu_policy: shared").dedicated_vcpus == frozenset()
    assert guest("cpu_policy: mixed\ndedicated_vcpus: 0-5").dedicated_vcpus == frozenset(range(6))
    assert guest("cpu_policy: mixed\ndedicated_vcpus: 0").dedicated_vcpus == frozenset({0})


def test_emulator_and_iothreads_have_short_forms() -> None:
    assert guest("emulator: isolate") == guest("emulator: {policy: isolate}")
    assert guest("emulator: isolate").emulator_cpus == 1
    assert guest("iothreads: 2") == guest("iothreads: {count: 2}")
    assert guest("iothreads: {count: 1, policy: dedicated}").iothread_policy is IothreadPolicy.DEDICATED


def test_vfs_are_chosen_by_physnet_by_pf_or_by_ids() -> None:
    assert interface("physnet: phys0, vendor: 8086").vendor == "8086"
    assert interface("pf: ens9f0").pf == "ens9f0"
    assert interface("pf: ens9f0").vf_indexes is None
    ranged = interface("pf: ens9f0#0-3,6, mac: 52:54:00:AB:cd:01".replace("3,6", "3"))
    assert (ranged.pf, ranged.vf_indexes, ranged.mac) == ("ens9f0", frozenset(range(4)), "52:54:00:ab:cd:01")
    assert interface('pf: "ens9f0#0-3,6"').vf_indexes == frozenset({0, 1, 2, 3, 6})
    by_id = interface("vendor: 0x8086, device: 10ED")
    assert (by_id.vendor, by_id.device) == ("8086", "10ed")


def test_an_interface_without_a_type_is_sriov() -> None:
    assert interface("physnet: phys0").type is InterfaceType.SRIOV


def test_an_interface_carries_all_its_keys() -> None:
    keys = "physnet: phys0, count: 2, affinity: socket, mbps: 2500, distinct_pfs: true, vlan: 4094, trust: false"
    assert interface(keys) == InterfaceRequest(
        "data",
        InterfaceType.SRIOV,
        physnet="phys0",
        count=2,
        affinity=Affinity.SOCKET,
        mbps=2500,
        distinct_pfs=True,
        vlan=4094,
        trust=False,
    )
    virtio = interface("type: virtio, bridge: br0, queues: 4, mac: 52:54:00:00:00:01, count: 1")
    assert virtio == InterfaceRequest("data", InterfaceType.VIRTIO, bridge="br0", queues=4, mac="52:54:00:00:00:01")
    vhostuser = interface("type: vhostuser, bridge: br-dpdk, queues: 2, affinity: socket")
    assert vhostuser == InterfaceRequest(
        "data", InterfaceType.VHOSTUSER, bridge="br-dpdk", queues=2, affinity=Affinity.SOCKET
    )


def test_a_vf_must_be_near_and_a_port_need_not_unless_that_is_said() -> None:
    assert interface("physnet: phys0").affinity is Affinity.REQUIRED
    assert interface("physnet: phys0, affinity: null").affinity is Affinity.REQUIRED
    for kind in ("virtio", "vhostuser"):
        assert interface(f"type: {kind}, bridge: br0").affinity is Affinity.PREFERRED
        assert interface(f"type: {kind}").affinity is Affinity.PREFERRED
        assert interface(f"type: {kind}, bridge: br0, affinity: required").affinity is Affinity.REQUIRED


def test_the_overhead_of_a_guest_is_a_size_and_none_unless_it_is_given() -> None:
    assert read(vm()).policy.guest_overhead_kib == 0
    assert read(vm(host="{guest_overhead: 256MiB}")).policy.guest_overhead_kib == 256 << 10
    assert "host.guest_overhead: expected" in refused(vm(host="{guest_overhead: lots}"))


def test_devices_are_chosen_by_address_or_by_ids() -> None:
    devices = "devices: [{name: a, address: 0000:3B:00.1}, {name: b, vendor: 10de, device: 20b0, affinity: preferred}]"
    assert guest(devices).devices == (
        DeviceRequest("a", address=PciAddress(0, 0x3B, 0, 1)),
        DeviceRequest("b", vendor="10de", device="20b0", affinity=Affinity.PREFERRED),
    )


def test_an_interface_and_a_device_may_bear_one_name() -> None:
    fw1 = guest("interfaces: [{name: x, pf: ens1}]\ndevices: [{name: x, address: 01:00.0}]")
    assert (fw1.interfaces[0].name, fw1.devices[0].name) == ("x", "x")


def test_ten_thousand_guests_are_read_and_one_more_is_not() -> None:
    assert len(read(vm("count: 10000")).guests) == 10_000
    assert "more than 10,000 guests" in refused(vm("count: 9999") + "  - {name: b, vcpus: 1, memory: 1GiB, count: 2}\n")


def test_pairs_of_guests_are_bounded() -> None:
    assert len(read(vm("count: 1000\nanti_affinity: [fw1]")).guests[0].anti_affinity) == 999
    assert "more than 1,000,000 pairs" in refused(vm("count: 1001\nanti_affinity: [fw1]"))


def test_long_defaults_count_again_for_every_vm_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vnf, "MERGED_LIMIT", 50_000)
    defaults = "{vcpus: 1, memory: 1GiB, devices: [" + "".join(f"{{name: d{i}, address: 1:0.0}}," for i in range(250))
    vms = "".join(f"  - {{name: v{i}}}\n" for i in range(101))
    text = f"apiVersion: numaplan/v1\ndefaults: {defaults.replace('1:0.0', '01:00.0')}]}}\nvms:\n"
    assert "the vms say more than 50,000 values" in refused(text + vms)
    assert len(read(text + vms[: vms.index("  - {name: v2}")]).guests) == 2


def test_physnets_are_sorted_and_keep_the_order_of_their_pfs() -> None:
    physnets = read(vm(host="{physnets: {b: [ens2, ens1, ens2], a: [ens2]}}")).policy.physnets
    assert physnets == (("a", ("ens2",)), ("b", ("ens2", "ens1")))


@pytest.mark.parametrize(
    ("said", "name"), [("ens1f0", "ens1f0"), ("'0000:3b:00.0'", "0000:3b:00.0"), ("3B:00.0", "0000:3b:00.0")]
)
def test_a_pf_is_named_by_its_interface_or_by_its_address(said: str, name: str) -> None:
    read_one = read(
        vm(f"interfaces: [{{name: a, pf: {said}}}, {{name: b, physnet: p}}]", host=f"{{physnets: {{p: [{said}]}}}}")
    )
    assert read_one.guests[0].interfaces[0].pf == name
    assert read_one.policy.physnets == (("p", (name,)),)
