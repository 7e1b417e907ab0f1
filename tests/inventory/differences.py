"""Why a snapshot may differ from what others say of the same capture: each reason as a sentence and as a proof."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numaplan.model.snapshot import Snapshot

Facts = Any


@dataclass(frozen=True)
class Difference:
    """`holds` takes what we say, what they say, and the snapshot: whether `why` is all that there is to it."""

    why: str
    holds: Callable[[Facts, Facts, Snapshot], bool]


def _online(read: Snapshot) -> set[int]:
    return {int(cpu) for cpu in read.cpus.online}


def _alone(read: Snapshot) -> list[list[int]]:
    return [[cpu] for cpu in sorted(_online(read))]


def _flat(groups: Facts) -> list[int]:
    return sorted(cpu for group in groups for cpu in group)


def _lowest_of_core(ours: Facts, theirs: Facts, read: Snapshot) -> bool:
    return all(
        {ours[int(cpu)] for cpu in core.cpus} == {min(theirs[int(cpu)] for cpu in core.cpus)} for core in read.cores
    )


OFFLINE_MEMBERS = Difference(
    "the file of the node names CPUs that are offline, and a node's CPUs are its online ones",
    lambda ours, theirs, read: ours == {id_: [c for c in cpus if c in _online(read)] for id_, cpus in theirs.items()},
)
OFFLINE_IDS = Difference(
    "the folder of a CPU that is offline was captured with it",
    lambda ours, theirs, read: ours == {cpu: id_ for cpu, id_ in theirs.items() if cpu in _online(read)},
)
LONG_DOMAINS = Difference(
    "hwloc 2.9 drops PCI domains of more than four digits",
    lambda ours, theirs, _: [device for device in ours if device[0].index(":") == len("0000")] == theirs,
)
NO_CORES = Difference(
    "nothing says what a core is: each CPU counts as one, with a gap",
    lambda ours, theirs, read: theirs == [] and ours == _alone(read),
)
AMD_MODULES = Difference(
    "the kernel's thread siblings are the halves of a module; hwloc splits them, since their core ids differ",
    lambda ours, theirs, _: (
        {len(core) for core in ours} == {2} and {len(core) for core in theirs} == {1} and _flat(ours) == _flat(theirs)
    ),
)
TWO_CORE_IDS = Difference(
    "the halves of a module are threads of one core to the kernel; of their core ids the lower is taken, with a gap",
    lambda ours, theirs, read: ours.keys() == theirs.keys() and _lowest_of_core(ours, theirs, read),
)
HWLOC_NODES = Difference(
    "hwloc leaves out nodes that have no cpumap, and then makes up one of its own; the kernel's files say what we say",
    lambda ours, theirs, read: list(theirs) == [0] and len(ours) == len(read.nodes) > 1,
)
NO_SLIT = Difference(
    "a node at distance 0 from itself: less than 10 is no SLIT entry",
    lambda ours, theirs, _: ours == {} and theirs == {0: [0]},
)
ARM_CORES = Difference(
    "lscpu joins CPUs whose core ids repeat from one cluster to the next; their sibling masks name each alone",
    lambda ours, theirs, read: ours == _alone(read) and _flat(theirs) == _flat(ours),
)
ARM_PACKAGES = Difference(
    "lscpu makes one socket of three clusters that name package ids of their own",
    lambda ours, theirs, read: len(theirs) == 1 and _flat(ours) == _flat(theirs) and len(read.packages) == len(ours),
)
SIZE_IN_M = Difference(
    "hwloc reads no cache size in M; the file says 33M",
    lambda ours, theirs, _: [each[:2] for each in ours] == [each[:2] for each in theirs] and ours[0][2] == 33 << 20,
)
LOST_CORE = Difference(
    "CPU 1 names CPU 0 alone as its sibling, for which hwloc drops its core; its core id is another one",
    lambda ours, theirs, read: ours == _alone(read) and theirs == [[0]],
)
