"""The names of control groups without what they tell of guests, services and users."""

import re
from typing import Final

from numaplan.inventory.pseudonyms import Pseudonyms

# Where the readers look for groups (cgroups(7)).
GROUP_ROOTS: Final = ("sys/fs/cgroup/", "dev/cpuset/")

# systemd-machined's scopes, "-" escaped (systemd-escape(1)), and libvirt's own without it.
_SCOPE = re.compile(r"(machine-[a-z]+\\x2d[0-9]+\\x2d)(.+)(\.scope)", re.ASCII)
_LIBVIRT_GROUP = re.compile(r"(?:([a-z]+-[0-9]+-)(.+)(\.libvirt-[a-z]+)|()(.+)(\.libvirt-[a-z]+))", re.ASCII)
# Of every host: slices of systemd.special(7), version 1's controllers, what libvirt makes for a guest's threads.
_PLAIN = re.compile(
    r"(?:-|init|machine|system|user)\.slice|init\.scope|machine|emulator|libvirt|(?:vcpu|iothread)[0-9]{1,5}"
    r"|unified|systemd|cpuset|memory|devices|freezer|blkio|perf_event|hugetlb|pids|rdma|misc"
    r"|cpu|cpuacct|cpu,cpuacct|net_cls|net_prio|net_cls,net_prio",
    re.ASCII,
)
_SUFFIX = re.compile(r"(.*?)(\.(?:slice|scope|service|socket|mount|swap|partition))?", re.ASCII)
_SLICE_WORDS: Final = frozenset({"machine", "system", "user"})


def group_name(name: str, names: Pseudonyms) -> str:
    """Another name that tells as much of the group's place: a slice stays below the slice that its name begins with."""
    if _PLAIN.fullmatch(name):
        return name
    if match := _SCOPE.fullmatch(name):
        guest = names.guest(match[2].replace("\\x2d", "-"))
        return match[1] + guest.replace("-", "\\x2d") + match[3]
    if match := _LIBVIRT_GROUP.fullmatch(name):
        before, guest, after = (group for group in match.groups() if group is not None)
        return before + names.guest(guest) + after
    match = _SUFFIX.fullmatch(name)
    stem, suffix = (name, "") if match is None else (match[1], match[2] or "")
    words = stem.split("-")
    if suffix == ".slice":
        return (
            "-".join(word if word in _SLICE_WORDS else f"g{names.digits('group', word, 8)}" for word in words) + suffix
        )
    # A scope of a machine that is named in another way is a guest's all the same.
    kept = "machine-" if suffix == ".scope" and words[0] == "machine" else ""
    return f"{kept}g{names.digits('group', stem, 8)}{suffix}"
