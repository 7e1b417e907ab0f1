"""A guest's devices, its machine and its owner, as its domain XML says them."""

import pytest

from numaplan.domxml.metadata import OWNERS
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, GuestController, Owner
from tests.domxml.reading import read, refusal

# Devices


def test_controllers_are_read_with_the_node_and_the_bus_of_an_expander() -> None:
    guest = read(
        devices=(
            "<controller type='pci' index='0' model='pcie-root'/>",
            "<controller type='pci' index='1' model='pcie-expander-bus'>",
            "<target busNr='0xfe'><node>1</node></target>",
            "<address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></controller>",
            "<controller type='pci' index='2' model='pcie-root-port'>",
            "<target chassis='2' port='0x0'><node/></target><address type='pci' bus='0x01'/></controller>",
            "<controller type='scsi' index='0'><target busNr='7'><node>1</node></target></controller>",
            "<controller type='usb' model=''/>",
            "<controller index='x'/>",
        )
    )
    assert guest.controllers == (
        GuestController("pci", 4, 0, "pcie-root"),
        GuestController("pci", 5, 1, "pcie-expander-bus", CellId(1), 254, PciAddress(0, 0, 2, 0)),
        GuestController("pci", 8, 2, "pcie-root-port", address=PciAddress(0, 1, 0, 0)),
        GuestController("scsi", 10, 0),
        GuestController("usb", 11),
        GuestController("ide", 12),
    )


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("<target busNr='x'/>", "busNr of <target> is 'x'"),
        ("<target busNr='256'/>", "busNr of <target> is '256'"),
        ("<target><node>-1</node></target>", "<node> of <target> is '-1'"),
        ("<address type='pci' slot='0x20'/>", "slot of <address> is '0x20'"),
    ],
)
def test_an_expander_bus_of_no_node_or_bus_is_refused(target: str, text: str) -> None:
    assert text in refusal(devices=(f"<controller type='pci'>{target}</controller>",))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("<address type='pci' bus='3'/>", PciAddress(0, 3, 0, 0)),
        ("<address type='pci'/>", None),
        ("<address type='pci' domain='0' bus='0' slot='0' function='1'/>", None),
        ("<address type='ccw' cssid='0xfe'/>", None),
        ("<address bus='3'/>", None),
        ("", None),
    ],
)
def test_a_devices_own_address_is_one_that_libvirt_need_not_choose(address: str, found: PciAddress | None) -> None:
    source = "<source><address type='pci' bus='0x3b'/></source>"
    guest = read(
        devices=(
            f"<interface type='hostdev' managed='no'>{source}{address}</interface>",
            f"<hostdev type='pci' managed='yes'>{source}{address}</hostdev>",
            f"<interface type='bridge' managed='yes'>{address}</interface>",
            f"<hostdev type='pci' managed='perhaps'>{source}{address}</hostdev>",
        )
    )
    assert {each.address for each in guest.interfaces} == {each.address for each in guest.hostdevs} == {found}
    assert [each.managed for each in guest.interfaces] == [False, None]
    assert [each.managed for each in guest.hostdevs] == [True, False]


@pytest.mark.parametrize(
    ("devices", "model"),
    [
        ((), None),
        (("<memballoon model='none'/>",), "none"),
        (("<memballoon model='virtio'><stats period='5'/></memballoon>",), "virtio"),
        (("<memballoon/>",), None),
    ],
)
def test_no_word_on_a_balloon_is_another_thing_than_no_balloon(devices: tuple[str, ...], model: str | None) -> None:
    assert read(devices=devices).memballoon == model


# The machine


def test_machine_cpu_and_emulator_are_read_word_for_word() -> None:
    guest = read(
        "<os><type arch='x86_64' machine='pc-q35-8.2'>hvm</type></os>",
        "<cpu mode='host-passthrough'><cache mode='passthrough'/></cpu>",
        devices=("<emulator>/usr/bin/qemu-system-x86_64</emulator>",),
    )
    assert (guest.architecture, guest.machine) == ("x86_64", "pc-q35-8.2")
    assert (guest.cpu_mode, guest.cpu_cache) == ("host-passthrough", "passthrough")
    assert guest.emulator == "/usr/bin/qemu-system-x86_64"


@pytest.mark.parametrize(
    ("cpu", "mode"),
    [
        ("<cpu match='exact'><model>core2duo</model></cpu>", "custom"),
        ("<cpu mode='host-model'><model>core2duo</model></cpu>", "host-model"),
        ("<cpu><topology sockets='1' cores='1' threads='1'/></cpu>", None),
        ("<cpu><model/></cpu>", None),
    ],
)
def test_a_cpu_model_without_a_mode_is_a_custom_one(cpu: str, mode: str | None) -> None:
    assert read(cpu).cpu_mode == mode


# Whose guest it is

NOVA = (
    '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">'
    '<nova:package version="25.1.0"/></nova:instance>'
)


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        (f"<metadata>{NOVA}</metadata>", Owner.NOVA),
        (f"<metadata>{NOVA.replace('1.1', '1.0')}</metadata>", Owner.NOVA),
        ("<metadata xmlns:o='http://ovirt.org/vm/tune/1.0'><o:qos/></metadata>", Owner.OVIRT),
        ("<metadata><ovirt-vm:vm xmlns:ovirt-vm='http://ovirt.org/vm/1.0'/></metadata>", Owner.OVIRT),
        ('<metadata><kubevirt xmlns="http://kubevirt.io"><uid/></kubevirt></metadata>', Owner.KUBEVIRT),
        (f"<metadata><a xmlns='urn:a'>{NOVA}</a></metadata>", None),
        ("<metadata xmlns:o='http://ovirt.org/vm/1.0'/>", None),
        ("<metadata><instance/></metadata>", None),
        (NOVA, None),
        ("<metadata><i:os xmlns:i='http://libosinfo.org/xmlns/libvirt/domain/1.0'/></metadata>", None),
    ],
)
def test_a_manager_is_known_by_the_namespace_of_its_metadata(metadata: str, owner: Owner | None) -> None:
    assert read(metadata).owner is owner


def test_every_manager_has_a_namespace_to_be_known_by() -> None:
    assert {owner for _, owner in OWNERS} == set(Owner)
