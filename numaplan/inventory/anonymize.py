"""A recorded host with other MACs, UUIDs, serial numbers, addresses, host and guest names; all else stays as it is.

What stays is what decides performance: CPUs, memory, PCI addresses, drivers, interface names that name nobody.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from numaplan.errors import InputError
from numaplan.inventory.anonymous_groups import GROUP_ROOTS, group_name
from numaplan.inventory.anonymous_process import mapped_file, mount_line, thread_name
from numaplan.inventory.anonymous_xml import anonymous_xml
from numaplan.inventory.pseudonyms import Pseudonyms
from numaplan.sources.recording import Fault, Recording
from numaplan.sources.store import ROWS_FOLDER, join

_HOSTNAME: Final = "proc/sys/kernel/hostname"
_GATHERED: Final = "proc/hwloc-nofile-info"
_NET_FOLDERS: Final = ("sys/class/net", "sys/devices/virtual/net")

# /proc/net is a link to the reader's own namespace.
_OWN_NET = re.compile(r"^proc/(?:self|thread-self|[0-9]+)(?:/task/[0-9]+)?/net/", re.ASCII)
_OF_PROCESS = re.compile(r"proc/[0-9]+/([a-z_]+)", re.ASCII)
_SERIAL = re.compile(r"^((?:Serial|machine id|system-id|pSeries id)\s*:\s*)(\S.*)$", re.MULTILINE | re.IGNORECASE)
_GATHERED_NAME = re.compile(r"^(HostName:\s*)(\S+)", re.MULTILINE)
_PROCESS_NAME = re.compile(r"^(Name:\t)(.*)$", re.MULTILINE)
_MAPPED = re.compile(r"(file=)(\S+)")
_INET6 = re.compile(r"^([0-9a-f]{4})([0-9a-f]{28})( )", re.MULTILINE)
_CPUS = re.compile(r"[0-9,-]*", re.ASCII)
_URI = re.compile(r"[a-z]+:///(?:system|session|embed|default)", re.ASCII)
_ROUTE = re.compile(r"\t([0-9A-F]{8})\t([0-9A-F]{8})\t", re.ASCII)
# A number, a size, a list of them; a word of the kernel's own. No IPv4 address, and no id of many digits.
_PLAIN_VALUE = re.compile(
    r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,12}[kKMGTs%]?(?:[,:-][0-9]{1,12}[kKMGT]?){0,64}|[yYnN]"
    r"|on|off|yes|no|true|false|auto|force|full|strict|lazy|pt|none|never|always|madvise",
    re.ASCII,
)
# Parameters whose value is the kernel's own vocabulary (Documentation/admin-guide/kernel-parameters.txt).
_TELLING: Final = frozenset(
    [
        "isolcpus",
        "nohz_full",
        "rcu_nocbs",
        "irqaffinity",
        "hugepages",
        "hugepagesz",
        "default_hugepagesz",
        "transparent_hugepage",
        "iommu",
        "intel_iommu",
        "amd_iommu",
        "iommu.passthrough",
        "iommu.strict",
        "mitigations",
        "nosmt",
        "maxcpus",
        "nr_cpus",
        "numa_balancing",
        "skew_tick",
        "intel_pstate",
        "amd_pstate",
        "cpufreq.default_governor",
        "processor.max_cstate",
        "intel_idle.max_cstate",
        "idle",
        "tsc",
        "clocksource",
        "kthread_cpus",
        "hugetlb_cma",
        "pci",
        "pcie_aspm",
        "vfio-pci.ids",
        "preempt",
        "rcu_nocb_poll",
        "nmi_watchdog",
        "audit",
        "selinux",
    ]
)


@dataclass(frozen=True, slots=True)
class _Names:
    """Host names and guest names, as the recording has them."""

    hosts: frozenset[str]
    guests: frozenset[str]


def anonymized(recording: Recording, *, key: bytes) -> Recording:
    """The same recording under other names; `key` makes them and must be kept secret, or better not kept at all."""
    found = _names(recording)
    known = _interfaces(recording)
    names = Pseudonyms(key, found.hosts | found.guests, known)
    interfaces = {name: names.interface(name) for name in known}
    groups = frozenset(path for path in recording.folders if path.startswith(GROUP_ROOTS))
    move = _Mover(names, {old: new for old, new in interfaces.items() if old != new}, groups)
    return Recording(
        files={move.path(path): _rewritten(path, data, names, move) for path, data in recording.files.items()},
        links={move.path(path): move.path(target) for path, target in recording.links.items()},
        folders={move.path(path) for path in recording.folders},
        faults={(call, move.path(path)): _fault(fault, names) for (call, path), fault in recording.faults.items()},
        unread={
            move.path(folder): frozenset(move.path(join(folder, name)).rpartition("/")[2] for name in unread)
            for folder, unread in recording.unread.items()
        },
    )


class _Mover:
    """Paths with other names in them."""

    def __init__(self, names: Pseudonyms, interfaces: Mapping[str, str], groups: Collection[str]) -> None:
        self._names = names
        self._groups = groups
        self.interfaces = interfaces
        words = sorted(interfaces, key=lambda word: (-len(word), word))
        self._words = re.compile(r"(?<![\w.-])(?:" + "|".join(map(re.escape, words)) + r")(?![\w-])") if words else None

    def path(self, path: str) -> str:
        parts = path.split("/")
        moved = []
        for i, part in enumerate(parts):
            is_group = "/".join(parts[: i + 1]) in self._groups
            moved.append(group_name(part, self._names) if is_group else self._part(part))
        return "/".join(moved)

    def text(self, text: str) -> str:
        """Any text, with the other names of interfaces where they stand as words."""
        text = self._names.text(text)
        return text if self._words is None else self._words.sub(lambda match: self.interfaces[match[0]], text)

    def _part(self, part: str) -> str:
        for prefix in ("", "lower_", "upper_"):
            other = self.interfaces.get(part.removeprefix(prefix)) if part.startswith(prefix) else None
            if other is not None:
                return prefix + other
        return self._names.text(part)


def _names(recording: Recording) -> _Names:
    hosts = {recording.files.get(_HOSTNAME, b"").decode("utf-8", "surrogateescape").strip()}
    if match := _GATHERED_NAME.search(recording.files.get(_GATHERED, b"").decode("utf-8", "surrogateescape")):
        hosts.add(match[2])
    guests = set()
    for path, data in recording.files.items():
        if path.startswith(f"{ROWS_FOLDER}/"):
            document = _json(data)
            hosts |= {value for key, value in _strings(document) if key == "hostname"}
            if path.endswith(("/libvirt.json", "/processes.json")):
                guests |= set(_guest_names(document))
    hosts |= {host.partition(".")[0] for host in hosts}
    return _Names(frozenset(hosts - {"", "localhost"}), frozenset(guests - {""}))


def _guest_names(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        for entries in document.values():
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict) and isinstance(name := entry.get("name"), str):
                    yield name


def _interfaces(recording: Recording) -> set[str]:
    """Every interface and port that the recording names."""
    found = set()
    for path in (*recording.folders, *recording.links):
        folder, _, name = path.rpartition("/")
        if folder in _NET_FOLDERS or folder.endswith("/net"):
            found.add(name)
    for path, data in recording.files.items():
        if path.startswith(f"{ROWS_FOLDER}/") and not path.endswith(("/libvirt.json", "/processes.json")):
            found |= {value for key, value in _strings(_json(data)) if key in {"ifname", "name"}}
    return found


def _strings(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a document with the key that it stands under."""
    match value:
        case str():
            yield key, value
        case list():
            for each in value:
                yield from _strings(each, key)
        case dict():
            for name, each in value.items():
                yield from _strings(each, str(name))


def _json(data: bytes) -> object:
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document


def _fault(fault: Fault, names: Pseudonyms) -> Fault:
    return fault if fault.why is None else Fault(fault.errno, names.prose(fault.why))


def _rewritten(path: str, data: bytes, names: Pseudonyms, move: _Mover) -> bytes:
    if path.startswith(f"{ROWS_FOLDER}/"):
        document = _json(data)
        return json.dumps(_row(document, "", path, names, move)).encode("ascii") + b"\n"
    text = data.decode("utf-8", "surrogateescape")
    return _text(path, text, names, move).encode("utf-8", "surrogateescape")


def _text(path: str, text: str, names: Pseudonyms, move: _Mover) -> str:
    process = _OF_PROCESS.fullmatch(path)
    rule = _RULES.get(_OWN_NET.sub("proc/net/", path)) or (_PROCESS_RULES.get(process[1]) if process else None)
    if rule is not None:
        return rule(text, names, move)
    if "/net/" in path and path.endswith("/address"):
        return names.hardware(text.strip()) + "\n" if text.strip() else text
    return move.text(text)


def _hostname(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return names.word("host", text.strip()) + "\n"


def _gathered(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return _GATHERED_NAME.sub(lambda found: found[1] + names.word("host", found[2]), text)


def _serials(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return _SERIAL.sub(lambda found: found[1] + names.word("serial", found[2]), text)


def _if_inet6(text: str, names: Pseudonyms, move: _Mover) -> str:
    """The first 16 bits tell the scope."""
    return move.text(_INET6.sub(lambda found: found[1] + names.digits("ipv6", found[2], 28) + found[3], text))


def _routes(text: str, names: Pseudonyms, move: _Mover) -> str:
    return move.text(_ROUTE.sub(lambda found: _route(found, names), text))


def _status(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return _PROCESS_NAME.sub(lambda found: found[1] + thread_name(found[2], names), text)


def _numa_maps(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return _MAPPED.sub(lambda found: found[1] + mapped_file(found[2], names), text)


def _mounts(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return "".join(mount_line(line, names) for line in text.splitlines(keepends=True))


def _ipv4(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return names.ipv4(text)


def _command_line(text: str, names: Pseudonyms, _move: _Mover) -> str:
    """What stands behind "--" is init's, and may be anything."""
    kernel, dashes, init = text.partition(" -- ")
    words = re.sub(r"\S+", lambda word: _parameter(word[0], names), kernel)
    return words + dashes + re.sub(r"\S+", lambda word: names.word("value", word[0]), init)


_RULES: Final[Mapping[str, Callable[[str, Pseudonyms, _Mover], str]]] = {
    _HOSTNAME: _hostname,
    _GATHERED: _gathered,
    "proc/cmdline": _command_line,
    "proc/cpuinfo": _serials,
    "proc/net/if_inet6": _if_inet6,
    "proc/net/route": _routes,
    "proc/net/fib_trie": _ipv4,
    "proc/mounts": _mounts,
}
_PROCESS_RULES: Final[Mapping[str, Callable[[str, Pseudonyms, _Mover], str]]] = {
    "mounts": _mounts,
    "numa_maps": _numa_maps,
    "status": _status,
}


def _route(found: re.Match[str], names: Pseudonyms) -> str:
    """Destination and gateway of /proc/net/route, zero being "any"."""
    other = [word if word == "00000000" else names.digits("ipv4", word, 8).upper() for word in found.groups()]
    return f"\t{other[0]}\t{other[1]}\t"


def _parameter(word: str, names: Pseudonyms) -> str:
    name, equals, value = word.partition("=")
    if not equals or name in _TELLING or _PLAIN_VALUE.fullmatch(value):
        return names.prose(word)
    return f"{name}={names.word('value', value)}"


def _row(value: object, key: str, path: str, names: Pseudonyms, move: _Mover) -> object:
    match value:
        case str():
            return _row_text(value, key, path, names, move)
        case [str(name), str(text)] if path.endswith("/openvswitch.json"):  # a pair of a map, or ["uuid", ...]
            return [name, _row_text(text, name, path, names, move)]
        case list():
            return [_row(each, key, path, names, move) for each in value]
        case dict():
            inner = "thread" if key == "threads" else ""
            return {name: _row(each, inner or str(name), path, names, move) for name, each in value.items()}
    return value


def _row_text(text: str, key: str, path: str, names: Pseudonyms, move: _Mover) -> str:
    if key == "name" and path.endswith(("/libvirt.json", "/processes.json")):
        return names.guest(text)
    if (rule := _ROW_RULES.get(key)) is not None:
        return rule(text, names, move)
    if text.startswith("/") and not path.endswith("/udev.json"):
        return names.path(text)
    return move.interfaces.get(text) or move.text(text)


_ROW_RULES: Final[Mapping[str, Callable[[str, Pseudonyms, _Mover], str]]] = {
    "hostname": lambda text, names, _: names.word("host", text),
    "thread": lambda text, names, _: text if _CPUS.fullmatch(text) else thread_name(text, names),
    "xml": lambda text, names, _: _xml(text, names),
    "inactive_xml": lambda text, names, _: _xml(text, names),
    "uri": lambda text, *_: text if _URI.fullmatch(text) else "",
    "mac": lambda text, names, _: names.hardware(text),
    "permanent_mac": lambda text, names, _: names.hardware(text),
    "remote_ip": lambda text, names, _: names.address(text),
    "vhost-sock-dir": lambda text, names, _: names.path(text),
    "why": lambda text, names, move: move.text(names.prose(text)),
    "pmd_rxq_fault": lambda text, names, move: move.text(names.prose(text)),
}


def _xml(text: str, names: Pseudonyms) -> str:
    try:
        return anonymous_xml(text.encode(), names).decode()
    except (InputError, UnicodeError):
        return ""
