"""What the facts that a plan rests on are called: in plan JSON, and in the sentence that tells of a change."""

from enum import StrEnum
from typing import Final

UNPINNED: Final = "any CPU"


class HostFact(StrEnum):
    """A fact of the host as a whole."""

    HOSTNAME = "hostname"
    BOOT_ID = "boot id"
    ONLINE = "online CPUs"
    ISOLATED = "isolated CPUs"
    SIBLINGS = "SMT siblings"
    CACHES = "last-level caches"
    SWITCH_CPUS = "CPUs that Open vSwitch with DPDK polls on"
    SWITCH_MEMORY = "memory of Open vSwitch with DPDK"


class PartFact(StrEnum):
    """A fact of a package, a node, a PCI function or a bridge, called as `fact_of` says."""

    CPUS = "CPUs"
    MEMORY = "memory"
    DISTANCES = "distances"
    PAGES = "pages"
    NAMES = "names"
    DRIVER = "driver"
    NODE = "NUMA node"
    UPLINK = "physical ports"
    VFS = "VFs"
    OTHER_VFS = "unused VFs"
    PF = "PF"
    IDS = "vendor and device"
    GROUP = "IOMMU group"
    USE = "use by the host"


class GuestFact(StrEnum):
    """A fact of a guest. `OWN_CPUS` says in short what the pins say: which CPUs are taken."""

    RUNNING = "running"
    UUID = "UUID"
    PERSISTENT = "persistent"
    MANAGED_SAVE = "managed save"
    OWN_CPUS = "CPUs of its own"
    VCPUS = "vCPUs"
    EMULATOR = "emulator"
    IOTHREADS = "iothreads"
    DEVICES = "devices"
    MEMORY = "memory"


_WHOLE: Final = frozenset(fact.value for fact in HostFact)


def fact_of(fact: str, part: str) -> str:
    """What a fact of a part is called: "CPUs of node 1", "driver of 0000:3b:02.1"."""
    return f"{fact} of {part}"


def part_of(what: str) -> tuple[str, str]:
    """The fact and the part that `fact_of` put together; the part is "" for a fact of the whole host."""
    if what in _WHOLE:
        return what, ""
    fact, of, part = what.rpartition(" of ")
    return (fact, part) if of else (what, "")
