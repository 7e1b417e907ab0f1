"""What processes tell of their guests: the names of threads, the files that are mapped, the file systems mounted."""

import re
from typing import Final

from numaplan.inventory.pseudonyms import Pseudonyms

# Names that QEMU and the kernel give; guests and iothreads may be called anything.
_PLAIN_THREAD = re.compile(
    r"CPU [0-9]{1,5}/[A-Za-z]{1,4}|ALL CPUs/TCG|vhost-[0-9]{1,10}|IO (?:iothread[0-9]{0,5}|mon_iothread)"
    r"|qemu(?:-system-[a-z0-9_]{0,12}|-kvm)?|TC tc-pc\.ram|kvm|kvm-[a-z-]{1,12}|worker|call_rcu|SPICE Worker|vnc_worker"
    r"|live_migration|multifdsend_[0-9]{1,2}",
    re.ASCII,
)
_IOTHREAD: Final = "IO "
# What `numa_maps` knows a memory backend of QEMU's by.
_BACKEND = re.compile(
    r"(?P<before>memfd:|qemu_back_mem\.).+"
    r"|(?P<device>ram-node[0-9]+|mem(?:dimm|nvdimm|virtiomem|virtiopmem)[0-9]+)(?P<gone>\\040\(deleted\))?"
    r"|[a-z0-9.-]+(?P<after>\.ram(?:\\040\(deleted\))?)",
    re.ASCII,
)
_GROUP_SYSTEMS: Final = frozenset({"cgroup", "cgroup2", "cpuset", "proc", "sysfs", "devtmpfs"})


def thread_name(name: str, names: Pseudonyms) -> str:
    """The name of a thread or process; an iothread stays one."""
    if not name or _PLAIN_THREAD.fullmatch(name):
        return name
    if name.startswith(_IOTHREAD):
        return _IOTHREAD + names.word("io", name.removeprefix(_IOTHREAD))
    return names.word("thread", name)


def mapped_file(path: str, names: Pseudonyms) -> str:
    """The path of a mapped file, which tells a guest's memory from libraries."""
    folder, slash, last = path.rpartition("/")
    match = _BACKEND.fullmatch(last)
    if match is None:
        return names.path(path)
    if match["device"]:
        other = last
    elif match["before"]:
        other = match["before"] + names.word("path", last)
    else:
        other = names.word("path", last) + match["after"]
    return names.path(folder) + slash + other


def mount_line(line: str, names: Pseudonyms) -> str:
    """A line of /proc/mounts (proc(5)); of other file systems than the kernel's own nothing but the type stays."""
    words = line.split(" ")
    if len(words) < 4 or words[2] in _GROUP_SYSTEMS:  # noqa: PLR2004 - device, mount point, type, options
        return line
    return f"none {names.path(words[1])} {words[2]} rw 0 0\n"
