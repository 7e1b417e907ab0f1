"""Who the host is: name, kernel, architecture, CPU model, and whether it can run guests (/proc, /sys/module)."""

import re
from typing import Final

from numaplan.inventory.attribute import read_attribute
from numaplan.inventory.listed import read_listed
from numaplan.inventory.processor import Processor, parse_fields, parse_processor
from numaplan.model.host import HostIdentity
from numaplan.sources.tree import HostTree

IOMMU_GROUPS: Final = "sys/kernel/iommu_groups"
_SYSCTL: Final = "proc/sys/kernel"
# Documentation/admin-guide/sysctl/kernel.rst, "random".
_RANDOM: Final = f"{_SYSCTL}/random"
# Written by hwloc-gather-topology beside the files that it copies.
_GATHERED: Final = "proc/hwloc-nofile-info"
_LONGEST_WORD: Final = 256

_VERSION = re.compile(r"Linux version (\S+)", re.ASCII)
# RPM distributions end a release with the architecture, ".x86_64" or ".x86_64+rt"; Debian with its own name for it.
_RELEASE_ARCHITECTURE = re.compile(r"\.(x86_64|aarch64|ppc64le|s390x|riscv64)(?:[+.].*)?", re.ASCII)
_DEBIAN_ARCHITECTURE = re.compile(r"-(?:cloud-|rt-)?(amd64|arm64|s390x|riscv64)(?:-unsigned)?", re.ASCII)
_DEBIAN_NAMES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_RISCV = re.compile(r"rv(32|64)", re.ASCII)
_BOOT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_X86: Final = re.compile(r"x86_64|i[3-6]86", re.ASCII)

_KVM_MODULE: Final = "sys/module/kvm"
# On x86 one of these knows the hardware, and the module called kvm alone runs no guest.
_KVM_VENDORS: Final = ("kvm_intel", "kvm_amd", "kvm_pvm")
_KVM_DEVICES: Final = "sys/class/misc"
_NESTING: Final = (*_KVM_VENDORS, "kvm_hv", "kvm")
_ALWAYS_NESTING: Final = frozenset({"kvm_intel", "kvm_amd"})


def read_identity(tree: HostTree, *, device_groups: bool) -> HostIdentity:
    """Everything that names the host; `device_groups`: whether a device links to an IOMMU group."""
    gathered = read_attribute(tree, _GATHERED, parse_fields) or {}
    processor = read_attribute(tree, "proc/cpuinfo", parse_processor, expected=True) or Processor({})
    # Listed first, so that a file of it that vanishes is a gap.
    tree.names(_SYSCTL)
    kernel = (
        read_attribute(tree, f"{_SYSCTL}/osrelease", parse_word)
        or read_attribute(tree, "proc/version", parse_version, expected="OSRelease" not in gathered)
        or gathered.get("OSRelease")
    )
    architecture = (
        read_attribute(tree, f"{_SYSCTL}/arch", parse_word)
        or gathered.get("Architecture")
        or parse_architecture(kernel or "", processor.fields.get("isa", ""))
    )
    return HostIdentity(
        source=tree.source,
        hostname=read_attribute(tree, f"{_SYSCTL}/hostname", parse_word) or gathered.get("HostName"),
        kernel=kernel,
        architecture=architecture,
        cpu_model=processor.fields.get("model name"),
        kvm=_read_kvm(tree, x86=processor.x86 or _X86.fullmatch(architecture or "") is not None),
        iommu=_read_iommu(tree, device_groups=device_groups),
        cpu_flags=processor.flags,
        nested=_read_nested(tree),
        boot_id=read_listed(tree, _RANDOM, "boot_id", parse_boot_id),
    )


def parse_word(text: str) -> str:
    """One printable word on one line; raises ValueError."""
    words = text.split()
    if len(words) != 1 or len(words[0]) > _LONGEST_WORD or not words[0].isprintable():
        raise ValueError("no single word")
    return words[0]


def parse_boot_id(text: str) -> str:
    """The UUID that the kernel gives itself at each boot; raises ValueError."""
    found = text.strip()
    if _BOOT_ID.fullmatch(found) is None:
        raise ValueError("no UUID")
    return found


def parse_yes(text: str) -> bool:
    """A module's switch: "Y" or "N", and "1" or "0" where it is a number; raises ValueError."""
    answer = {"Y": True, "1": True, "N": False, "0": False}.get(text.strip())
    if answer is None:
        raise ValueError("neither yes nor no")
    return answer


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


def _read_kvm(tree: HostTree, *, x86: bool) -> bool | None:
    """Whether guests can be run: /dev/kvm is there, which shows in /sys/class/misc too.

    A capture without that class tells by its modules. One that is built in has a folder all the same, for its
    parameters, and one that is loaded lists those that build on it; where neither helps, nothing is known.
    """
    if tree.exists("dev/kvm") or tree.exists(f"{_KVM_DEVICES}/kvm"):
        return True
    if tree.exists(_KVM_DEVICES):
        return False
    if not tree.exists(_KVM_MODULE):
        return False if tree.exists("sys/module") else None
    if not x86 or any(tree.exists(f"sys/module/{vendor}") for vendor in _KVM_VENDORS):
        return True
    holders = f"{_KVM_MODULE}/holders"
    return bool(frozenset(_KVM_VENDORS) & frozenset(tree.names(holders))) if tree.exists(holders) else None


def _read_nested(tree: HostTree) -> bool | None:
    """/sys/module/kvm_intel/parameters/nested and its kin (Documentation/virt/kvm/x86/running-nested-guests.rst)."""
    for name in _NESTING:
        folder = f"sys/module/{name}/parameters"
        expected = name in _ALWAYS_NESTING and tree.exists(folder)
        answer = read_listed(tree, folder, "nested", parse_yes, expected=expected)
        if answer is not None:
            return answer
    return None


def _read_iommu(tree: HostTree, *, device_groups: bool) -> bool | None:
    if device_groups or tree.names(IOMMU_GROUPS):
        return True
    return False if tree.exists(IOMMU_GROUPS) else None
