"""Starts a lab host under QEMU, in software alone, and waits for what it leaves in the folder of results."""

import compileall
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.image import ROOT, LabError
from tests.lab.topologies import Topology

TRIES = 3
# A boot takes about half a minute on a quiet machine, what a scenario does between two rows a minute or two.
SILENCE_S = 600
_LOADERS = ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
_VFS_BUS = 0x40
_SMP = ("sockets", "dies", "cores", "threads")


def run(built: Path, topology: Topology, scenarios: tuple[str, ...], results: Path) -> str:
    """The output of the scenarios; `results` is left with what they wrote. Tried again where the host hangs or dies.

    Emulated CPUs now and then trip over a kernel that patches its own code, or wait for ever.
    """
    # The lab host sees the checkout without write access, and would compile all of it at each command.
    for package in ("numaplan", "tests/lab"):
        compileall.compile_dir(ROOT / package, quiet=2)
    console = results.with_suffix(".console")
    console.unlink(missing_ok=True)
    for _ in range(TRIES):
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        (results / "scenarios").write_text("\n".join((topology.name, *scenarios)) + "\n")
        with console.open("ab") as log:
            machine = subprocess.Popen(
                [*_qemu(built), *_options(built, topology, results)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            _await(machine, (results / "rows.jsonl", results / "output", console))
        if machine.returncode not in {0, -signal.SIGKILL}:
            raise LabError(f"QEMU failed:\n{console.read_text(errors='replace')[-3000:]}")
        if (results / "code").exists():
            return (results / "output").read_text(errors="replace")
    raise LabError(f"{TRIES} times the lab host hung or ended before the scenarios did; its console: {console}")


def _await(machine: "subprocess.Popen[bytes]", signs: Sequence[Path]) -> None:
    """Until it ends; one that has written nothing for long is ended."""
    size, since = 0, time.monotonic()
    while machine.poll() is None:
        time.sleep(1)
        now = sum(sign.stat().st_size for sign in signs if sign.exists())
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > SILENCE_S:
            machine.kill()
            machine.wait()


def _qemu(built: Path) -> list[str]:
    """The tree's own QEMU, with the tree's own libraries: nothing of it is installed here."""
    tree = built / "tree"
    loader = next((tree / name for name in _LOADERS if (tree / name).exists()), None)
    if loader is None:
        raise LabError(f"no dynamic loader in {tree}")
    libraries = ":".join(str(tree / name) for name in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    return [
        "env", f"QEMU_MODULE_DIR={tree}/usr/lib/x86_64-linux-gnu/qemu",
        str(loader), "--library-path", libraries, str(tree / "usr/bin/qemu-system-x86_64"),
        "-L", f"{tree}/usr/share/qemu", "-L", f"{tree}/usr/share/seabios", "-L", f"{tree}/usr/lib/ipxe/qemu",
    ]  # fmt: skip


def _options(built: Path, topology: Topology, results: Path) -> Iterator[str]:
    kernel = next((built / "tree/boot").glob("vmlinuz-*"))
    yield from (
        "-M", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-nodefaults", "-display", "none", "-no-reboot",
        # KVM of AMD works inside in software; Intel's does not.
        "-cpu", "max,vendor=AuthenticAMD,la57=off,topoext=on", "-m", f"{topology.memory_mib}M",
        "-smp", ",".join([str(topology.cpus), *(f"{name}={getattr(topology, name)}" for name in _SMP)]),
        # Without eim=on about one run in eight hung when VFs were unbound.
        "-device", "intel-iommu,intremap=on,eim=on,caching-mode=on",
        "-kernel", str(kernel), "-initrd", str(built / "initramfs.gz"), "-append", _command_line(topology),
        "-drive", f"file={built}/disk.img,if=none,id=root,format=raw,snapshot=on",
        "-device", "virtio-blk-pci,drive=root,bus=pcie.0",
        "-serial", "stdio", "-monitor", "none",
    )  # fmt: skip
    shares = {"project": ROOT, "python": built / "python", "results": results}
    for name, path in shares.items():
        access = "" if name == "results" else ",readonly=on"
        yield from ("-fsdev", f"local,id={name},path={path},security_model=none,multidevs=remap{access}")
        yield from ("-device", f"virtio-9p-pci,fsdev={name},mount_tag={name},bus=pcie.0")
    yield from _nodes(topology)


def _nodes(topology: Topology) -> Iterator[str]:
    for number, node in enumerate(topology.nodes):
        cpus = "".join(f",cpus={part}" for part in node.cpus.split(",") if part)
        memory = ""
        if node.memory_mib:
            yield from ("-object", f"memory-backend-ram,id=ram{number},size={node.memory_mib}M")
            memory = f",memdev=ram{number}"
        yield from ("-numa", f"node,nodeid={number}{cpus}{memory}")
    for a, row in enumerate(topology.distances):
        for b, distance in enumerate(row):
            if a != b:
                yield from ("-numa", f"dist,src={a},dst={b},val={distance}")
    for number, node in enumerate(topology.nodes):
        if node.ports:
            bus = f"pxb{number}"
            yield from ("-device", f"pxb-pcie,id={bus},bus=pcie.0,bus_nr={_VFS_BUS + 0x20 * number},numa_node={number}")
            for port in range(node.ports):
                yield from ("-device", f"pcie-root-port,id=rp{number}-{port},bus={bus},chassis={number * 8 + port + 1}")
                yield from ("-device", f"igb,bus=rp{number}-{port}")


def _command_line(topology: Topology) -> str:
    pools = []
    for word, attribute in (("1G", "pages_1gib"), ("2M", "pages_2mib")):
        counts = ",".join(
            f"{number}:{getattr(node, attribute)}"
            for number, node in enumerate(topology.nodes)
            if getattr(node, attribute)
        )
        pools += [f"hugepagesz={word}", f"hugepages={counts}"] if counts else []
    return " ".join(["console=ttyS0", "quiet", "panic=-1", "intel_iommu=on", "iommu=pt", "random.trust_cpu=on", *pools])
