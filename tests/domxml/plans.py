"""Placements built in a test, and domains to carry them out on."""

from collections.abc import Mapping, Sequence

from numaplan.cpuset import CpuSet
from numaplan.domxml.patch import Patched, patch_guest
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, GuestTopology, IothreadId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, DevicePlacement, InterfacePlacement, Placement
from numaplan.model.request import GuestRequest, InterfaceRequest, InterfaceType
from numaplan.model.snapshot import Snapshot
from tests.hosts import host
from tests.requests import guest

GIB = 1 << 20
# Nodes as far apart as libvirt takes them to be where nobody says anything.
HOST = host("4n:8c:2t", distances=[[10 if a == b else 20 for b in range(4)] for a in range(4)])


def placed(
    *cells: Sequence[str],
    name: str = "fw1",
    nodes: Sequence[int] | None = None,
    memory_nodes: Sequence[int] | None = None,
    memory_gib: int = 1,
    page_kib: int | Sequence[int] = 4,
    emulator: str = "0-1",
    iothreads: Sequence[str] = (),
    vfs: Mapping[str, Sequence[str]] | None = None,
    devices: Mapping[str, str] | None = None,
    topology: tuple[int, int, int, int] | None = None,
) -> Placement:
    """A cell is the CPUs of each of its vCPUs; cell k lies on node k unless `nodes` says otherwise."""
    found = []
    first = 0
    for k, cell in enumerate(cells):
        node = NodeId(k if nodes is None else nodes[k])
        vcpus = tuple((VcpuId(first + v), CpuSet.parse(cpus)) for v, cpus in enumerate(cell))
        memory_node = node if memory_nodes is None else NodeId(memory_nodes[k])
        page = page_kib if isinstance(page_kib, int) else page_kib[k]
        found.append(CellPlacement(CellId(k), node, vcpus, memory_node, memory_gib * GIB, page))
        first += len(cell)
    return Placement(
        name,
        tuple(found),
        CpuSet.parse(emulator),
        tuple((IothreadId(k), CpuSet.parse(cpus)) for k, cpus in enumerate(iothreads, 1)),
        tuple(InterfacePlacement(n, tuple(PciAddress.parse(vf) for vf in own)) for n, own in (vfs or {}).items()),
        tuple(DevicePlacement(n, PciAddress.parse(address)) for n, address in (devices or {}).items()),
        None if topology is None else GuestTopology(*topology),
    )


def sriov(
    name: str, count: int = 1, *, mac: str | None = None, vlan: int | None = None, trust: bool | None = None
) -> InterfaceRequest:
    """An interface entry of vnf.yaml."""
    return InterfaceRequest(name, InterfaceType.SRIOV, physnet="phys0", count=count, mac=mac, vlan=vlan, trust=trust)


def domain(*inside: str, newline: str = "\n", devices: Sequence[str] = ()) -> bytes:
    """A small domain called fw1, each part on a line of its own."""
    lines = ["<domain type='kvm'>", "  <name>fw1</name>", *(f"  {line}" for line in inside), "  <devices>"]
    lines += [*(f"    {line}" for line in devices), "  </devices>", "</domain>", ""]
    return newline.join(lines).encode()


TWO_VCPUS = ("<memory unit='KiB'>1048576</memory>", "<vcpu placement='static'>2</vcpu>")
# What the placement of `patched` makes of it.
PINS = (
    "<cputune>",
    "  <vcpupin vcpu='0' cpuset='4'/>",
    "  <vcpupin vcpu='1' cpuset='5'/>",
    "  <emulatorpin cpuset='0-1'/>",
    "</cputune>",
)
BINDING = ("<numatune>", "  <memory mode='strict' nodeset='0'/>", "</numatune>")


def patched(
    data: bytes,
    placement: Placement | None = None,
    request: GuestRequest | None = None,
    *,
    change_topology: bool = False,
    on: Snapshot = HOST,
) -> Patched:
    """The patch of a guest of two vCPUs, by default, and the proof that doing it again changes nothing."""
    plan = placement or placed(["4", "5"])
    asked = request or guest("fw1", [len(cell.vcpus) for cell in plan.cells])

    def carried_out(there: bytes) -> Patched:
        return patch_guest(there, "fw1.xml", request=asked, placement=plan, host=on, change_topology=change_topology)

    result = carried_out(data)
    again = carried_out(result.data)
    assert again.data == result.data
    assert again.noticed == ()
    return result


def lines_of(data: bytes) -> list[str]:
    """The lines, without what they are indented by."""
    return [line.strip() for line in data.decode().splitlines()]
