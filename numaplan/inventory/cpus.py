"""Which CPUs are present, online, isolated and free of the tick (/sys/devices/system/cpu, /proc/cmdline)."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet, format_id_list, parse_id_list
from numaplan.inventory.attribute import (
    cpus_of,
    ids_of,
    note_absent,
    parse_cpu_bits,
    parse_integer,
    parse_or_note,
    read_attribute,
    read_each,
)
from numaplan.model.host import CpuStates
from numaplan.sources.tree import HostTree

CPU_ROOT: Final = "sys/devices/system/cpu"
COMMAND_LINE: Final = "proc/cmdline"

_CPU_NAME = re.compile(r"cpu(0|[1-9][0-9]{0,4})", re.ASCII)
# Documentation/admin-guide/kernel-parameters.txt, "isolcpus=".
_ISOLATION_FLAGS: Final = frozenset({"nohz", "domain", "managed_irq"})
_CPU_PARAMETER_LIMIT: Final = 4096


def read_cpu_states(tree: HostTree) -> CpuStates:
    """Every CPU of the host by state (Documentation/ABI/testing/sysfs-devices-system-cpu)."""
    folders = read_cpu_folders(tree)
    present_list = read_attribute(tree, f"{CPU_ROOT}/present", parse_cpu_bits, expected=True)
    online_list = read_attribute(tree, f"{CPU_ROOT}/online", parse_cpu_bits, expected=True)
    known = folders if present_list is None else present_list
    online = _without_list(tree, folders) if online_list is None else _with_list(tree, folders, listed=online_list)
    if stray := online & ~known:
        tree.note(f"{CPU_ROOT}/present", f"CPUs {format_id_list(ids_of(stray))} are online but not in it")
    present = known | online
    if not online:
        tree.note(CPU_ROOT, "no CPU is online")
    isolated = read_attribute(tree, f"{CPU_ROOT}/isolated", parse_isolated, expected=True)
    nohz_full = read_attribute(tree, f"{CPU_ROOT}/nohz_full", parse_isolated)
    return CpuStates(
        present=cpus_of(present),
        online=cpus_of(online),
        isolated=_read_isolcpus(tree, present) if isolated is None else cpus_of(isolated),
        nohz_full=_read_nohz_full(tree, present) if nohz_full is None else cpus_of(nohz_full),
    )


def read_cpu_folders(tree: HostTree) -> int:
    """CPUs that have a folder cpuN, as bits."""
    bits = 0
    for name in tree.names(CPU_ROOT):
        match = _CPU_NAME.fullmatch(name)
        if match is None:
            continue
        if int(match[1]) >= CPU_LIMIT:
            tree.note(f"{CPU_ROOT}/{name}", f"an id of {CPU_LIMIT} or more")
        else:
            bits |= 1 << int(match[1])
    return bits


def parse_switch(text: str) -> bool:
    """An attribute of "0" or "1"; raises ValueError on anything else."""
    return bool(parse_integer(text, highest=1))


def parse_isolated(text: str) -> int:
    """CPUs of cpu/isolated or cpu/nohz_full, as bits; raises ValueError when it is no CPU list.

    Without the boot parameter the kernel prints a null pointer: "  (null)", and a NUL before Linux 4.15.
    """
    return 0 if text.strip(" \t") in {"(null)\n", "(null)", "\0\n"} else parse_cpu_bits(text)


def parse_isolcpus(parameters: str, *, last: int) -> CpuSet:
    """CPUs that ``isolcpus=`` on the kernel's command line keeps out of the scheduler's domains.

    Flags before the list choose the kind of isolation, and without any it is that of the domains; `last` is what "N"
    stands for. Raises ValueError for a list that is none.
    """
    isolated = CpuSet()
    for value in _values(parameters, "isolcpus"):
        words = value.split(",")
        flags = {word for word in words if word in _ISOLATION_FLAGS}
        cpus = _parse_parameter(",".join(word for word in words if word not in _ISOLATION_FLAGS), last=last)
        if not flags or "domain" in flags:
            isolated |= cpus
    return isolated


def parse_nohz_full_parameter(parameters: str, *, last: int) -> CpuSet:
    """CPUs of ``nohz_full=`` on the kernel's command line; raises ValueError for a list that is none."""
    cpus = CpuSet()
    for value in _values(parameters, "nohz_full"):
        cpus |= _parse_parameter(value, last=last)
    return cpus


def _with_list(tree: HostTree, folders: int, *, listed: int) -> int:
    """The list decides, but for CPUs without a folder: nothing is known of them, so nothing can be placed on them."""
    where = f"{CPU_ROOT}/online"
    if not folders:
        if listed:
            tree.note(CPU_ROOT, "no CPU has a folder: their topology is not known")
        return listed
    if missing := listed & ~folders:
        tree.note(where, f"CPUs {format_id_list(ids_of(missing))} have no folder and are left out")
    for cpu in ids_of(folders & ~listed):
        if read_attribute(tree, f"{CPU_ROOT}/cpu{cpu}/online", parse_switch):
            tree.note(where, f"CPU {cpu} is not in it, but cpu{cpu}/online says 1")
    return listed & folders


def _without_list(tree: HostTree, folders: int) -> int:
    """A CPU is online unless cpu/offline or its own file says otherwise; one that cannot be unplugged has no file."""
    offline = read_attribute(tree, f"{CPU_ROOT}/offline", parse_cpu_bits) or 0
    pattern = f"{CPU_ROOT}/cpu{{}}/online"
    cpus = ids_of(folders & ~offline)
    switches = read_each(tree, pattern, cpus, parse_switch)
    # On most machines that is the CPU that they start with, and number 0.
    if switches:
        note_absent(tree, pattern, [cpu for cpu in cpus if cpu and cpu not in switches])
    return folders & ~offline & ~sum(1 << cpu for cpu, online in switches.items() if not online)


def _read_isolcpus(tree: HostTree, present: int) -> CpuSet:
    return _read_parameter(tree, "isolcpus", present=present, parse=parse_isolcpus)


def _read_nohz_full(tree: HostTree, present: int) -> CpuSet:
    return _read_parameter(tree, "nohz_full", present=present, parse=parse_nohz_full_parameter)


def _read_parameter(tree: HostTree, name: str, *, present: int, parse: Callable[..., CpuSet]) -> CpuSet:
    """CPUs that the kernel's command line names, which is asked where no file of /sys answers."""
    text = tree.text(COMMAND_LINE, expected=True) or ""
    if f"{name}=" not in text:
        return CpuSet()
    possible = read_attribute(tree, f"{CPU_ROOT}/possible", parse_cpu_bits, expected=True) or 0
    last = max(present.bit_length(), possible.bit_length(), 1) - 1
    cpus = parse_or_note(tree, COMMAND_LINE, text=text, parse=partial(parse, last=last))
    return CpuSet() if cpus is None else cpus


def _values(parameters: str, name: str) -> Iterator[str]:
    for word in parameters.split():
        if word == "--":
            return
        key, equals, value = word.partition("=")
        if equals and key == name:
            yield value.strip('"')


def _parse_parameter(text: str, *, last: int) -> CpuSet:
    """Documentation/admin-guide/kernel-parameters.rst, "cpu lists": "all", and "N" for the last CPU."""
    if len(text) > _CPU_PARAMETER_LIMIT or not text:
        raise ValueError("no CPU list")
    if text.lower() == "all":
        return CpuSet(parse_id_list(f"0-{last}"))
    return CpuSet(parse_id_list(re.sub(r"\bN\b", str(last), text)))
