"""The guests of the lab: ordinary XML, as somebody would have it before numaplan, and the vnf.yaml that places them."""

from dataclasses import dataclass

from tests.lab.topologies import Topology

DOMAIN = """\
<domain type='kvm'>
  <!-- as virt-install wrote it -->
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'>
      <source bridge='br-mgmt'/>
      <model type='virtio'/>
    </interface>
    <graphics type='vnc' passwd='geheim' listen='127.0.0.1'/>
  </devices>
</domain>
"""


@dataclass(frozen=True)
class LabGuest:
    name: str
    vcpus: int
    memory_mib: int
    wishes: str

    @property
    def xml(self) -> str:
        return DOMAIN.format(name=self.name, memory=self.memory_mib, vcpus=self.vcpus)

    def entry(self, pf: str) -> str:
        """Its lines in vnf.yaml."""
        head = f"  - name: {self.name}\n    vcpus: {self.vcpus}\n    memory: {self.memory_mib}MiB\n"
        return head + self.wishes.format(pf=pf, mgmt="{name: mgmt, type: virtio, bridge: br-mgmt}")


_GUESTS = (
    LabGuest(
        "fw1",
        2,
        256,
        """\
    page_size: 2MiB
    thread_policy: require
    iothreads: {{count: 1, policy: dedicated}}
    interfaces:
      - {{name: data, type: sriov, pf: {pf}}}
      - {mgmt}
""",
    ),
    LabGuest(
        "db1",
        2,
        128,
        """\
    emulator: {{policy: isolate}}
    memory_policy: preferred
    interfaces: [{mgmt}]
""",
    ),
    LabGuest("wide", 4, 128, "    cells: 2\n    page_size: 2MiB\n    interfaces: [{mgmt}]\n"),
    LabGuest("log1", 1, 64, "    interfaces: [{mgmt}]\n"),
)
_ON_1GIB = LabGuest("big1", 1, 1024, "    page_size: 1GiB\n    interfaces: [{mgmt}]\n")
HEAD = """\
apiVersion: numaplan/v1
host:
  reserved_cpus: "{reserved}"
  reserved_memory: 256MiB
vms:
"""


def guests(topology: Topology) -> tuple[LabGuest, ...]:
    """All that the host has room for."""
    return (*_GUESTS, _ON_1GIB) if any(node.pages_1gib for node in topology.nodes) else _GUESTS


def vnf(topology: Topology, pf: str, reserved: str) -> str:
    """The vnf.yaml of all guests; fw1 has a VF of `pf`."""
    return HEAD.format(reserved=reserved) + "".join(guest.entry(pf) for guest in guests(topology))
