"""The keys of vnf.yaml and of profiles, with their defaults. What several keys must agree on stands elsewhere."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from numaplan.cpuset import CpuSet
from numaplan.model.request import (
    CpuCache,
    CpuPolicy,
    DeviceLocality,
    EmulatorPolicy,
    IothreadPolicy,
    Memballoon,
    MemoryPolicy,
    PageSize,
    ThreadPolicy,
)
from numaplan.spec.devices import DeviceKeys, InterfaceKeys
from numaplan.spec.forms import Keys, OrScalar
from numaplan.spec.pf import PfName
from numaplan.spec.scalars import VCPU_LIMIT, CellVcpus, Choice, CpuList, GuestName, Name, Size, Truth, Whole
from numaplan.spec.tuning import MemoryBackingKeys, RealtimeKeys

GUEST_LIMIT: Final = 10_000
CELL_LIMIT: Final = 64
# Weights and priorities are summed over guests, VFs and distances: this keeps the sums within 64 bits.
WEIGHT_LIMIT: Final = 1_000_000


class Version(StrEnum):
    """The form of the file."""

    V1 = "numaplan/v1"


class ProfileKind(StrEnum):
    """What a profile's ``spec`` holds: keys of a vm, or keys of ``host``."""

    GUEST = "GuestProfile"
    HOST = "HostProfile"


class CellKeys(Keys):
    """One guest NUMA node."""

    vcpus: Annotated[int | CpuSet, CellVcpus(), Field(description='How many vCPUs, or which: 4, or "0-3".')]
    memory: Annotated[int, Size(), Field(description="Its memory, such as 8GiB.")]
    page_size: Annotated[PageSize | None, Choice(PageSize), Field(description="The vm's, if not given.")] = None
    memory_policy: Annotated[
        MemoryPolicy | None, Choice(MemoryPolicy), Field(description="The vm's, if not given.")
    ] = None


class EmulatorKeys(Keys):
    """Where QEMU's own threads run."""

    policy: Annotated[
        EmulatorPolicy,
        Choice(EmulatorPolicy),
        Field(description="share: on the shared CPUs; isolate: one CPU of its own; set: as many as cpus says."),
    ] = EmulatorPolicy.SHARE
    cpus: Annotated[
        int | None, Whole(1, VCPU_LIMIT), Field(description="How many CPUs; with policy set alone, and needed there.")
    ] = None


class IothreadKeys(Keys):
    """How many iothreads, and where they run."""

    count: Annotated[int, Whole(0, 1024), Field(description="How many.")] = 0
    policy: Annotated[
        IothreadPolicy,
        Choice(IothreadPolicy),
        Field(description="share: on the shared CPUs; dedicated: one CPU each."),
    ] = IothreadPolicy.SHARE


_PARTNER: Final = GuestName()


class GuestKeys(Keys):
    """What a vm, ``defaults`` and a guest profile may say. Merged in this order: defaults, profile, the vm's own."""

    required: Annotated[bool, Truth(), Field(description="false: placed if possible, by priority.")] = True
    priority: Annotated[
        int, Whole(0, WEIGHT_LIMIT), Field(description="Of what is not required, the higher sum is placed.")
    ] = 1
    vcpus: Annotated[int | None, Whole(1, VCPU_LIMIT), Field(description="How many vCPUs.")] = None
    memory: Annotated[int | None, Size(), Field(description="Its memory: a whole number with KiB, MiB, GiB, TiB.")] = (
        None
    )
    page_size: Annotated[
        PageSize,
        Choice(PageSize),
        Field(description="large: any huge size that divides the memory; any: 4KiB too."),
    ] = PageSize.SMALL
    memory_policy: Annotated[
        MemoryPolicy,
        Choice(MemoryPolicy),
        Field(description="strict: memory on the node of its cell's CPUs; preferred: elsewhere at a cost."),
    ] = MemoryPolicy.STRICT
    cells: Annotated[
        int | list[CellKeys],
        OrScalar(Annotated[list[CellKeys], Field(min_length=1, max_length=CELL_LIMIT)], Whole(1, CELL_LIMIT)),
        Field(description="Guest NUMA nodes: a number that splits vcpus and memory evenly, or a list."),
    ] = 1
    distinct_nodes: Annotated[bool, Truth(), Field(description="Each guest cell on a host node of its own.")] = True
    cpu_policy: Annotated[
        CpuPolicy,
        Choice(CpuPolicy),
        Field(description="dedicated: a CPU for each vCPU; shared: they float on the pool; mixed: some of each."),
    ] = CpuPolicy.DEDICATED
    dedicated_vcpus: Annotated[
        CpuSet | None, CpuList(empty=False), Field(description="With cpu_policy mixed: which vCPUs get CPUs.")
    ] = None
    thread_policy: Annotated[
        ThreadPolicy,
        Choice(ThreadPolicy),
        Field(description="prefer: siblings first; require: whole cores; isolate: a core for each CPU, siblings idle."),
    ] = ThreadPolicy.PREFER
    emulator: Annotated[
        EmulatorKeys,
        OrScalar(EmulatorKeys, Choice(EmulatorPolicy), key="policy"),
        Field(description="QEMU's own threads: share, isolate, or {policy: set, cpus: 2}."),
    ] = EmulatorKeys()
    iothreads: Annotated[
        IothreadKeys,
        OrScalar(IothreadKeys, Whole(0, 1024), key="count"),
        Field(description="Iothreads: a number, or {count: 1, policy: dedicated}."),
    ] = IothreadKeys()
    interfaces: list[InterfaceKeys] = Field(
        default_factory=list, description="Network interfaces, in the guest's order."
    )
    devices: list[DeviceKeys] = Field(default_factory=list, description="Other passed-through devices.")
    affinity: list[Annotated[str, _PARTNER]] = Field(
        default_factory=list, description="On the nodes of these guests; a vm's name: all its copies."
    )
    anti_affinity: list[Annotated[str, _PARTNER]] = Field(
        default_factory=list, description="On no node of these guests; a vm's name: all its copies."
    )
    realtime: Annotated[
        RealtimeKeys | None, Field(description='vCPUs scheduled first in, first out: {vcpus: "1-3", priority: 1}.')
    ] = None
    memory_backing: Annotated[
        MemoryBackingKeys, Field(description="How its memory is held; else as its XML has it.")
    ] = MemoryBackingKeys()
    cpu_cache: Annotated[
        CpuCache | None,
        Choice(CpuCache),
        Field(description="The caches that it sees: passthrough, emulate or disable; else as its XML has it."),
    ] = None
    memballoon: Annotated[
        Memballoon,
        Choice(Memballoon),
        Field(description="auto: none where its pages are huge; none: none at all; keep: as its XML has it."),
    ] = Memballoon.AUTO
    device_locality: Annotated[
        DeviceLocality,
        Choice(DeviceLocality),
        Field(description="auto: a guest of several cells sees which of them a passed-through device is near; never."),
    ] = DeviceLocality.AUTO


class DefaultsKeys(GuestKeys):
    """What holds for every vm that says nothing else."""

    profile: Annotated[str | None, Name("a profile"), Field(description="The guest profile to start from.")] = None
    count: Annotated[int, Whole(1, GUEST_LIMIT), Field(description="How many: NAME-1 to NAME-n for more than 1.")] = 1


class VmKeys(DefaultsKeys):
    """A guest to place."""

    name: Annotated[str, GuestName(), Field(description="The libvirt domain's name.")]


class CostKeys(Keys):
    """Weights of the cross-node cost, per unit of distance."""

    vf: Annotated[int, Whole(0, WEIGHT_LIMIT), Field(description="A VF or device.")] = 10
    cell: Annotated[int, Whole(0, WEIGHT_LIMIT), Field(description="A pair of cells of one guest.")] = 10
    memory_gib: Annotated[int, Whole(0, WEIGHT_LIMIT), Field(description="A GiB of memory.")] = 1


class HostKeys(Keys):
    """The site's policy for the host; a host profile gives the same keys, below these."""

    reserved_cpus: Annotated[
        CpuSet | None, CpuList(), Field(description="Never given to a guest. Else: what is not isolated, if any is.")
    ] = None
    shared_cpus: Annotated[
        CpuSet | None, CpuList(), Field(description="The pool on which shared vCPUs, emulators and iothreads float.")
    ] = None
    shared_ratio: Annotated[
        int, Whole(1, VCPU_LIMIT), Field(description="Shared vCPUs per CPU of the pool, node by node.")
    ] = 4
    reserved_memory: Annotated[
        int,
        Size(zero=True),
        Field(description="Ordinary pages of each node that no guest gets.", json_schema_extra={"default": "2GiB"}),
    ] = 2 << 20
    guest_overhead: Annotated[
        int,
        Size(zero=True),
        Field(
            description="Ordinary pages that QEMU itself takes for each guest, on each node that its cells lie on.",
            json_schema_extra={"default": "0KiB"},
        ),
    ] = 0
    physnets: dict[str, list[Annotated[str, PfName()]]] = Field(
        default_factory=dict, description="Which PFs reach which physical network: {phys0: [ens1f0, 0000:3b:00.0]}."
    )
    costs: Annotated[CostKeys, Field(description="Weights of the cross-node cost.")] = CostKeys()


class RootKeys(Keys):
    """The top of a vnf.yaml, its parts unread."""

    api_version: Annotated[
        Version, Choice(Version), Field(alias="apiVersion", description="The form of this file: numaplan/v1.")
    ] = Version.V1
    host: Any = None
    defaults: Any = None
    vms: Any = None


class FileKeys(RootKeys):
    """vnf.yaml: guests to place on one KVM host, and the site's policy for it."""

    host: HostKeys | None = Field(None, description="The site's policy for the host.")
    defaults: DefaultsKeys | None = Field(None, description="Keys of every vm that says nothing else.")
    vms: list[VmKeys] = Field(description="The guests to place, one or more.", min_length=1)


class ProfileKeys(Keys):
    """The top of a profile, its ``spec`` unread."""

    api_version: Annotated[Version, Choice(Version), Field(alias="apiVersion")]
    kind: Annotated[ProfileKind, Choice(ProfileKind)]
    name: Annotated[str | None, Name("a profile's name")] = None
    description: Annotated[str | None, Name("a text", r"(?s:.+)", "that is not empty", limit=10_000)] = None
    spec: Any = None


# Which model a key's map has, for the words that an unknown key could have meant.
MODELS_BY_KEY: Final[dict[str, type[Keys]]] = {
    "cells": CellKeys,
    "costs": CostKeys,
    "devices": DeviceKeys,
    "emulator": EmulatorKeys,
    "interfaces": InterfaceKeys,
    "iothreads": IothreadKeys,
    "memory_backing": MemoryBackingKeys,
    "realtime": RealtimeKeys,
}
