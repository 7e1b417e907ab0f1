"""``<cpu><cache>``: the caches that the guest sees."""

from typing import Final

from numaplan.domxml.element import New
from numaplan.domxml.task import Task
from numaplan.model.request import CpuCache

# What libvirt takes (qemuValidateDomainDefCpu): emulated caches have level 3, the others no level.
_EMULATED_LEVEL: Final = "3"
_PASSTHROUGH_MODES: Final = ("host-passthrough", "maximum")
_X86: Final = frozenset({"i686", "x86_64"})


def wanted_cache(task: Task) -> New | None:
    """The element that is to be added; one that is there is changed here.

    Raises InputError where libvirt would refuse it beside the CPU that the XML has.
    """
    wanted = task.request.cpu_cache
    if wanted is None:
        return None
    _check_cpu(task, wanted)
    cpu = task.root.child("cpu")
    element = None if cpu is None else task.document.only(cpu, "cache")
    level = (("level", _EMULATED_LEVEL),) if wanted is CpuCache.EMULATE else ()
    if element is None:
        return New("cache", (*level, ("mode", wanted.value)))
    task.edits.set_attribute(element, "mode", wanted.value)
    if level:
        task.edits.set_attribute(element, *level[0])
    else:
        task.edits.drop_attribute(element, "level")
    return None


def _check_cpu(task: Task, wanted: CpuCache) -> None:
    os = task.root.child("os")
    kind = None if os is None else os.child("type")
    architecture = None if kind is None else kind.get("arch")
    if kind is not None and architecture is not None and architecture not in _X86:
        what = f"vnf.yaml asks for cpu_cache {wanted}, which libvirt takes on x86 alone; this is {architecture}"
        raise task.document.error(kind, what, "take cpu_cache out")
    cpu = task.root.child("cpu")
    mode = None if cpu is None else cpu.get("mode")
    if wanted is CpuCache.PASSTHROUGH and mode not in _PASSTHROUGH_MODES:
        has = "no mode" if mode is None else f"mode '{mode}'"
        what = f"vnf.yaml asks for cpu_cache passthrough, and <cpu> has {has}"
        hint = "libvirt takes it beside mode='host-passthrough' alone: write that into the XML"
        raise task.document.error(cpu or task.root, what, hint)
