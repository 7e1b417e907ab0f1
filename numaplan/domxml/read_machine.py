"""What a guest is to its hypervisor: machine, architecture, CPU model's mode and caches, emulator."""

from dataclasses import dataclass

from numaplan.domxml.devices import device_elements
from numaplan.domxml.tree import Document


@dataclass(frozen=True, slots=True)
class Machine:
    """What the XML says of it; None where it leaves that to libvirt."""

    machine: str | None = None
    architecture: str | None = None
    cpu_mode: str | None = None
    cpu_cache: str | None = None
    emulator: str | None = None


def read_machine(document: Document) -> Machine:
    """``<os><type>``, ``<cpu>`` and ``<devices><emulator>``; all words are kept as they stand.

    A ``<cpu>`` with a model and without a mode has mode "custom" (formatdomain, "CPU model and topology").
    """
    os_element, cpu = document.root.child("os"), document.root.child("cpu")
    kind = None if os_element is None else os_element.child("type")
    model = None if cpu is None else cpu.child("model")
    cache = None if cpu is None else cpu.child("cache")
    emulators = device_elements(document, "emulator")
    return Machine(
        machine=None if kind is None else kind.get("machine") or None,
        architecture=None if kind is None else kind.get("arch") or None,
        cpu_mode=None if cpu is None else cpu.get("mode") or ("custom" if model is not None and model.text else None),
        cpu_cache=None if cache is None else cache.get("mode") or None,
        emulator=emulators[0].text or None if emulators else None,
    )
