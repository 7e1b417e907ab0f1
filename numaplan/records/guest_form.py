"""A guest as the inventory document has it, and the noun that it makes.

A ``line`` is where the part stands in the guest's domain XML, 0: not known.
"""

from typing import Annotated

from pydantic import Field

from numaplan.model.guest import (
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestHostdev,
    GuestInterface,
    GuestTopology,
    HugepageRequest,
    IothreadId,
    IothreadPin,
    MemoryBinding,
    Owner,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import NodeId
from numaplan.model.request import ThreadPolicy
from numaplan.records.document import Form
from numaplan.records.fields import Address, Count, CpuList, Id, NumberKey, Size, SlitEntry, Text
from numaplan.records.guest_tuning_form import (
    BackingForm,
    CacheTuneForm,
    ControllerForm,
    SchedulerForm,
    to_backing,
    to_cachetune,
    to_controller,
    to_scheduler,
)
from numaplan.records.live_form import LiveForm, to_live


class TopologyForm(Form):
    """``<cpu><topology>``."""

    sockets: Annotated[Count, Field(ge=1)]
    dies: Annotated[Count, Field(ge=1)] = 1
    cores: Annotated[Count, Field(ge=1)]
    threads: Annotated[Count, Field(ge=1)]


class GuestCellForm(Form):
    """A guest NUMA node; `memory_access` is shared or private, `distances` are those to each cell by id."""

    id: Id
    vcpus: list[Count]
    memory_kib: Size
    memory_access: Text | None = None
    distances: dict[NumberKey, SlitEntry] = Field(default_factory=dict)
    line: Id = 0


class VcpuPinForm(Form):
    """``<vcpupin>``."""

    vcpu: Count
    cpus: CpuList
    line: Id = 0


class EmulatorPinForm(Form):
    """``<emulatorpin>``."""

    cpus: CpuList
    line: Id = 0


class IothreadPinForm(Form):
    """``<iothreadpin>``."""

    iothread: Count
    cpus: CpuList
    line: Id = 0


class MemoryBindingForm(Form):
    """``<numatune><memory>``, and with a `cell` ``<memnode>``; `nodes` null: automatic placement."""

    cell: Id | None = None
    mode: Text
    nodes: list[Id] | None = None
    line: Id = 0


class HugepageForm(Form):
    """``<memoryBacking><hugepages><page>``; null means the default size, and every cell."""

    size_kib: Size | None = None
    cells: list[Id] | None = None
    line: Id = 0


class GuestInterfaceForm(Form):
    """``<interface>``; `address` is the guest's own for it, `managed`: libvirt binds the host's device itself."""

    type: Text
    mac: Text | None = None
    alias: Text | None = None
    source: Text | None = None
    pci: Address | None = None
    vlan: Id | None = None
    target: Text | None = None
    socket: Text | None = None
    model: Text | None = None
    queues: Id | None = None
    address: Address | None = None
    managed: bool | None = None
    line: Id = 0


class HostdevForm(Form):
    """``<hostdev>``; `address` and `managed` as those of an interface."""

    pci: Address
    alias: Text | None = None
    address: Address | None = None
    managed: bool | None = None
    line: Id = 0


class GuestForm(Form):
    """An entry of ``guests``."""

    name: Text
    uuid: Text | None = None
    file: Text | None = None
    running: bool | None = None
    state: Text | None = None
    persistent: bool | None = None
    managed_save: bool | None = None
    vcpus: Count
    current_vcpus: Count | None = None
    vcpu_cpuset: CpuList | None = None
    vcpu_line: Id = 0
    auto_placement: bool = False
    memory_kib: Size | None = None
    topology: TopologyForm | None = None
    cells: list[GuestCellForm] = Field(default_factory=list)
    vcpu_pins: list[VcpuPinForm] = Field(default_factory=list)
    emulator_pin: EmulatorPinForm | None = None
    iothreads: Count = 0
    iothread_ids: list[Count] = Field(default_factory=list)
    iothread_pins: list[IothreadPinForm] = Field(default_factory=list)
    memory: MemoryBindingForm | None = None
    memnodes: list[MemoryBindingForm] = Field(default_factory=list)
    hugepages: list[HugepageForm] = Field(default_factory=list)
    interfaces: list[GuestInterfaceForm] = Field(default_factory=list)
    hostdevs: list[HostdevForm] = Field(default_factory=list)
    thread_policy: Annotated[ThreadPolicy, Field(strict=False)] | None = None
    shared_vcpus: list[Count] = Field(default_factory=list)
    loose_devices: list[Address] = Field(default_factory=list)
    schedulers: list[SchedulerForm] = Field(default_factory=list)
    cachetunes: list[CacheTuneForm] = Field(default_factory=list)
    backing: BackingForm | None = None
    memory_limit_kib: Size | None = None
    controllers: list[ControllerForm] = Field(default_factory=list)
    memballoon: Text | None = None
    machine: Text | None = None
    architecture: Text | None = None
    cpu_mode: Text | None = None
    cpu_cache: Text | None = None
    emulator: Text | None = None
    owner: Annotated[Owner, Field(strict=False)] | None = None
    live: LiveForm | None = None


def to_topology(form: TopologyForm | None) -> GuestTopology | None:
    """The noun of a form."""
    return None if form is None else GuestTopology(form.sockets, form.dies, form.cores, form.threads)


def to_guests(forms: list[GuestForm], file: str) -> tuple[Guest, ...]:
    """The nouns of ``guests``, by name; `file` names the document where a guest does not name a file of its own."""
    return tuple(sorted((_to_guest(form, file) for form in forms), key=lambda guest: guest.name))


def _to_guest(form: GuestForm, file: str) -> Guest:
    return Guest(
        name=form.name,
        file=file if form.file is None else form.file,
        vcpus=form.vcpus,
        memory_kib=form.memory_kib,
        uuid=form.uuid,
        vcpu_line=form.vcpu_line,
        vcpu_cpuset=form.vcpu_cpuset,
        auto_placement=form.auto_placement,
        topology=to_topology(form.topology),
        cells=tuple(sorted(map(_to_cell, form.cells), key=lambda cell: cell.id)),
        vcpu_pins=tuple(VcpuPin(VcpuId(pin.vcpu), pin.cpus, pin.line) for pin in form.vcpu_pins),
        emulator_pin=None if form.emulator_pin is None else EmulatorPin(form.emulator_pin.cpus, form.emulator_pin.line),
        iothreads=form.iothreads,
        listed_iothreads=_listed(form.iothread_ids),
        iothread_pins=tuple(IothreadPin(IothreadId(pin.iothread), pin.cpus, pin.line) for pin in form.iothread_pins),
        memory=None if form.memory is None else _to_binding(form.memory),
        memnodes=tuple(_to_binding(binding) for binding in form.memnodes),
        hugepages=tuple(
            HugepageRequest(
                page.size_kib, None if page.cells is None else tuple(CellId(cell) for cell in page.cells), page.line
            )
            for page in form.hugepages
        ),
        interfaces=tuple(map(_to_interface, form.interfaces)),
        hostdevs=tuple(
            GuestHostdev(hostdev.pci, hostdev.line, hostdev.alias, hostdev.address, hostdev.managed)
            for hostdev in form.hostdevs
        ),
        thread_policy=None if form.thread_policy is None else form.thread_policy.value,
        running=form.running,
        shared_vcpus=tuple(VcpuId(vcpu) for vcpu in sorted(form.shared_vcpus)),
        loose_devices=tuple(form.loose_devices),
        state=form.state,
        persistent=form.persistent,
        managed_save=form.managed_save,
        live=None if form.live is None else to_live(form.live),
        current_vcpus=form.current_vcpus,
        schedulers=tuple(map(to_scheduler, form.schedulers)),
        cachetunes=tuple(map(to_cachetune, form.cachetunes)),
        backing=None if form.backing is None else to_backing(form.backing),
        memory_limit_kib=form.memory_limit_kib,
        controllers=tuple(map(to_controller, form.controllers)),
        memballoon=form.memballoon,
        machine=form.machine,
        architecture=form.architecture,
        cpu_mode=form.cpu_mode,
        cpu_cache=form.cpu_cache,
        emulator=form.emulator,
        owner=form.owner,
    )


def _listed(ids: list[int]) -> tuple[IothreadId, ...]:
    """Ids of iothreads, () for those from 1 on."""
    found = sorted(ids)
    return () if found == list(range(1, len(found) + 1)) else tuple(map(IothreadId, found))


def _to_cell(form: GuestCellForm) -> GuestCell:
    return GuestCell(
        CellId(form.id),
        tuple(VcpuId(vcpu) for vcpu in sorted(form.vcpus)),
        form.memory_kib,
        form.line,
        form.memory_access,
        tuple((CellId(cell), form.distances[cell]) for cell in sorted(form.distances)),
    )


def _to_binding(form: MemoryBindingForm) -> MemoryBinding:
    cell = None if form.cell is None else CellId(form.cell)
    nodes = None if form.nodes is None else tuple(NodeId(node) for node in form.nodes)
    return MemoryBinding(cell, form.mode, nodes, form.line)


def _to_interface(form: GuestInterfaceForm) -> GuestInterface:
    return GuestInterface(
        form.type,
        form.line,
        mac=form.mac,
        alias=form.alias,
        source=form.source,
        pci=form.pci,
        vlan=form.vlan,
        target=form.target,
        socket=form.socket,
        model=form.model,
        queues=form.queues,
        address=form.address,
        managed=form.managed,
    )
