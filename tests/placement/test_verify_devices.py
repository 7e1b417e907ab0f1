"""VFs and devices: eligible, as filtered, near, fast enough, each once, and only with what they share a group with."""

from dataclasses import replace

import pytest

from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciAddress, PciDevice, Sriov
from numaplan.model.guest import Guest, GuestHostdev, GuestInterface
from numaplan.model.host import NodeId
from numaplan.model.plan import InterfacePlacement
from numaplan.model.request import Affinity, DeviceRequest, InterfaceRequest, InterfaceType, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verify import Violation
from tests.hosts import GIB, Nic, host
from tests.placement.verify_cases import POLICY, cell, found, guest, placed, sriov

# The PF of ens0 is 0000:10:00.0, its VFs 0000:11:00.0 ...; those of ens1 0000:20:00.0 and 0000:21:00.0 ...
NICS = (Nic("ens0", 0, 4), Nic("ens1", 1, 4, speed_mbps=10000))
HOST = host("2n:4c:2t", nics=NICS)
PHYSNETS = replace(POLICY, physnets=(("phys0", ("ens0",)), ("both", ("ens0", "ens1"))))
GPU = PciDevice(PciAddress.parse("0000:50:00.0"), "10de", "20b0", "030200", NodeId(1), "vfio-pci")


def asking(*interfaces: InterfaceRequest) -> Request:
    return Request(PHYSNETS, (guest("a", 1, interfaces=interfaces),))


def told(request: Request, snapshot: Snapshot, *vfs: str) -> list[tuple[str, str]]:
    wrong = found(request, snapshot, placed("a", cell(0, "2"), vfs=vfs))
    return [(violation.constraint, violation.sentence) for violation in wrong]


def changed(snapshot: Snapshot, address: str, **facts: object) -> Snapshot:
    devices = (
        replace(device, **facts) if str(device.address) == address else device  # type: ignore[arg-type]  # any field
        for device in snapshot.pci
    )
    return replace(snapshot, pci=tuple(devices))


def owner(address: str) -> Guest:
    return Guest("old", "old.xml", 1, GIB, interfaces=(GuestInterface("hostdev", 1, pci=PciAddress.parse(address)),))


def test_free_vfs_that_pass_the_filter_are_valid() -> None:
    assert told(asking(sriov(physnet="phys0", count=2)), HOST, "0000:11:00.0", "0000:11:00.1") == []


def test_what_is_no_configured_vf_is_told() -> None:
    for address in ("0000:11:00.7", "0000:10:00.0"):
        assert told(asking(sriov()), HOST, address) == [
            ("vf_eligible", f'VF {address} of guest "a" interface "data" is no configured VF of the host')
        ]


def test_a_vf_of_a_staying_guest_is_told() -> None:
    snapshot = replace(HOST, guests=(owner("0000:11:00.0"),))
    assert told(asking(sriov()), snapshot, "0000:11:00.0") == [
        ("vf_eligible", 'VF 0000:11:00.0 of guest "a" interface "data" is taken by guest "old"')
    ]


def test_a_guest_of_the_request_gives_its_vf_back() -> None:
    snapshot = replace(HOST, guests=(replace(owner("0000:11:00.0"), name="a"),))
    assert told(asking(sriov()), snapshot, "0000:11:00.0") == []


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (Link("vf0", addresses=True), "vf0 bears an address of the host"),
        (Link("vf0", master="br0"), "vf0 belongs to br0"),
    ],
)
def test_a_vf_that_the_host_uses_is_told(link: Link, why: str) -> None:
    vf = PciAddress.parse("0000:11:00.0")
    by_address = replace(HOST, links=(*HOST.links, replace(link, pci=vf)))
    by_name = changed(replace(HOST, links=(*HOST.links, link)), str(vf), netdevs=("vf0",))
    for snapshot in (by_address, by_name):
        assert told(asking(sriov()), snapshot, str(vf)) == [
            ("vf_eligible", f'VF {vf} of guest "a" interface "data" is in use by the host: {why}')
        ]


@pytest.mark.parametrize("driver", ["igb_uio", "uio_pci_generic"])
def test_a_vf_that_dpdk_drives_is_told_but_one_for_guests_is_not(driver: str) -> None:
    constraints = [
        constraint
        for constraint, _ in told(asking(sriov()), changed(HOST, "0000:11:00.0", driver=driver), "0000:11:00.0")
    ]
    assert constraints == ["vf_eligible"]
    assert told(asking(sriov()), changed(HOST, "0000:11:00.0", driver="vfio-pci"), "0000:11:00.0") == []


def test_a_pf_that_the_host_uses_may_still_lend_its_vfs() -> None:
    links = tuple(replace(link, addresses=True, master="br0") for link in HOST.links)
    assert told(asking(sriov()), replace(HOST, links=links), "0000:11:00.0") == []


@pytest.mark.parametrize(
    ("interface", "vf", "why"),
    [
        (sriov(physnet="phys0"), "0000:21:00.0", 'is on ens1; it needs physnet "phys0" (ens0)'),
        (sriov(pf="ens0"), "0000:21:00.0", "is on ens1; it needs ens0"),
        (sriov(pf="ens0", vf_indexes=frozenset({0, 1})), "0000:11:00.2", "has index 2; it needs one of [0, 1]"),
        (sriov(vendor="15b3"), "0000:11:00.0", "has vendor 8086; it needs 15b3"),
        (sriov(vendor="8086", device="1889"), "0000:11:00.0", "has device 154c; it needs 1889"),
    ],
)
def test_a_vf_that_the_filter_does_not_let_through_is_told(interface: InterfaceRequest, vf: str, why: str) -> None:
    assert told(asking(interface), HOST, vf) == [("vf_filter", f'VF {vf} of guest "a" interface "data" {why}')]


def test_a_vf_that_the_filter_lets_through_is_valid() -> None:
    for interface in (
        sriov(physnet="both"),
        sriov(pf="ens1", vf_indexes=frozenset({1})),
        sriov(vendor="8086", device="154C"),
    ):
        assert told(asking(interface), HOST, "0000:21:00.1") == []


class TestAffinity:
    @pytest.mark.parametrize("affinity", [Affinity.REQUIRED, Affinity.SOCKET])
    def test_a_vf_of_another_package_is_told(self, affinity: Affinity) -> None:
        where = 'VF 0000:21:00.0 of guest "a" interface "data" is at node 1'
        assert told(asking(sriov(affinity=affinity)), HOST, "0000:21:00.0") == [
            (
                "vf_affinity",
                f"{where}; affinity {affinity} needs it near the guest's nodes [0]",
            )
        ]

    def test_the_node_is_one_of_the_guests_and_preferred_asks_nothing(self) -> None:
        assert told(asking(sriov(affinity=Affinity.REQUIRED)), HOST, "0000:11:00.0") == []
        assert told(asking(sriov(affinity=Affinity.PREFERRED)), HOST, "0000:21:00.0") == []

    def test_another_node_of_the_package_is_near_enough_for_socket_alone(self) -> None:
        snapshot = host("2n:4c:2t", nics=NICS, nodes_per_package=2)
        assert told(asking(sriov(affinity=Affinity.SOCKET)), snapshot, "0000:21:00.0") == []
        wrong = told(asking(sriov(affinity=Affinity.REQUIRED)), snapshot, "0000:21:00.0")
        assert [constraint for constraint, _ in wrong] == ["vf_affinity"]

    def test_a_pf_whose_node_is_not_known_suits_preferred_alone(self) -> None:
        snapshot = host("2n:4c:2t", nics=[Nic("ens0", None, 1)])
        assert told(asking(sriov(affinity=Affinity.PREFERRED)), snapshot, "0000:11:00.0") == []
        for affinity in (Affinity.REQUIRED, Affinity.SOCKET):
            wrong = told(asking(sriov(affinity=affinity)), snapshot, "0000:11:00.0")
            assert [constraint for constraint, _ in wrong] == ["vf_affinity"]

    def test_the_node_of_the_pf_decides_not_that_of_the_vf(self) -> None:
        snapshot = changed(HOST, "0000:11:00.0", numa_node=None)
        assert told(asking(sriov(affinity=Affinity.REQUIRED)), snapshot, "0000:11:00.0") == []

    def test_any_cell_of_the_guest_will_do(self) -> None:
        request = Request(PHYSNETS, (guest("a", 1, cells=2, interfaces=(sriov(affinity=Affinity.REQUIRED),)),))
        cells = (cell(0, "2"), cell(1, "6", id_=1, first=1))
        assert not found(request, HOST, placed("a", *cells, emulator="1,5,9,13", vfs=["0000:21:00.0"]))


def test_more_bandwidth_than_the_link_has_is_told() -> None:
    request = asking(sriov(mbps=6000, count=2))
    assert told(request, HOST, "0000:21:00.0", "0000:21:00.1") == [
        ("vf_bandwidth", "PF 0000:20:00.0 has a link of 10000 Mbit/s; its VFs need 12000")
    ]
    assert told(request, HOST, "0000:11:00.0", "0000:11:00.1") == []


def test_an_unknown_link_speed_limits_nothing() -> None:
    snapshot = host("2n:4c:2t", nics=[Nic("ens0", 0, 2, speed_mbps=None)])
    assert told(asking(sriov(mbps=6000, count=2)), snapshot, "0000:11:00.0", "0000:11:00.1") == []


def test_two_vfs_of_one_pf_are_told_where_distinct_pfs_are_asked() -> None:
    request = asking(sriov(count=2, distinct_pfs=True))
    assert told(request, HOST, "0000:11:00.0", "0000:11:00.1") == [
        (
            "distinct_pfs",
            'PF 0000:10:00.0 has 2 VFs of guest "a" interface "data"; distinct_pfs needs at most 1',
        )
    ]
    assert told(request, HOST, "0000:11:00.0", "0000:21:00.0") == []


class TestIommuGroup:
    shared = host("2n:4c:2t", nics=[Nic("ens0", 0, 4, per_group=2)])

    def test_half_a_group_is_told(self) -> None:
        assert told(asking(sriov()), self.shared, "0000:11:00.0") == [
            (
                "iommu_group",
                '0000:11:00.0 of guest "a" shares its IOMMU group with 0000:11:00.1; it goes only together with 1 more',
            )
        ]

    def test_a_whole_group_for_one_guest_is_valid(self) -> None:
        assert told(asking(sriov(count=2)), self.shared, "0000:11:00.0", "0000:11:00.1") == []

    def test_a_group_divided_between_two_guests_is_told_of_both(self) -> None:
        request = Request(PHYSNETS, tuple(guest(name, 1, interfaces=(sriov(),)) for name in "ab"))
        wrong = found(
            request,
            self.shared,
            placed("a", cell(0, "2"), vfs=["0000:11:00.0"]),
            placed("b", cell(0, "3"), vfs=["0000:11:00.1"]),
        )
        assert [(violation.vm, violation.constraint) for violation in wrong] == [
            ("a", "iommu_group"),
            ("b", "iommu_group"),
        ]

    def test_a_bridge_in_the_group_does_not_count(self) -> None:
        bridge = PciDevice(PciAddress.parse("0000:0f:00.0"), "8086", "2030", "060400", iommu_group=IommuGroupId(1001))
        group = IommuGroup(IommuGroupId(1001), (bridge.address, PciAddress.parse("0000:11:00.0")))
        others = tuple(other for other in HOST.iommu_groups if other.id != group.id)
        snapshot = replace(HOST, pci=(bridge, *HOST.pci), iommu_groups=(*others, group))
        assert told(asking(sriov()), snapshot, "0000:11:00.0") == []

    def test_no_group_known_is_allowed(self) -> None:
        snapshot = replace(HOST, iommu_groups=(), pci=tuple(replace(device, iommu_group=None) for device in HOST.pci))
        assert told(asking(sriov()), snapshot, "0000:11:00.0") == []


def test_a_vf_given_twice_is_told() -> None:
    request = Request(PHYSNETS, tuple(guest(name, 1, interfaces=(sriov(),)) for name in "ab"))
    assert found(
        request,
        HOST,
        placed("a", cell(0, "2"), vfs=["0000:11:00.0"]),
        placed("b", cell(0, "3"), vfs=["0000:11:00.0"]),
    ) == (Violation("b", "vf_twice", '0000:11:00.0 is given 2 times, to guests "a", "b"; it can go to one'),)


def test_the_number_of_vfs_is_that_asked_for() -> None:
    assert told(asking(sriov(count=2)), HOST, "0000:11:00.0") == [
        ("interfaces", 'guest "a" interface "data" has 1 VF; it needs 2')
    ]


def test_an_interface_that_nobody_asked_for_is_told() -> None:
    assert told(asking(), HOST, "0000:11:00.0") == [
        ("interfaces", 'guest "a" interface "data" is planned 1 time; it was asked for 0 times')
    ]


def test_a_virtio_interface_may_be_named_without_vfs() -> None:
    request = asking(InterfaceRequest("data", InterfaceType.VIRTIO, bridge="br0"))
    assert told(request, HOST) == []
    assert not found(request, HOST, placed("a", cell(0, "2")))
    assert told(request, HOST, "0000:11:00.0") == [("interfaces", 'guest "a" interface "data" has 1 VF; it needs 0')]


class TestDevices:
    snapshot = replace(HOST, pci=(*HOST.pci, GPU))

    def told(self, wanted: DeviceRequest, snapshot: Snapshot, address: str = "0000:50:00.0") -> list[str]:
        request = Request(POLICY, (guest("a", 1, devices=(wanted,)),))
        wrong = found(request, snapshot, placed("a", cell(0, "2"), devices=[(wanted.name, address)]))
        prefix = f'device {address} of guest "a" device "gpu" '
        assert all(violation.constraint == "device" for violation in wrong)
        return [violation.sentence.removeprefix(prefix) for violation in wrong]

    @pytest.mark.parametrize(
        "wanted",
        [
            DeviceRequest("gpu", address=GPU.address, affinity=Affinity.PREFERRED),
            DeviceRequest("gpu", vendor="10de", device="20b0", affinity=Affinity.PREFERRED),
        ],
    )
    def test_a_free_device_is_valid(self, wanted: DeviceRequest) -> None:
        assert self.told(wanted, self.snapshot) == []

    @pytest.mark.parametrize(
        ("wanted", "why"),
        [
            (DeviceRequest("gpu", vendor="1002", affinity=Affinity.PREFERRED), "has vendor 10de; it needs 1002"),
            (
                DeviceRequest("gpu", address=PciAddress.parse("0000:51:00.0"), affinity=Affinity.PREFERRED),
                "is not the one asked for; it needs 0000:51:00.0",
            ),
            (
                DeviceRequest("gpu", vendor="10de"),
                "is at node 1; affinity required needs it near the guest's nodes [0]",
            ),
        ],
    )
    def test_a_device_that_is_not_as_asked_is_told(self, wanted: DeviceRequest, why: str) -> None:
        assert self.told(wanted, self.snapshot) == [why]

    @pytest.mark.parametrize(
        ("address", "why"),
        [
            ("0000:10:00.0", "has 4 configured VFs; it needs 0"),
            ("0000:99:00.0", "is not on the host"),
        ],
    )
    def test_a_function_that_is_no_device_for_guests_is_told(self, address: str, why: str) -> None:
        wanted = DeviceRequest("gpu", address=PciAddress.parse(address), affinity=Affinity.PREFERRED)
        assert self.told(wanted, self.snapshot, address) == [why]

    @pytest.mark.parametrize("shown", [True, False])
    def test_a_pf_whose_configured_vfs_are_said_or_shown_is_told(self, *, shown: bool) -> None:
        wanted = DeviceRequest("gpu", vendor="10de", affinity=Affinity.PREFERRED)
        vfs = (PciAddress.parse("0000:51:00.0"),)
        pf = replace(GPU, sriov=Sriov(8, 0, vfs) if shown else Sriov(8, 1, ()))
        snapshot = replace(HOST, pci=(*HOST.pci, pf))
        assert self.told(wanted, snapshot) == ["has 1 configured VF; it needs 0"]
        assert self.told(wanted, replace(HOST, pci=(*HOST.pci, replace(GPU, sriov=Sriov(8, 0, ()))))) == []

    def test_a_vf_that_is_no_network_port_can_be_asked_for_as_a_device(self) -> None:
        wanted = DeviceRequest("qat", vendor="8086", affinity=Affinity.PREFERRED)
        assert self.told(wanted, self.snapshot, "0000:11:00.0") == []

    def test_bridges_and_devices_that_the_host_or_a_staying_guest_uses_are_told(self) -> None:
        wanted = DeviceRequest("gpu", address=GPU.address, affinity=Affinity.PREFERRED)
        bridge = changed(self.snapshot, str(GPU.address), pci_class="060400")
        used = replace(self.snapshot, links=(*HOST.links, Link("eth9", pci=GPU.address, addresses=True)))
        old = Guest("old", "old.xml", 1, GIB, hostdevs=(GuestHostdev(GPU.address, 1),))
        assert self.told(wanted, bridge) == ["is a bridge"]
        assert self.told(wanted, used) == ["is in use by the host: eth9 bears an address of the host"]
        assert self.told(wanted, replace(self.snapshot, guests=(old,))) == ['is taken by guest "old"']

    def test_every_device_asked_for_must_be_planned(self) -> None:
        request = Request(POLICY, (guest("a", 1, devices=(DeviceRequest("gpu", vendor="10de"),)),))
        assert found(request, self.snapshot, placed("a", cell(0, "2"))) == (
            Violation("a", "device", 'guest "a" has 0 devices "gpu"; it needs 1'),
        )


def test_the_planned_interfaces_are_matched_by_name() -> None:
    request = asking(sriov("data", physnet="phys0"), sriov("more", pf="ens1"))
    plan = placed("a", cell(0, "2"), vfs=["0000:11:00.0"])
    more = InterfacePlacement("more", (PciAddress.parse("0000:21:00.0"),))
    assert not found(request, HOST, replace(plan, interfaces=(*plan.interfaces, more)))
    data, other = (replace(each, name=name) for each, name in ((more, "data"), (plan.interfaces[0], "more")))
    wrong = found(request, HOST, replace(plan, interfaces=(data, other)))
    assert {violation.constraint for violation in wrong} == {"vf_filter"}
