"""Guests placed, defined, started and read back from the kernel; and what happens when something goes wrong."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from numaplan.apply.libvirt import LibvirtTarget
from numaplan.sources.definitions import Definitions
from tests.lab.forked import forked
from tests.lab.guests import guests, vnf
from tests.lab.kernel import SMALL_KIB, Running, driver_of, group_of, pools, running
from tests.lab.lab import Lab, Row, row

PID_FILE = Path("/run/libvirtd.pid")
JOURNALS = Path("/var/lib/numaplan/transactions")
SOCKET = Path("/run/libvirt/libvirt-sock")
WORK = Path("/tmp/lab")  # noqa: S108 - of a host that lives for minutes


def placed_and_started(lab: Lab) -> Iterator[Row]:
    """place, apply --config, start; then each thread, each pool and each VF as the kernel has it."""
    ready(lab)
    plan = make_plan(lab)
    before = pools("free_hugepages")
    done = json.loads(lab.numaplan("apply", plan, "--yes", "-o", "json"))
    differ = [check for check in done["checks"] if not check["holds"]]
    yield row("read back by apply itself: all as planned", "[]", differ)
    for guest in guests(lab.topology):
        text = lab.run("virsh", "dumpxml", "--inactive", "--security-info", guest.name)
        yield row(f"{guest.name}: the password is still there", "1", text.count("passwd='geheim'"))
        lab.run("virsh", "start", guest.name)
    placements = {each["vm"]: each for each in json.loads(plan.read_text())["placements"]}
    taken: dict[tuple[int, int], int] = {}
    for name, placement in placements.items():
        process = running(name)
        yield from as_planned(name, placement, process)
        for cell in placement["cells"]:
            if cell["page_size_kib"] > SMALL_KIB:
                key = cell["memory_node"], cell["page_size_kib"]
                taken[key] = taken.get(key, 0) + cell["memory_kib"] // cell["page_size_kib"]
    after = pools("free_hugepages")
    for (node, size), free in before.items():
        yield row(f"node {node}: pages of {size} KiB taken", taken.get((node, size), 0), free - after[node, size])
    audit = json.loads(lab.numaplan("audit", "-o", "json", "--fail-on", "never"))
    told = [finding for finding in audit["findings"] if finding["severity"] != "info"]
    yield row("audit: nothing above info", "[]", told)


def pinned_again(lab: Lab) -> Iterator[Row]:
    """A pin that is wrong is seen, and apply --live puts it right. Needs the guests of before."""
    name, wrong = "fw1", "0"
    plan = make_plan(lab)
    placement = next(each for each in json.loads(plan.read_text())["placements"] if each["vm"] == name)
    lab.run("virsh", "vcpupin", name, "0", wrong, "--live")
    yield row("after a wrong pin, the kernel has it", wrong, running(name).cpus("CPU 0/KVM")[0])
    seen = [each["what"] for each in as_planned(name, placement, running(name)) if each["planned"] != each["found"]]
    yield row("our comparison notices exactly that", ["fw1: vCPU 0"], seen)
    document = json.loads(make_plan(lab).read_text())
    moves = next(level["value"] for level in document["levels"] if level["name"] == "moves")
    yield row("the plan for the running guests moves that one alone", "1", moves)
    done = json.loads(lab.numaplan("apply", plan, "--live", "--yes", "-o", "json"))
    yield row("pinned anew", [name], [guest["vm"] for guest in done["guests"]])
    yield row("read back by apply itself: all as planned", "[]", [c for c in done["checks"] if not c["holds"]])
    placement = next(each for each in document["placements"] if each["vm"] == name)
    yield from as_planned(name, placement, running(name))


def meddled(lab: Lab) -> Iterator[Row]:
    """Threads are moved behind apply's back, before it reads back: it says so. Needs the guests of before."""
    name, wrong = "fw1", "0"
    lab.run("virsh", "vcpupin", name, "1", wrong, "--live")
    plan = make_plan(lab)
    placement = next(each for each in json.loads(plan.read_text())["placements"] if each["vm"] == name)
    elsewhere = placement["cells"][0]["vcpus"]["0"]

    def meddling(_target: LibvirtTarget) -> None:
        lab.run("virsh", "vcpupin", name, "1", wrong, "--live")
        lab.run("virsh", "emulatorpin", name, elsewhere, "--live")

    done = forked(
        ("apply", plan, "--live", "--yes", "-o", "json"),
        # The last thing that apply does before it reads back.
        before=lambda: setattr(LibvirtTarget, "settle", meddling),
    )
    yield row("threads moved before the read-back: exit code", "3", done.ended(3))
    checks = json.loads(done.stdout)["checks"]
    seen = [(check["what"], check["found"]) for check in checks if not check["holds"]]
    # QEMU's vhost threads go with its emulator.
    vhost = [(f"vhost {thread.tid}", elsewhere) for thread in running(name).threads if thread.name.startswith("vhost")]
    moved = sorted([("emulator", elsewhere), ("vCPU 1", wrong), *vhost])
    yield row("it names those, and where they are", moved, sorted(seen))
    # The first plan knows of an emulator that was where it should be.
    lab.numaplan("apply", make_plan(lab), "--live", "--yes")
    placement = next(each for each in json.loads(plan.read_text())["placements"] if each["vm"] == name)
    yield from as_planned(name, placement, running(name))


def killed_and_recovered(lab: Lab) -> Iterator[Row]:
    """libvirtd is killed between two guests of an apply; afterwards everything is as before. Needs no guests."""
    for guest in guests(lab.topology):
        lab.run("virsh", "destroy", guest.name, check=False)
        lab.run("virsh", "undefine", guest.name, check=False)
    define(lab)
    before = definitions(lab)
    plan = make_plan(lab)
    define_one, calls = Definitions.define, []

    def killing(self: Definitions, guest: str, xml: str) -> None:
        calls.append(guest)
        if len(calls) == 2:
            os.kill(int(PID_FILE.read_text()), signal.SIGKILL)
        define_one(self, guest, xml)

    done = forked(("apply", plan, "--yes"), before=lambda: setattr(Definitions, "define", killing))
    yield row("apply says that not all is put back", "9", done.ended(9))
    start_libvirtd()
    lab.numaplan("recover")
    yield row("after recover every definition is as before", before, definitions(lab))
    lab.numaplan("apply", plan, "--yes")
    changed = definitions(lab)
    yield row("the same plan can be carried out then", "True", changed != before)
    identity = max(path.name for path in JOURNALS.iterdir() if re.fullmatch(r".*Z-[0-9a-f]{8}", path.name))
    lab.numaplan("rollback", identity)
    yield row("and rolled back", before, definitions(lab))


def stale(lab: Lab) -> Iterator[Row]:
    """A plan is refused when the host is another one by then, with what changed. Needs the definitions of before."""
    plan = make_plan(lab)
    pool = Path("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages")
    had = pool.read_text()
    pool.write_text("8")
    done = forked(("apply", plan, "--yes"))
    pool.write_text(had)
    yield row("huge pages fewer: exit code", "6", done.ended(6))
    yield row("and the pool is named", "True", "node 1" in done.stderr and "2 MiB" in done.stderr)


def as_planned(name: str, placement: dict[str, object], process: Running) -> Iterator[Row]:
    cells = placement["cells"]
    assert isinstance(cells, list)
    for cell in cells:
        for vcpu, cpus in cell["vcpus"].items():
            yield row(f"{name}: vCPU {vcpu}", cpus, ",".join(process.cpus(f"CPU {vcpu}/KVM")))
    yield row(f"{name}: emulator", placement["emulator"], process.threads[0].cpus)
    iothreads = placement["iothreads"]
    assert isinstance(iothreads, dict)
    for number, cpus in iothreads.items():
        yield row(f"{name}: iothread {number}", cpus, ",".join(process.cpus(f"IO iothread{number}")))
    # Each guest of the lab has one virtio interface of one queue.
    yield row(f"{name}: vhost", [placement["emulator"]], process.cpus(f"vhost-{process.pid}"))
    planned: dict[tuple[int, int], int] = {}
    for cell in cells:
        key = cell["memory_node"], cell["page_size_kib"]
        planned[key] = planned.get(key, 0) + cell["memory_kib"]
    huge = {key: kib for key, kib in process.memory.items() if key[1] > SMALL_KIB}
    wanted = {key: kib for key, kib in planned.items() if key[1] > SMALL_KIB}
    yield row(f"{name}: huge pages by node and size", sorted(wanted.items()), sorted(huge.items()))
    small = sorted({node for (node, size), kib in process.memory.items() if size == SMALL_KIB and kib})
    nodes = sorted({node for node, size in planned if size == SMALL_KIB})
    yield row(f"{name}: nodes of its ordinary pages", nodes, small)
    interfaces = placement["interfaces"]
    assert isinstance(interfaces, list)
    vfs = [vf for interface in interfaces for vf in interface["vfs"]]
    yield row(f"{name}: IOMMU groups", sorted(map(group_of, vfs)), sorted(process.groups))
    yield row(f"{name}: drivers of its VFs", ["vfio-pci"] * len(vfs), [driver_of(vf) for vf in vfs])


def ready(lab: Lab) -> None:
    """VFs, the bridge, libvirtd and the guests' definitions."""
    WORK.mkdir(exist_ok=True)
    for path in sorted(Path("/sys/bus/pci/devices").glob("*/sriov_numvfs")):
        path.write_text("4")
    lab.run("udevadm", "settle")
    for folder in Path("/sys/bus/pci/devices").glob("*/sriov_numvfs"):
        for netdev in (folder.parent / "net").iterdir():
            # libvirt sets a VF up through its PF, which must be up for it.
            lab.run("ip", "link", "set", netdev.name, "up")
    lab.run("ip", "link", "add", "br-mgmt", "type", "bridge")
    lab.run("ip", "link", "set", "br-mgmt", "up")
    start_libvirtd()
    define(lab)


def define(lab: Lab) -> None:
    for guest in guests(lab.topology):
        path = WORK / f"{guest.name}.xml"
        path.write_text(guest.xml)
        lab.run("virsh", "define", path)


def start_libvirtd() -> None:
    if PID_FILE.exists():
        try:
            os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
        except ProcessLookupError:
            PID_FILE.unlink()
    SOCKET.unlink(missing_ok=True)
    subprocess.run(["libvirtd", "--daemon", "--pid-file", str(PID_FILE)], check=True)
    end = time.monotonic() + 120
    while not SOCKET.exists() and time.monotonic() < end:
        time.sleep(0.5)


def definitions(lab: Lab) -> dict[str, str]:
    return {
        guest.name: lab.run("virsh", "dumpxml", "--inactive", "--security-info", guest.name)
        for guest in guests(lab.topology)
    }


def make_plan(lab: Lab) -> Path:
    vnf_yaml, plan = WORK / "vnf.yaml", WORK / "plan.json"
    host = json.loads(lab.numaplan("inventory", "-o", "json"))
    port = next(device for device in host["pci"] if device["sriov"] is not None)
    vnf_yaml.write_text(vnf(lab.topology, port["netdevs"][0], "0"))
    lab.numaplan("place", vnf_yaml, "--out", plan)
    return plan
