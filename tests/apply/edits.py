"""What may change on the standing host between plan and apply, each as its tool or the kernel does it."""

from collections.abc import Callable
from typing import Any

from tests.apply.standing import Host

CPU = "sys/devices/system/cpu"
# The VF that spare1 gets, and the PF that has it.
PF = "sys/devices/pci0000:20/0000:20:00.0/0000:21:00.0"
VF = "sys/devices/pci0000:20/0000:20:00.0/0000:21:10.0"
# The PF behind br0, to which br1 leads.
NEAR_PF = "sys/devices/pci0000:60/0000:60:00.0/0000:61:00.0"

Edit = Callable[[Host], object]


def domains(change: Callable[[list[dict[str, Any]]], object]) -> Edit:
    return lambda host: host.rows("libvirt", lambda rows: change(rows["domains"]))


def netlink(interface: str, **changes: object) -> Edit:
    def change(rows: Any) -> None:  # noqa: ANN401  # rows are JSON
        next(link for link in rows["links"] if link["name"] == interface).update(changes)

    return lambda host: host.rows("netlink", change)


def plugged(function: str, interface: str, bridge: str | None) -> Edit:
    """As ip link set master does it, or nomaster."""
    indexes = {"bond0": 12, "br0": 15}
    master = f"{function}/net/{interface}/master"

    def change(host: Host) -> None:
        if bridge is None:
            host.remove(master)
        else:
            host.link(master, f"../../../../../virtual/net/{bridge}")
        netlink(interface, master=indexes.get(bridge or ""))(host)

    return change


def configured(**config: str) -> Edit:
    """Open vSwitch's other_config."""

    def change(rows: Any) -> None:  # noqa: ANN401  # rows are JSON
        row = rows["tables"]["Open_vSwitch"][0]
        row["other_config"] = ["map", [[key.replace("_", "-"), value] for key, value in config.items()]]

    return lambda host: host.rows("openvswitch", change)


def several(*edits: Edit) -> Edit:
    def all_of_them(host: Host) -> None:
        for edit in edits:
            edit(host)

    return all_of_them


def repinned(guest: str, thread: str, cpus: str) -> Edit:
    """The kernel's affinity of one thread."""

    def change(rows: Any) -> None:  # noqa: ANN401  # rows are JSON
        process = next(process for process in rows["processes"] if process["name"] == guest)
        found = [each for each in process["threads"] if each["name"] == thread]
        assert found
        for each in found:
            each["affinity"] = cpus

    return lambda host: host.rows("processes", change)


def vcpu_moved(guest: str, vcpu: int, cpus: str) -> Edit:
    """As virsh vcpupin --live does it: libvirt and the kernel both say so."""

    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["name"] == guest)
        row["vcpus"][vcpu]["cpus"] = cpus

    return several(domains(change), repinned(guest, f"CPU {vcpu}/KVM", cpus))


def stopped(guest: str) -> Edit:
    def gone(rows: Any) -> None:  # noqa: ANN401  # rows are JSON
        rows["processes"] = [process for process in rows["processes"] if process["name"] != guest]

    return several(
        lambda host: host.domain(guest, active=False, state="shutoff", xml=None, vcpus=None, emulator_pin=None),
        lambda host: host.rows("processes", gone),
    )


def started(guest: str) -> Edit:
    def run(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["name"] == guest)
        row.update(active=True, state="running", xml=row["inactive_xml"], vcpus=[{"id": 0, "cpus": "8"}])

    return domains(run)


def renamed(old: str, new: str) -> Edit:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["name"] == old)
        row.update(name=new, inactive_xml=row["inactive_xml"].replace(f"<name>{old}<", f"<name>{new}<"))

    return domains(change)


def removed(name: str) -> Edit:
    return domains(lambda rows: rows.remove(next(row for row in rows if row["name"] == name)))


def arrived(name: str, **changes: object) -> Edit:
    """A guest as spare1, under another name."""

    def change(rows: list[dict[str, Any]]) -> None:
        row = dict(next(row for row in rows if row["name"] == "spare1"))
        uuid = "00000000-0000-4000-8000-00000000000a"
        xml = row["inactive_xml"].replace("spare1", name).replace(row["uuid"], uuid)
        rows.append({**row, "name": name, "uuid": uuid, "inactive_xml": xml, **changes})

    return domains(change)


def pinned_to(*cpus: int) -> Callable[[str], str]:
    pins = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>" for vcpu, cpu in enumerate(cpus))
    return lambda xml: xml.replace("<os>", f"<cputune>{pins}</cputune><os>", 1)


def arrived_pinned(host: Host) -> None:
    arrived("db9")(host)
    host.definition("db9", pinned_to(6, 7))


def handed(guest: str, bus: int, slot: int) -> Edit:
    hostdev = (
        "<hostdev mode='subsystem' type='pci' managed='yes'><source>"
        f"<address domain='0x0000' bus='{bus:#04x}' slot='{slot:#04x}' function='0x2'/></source></hostdev></devices>"
    )

    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["name"] == guest)
        row["xml"] = row["xml"].replace("</devices>", hostdev)

    return domains(change)


def vf_gone(host: Host) -> None:
    """As echo 0 > sriov_numvfs does it for one of them."""
    for path in (VF, f"{PF}/virtfn0", "sys/bus/pci/devices/0000:21:10.0", "sys/class/net/eth2"):
        host.remove(path)
    host.write(f"{PF}/sriov_numvfs", "3\n")


def cache_shared(cpu: int, cpus: str) -> Edit:
    return lambda host: host.write(f"{CPU}/cpu{cpu}/cache/index3/shared_cpu_list", f"{cpus}\n")


def pf_renamed(host: Host) -> None:
    """As ip link set name does it."""
    host.move(f"{PF}/net/eth1", f"{PF}/net/ens1f0")
    host.edit("numaplan/capture.json", f"{PF}/net/eth1", f"{PF}/net/ens1f0")
    host.remove("sys/class/net/eth1")
    host.link("sys/class/net/ens1f0", f"../../{PF.removeprefix('sys/')}/net/ens1f0")
    for above in ("ovs-system", "bond0.100"):
        host.remove(f"sys/devices/virtual/net/{above}/lower_eth1")
        host.link(
            f"sys/devices/virtual/net/{above}/lower_ens1f0", f"../../../{PF.removeprefix('sys/devices/')}/net/ens1f0"
        )
    netlink("eth1", name="ens1f0")(host)


def unplugged(host: Host) -> None:
    """br0 loses the port to which br1 leads through it."""
    plugged(NEAR_PF, "eth0", None)(host)
    host.remove("sys/devices/virtual/net/br0/lower_eth0")
    host.remove("sys/devices/virtual/net/br0/brif/eth0")
