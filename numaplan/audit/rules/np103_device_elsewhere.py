"""NP103: a VF or passed-through device is on another node than every cell of its guest."""

from collections.abc import Iterator

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import GuestView
from numaplan.audit.wording import counted, device_path, first, listed, numbered, pci_at, pin
from numaplan.model.devices import PciAddress
from numaplan.model.finding import Evidence, Finding, NotChecked, Severity
from numaplan.model.host import NodeId


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each device that no cell of its guest is near to."""
    users = [view for view in facts.guests if view.guest.pci_addresses]
    if users and facts.hides_nodes:
        yield NotChecked("NP103", "the host may have NUMA nodes that it does not show")
    if not facts.several_nodes:
        return
    for view in users:
        unplaced = [cell for cell in view.cells if not facts.nodes_of(cell.bound)]
        if unplaced:
            count = counted(len(view.guest.pci_addresses), "device")
            yield NotChecked(
                "NP103", f'guest "{view.guest.name}" has {count}, but {unplaced[0].subject} is pinned to no node'
            )
            continue
        nodes = facts.nodes_of(vcpu for cell in view.cells for vcpu in cell.bound)
        yield from _judge(facts, view, nodes)


def _judge(facts: Facts, view: GuestView, nodes: frozenset[NodeId]) -> Iterator[Finding | NotChecked]:
    absent: list[PciAddress] = []
    nowhere: list[PciAddress] = []
    for address in dict.fromkeys(view.guest.pci_addresses):
        device = facts.device(address)
        if device is None:
            absent.append(address)
            continue
        node, source = facts.device_node(device)
        if node is None:
            nowhere.append(address)
        elif node not in nodes:
            kind = "device" if device.physfn is None else "VF"
            yield _finding(facts, view, address, kind=kind, node=node, source=source, nodes=nodes)
    if absent:
        yield NotChecked("NP103", f'guest "{view.guest.name}": the host does not show {_devices(absent)}')
    if nowhere:
        yield NotChecked("NP103", f'guest "{view.guest.name}": the host does not say the node of {_devices(nowhere)}')


def _finding(
    facts: Facts,
    view: GuestView,
    address: PciAddress,
    *,
    kind: str,
    node: NodeId,
    source: PciAddress,
    nodes: frozenset[NodeId],
) -> Finding:
    guest = view.guest
    distances = [entry for other in nodes if (entry := facts.distance(node, other)) is not None]
    far = f", distance {min(distances)}" if distances else ""
    chosen = address in guest.loose_devices
    all_cells = "its cell is" if len(view.cells) == 1 else f"all {len(view.cells)} cells are"
    return Finding(
        rule="NP103",
        severity=Severity.INFO if chosen else Severity.WARNING,
        guest=guest.name,
        subject=str(address),
        message=f"{kind} {address} is on node {node}, but {all_cells} on {numbered('node', nodes)}{far}"
        + (", as its affinity allows" if chosen else ""),
        evidence=first(
            [
                Evidence(f"{kind} {address}", "passed through", pci_at(guest, address)),
                Evidence(f"node of {source}", str(node), device_path(source, "numa_node")),
                *(pin(guest, cell.bound) for cell in view.cells),
            ]
        ),
        wanted=f"the {kind} on {numbered('node', nodes)}, or a cell on node {node}",
        fix=f"give the guest a {kind} of {numbered('node', nodes)}, or move it to node {node}"
        f" ({facts.node_cpus([node]) or 'no CPUs'}), or run `numaplan place`",
    )


def _devices(addresses: list[PciAddress]) -> str:
    return listed([str(address) for address in addresses], noun="device")


RULE = Rule(
    id="NP103",
    name="device-elsewhere",
    severity=Severity.WARNING,
    title="a VF or passed-through device is on another node than every cell of its guest",
    what="""numa_node in sysfs of each <hostdev> and <interface type='hostdev'>, against the nodes to which the
vCPUs of the guest are pinned. A VF of which the host says no node counts as being on its PF's. -1 is "unknown",
never node 0: such a device, one that the host does not show, and a guest with a cell that no pin holds are not
judged, and the report says so. Info where the guest's numaplan metadata says that the device may be elsewhere
(affinity preferred or socket).""",
    why="""Each packet crosses the link between the sockets twice: the device writes it to remote memory or a remote
CPU fetches it, and so do descriptors and doorbells. At 64 bytes, 10 GbE brings 14.88 million packets per second,
one each 67 ns: no time for a remote access or two. Oracle (SBC) and Juniper (vMX) demand that VM and NIC share a
socket.""",
    bad="""<!-- cat /sys/bus/pci/devices/0000:61:10.0/numa_node: 1; CPUs 2-3 are on node 0 -->
<cputune>
  <vcpupin vcpu='0' cpuset='2'/>
  <vcpupin vcpu='1' cpuset='3'/>
</cputune>
<devices>
  <interface type='hostdev' managed='yes'>
    <source><address type='pci' domain='0x0000' bus='0x61' slot='0x10' function='0x0'/></source>
  </interface>
</devices>""",
    good="""<!-- CPUs 18-19 are on node 1, as the VF is -->
<cputune>
  <vcpupin vcpu='0' cpuset='18'/>
  <vcpupin vcpu='1' cpuset='19'/>
</cputune>
<devices>
  <interface type='hostdev' managed='yes'>
    <source><address type='pci' domain='0x0000' bus='0x61' slot='0x10' function='0x0'/></source>
  </interface>
</devices>""",
    fix="""Give the guest a VF of a port that is on its node, or move the guest to the node of the device. `numaplan
place` weighs both. Where the port must be remote, say `affinity: preferred` in vnf.yaml.""",
    check=check,
)
