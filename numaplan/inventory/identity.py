"""Who the host is: name, kernel, architecture, CPU model, and whether it can run guests (/proc, /sys/module)."""

import re
from collections.abc import Mapping
from typing import Final

from numaplan.inventory.attribute import read_attribute
from numaplan.model.host import HostIdentity
from numaplan.sources.tree import HostTree

IOMMU_GROUPS: Final = "sys/kernel/iommu_groups"
# Written by hwloc-gather-topology beside the files that it copies.
_GATHERED: Final = "proc/hwloc-nofile-info"
_LONGEST_WORD: Final = 256

_VERSION = re.compile(r"Linux version (\S+)", re.ASCII)
# RPM distributions end a release with the architecture, ".x86_64" or ".x86_64+rt"; Debian with its own name for it.
_RELEASE_ARCHITECTURE = re.compile(r"\.(x86_64|aarch64|ppc64le|s390x|riscv64)(?:[+.].*)?", re.ASCII)
_DEBIAN_ARCHITECTURE = re.compile(r"-(?:cloud-|rt-)?(amd64|arm64|s390x|riscv64)(?:-unsigned)?", re.ASCII)
_DEBIAN_NAMES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_RISCV = re.compile(r"rv(32|64)", re.ASCII)


def read_identity(tree: HostTree, *, device_groups: bool) -> HostIdentity:
    """Everything that names the host; `device_groups`: whether a device links to an IOMMU group."""
    gathered = read_attribute(tree, _GATHERED, parse_fields) or {}
    processor = read_attribute(tree, "proc/cpuinfo", parse_fields) or {}
    kernel = (
        read_attribute(tree, "proc/sys/kernel/osrelease", parse_word)
        or read_attribute(tree, "proc/version", parse_version)
        or gathered.get("OSRelease")
    )
    return HostIdentity(
        source=tree.source,
        hostname=read_attribute(tree, "proc/sys/kernel/hostname", parse_word) or gathered.get("HostName"),
        kernel=kernel,
        architecture=read_attribute(tree, "proc/sys/kernel/arch", parse_word)
        or gathered.get("Architecture")
        or parse_architecture(kernel or "", processor.get("isa", "")),
        cpu_model=processor.get("model name"),
        kvm=_read_kvm(tree),
        iommu=_read_iommu(tree, device_groups=device_groups),
    )


def parse_fields(text: str) -> Mapping[str, str]:
    """The first value of each ``key : value`` line, blanks folded, empty ones left out; ValueError without any."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        folded = " ".join(value.split())
        if colon and folded and folded.isprintable():
            fields.setdefault(key.strip(), folded[:_LONGEST_WORD])
    if not fields:
        raise ValueError("no fields")
    return fields


def parse_word(text: str) -> str:
    """One printable word on one line; raises ValueError."""
    words = text.split()
    if len(words) != 1 or len(words[0]) > _LONGEST_WORD or not words[0].isprintable():
        raise ValueError("no single word")
    return words[0]


def parse_version(text: str) -> str:
    """The release in /proc/version; raises ValueError."""
    match = _VERSION.match(text)
    if match is None:
        raise ValueError("no Linux version")
    return match[1]


def parse_architecture(release: str, isa: str) -> str | None:
    """The architecture that a kernel's release or a RISC-V's ``isa`` names beyond doubt; None where neither does.

    CPU flags are no proof: a kernel of 32 bits runs on a CPU of 64.
    """
    if match := _RELEASE_ARCHITECTURE.search(release):
        return match[1]
    if match := _DEBIAN_ARCHITECTURE.search(release):
        return _DEBIAN_NAMES.get(match[1], match[1])
    if match := _RISCV.match(isa):
        return f"riscv{match[1]}"
    return None


def _read_kvm(tree: HostTree) -> bool | None:
    """/sys/module/kvm is there whether KVM is a module or built in: it has parameters."""
    if tree.exists("sys/module/kvm") or tree.exists("dev/kvm"):
        return True
    return False if tree.exists("sys/module") else None


def _read_iommu(tree: HostTree, *, device_groups: bool) -> bool | None:
    if device_groups or tree.names(IOMMU_GROUPS):
        return True
    return False if tree.exists(IOMMU_GROUPS) else None
