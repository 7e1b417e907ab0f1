"""A host with names of its owner, guests and network in every place that a capture holds."""

import json

from tests.inventory.trees import MadeStore, To, cpu_files

KEY = b"a key that is known to the tests"

MAC = "3c:fd:fe:12:34:56"
UUID = "6b1c1c9d-7b2a-4f0e-9e57-2f8d1b0c4a11"
INFINIBAND = "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"
SECRETS = [
    *(MAC, MAC.replace(":", ""), UUID, UUID.replace("-", ""), INFINIBAND, "atlas7", "acme", "10.11.12.13", "vg_secret"),
    *("5CG9999XYZ", "4711004711", "0a:0b:0c:0d", "3f2c1d0e-9a", "2001:db8:77", "db1", "cafe0123456789ab"),
]

# In the order of their ids: the first is the process's own.
THREADS = ["acme-fw", "CPU 0/KVM", "CPU 1/KVM", "IO iothread1", "IO acme", "vhost-671", "acme worker"]
REMOTE = [["remote_ip", "2001:db8:77::1"]]
PAGES = "anon=1024 dirty=1024 N0=1024 kernelpagesize_kB=4"
MAPPED = ["/memfd:acme-ram", "/srv/acme/ram-node0", "/srv/qemu_back_mem.acme", "/srv/acme/lib.so", "/dev/zero"]

XML = f"""<domain type='kvm' id='3'>
  <name>acme-fw</name>
  <uuid>{UUID}</uuid>
  <title>acme firewall</title>
  <!-- acme's, ask
       in room 7 -->
  <description>for acme, room 7</description>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:owner>acme</nova:owner></nova:instance>
    <acme:note xmlns:acme="https://acme.example/1" acme:room="7"/>
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
      <source file='/srv/acme/fw.qcow2'/><serial>4711004711</serial><wwn>cafe0123456789ab</wwn>
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
    <hostdev mode='subsystem' type='scsi'>
      <source protocol='iscsi' name='iqn.2013-07.com.acme:target/1'><host name='10.11.12.13' port='3260'/></source>
      <alias name='ua-acme-disk'/>
    </hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{UUID}'/></source></hostdev>
    <rng model='virtio'>
      <backend model='egd' type='tcp'><source mode='connect' host='10.11.12.13' service='1'/></backend>
    </rng>
    <graphics type='vnc' passwd='acme' listen='10.11.12.13'/>
  </devices>
</domain>
"""


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
        "proc/cmdline": f"root=UUID={UUID} rd.lvm.lv=vg_secret/atlas7 isolcpus=managed_irq,domain,2-3 quiet"
        f" systemd.hostname=atlas7 ip=10.11.12.13 systemd.machine_id={UUID.replace('-', '')} -- acme\n",
        "proc/cpuinfo": "model name\t: Some CPU\nSerial\t\t: 5CG9999XYZ\n",
        "proc/net/if_inet6": "20010db8000000003efdfefffe123456 02 40 00 80 br-ex\n",
        "proc/net/route": "Iface\tDestination\tGateway\tFlags\nbr-ex\t000B0A0A\t00000000\t0001\t0\n",
        "proc/net/fib_trie": "Main:\n     |-- 10.11.12.13\n        /32 host LOCAL\n",
        "numaplan/libvirt.json": json.dumps(
            {
                "uri": "test:///srv/acme/host.xml",
                "hostname": "atlas7.example.net",
                "failed": [{"name": "db1", "why": "Domain not found: no domain named 'db1' on atlas7"}],
                "domains": [
                    {
                        "name": "acme-fw",
                        "uuid": UUID,
                        "state": "running",
                        "active": True,
                        "xml": XML,
                        "inactive_xml": XML,
                    }
                ],
            }
        ),
        **process_files(),
        **group_files(),
    }
    return MadeStore(files)


def process_files() -> dict[str, str | To | None]:
    """The guest's process, and what is known of interfaces that no file tells of."""
    row = {
        "pid": 671,
        "name": "acme-fw",
        "uuid": UUID,
        "threads": [
            {"tid": tid, "name": name, "affinity": str(tid - 671)} for tid, name in enumerate(THREADS, start=671)
        ],
    }
    links = [
        {"index": 1, "name": "ib0", "mac": INFINIBAND},
        {"index": 2, "name": "tunl1", "mac": "0a:0b:0c:0d", "kind": "ipip"},
        {"index": 3, "name": "tap3f2c1d0e-9a", "mac": MAC},
    ]
    sockets = {"dpdkvhostuserclient": [["vhost-server-path", "/var/run/openvswitch/vhu-acme-fw"]], "vxlan": REMOTE}
    interfaces = [
        {"_uuid": ["uuid", UUID], "name": name, "type": kind, "options": ["map", sockets[kind]]}
        for name, kind in (("port1", "dpdkvhostuserclient"), ("vx1", "vxlan"))
    ]
    tables = {"Open_vSwitch": [], "Bridge": [], "Port": [], "Interface": interfaces}
    return {
        "numaplan/processes.json": json.dumps({"processes": [row], "failed": []}),
        "numaplan/netlink.json": json.dumps({"links": links}),
        "numaplan/openvswitch.json": json.dumps({"tables": tables}),
        "proc/671/status": "Name:\tacme-fw\nMems_allowed_list:\t0\n",
        "proc/671/numa_maps": "".join(f"7f00{i}0000000 default file={path} {PAGES}\n" for i, path in enumerate(MAPPED)),
        "proc/self": To("892"),
        "proc/892/mounts": "/dev/mapper/vg_secret-acme /srv/acme ext4 rw 0 0\nnone /sys/fs/cgroup cgroup2 rw 0 0\n"
        "10.11.12.13:/acme /mnt nfs rw,addr=10.11.12.13 0 0\n",
        "proc/892/net/if_inet6": "20010db8007700003efdfefffe123456 02 40 00 80 br-ex\n",
        "proc/892/net/fib_trie": "Main:\n     |-- 10.11.12.13\n        /32 host LOCAL\n",
    }


def group_files() -> dict[str, str | To | None]:
    """Control groups of a host that systemd runs."""
    guest = r"machine-qemu\x2d3\x2dacme\x2dfw.scope"
    folders = [
        "machine.slice",
        f"machine.slice/{guest}",
        "machine.slice/machine-acme.slice",
        "system.slice",
        "system.slice/acme-agent.service",
        "system.slice/srv-acme.mount",
        f"machine.slice/libpod-{2 * UUID.replace('-', '')}.scope",
    ]
    files: dict[str, str | To | None] = {"sys/fs/cgroup/cgroup.controllers": "cpuset cpu\n"}
    for folder in ("", *folders):
        below = "cpuset.cpus.effective", "cpuset.mems.effective"
        files |= {f"sys/fs/cgroup/{folder}/{name}".replace("//", "/"): "0\n" for name in below}
    return files
