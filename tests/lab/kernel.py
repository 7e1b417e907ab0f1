"""What the kernel says of a running guest, read here by other means than numaplan's own."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
SMALL_KIB = 4
# No guest of the lab has less, and no other mapping of QEMU's with pages in it is as large.
LEAST_BYTES = 60 << 20


class Thread(NamedTuple):
    """A thread, and the CPUs that it may use in the kernel's list form."""

    tid: int
    name: str
    cpus: str


@dataclass
class Running:
    """A QEMU process: its threads, memory in KiB by (node, KiB of a page), and the IOMMU groups that it holds."""

    pid: int
    threads: list[Thread] = field(default_factory=list)
    memory: dict[tuple[int, int], int] = field(default_factory=dict)
    groups: set[int] = field(default_factory=set)

    def cpus(self, name: str) -> list[str]:
        """Of every thread of that name."""
        return [thread.cpus for thread in self.threads if thread.name == name]

    def tid(self, name: str) -> int:
        """Of the one thread of that name."""
        (found,) = (thread.tid for thread in self.threads if thread.name == name)
        return found


def running(guest: str) -> Running:
    """The process of a guest; raises where there is not exactly one."""
    found = [int(path.name) for path in PROC.iterdir() if path.name.isdecimal() and _is(path, guest)]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} processes are guest {guest}")
    process = Running(found[0])
    folder = PROC / str(process.pid)
    for task in sorted((folder / "task").iterdir(), key=lambda path: int(path.name)):
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        process.threads.append(Thread(int(task.name), status["Name"], status["Cpus_allowed_list"]))
    for vhost in PROC.glob("[0-9]*"):
        # A kernel thread of its own on older kernels, a thread of QEMU since 6.4.
        if _comm(vhost) == f"vhost-{process.pid}" and vhost.name != str(process.pid):
            process.threads.append(Thread(int(vhost.name), f"vhost-{process.pid}", _allowed(vhost)))
    _read_memory(process, folder)
    for descriptor in (folder / "fd").iterdir():
        target = _target(descriptor)
        if match := re.fullmatch(r"/dev/vfio/(\d+)", target):
            process.groups.add(int(match[1]))
    return process


def pools(attribute: str) -> dict[tuple[int, int], int]:
    """ "nr_hugepages" or "free_hugepages" by (node, KiB of a page), of every pool that has any pages."""
    found = {}
    for path in Path("/sys/devices/system/node").glob("node[0-9]*/hugepages/hugepages-*kB"):
        if int((path / "nr_hugepages").read_text()):
            node, size = path.parts[-3].removeprefix("node"), path.name.removeprefix("hugepages-").removesuffix("kB")
            found[int(node), int(size)] = int((path / attribute).read_text())
    return dict(sorted(found.items()))


def driver_of(address: str) -> str:
    """The driver that a PCI function is bound to."""
    return Path(f"/sys/bus/pci/devices/{address}/driver").resolve().name


def group_of(address: str) -> int:
    """The IOMMU group of a PCI function."""
    return int(Path(f"/sys/bus/pci/devices/{address}/iommu_group").resolve().name)


def _is(path: Path, guest: str) -> bool:
    try:
        words = (path / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"-name" in words and words[words.index(b"-name") + 1].startswith(f"guest={guest},".encode())


def _comm(path: Path) -> str:
    try:
        return (path / "comm").read_text().strip()
    except OSError:
        return ""


def _allowed(path: Path) -> str:
    match = re.search(r"^Cpus_allowed_list:\t(.*)$", (path / "status").read_text(), re.MULTILINE)
    return match[1] if match else ""


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _read_memory(process: Running, folder: Path) -> None:
    """The guest's own memory: what lies in huge pages, and of the rest the mappings that are as large as a guest.

    A policy of the whole process shows at all of its mappings, QEMU's code among them.
    """
    large = set()
    for line in (folder / "maps").read_text().splitlines():
        start, end = line.split(maxsplit=1)[0].split("-")
        if int(end, 16) - int(start, 16) >= LEAST_BYTES:
            large.add(int(start, 16))
    for line in (folder / "numa_maps").read_text().splitlines():
        size = re.search(r"kernelpagesize_kB=(\d+)", line)
        if size is None or (int(size[1]) == SMALL_KIB and int(line.split()[0], 16) not in large):
            continue
        for node, pages in re.findall(r" N(\d+)=(\d+)", line):
            key = int(node), int(size[1])
            process.memory[key] = process.memory.get(key, 0) + int(pages) * key[1]
