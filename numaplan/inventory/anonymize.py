"""A recorded host with other MACs, UUIDs, serial numbers, addresses, host and guest names; all else stays as it is.

What stays is what decides performance: CPUs, memory, PCI addresses, drivers, interface names that name nobody.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from numaplan.errors import InputError
from numaplan.inventory.anonymous_xml import anonymous_xml
from numaplan.inventory.pseudonyms import Pseudonyms
from numaplan.sources.recording import Fault, Recording
from numaplan.sources.store import ROWS_FOLDER

_HOSTNAME: Final = "proc/sys/kernel/hostname"
_GATHERED: Final = "proc/hwloc-nofile-info"
_NET_FOLDERS: Final = ("sys/class/net", "sys/devices/virtual/net")
_SHORTEST_NAME: Final = 3

# systemd-machined's scopes, "-" escaped (systemd-escape(1)), and libvirt's own without it.
_SCOPE = re.compile(r"(machine-[a-z]+\\x2d[0-9]+\\x2d)(.+)(\.scope)", re.ASCII)
_LIBVIRT_GROUP = re.compile(r"(?:([a-z]+-[0-9]+-)(.+)(\.libvirt-[a-z]+)|()(.+)(\.libvirt-[a-z]+))", re.ASCII)
_SERIAL = re.compile(r"^((?:Serial|machine id|system-id|pSeries id)\s*:\s*)(\S.*)$", re.MULTILINE | re.IGNORECASE)
_GATHERED_NAME = re.compile(r"^(HostName:\s*)(\S+)", re.MULTILINE)
_INET6 = re.compile(r"^([0-9a-f]{4})([0-9a-f]{28})( )", re.MULTILINE)
_ROUTE = re.compile(r"\t([0-9A-F]{8})\t([0-9A-F]{8})\t", re.ASCII)
_PLAIN_VALUE = re.compile(
    r"[0-9a-fxXyYnNGMK,.:*/-]{0,64}|on|off|auto|force|strict|lazy|pt|[a-z_]{1,12}(?:,[a-z_]{1,12})*|[a-z_,]*[0-9][0-9,-]*"
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
    names = Pseudonyms(key, (name for name in found.hosts | found.guests if len(name) >= _SHORTEST_NAME))
    interfaces = {name: names.interface(name) for name in _interfaces(recording)}
    move = _Mover(names, {old: new for old, new in interfaces.items() if old != new})
    return Recording(
        files={move.path(path): _rewritten(path, data, names, move) for path, data in recording.files.items()},
        links={move.path(path): move.path(target) for path, target in recording.links.items()},
        folders={move.path(path) for path in recording.folders},
        faults={(call, move.path(path)): _fault(fault, names) for (call, path), fault in recording.faults.items()},
        unread={move.path(folder): frozenset(map(move.path, names)) for folder, names in recording.unread.items()},
    )


class _Mover:
    """Paths with other names in them."""

    def __init__(self, names: Pseudonyms, interfaces: Mapping[str, str]) -> None:
        self._names = names
        self.interfaces = interfaces
        words = sorted(interfaces, key=lambda word: (-len(word), word))
        self._words = re.compile(r"(?<![\w.-])(?:" + "|".join(map(re.escape, words)) + r")(?![\w-])") if words else None

    def path(self, path: str) -> str:
        return "/".join(map(self._part, path.split("/")))

    def text(self, text: str) -> str:
        """Any text, with the other names of interfaces where they stand as words."""
        text = self._names.text(text)
        return text if self._words is None else self._words.sub(lambda match: self.interfaces[match[0]], text)

    def _part(self, part: str) -> str:
        for prefix in ("", "lower_", "upper_"):
            other = self.interfaces.get(part.removeprefix(prefix)) if part.startswith(prefix) else None
            if other is not None:
                return prefix + other
        if match := _SCOPE.fullmatch(part):
            guest = self._names.guest(match[2].replace("\\x2d", "-"))
            return match[1] + guest.replace("-", "\\x2d") + match[3]
        if match := _LIBVIRT_GROUP.fullmatch(part):
            before, name, after = (group for group in match.groups() if group is not None)
            return before + self._names.guest(name) + after
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
    return fault if fault.why is None else Fault(fault.errno, names.text(fault.why))


def _rewritten(path: str, data: bytes, names: Pseudonyms, move: _Mover) -> bytes:
    if path.startswith(f"{ROWS_FOLDER}/"):
        document = _json(data)
        return json.dumps(_row(document, "", path, names, move)).encode("ascii") + b"\n"
    text = data.decode("utf-8", "surrogateescape")
    return _text(path, text, names, move).encode("utf-8", "surrogateescape")


def _text(path: str, text: str, names: Pseudonyms, move: _Mover) -> str:
    rule = _RULES.get(path)
    if rule is not None:
        return rule(text, names, move)
    if path.startswith("proc/") and path.endswith("/numa_maps"):
        return re.sub(r"(file=)(\S+)", lambda found: found[1] + names.path(found[2]), text)
    if "cgroup/" in path:
        return "\n".join(map(move.path, text.split("\n")))
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


def _ipv4(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return names.ipv4(text)


def _command_line(text: str, names: Pseudonyms, _move: _Mover) -> str:
    return re.sub(r"\S+", lambda word: _parameter(word[0], names), text)


_RULES: Final[Mapping[str, Callable[[str, Pseudonyms, _Mover], str]]] = {
    _HOSTNAME: _hostname,
    _GATHERED: _gathered,
    "proc/cmdline": _command_line,
    "proc/cpuinfo": _serials,
    "proc/net/if_inet6": _if_inet6,
    "proc/net/route": _routes,
    "proc/net/fib_trie": _ipv4,
}


def _route(found: re.Match[str], names: Pseudonyms) -> str:
    """Destination and gateway of /proc/net/route, zero being "any"."""
    other = [word if word == "00000000" else names.digits("ipv4", word, 8).upper() for word in found.groups()]
    return f"\t{other[0]}\t{other[1]}\t"


def _parameter(word: str, names: Pseudonyms) -> str:
    name, equals, value = word.partition("=")
    if not equals or name in _TELLING or _PLAIN_VALUE.fullmatch(value):
        return names.text(word)
    return f"{name}={names.word('value', value)}"


def _row(value: object, key: str, path: str, names: Pseudonyms, move: _Mover) -> object:
    match value:
        case str():
            return _row_text(value, key, path, names, move)
        case list():
            return [_row(each, key, path, names, move) for each in value]
        case dict():
            return {name: _row(each, str(name), path, names, move) for name, each in value.items()}
    return value


def _row_text(text: str, key: str, path: str, names: Pseudonyms, move: _Mover) -> str:
    of_guests = path.endswith(("/libvirt.json", "/processes.json"))
    if key == "hostname":
        return names.word("host", text)
    if key == "name" and of_guests:
        return names.guest(text)
    if key in {"xml", "inactive_xml"}:
        try:
            return anonymous_xml(text.encode("utf-8", "surrogateescape"), names).decode("utf-8", "surrogateescape")
        except InputError:
            return ""
    if "/" in text and key in {"path", "socket", "vhost-server-path"}:
        return names.path(text)
    return move.interfaces.get(text) or move.text(text)
