"""A host that was captured replays to the identical inventory, and an anonymous one to the same but for the names."""

import io
import json
from dataclasses import replace

import pytest

from numaplan.inventory.anonymize import anonymized
from numaplan.inventory.host import read_host
from numaplan.inventory.pseudonyms import Pseudonyms
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.archive import read_archive
from numaplan.sources.capture import Origin, capture_bytes, replaying
from numaplan.sources.recording import Recording, RecordingStore
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, capture_id, captures, cpu_files, opened

NAMES = [capture_id(path) for path in captures()]
KEY = b"a key that is known to this test"

MAC = "3c:fd:fe:12:34:56"
UUID = "6b1c1c9d-7b2a-4f0e-9e57-2f8d1b0c4a11"
SECRETS = [MAC, MAC.replace(":", ""), UUID, "atlas7", "acme-fw", "acme", "10.11.12.13", "vg_secret", "5CG9999XYZ"]

XML = f"""<domain type='kvm' id='3'>
  <name>acme-fw</name>
  <uuid>{UUID}</uuid>
  <title>acme firewall</title>
  <description>for acme, room 7</description>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:owner>acme</nova:owner></nova:instance>
    <numaplan:guest xmlns:numaplan="urn:numaplan:1" thread_policy="isolate"/>
  </metadata>
  <memory unit='KiB'>1048576</memory>
  <vcpu placement='static'>2</vcpu>
  <cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='3'/></cputune>
  <sysinfo type='smbios'><system><entry name='serial'>5CG9999XYZ</entry></system></sysinfo>
  <os><type arch='x86_64' machine='pc-q35-8.0'>hvm</type></os>
  <devices>
    <emulator>/opt/acme/qemu</emulator>
    <disk type='file' device='disk'>
      <source file='/srv/acme/fw.qcow2'/><serial>5CG9999XYZ</serial>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='{MAC}'/>
      <source bridge='br-ex'/>
      <target dev='tap-acme-fw'/>
      <model type='virtio'/>
    </interface>
    <interface type='vhostuser'>
      <source type='unix' path='/var/run/openvswitch/vhu-acme-fw' mode='client'/>
      <model type='virtio'/>
    </interface>
    <graphics type='vnc' passwd='acme' listen='10.11.12.13'/>
  </devices>
</domain>
"""


def recorded(store: MadeStore) -> tuple[Recording, Snapshot]:
    recorder = RecordingStore(store)
    read = read_host(HostTree(recorder, Source.CAPTURE))
    return recorder.recording(), read


def replayed(recording: Recording) -> Snapshot:
    data = capture_bytes(recording, Origin())
    return read_host(HostTree(replaying(read_archive(io.BytesIO(data))), Source.CAPTURE))


def named_host() -> MadeStore:
    """A host with names in every place that a capture holds."""
    interface = "sys/devices/pci0000:00/0000:00:03.0/net/enx3cfdfe123456"
    files: dict[str, str | To | None] = {
        **cpu_files(4),
        "sys/bus/pci/devices/0000:00:03.0": To("../../../devices/pci0000:00/0000:00:03.0"),
        "sys/devices/pci0000:00/0000:00:03.0/vendor": "0x8086\n",
        "sys/devices/pci0000:00/0000:00:03.0/device": "0x1572\n",
        "sys/devices/pci0000:00/0000:00:03.0/class": "0x020000\n",
        f"{interface}/address": f"{MAC}\n",
        f"{interface}/type": "1\n",
        f"{interface}/device": To("../../../0000:00:03.0"),
        f"{interface}/master": To("../../../../virtual/net/br-ex"),
        "sys/class/net/enx3cfdfe123456": To(f"../../{interface.removeprefix('sys/')}"),
        "sys/class/net/br-ex": To("../../devices/virtual/net/br-ex"),
        "sys/devices/virtual/net/br-ex/address": f"{MAC}\n",
        "sys/devices/virtual/net/br-ex/type": "1\n",
        "sys/devices/virtual/net/br-ex/bridge": None,
        "sys/devices/virtual/net/br-ex/brif/enx3cfdfe123456": None,
        "sys/devices/virtual/net/br-ex/brif/tap-acme-fw": None,
        "sys/devices/virtual/net/br-ex/lower_tap-acme-fw": To("../tap-acme-fw"),
        "sys/class/net/tap-acme-fw": To("../../devices/virtual/net/tap-acme-fw"),
        "sys/devices/virtual/net/tap-acme-fw/tun_flags": "0x1002\n",
        "sys/devices/virtual/net/tap-acme-fw/type": "1\n",
        "sys/devices/virtual/net/tap-acme-fw/master": To("../br-ex"),
        "proc/sys/kernel/hostname": "atlas7.example.net\n",
        "proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        "proc/cmdline": f"root=UUID={UUID} rd.lvm.lv=vg_secret/atlas7 isolcpus=managed_irq,domain,2-3 quiet\n",
        "proc/cpuinfo": "model name\t: Some CPU\nSerial\t\t: 5CG9999XYZ\n",
        "proc/net/if_inet6": "20010db8000000003efdfefffe123456 02 40 00 80 br-ex\n",
        "proc/net/route": "Iface\tDestination\tGateway\tFlags\nbr-ex\t000B0A0A\t00000000\t0001\t0\n",
        "proc/net/fib_trie": "Main:\n     |-- 10.11.12.13\n        /32 host LOCAL\n",
        "numaplan/libvirt.json": json.dumps(
            {
                "hostname": "atlas7.example.net",
                "domains": [{"name": "acme-fw", "uuid": UUID, "state": "running", "xml": XML, "inactive_xml": XML}],
            }
        ),
    }
    return MadeStore(files)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_host_replays_to_the_identical_inventory(name: str) -> None:
    recorder = RecordingStore(opened(name)._store)
    read = read_host(HostTree(recorder, Source.CAPTURE))
    assert replayed(recorder.recording()) == read


@pytest.mark.parametrize("name", NAMES)
def test_an_anonymous_host_has_the_same_performance(name: str) -> None:
    recorder = RecordingStore(opened(name)._store)
    read = read_host(HostTree(recorder, Source.CAPTURE))
    other = replayed(anonymized(recorder.recording(), key=KEY))

    def without_names(each: Snapshot) -> Snapshot:
        links = tuple(replace(link, mac=None) for link in each.links)
        kernel = replace(each.kernel, parameters=())
        return replace(each, host=replace(each.host, hostname=None), links=links, kernel=kernel)

    assert without_names(other) == without_names(read)
    assert {parameter.name for parameter in other.kernel.parameters} == {
        parameter.name for parameter in read.kernel.parameters
    }


def test_nothing_that_names_the_owner_is_left() -> None:
    recording, _ = recorded(named_host())
    # What no reader asked for is not in the recording; here everything must be looked at.
    for path, content in named_host().files.items():
        if isinstance(content, str):
            recording.files.setdefault(path, content.encode())
    data = capture_bytes(anonymized(recording, key=KEY), Origin())
    assert [secret for secret in SECRETS if secret.encode() in data] == []


def test_one_name_gets_one_other_name_everywhere() -> None:
    recording, read = recorded(named_host())
    other = replayed(anonymized(recording, key=KEY))
    names = {link.name for link in other.links}
    bridge = next(link for link in other.links if link.kind == "bridge")
    assert len(names) == len(read.links) == 3
    assert set(bridge.lowers) == names - {bridge.name}
    assert [link.kind for link in other.links if link.name in bridge.lowers and link.kind == "tap"] == ["tap"]
    assert all(link.master == bridge.name for link in other.links if link != bridge)
    assert other.pci[0].netdevs == tuple(link.name for link in other.links if link.pci is not None)


def test_another_key_gives_other_names() -> None:
    recording, _ = recorded(named_host())
    assert anonymized(recording, key=KEY) == anonymized(recording, key=KEY)
    assert anonymized(recording, key=KEY) != anonymized(recording, key=b"another")


def test_isolation_on_the_command_line_stays_and_disks_do_not() -> None:
    recording, _ = recorded(named_host())
    line = anonymized(recording, key=KEY).files["proc/cmdline"].decode()
    assert "isolcpus=managed_irq,domain,2-3 quiet" in line
    assert "vg_secret" not in line
    assert UUID not in line


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"])
def test_macs_that_name_nobody_stay(mac: str) -> None:
    assert Pseudonyms(KEY).text(f"address {mac}\n") == f"address {mac}\n"


def test_a_mac_is_replaced_by_a_local_one_in_any_case() -> None:
    names = Pseudonyms(KEY)
    other = names.text(MAC)
    assert other == names.text(MAC.upper())
    assert other.startswith("02:")
    assert len(other) == len(MAC)
