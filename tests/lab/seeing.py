"""What the inventory sees of the lab host: captures that replay, without rights, and the way of guests' traffic."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from numaplan.cpuset import format_id_list
from tests.lab.kernel import pools, running
from tests.lab.lab import Lab, Row, row

CAPTURE = "capture.tar.gz"
TRUTH = "truth.json"
REPLAYED = "replayed.json"
# What a live host has that changes from one look to the next.
_VOLATILE = frozenset(
    {"free_kib", "available_kib", "free", "interrupts", "cur_khz", "frequency_khz", "count", "counts"}
)
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
DATABASE = "/tmp/ovs.db"  # noqa: S108 - of a host that lives for minutes
OVS_GUEST = """\
<domain type='kvm'>
  <name>ovs1</name>
  <memory unit='MiB'>64</memory>
  <vcpu cpuset='0-1'>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'>
      <source bridge='br-ovs'/>
      <virtualport type='openvswitch'/>
      <target dev='tap-ovs'/>
      <model type='virtio'/>
    </interface>
    <interface type='bridge'>
      <source bridge='br-lin'/>
      <target dev='tap-lin'/>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
"""


def captured(lab: Lab) -> Iterator[Row]:
    """A capture of the live host replays to the same inventory; the outer machine replays it once more."""
    capture = lab.results / CAPTURE
    lab.numaplan("capture", "--out", capture)
    (lab.results / TRUTH).write_text(json.dumps(truth(lab), indent=1) + "\n")
    live = json.loads(lab.numaplan("inventory", "-o", "json"))
    replayed = json.loads(lab.numaplan("inventory", "--snapshot", capture, "-o", "json"))
    (lab.results / REPLAYED).write_text(json.dumps(replayed))
    live["host"]["source"] = "capture"
    for key in live:
        yield row(f"replayed: {key}", _steady(live[key]), _steady(replayed.get(key)))


def truth(lab: Lab) -> dict[str, object]:
    """What others than numaplan say of the host as it is now, for whoever replays its capture."""
    names = lab.run("virsh", "list", "--name").split()
    processes = {name: running(name) for name in names}
    return {
        "distances": lab.topology.distances,
        "numactl": numactl(lab),
        "lstopo": lstopo(lab),
        "pools": [[*key, count] for key, count in pools("nr_hugepages").items()],
        "free": [[*key, count] for key, count in pools("free_hugepages").items()],
        "guests": {
            name: {
                "threads": [[thread.name, thread.cpus] for thread in process.threads],
                "memory": [[*key, kib] for key, kib in sorted(process.memory.items())],
                "groups": sorted(process.groups),
            }
            for name, process in processes.items()
        },
    }


def lstopo(lab: Lab) -> dict[str, list[str]]:
    """CPUs of each package, last-level cache and core, as lstopo has them."""
    text = lab.run("lstopo-no-graphics", "--of", "xml", "-")
    root = ET.fromstring(text[text.index("<?xml") :])  # noqa: S314 - lstopo's own output
    return {
        ours: sorted(
            _mask(element.get("cpuset") or "") for element in root.iter("object") if element.get("type") == kind
        )
        for kind, ours in (("Package", "packages"), ("L3Cache", "llcs"), ("Core", "cores"))
    }


def numactl(lab: Lab) -> dict[str, str]:
    """CPUs of each node, as numactl has them."""
    told = lab.run("numactl", "--hardware")
    found = re.findall(r"node (\d+) cpus:([ \d]*)", told)
    return {node: format_id_list(map(int, cpus.split())) for node, cpus in found}


def _mask(text: str) -> str:
    """A list of hwloc's words of 32 bits, the highest first."""
    words = [int(word, 16) if word else 0 for word in text.split(",")]
    value = 0
    for word in words:
        value = value << 32 | word
    return format_id_list(bit for bit in range(value.bit_length()) if value >> bit & 1)


def unprivileged(lab: Lab) -> Iterator[Row]:
    """Without rights: the same topology, and gaps where anything is missing."""
    whole = json.loads(lab.numaplan("inventory", "-o", "json"))
    python = ("python3", "-c", "from numaplan.cli.main import run; run()")
    seen = json.loads(lab.run(*NOBODY, *python, "inventory", "-o", "json", HOME="/nonexistent"))
    for key in ("packages", "cores", "llcs", "cpus"):
        yield row(f"as nobody: {key}", whole[key], seen[key])
    differ = [key for key in whole if key != "gaps" and _steady(whole[key]) != _steady(seen.get(key))]
    yield row("as nobody: where anything differs there is a gap", "True", not differ or bool(seen["gaps"]))


def paths(lab: Lab) -> Iterator[Row]:
    """A guest behind Open vSwitch and one behind a Linux bridge: which port, on which node, with which crossings."""
    from tests.lab.placing import start_libvirtd  # noqa: PLC0415 - only here

    ports = _ports(lab)
    first, last = ports[0], ports[-1]
    for name, _node in ports:
        lab.run("ip", "link", "set", name, "up")
    _start_switch(lab)
    lab.run("ovs-vsctl", "--no-wait", "add-br", "br-ovs")
    lab.run("ovs-vsctl", "--timeout=60", "add-port", "br-ovs", last[0])
    lab.run("ip", "link", "add", "br-lin", "type", "bridge")
    lab.run("ip", "link", "set", first[0], "master", "br-lin")
    lab.run("ip", "link", "set", "br-lin", "up")
    start_libvirtd()
    xml = Path("/tmp/ovs1.xml")  # noqa: S108 - of a host that lives for minutes
    xml.write_text(OVS_GUEST)
    lab.run("virsh", "define", xml)
    lab.run("virsh", "start", "ovs1")
    found = {path["name"]: path for path in json.loads(lab.numaplan("inventory", "-o", "json"))["traffic_paths"]}
    for tap, (port, node) in (("tap-ovs", last), ("tap-lin", first)):
        path = found[tap]
        yield row(f"{tap}: physical port", [port], path["uplinks"])
        stations = {station["kind"]: station for route in path["routes"] for station in route["stations"]}
        yield row(f"{tap}: node of the port", [node], stations["port"]["numa_nodes"])
        crossings = [crossing for route in path["routes"] for crossing in route["crossings"]]
        yield row(f"{tap}: crosses nodes", node != 0, bool(crossings))
    lab.run("virsh", "destroy", "ovs1")
    lab.run("virsh", "undefine", "ovs1")


def _ports(lab: Lab) -> list[tuple[str, int]]:
    host = json.loads(lab.numaplan("inventory", "-o", "json"))
    found = [(device["netdevs"][0], device["numa_node"]) for device in host["pci"] if device["sriov"] is not None]
    return sorted(found, key=lambda port: port[1])


def _start_switch(lab: Lab) -> None:
    lab.run("modprobe", "openvswitch")
    Path("/run/openvswitch").mkdir(exist_ok=True)
    lab.run("ovsdb-tool", "create", DATABASE, "/usr/share/openvswitch/vswitch.ovsschema")
    lab.run("ovsdb-server", DATABASE, "--remote=punix:/run/openvswitch/db.sock", "--pidfile", "--detach")
    lab.run("ovs-vsctl", "--no-wait", "init")
    lab.run("ovs-vswitchd", "--pidfile", "--detach")
    time.sleep(2)


def _steady(part: object) -> object:
    if isinstance(part, dict):
        return {key: _steady(value) for key, value in part.items() if key not in _VOLATILE}
    if isinstance(part, list):
        return [_steady(each) for each in part]
    return part
