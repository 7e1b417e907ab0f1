"""A domain XML as the model's Guest."""

import pytest

from numaplan.cpuset import CpuSet
from numaplan.domxml.numbers import unit_bytes
from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.model.devices import PciAddress
from numaplan.model.guest import (
    CellId,
    Guest,
    GuestCell,
    GuestHostdev,
    GuestInterface,
    GuestTopology,
    HugepageRequest,
    VcpuId,
)
from numaplan.model.guest import MemoryBinding as Binding
from numaplan.model.host import NodeId
from tests.domxml.reading import read

FULL = """<domain type='kvm' id='3'>
  <name>fw1</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata>
    <n:guest xmlns:n="urn:numaplan:1" thread_policy="isolate" shared_vcpus="6-7" loose_devices="0000:77:00.0"/>
  </metadata>
  <maxMemory slots='16' unit='GiB'>64</maxMemory>
  <memory unit='GiB'>16</memory>
  <currentMemory unit='KiB'>16777216</currentMemory>
  <memoryBacking>
    <hugepages>
      <page size='1' unit='G' nodeset='0'/>
      <page size='2048'/>
    </hugepages>
  </memoryBacking>
  <vcpu placement='static' cpuset='0-15,^3'>8</vcpu>
  <iothreads>3</iothreads>
  <iothreadids>
    <iothread id='4'/>
  </iothreadids>
  <cputune>
    <shares>2048</shares>
    <vcpupin vcpu='1' cpuset='5'/>
    <vcpupin vcpu='0' cpuset='4,36'/>
    <vcpupin vcpu='9' cpuset='4'/>
    <emulatorpin cpuset='0-3,^2'/>
    <iothreadpin iothread='4' cpuset='1'/>
  </cputune>
  <numatune>
    <memory nodeset='0-1'/>
    <memnode cellid='1' mode='preferred' nodeset='1'/>
    <memnode cellid='0' mode='strict' nodeset='0'/>
  </numatune>
  <cpu mode='host-passthrough'>
    <topology sockets='2' clusters='2' cores='1' threads='2'/>
    <numa>
      <cell id='1' cpus='4-5' memory='8' unit='GiB' memAccess='shared'/>
      <cell id='0' cpus='0-3' memory='8388608'/>
    </numa>
  </cpu>
  <devices>
    <interface type='hostdev' managed='yes'>
      <mac address='52:54:00:AA:00:01'/>
      <source>
        <address type='pci' domain='0x0000' bus='0x3b' slot='2' function='01'/>
      </source>
      <vlan><tag id='42'/></vlan>
      <alias name='ua-data'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </interface>
    <interface type='bridge'>
      <source bridge='br-mgmt'/>
      <alias name='net1'/>
      <vlan trunk='yes'><tag id='42'/><tag id='47'/></vlan>
    </interface>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/></source></hostdev>
    <hostdev type='pci'>
      <source><address domain='0x10000' bus='0x77' slot='0x00' function='0x0'/></source>
      <alias name='ua-qat'/>
    </hostdev>
  </devices>
</domain>
"""


PIN = "<cputune><emulatorpin cpuset='0'/></cputune>"


def vcpus(*numbers: int) -> tuple[VcpuId, ...]:
    return tuple(VcpuId(number) for number in numbers)


def test_everything_that_placement_cares_for_is_read_with_its_line() -> None:
    guest = read_guest(FULL.encode(), "fw1.xml")
    assert (guest.name, guest.uuid, guest.file) == ("fw1", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", "fw1.xml")
    assert (guest.vcpus, guest.vcpu_line, guest.memory_kib) == (8, 16, 16 << 20)
    assert guest.vcpu_cpuset == CpuSet.parse("0-2,4-15")
    assert [(pin.vcpu, str(pin.cpus), pin.line) for pin in guest.vcpu_pins] == [(0, "4,36", 24), (1, "5", 23)]
    assert guest.emulator_pin is not None
    assert (str(guest.emulator_pin.cpus), guest.emulator_pin.line) == ("0-1,3", 26)
    assert guest.iothreads == 3
    assert [(pin.iothread, str(pin.cpus)) for pin in guest.iothread_pins] == [(4, "1")]
    assert guest.memory == Binding(None, "strict", (NodeId(0), NodeId(1)), 30)
    assert guest.memnodes == (
        Binding(CellId(0), "strict", (NodeId(0),), 32),
        Binding(CellId(1), "preferred", (NodeId(1),), 31),
    )
    assert guest.hugepages == (HugepageRequest(1 << 20, (CellId(0),), 12), HugepageRequest(2048, None, 13))
    assert guest.topology == GuestTopology(2, 1, 2, 2)
    assert guest.cells == (
        GuestCell(CellId(0), vcpus(0, 1, 2, 3, 6, 7), 8 << 20, 38),
        GuestCell(CellId(1), vcpus(4, 5), 8 << 20, 37, "shared"),
    )
    assert guest.interfaces == (
        GuestInterface(
            "hostdev",
            42,
            "52:54:00:aa:00:01",
            "data",
            None,
            PciAddress.parse("0000:3b:02.1"),
            42,
            address=PciAddress.parse("0000:01:00.0"),
            managed=True,
        ),
        GuestInterface("bridge", 51, source="br-mgmt"),
    )
    assert guest.hostdevs == (GuestHostdev(PciAddress.parse("10000:77:00.0"), 57, "qat", managed=False),)
    assert (guest.thread_policy, guest.shared_vcpus) == ("isolate", (6, 7))
    assert guest.loose_devices == (PciAddress.parse("0000:77:00.0"),)
    assert guest.running is None


def test_the_hosts_end_of_an_interface_is_read_with_its_model_and_its_queues() -> None:
    tap = (
        "<interface type='bridge'><source bridge='br0'/><target dev='vnet3'/><model type='virtio'/>"
        "<driver name='vhost' queues='4'/></interface>"
    )
    vhost_user = (
        "<interface type='vhostuser'><source type='unix' path='/run/ovs/fw1-0' mode='server'/>"
        "<target dev='vhu0'/><model type='virtio-non-transitional'/><driver queues='0'/></interface>"
    )
    guest = read(devices=(tap, vhost_user))
    assert guest.interfaces == (
        GuestInterface("bridge", 4, source="br0", target="vnet3", model="virtio", queues=4),
        GuestInterface(
            "vhostuser", 5, source="/run/ovs/fw1-0", target="vhu0", socket="/run/ovs/fw1-0",
            model="virtio-non-transitional",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("interface", "socket", "queues"),
    [
        ("<interface type='vhostuser'><source path='/run/a'/></interface>", None, None),
        ("<interface type='bridge'><source type='unix' path='/run/a'/></interface>", None, None),
        ("<interface type='vhostuser'><source type='unix' path=''/></interface>", None, None),
        ("<interface type='bridge'><model type='e1000'/><driver queues='x'/></interface>", None, None),
        ("<interface type='bridge'><driver queues='4'/></interface>", None, None),
        ("<interface type='bridge'><model type='virtio'/><driver queues='-5'/></interface>", None, None),
        ("<interface type='bridge'><model type='virtio'/><driver name='vhost'/></interface>", None, None),
        ("<interface type='hostdev'><model type='virtio'/><driver queues='4'/></interface>", None, None),
    ],
)
def test_sockets_are_of_vhost_user_alone_and_queues_of_virtio(
    interface: str, socket: str | None, queues: int | None
) -> None:
    (found,) = read(devices=(interface,)).interfaces
    assert (found.socket, found.queues) == (socket, queues)


def test_a_domain_that_says_little_has_one_vcpu_and_nothing_made_up() -> None:
    assert read() == Guest("fw1", "fw1.xml", 1, 0)


def test_empty_elements_say_nothing() -> None:
    guest = read("<vcpu/>", "<memory/>", "<iothreads/>", "<cputune/>", "<numatune/>", "<memoryBacking/>", "<cpu/>")
    assert guest == Guest("fw1", "fw1.xml", 1, 0, vcpu_line=3)


def test_hugepages_without_a_page_mean_the_hosts_default_size_for_every_cell() -> None:
    guest = read("<memoryBacking><hugepages/></memoryBacking>")
    assert guest.hugepages == (HugepageRequest(None, None, 3),)


def test_a_guest_without_cells_may_call_itself_cell_0() -> None:
    pages = "<memoryBacking><hugepages><page size='2048' nodeset='0'/></hugepages></memoryBacking>"
    assert read(pages).hugepages == (HugepageRequest(2048, None, 3),)
    one_cell = "<cpu><numa><cell memory='1'/></numa></cpu>"
    assert read(pages, one_cell).hugepages == (HugepageRequest(2048, (CellId(0),), 3),)


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        (None, 1024), ("b", 1), ("bytes", 1), ("KB", 1000), ("k", 1024), ("KiB", 1024), ("kib", 1024),
        ("MB", 10**6), ("M", 1 << 20), ("MiB", 1 << 20), ("GB", 10**9), ("G", 1 << 30), ("GiB", 1 << 30),
        ("TB", 10**12), ("T", 1 << 40), ("TiB", 1 << 40), ("PiB", 1 << 50), ("EB", 10**18), ("furlong", None),
        ("KiBs", None), ("iB", None),
    ],
)  # fmt: skip
def test_memory_units_are_those_of_libvirt(unit: str | None, size: int | None) -> None:
    assert unit_bytes(unit) == size


@pytest.mark.parametrize(
    ("element", "size_kib"),
    [
        ("<memory>4</memory>", 4),
        ("<memory unit='b'>1025</memory>", 2),
        ("<memory unit='MB'>1</memory>", 977),
        ("<memory unit='GiB'>\n 2\n</memory>", 2 << 20),
        ("<memory unit='GiB'><![CDATA[2]]></memory>", 2 << 20),
        ("<memory unit='GiB'>1<!-- really -->6</memory>", 16 << 20),
        ("<!-- <memory>1</memory> --><memory>4</memory>", 4),
    ],
)
def test_memory_is_whole_kib_rounded_up(element: str, size_kib: int) -> None:
    assert read(element).memory_kib == size_kib


def test_memory_that_is_not_said_is_the_sum_of_cells_and_memory_devices() -> None:
    numa = "<numa><cell memory='1' unit='GiB'/><cell memory='2' unit='GiB'/></numa>"
    dimm = "<memory model='dimm'><target><size unit='MiB'>512</size><node>0</node></target></memory>"
    guest = read("<vcpu>4</vcpu>", f"<cpu>{numa}</cpu>", devices=(dimm,))
    assert guest.memory_kib == (3 << 20) + (512 << 10)
    assert [(cell.id, cell.vcpus) for cell in guest.cells] == [(0, (0, 1, 2, 3)), (1, ())]


@pytest.mark.parametrize(
    ("inside", "auto"),
    [
        (("<vcpu placement='auto'>2</vcpu>",), True),
        (("<vcpu>2</vcpu>", "<numatune><memory placement='auto'/></numatune>"), True),
        (("<vcpu placement='static'>2</vcpu>", "<numatune><memory placement='auto'/></numatune>"), True),
        (("<vcpu cpuset='1'>2</vcpu>", "<numatune><memory placement='auto'/></numatune>"), False),
        (("<vcpu>2</vcpu>", PIN, "<numatune><memory placement='auto'/></numatune>"), False),
        (("<vcpu placement='auto'>2</vcpu>", PIN, "<numatune><memory nodeset='0'/></numatune>"), True),
    ],
)
def test_automatic_placement_follows_libvirts_defaults(inside: tuple[str, ...], *, auto: bool) -> None:
    assert read(*inside).auto_placement is auto


def test_automatic_placement_ignores_cpuset_and_nodeset() -> None:
    guest = read(
        "<vcpu placement='auto' cpuset='x'>2</vcpu>", "<numatune><memory placement='auto' nodeset='1'/></numatune>"
    )
    assert guest.vcpu_cpuset is None
    assert guest.memory == Binding(None, "strict", None, 4)


@pytest.mark.parametrize(
    ("vcpu", "memory", "binding"),
    [
        ("<vcpu placement='auto'>2</vcpu>", "", Binding(None, "strict", None, 3)),
        ("<vcpu placement='auto'>2</vcpu>", "<memory/>", Binding(None, "strict", None, 3)),
        ("<vcpu placement='auto'>2</vcpu>", "<memory mode='interleave'/>", Binding(None, "interleave", None, 4)),
        ("<vcpu placement='auto'>2</vcpu>", "<memory nodeset='1'/>", Binding(None, "strict", (NodeId(1),), 4)),
        ("<vcpu/>", "<memory mode='restrictive' nodeset='1'/>", Binding(None, "restrictive", (NodeId(1),), 4)),
        ("<vcpu/>", "<memory mode='newer' nodeset='1'/>", Binding(None, "newer", (NodeId(1),), 4)),
        ("<vcpu/>", "<memory placement='auto' mode='preferred'/>", Binding(None, "preferred", None, 4)),
        ("<vcpu/>", "<memory/>", None),
    ],
)
def test_memory_is_bound_as_libvirt_binds_it(vcpu: str, memory: str, binding: Binding | None) -> None:
    assert read(vcpu, f"<numatune>{memory}</numatune>").memory == binding


def test_names_in_other_namespaces_and_in_comments_are_not_libvirts() -> None:
    guest = read(
        "<!-- <cputune><vcpupin vcpu='0' cpuset='1'/></cputune> -->",
        "<metadata><x:app xmlns:x='u'><vcpu>9</vcpu></x:app></metadata>",
        "<x:cputune xmlns:x='u'><vcpupin vcpu='0' cpuset='1'/></x:cputune>",
        "<description><![CDATA[<vcpu>9</vcpu>]]></description>",
    )
    assert (guest.vcpus, guest.vcpu_pins) == (1, ())


@pytest.mark.parametrize("name", ["", "<name/>", "<name> </name>"])
def test_a_domain_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="the domain has no name"):
        read_guest(f"<domain>{name}</domain>".encode(), "f")


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        ("12345678-12F4-1234-1234-123456789AFA", "12345678-12f4-1234-1234-123456789afa"),
        ("1234567812f4123412341234 56789afa", "1234567812f4123412341234 56789afa"),
        (" 1234567812f41234123412345678-9afa ", "12345678-12f4-1234-1234-123456789afa"),
        ("fw1", "fw1"),
        ("", None),
    ],
)
def test_a_uuid_is_read_as_libvirt_writes_it(text: str, uuid: str | None) -> None:
    assert read(f"<uuid>{text}</uuid>").uuid == uuid


def test_names_may_be_in_any_script() -> None:
    assert read_guest("<domain><name>брандмауэр-1</name></domain>".encode(), "f").name == "брандмауэр-1"


def pins(cpusets: list[str]) -> str:
    each = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(cpusets))
    return f"<domain><name>a</name><vcpu>{len(cpusets)}</vcpu><cputune>{each}</cputune></domain>"


def test_pins_of_one_list_of_cpus_share_it() -> None:
    guest = read_guest(pins(["0-8191"] * 2000).encode(), "a.xml")
    assert len(guest.vcpu_pins) == 2000
    assert len({id(pin.cpus._ids) for pin in guest.vcpu_pins}) == 1


def test_lists_that_name_more_cpus_than_memory_holds_are_refused() -> None:
    with pytest.raises(InputError, match="ids, 1048576 are the limit"):
        read_guest(pins([f"{i}-8191" for i in range(147)]).encode(), "a.xml")
