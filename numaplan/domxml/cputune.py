"""``<vcpu>``, ``<iothreads>`` and the pins in ``<cputune>``."""

from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet, format_id_list
from numaplan.domxml.edit import Rank
from numaplan.domxml.element import New
from numaplan.domxml.numbers import attribute, id_set
from numaplan.domxml.read import IOTHREAD_LIMIT, iothread_ids
from numaplan.domxml.realtime import patch_schedulers
from numaplan.domxml.task import Task
from numaplan.domxml.tree import Element
from numaplan.units import format_count

# The order in which libvirt prints the children of <cputune> (virDomainCputuneDefFormat).
_ORDER: Final = (  # noqa: SIM905 - a list of 17 lines tells no more
    "shares period quota global_period global_quota emulator_period emulator_quota iothread_period iothread_quota"
    " vcpupin emulatorpin iothreadpin emulatorsched vcpusched iothreadsched cachetune memorytune"
).split()
_ID_OF: Final = {"vcpupin": "vcpu", "iothreadpin": "iothread"}

# What is pinned: the element's name, and the number of the vCPU or iothread (0 for the emulator).
_Pin = tuple[str, int]


def patch_vcpus(task: Task) -> None:
    """``<vcpu>``: how many, and nothing in it that contradicts the pins."""
    count = task.request.vcpus
    vcpu = task.root.child("vcpu")
    if vcpu is None:
        task.add_to_domain(New("vcpu", (("placement", "static"),), text=str(count)))
    else:
        if task.guest.vcpus != count or not vcpu.text:
            task.edits.set_text(vcpu, str(count))
        auto = vcpu.get("placement") == "auto"
        if auto:
            task.edits.set_attribute(vcpu, "placement", "static")
        cpuset = id_set(task.document, vcpu, "cpuset")
        # With placement "auto" libvirt ignored it: it must not come into force now.
        if cpuset is not None and (auto or not _pinned(task) <= CpuSet(cpuset)):
            task.edits.drop_attribute(vcpu, "cpuset")
        _patch_current(task, vcpu, count)
    if count != task.guest.vcpus:
        _drop_what_counts_otherwise(task, count)


def patch_iothreads(task: Task) -> dict[int, CpuSet]:
    """``<iothreads>``; returns the CPUs of each iothread that the guest has then."""
    planned = [cpus for _, cpus in sorted(task.placement.iothreads)]
    there = iothread_ids(task.document)
    ids = list(there)
    count = task.root.child("iothreads")
    fixed = task.root.child("iothreadids") is not None or not planned
    if len(ids) > len(planned) and not fixed and not _needed_iothreads(task, more_than=len(planned)):
        ids = ids[: len(planned)]
    elif len(ids) > len(planned):
        task.notes.append(
            f"the XML has {format_count(len(ids), 'iothread')}, vnf.yaml asks for {len(planned)}:"
            " the others stay, pinned as the emulator"
        )
    if len(ids) < len(planned):
        free = (number for number in range(1, len(planned) + len(ids) + 1) if number not in ids)
        ids = sorted([*ids, *(next(free) for _ in range(len(planned) - len(ids)))])
    listed = task.root.child("iothreadids")
    if listed is not None and listed.children:
        for number in sorted({*ids} - {*there}):
            task.edits.insert(listed, New("iothread", (("id", str(number)),)), after=listed.children[-1])
    if len(ids) != len(there):
        if count is None:
            task.add_to_domain(New("iothreads", text=str(len(ids))))
        else:
            task.edits.set_text(count, str(len(ids)))
    return {number: planned[k] if k < len(planned) else task.placement.emulator for k, number in enumerate(ids)}


def patch_pins(task: Task, iothreads: dict[int, CpuSet]) -> None:
    """``<cputune>``: a pin for every vCPU, the emulator and every iothread, and realtime vCPUs; the rest stays."""
    wanted: dict[_Pin, CpuSet] = {}
    for cell in task.placement.cells:
        wanted |= {("vcpupin", int(vcpu)): cpus for vcpu, cpus in cell.vcpus}
    wanted["emulatorpin", 0] = task.placement.emulator
    wanted |= {("iothreadpin", number): cpus for number, cpus in iothreads.items()}
    wanted = {pin: wanted[pin] for pin in sorted(wanted, key=_rank) if wanted[pin]}
    cputune = task.root.child("cputune")
    scheduler = patch_schedulers(task)
    if cputune is None:
        pins = tuple(_element(pin, cpus) for pin, cpus in wanted.items())
        task.add_to_domain(New("cputune", children=pins if scheduler is None else (*pins, scheduler)))
        return
    there = set()
    for element in cputune.children:
        pin = _pin_of(task, element)
        if pin is None:
            continue
        there.add(pin)
        if pin not in wanted:
            task.edits.remove(element)
        elif CpuSet(id_set(task.document, element, "cpuset") or ()) != wanted[pin]:
            task.edits.set_attribute(element, "cpuset", str(wanted[pin]))

    def rank_of(element: Element) -> Rank | None:
        pin = _pin_of(task, element)
        if pin is not None:
            return _rank(pin)
        return (_ORDER.index(element.name), 0) if element.name in _ORDER else None

    for pin, cpus in wanted.items():
        if pin not in there:
            task.edits.insert_ranked(cputune, _element(pin, cpus), rank=_rank(pin), rank_of=rank_of)
    if scheduler is not None:
        task.edits.insert_ranked(cputune, scheduler, rank=(_ORDER.index("vcpusched"), 0), rank_of=rank_of)


def _pinned(task: Task) -> CpuSet:
    placement = task.placement
    every = [cpus for cell in placement.cells for _, cpus in cell.vcpus]
    every += [placement.emulator, *(cpus for _, cpus in placement.iothreads)]
    return CpuSet(cpu for cpus in every for cpu in cpus)


def _patch_current(task: Task, vcpu: Element, count: int) -> None:
    """``current``: how many vCPUs are there from the start; it goes where that is all of them, as libvirt has it."""
    if vcpu.get("current") is None:
        return
    current = attribute(task.document, vcpu, "current", least=0, most=CPU_LIMIT)
    if current > count:
        task.notes.append(f"current of <vcpu> on line {vcpu.line} is {current}, the guest has {count}: lowered")
    if count != task.guest.vcpus and (current >= count or current == task.guest.vcpus):
        task.edits.drop_attribute(vcpu, "current")


def _drop_what_counts_otherwise(task: Task, count: int) -> None:
    listed = task.root.child("vcpus")
    if listed is not None:
        task.edits.remove(listed)
        task.notes.append(
            f"<vcpus> on line {listed.line} goes: it lists {format_count(task.guest.vcpus, 'vCPU')},"
            f" vnf.yaml asks for {count}"
        )
    for share in task.cache_shares:
        for element in share.walk():
            _cut_vcpus(task, element, count)


def _cut_vcpus(task: Task, element: Element, count: int) -> None:
    """Takes vCPUs that the guest has no longer out of ``vcpus``, as libvirt does, which refuses a monitor of none."""
    named = id_set(task.document, element, "vcpus") or frozenset()
    kept = frozenset(vcpu for vcpu in named if vcpu < count)
    if kept == named:
        return
    gone = f"names vCPU {max(named)}, the guest has {count}"
    task.notes.append(f"<{element.tag}> on line {element.line} {gone}: {'that is left out' if kept else 'it goes'}")
    if kept:
        task.edits.set_attribute(element, "vcpus", format_id_list(kept))
    else:
        task.edits.remove(element)


def _needed_iothreads(task: Task, *, more_than: int) -> bool:
    """Whether a device or a scheduler setting names an iothread above that number."""
    for element in task.root.walk():
        if element.name == "iothreadpin":
            continue
        names = ("id",) if element.name == "iothread" else ("iothread", "iothreads")
        words = ",".join(element.get(name) or "" for name in names).replace("-", ",").split(",")
        if any(word.isdecimal() and int(word) > more_than for word in words):
            return True
    return False


def _pin_of(task: Task, element: Element) -> _Pin | None:
    if element.name == "emulatorpin":
        return "emulatorpin", 0
    if element.name in _ID_OF:
        return element.name, attribute(task.document, element, _ID_OF[element.name], least=0, most=IOTHREAD_LIMIT)
    return None


def _rank(pin: _Pin) -> Rank:
    return _ORDER.index(pin[0]), pin[1]


def _element(pin: _Pin, cpus: CpuSet) -> New:
    name, number = pin
    own = ((_ID_OF[name], str(number)),) if name in _ID_OF else ()
    return New(name, (*own, ("cpuset", str(cpus))))
