"""The pins of a guest while it runs: what the plan wants, what it had, as the bytes that a journal keeps."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from numaplan.cpuset import CpuSet
from numaplan.model.guest import IothreadId, VcpuId
from numaplan.model.plan import Placement


@dataclass(frozen=True, slots=True)
class Pins:
    """Where each thread of a running guest may run; vCPUs and iothreads by number, in numeric order."""

    vcpus: tuple[tuple[VcpuId, CpuSet], ...]
    emulator: CpuSet
    iothreads: tuple[tuple[IothreadId, CpuSet], ...] = ()

    def changes_to(self, new: "Pins") -> tuple[str, ...]:
        """Which threads go where, a sentence each."""
        found = [] if self.emulator == new.emulator else [f"emulator: {self.emulator} -> {new.emulator}"]
        for word, before, after in (("vCPU", self.vcpus, new.vcpus), ("iothread", self.iothreads, new.iothreads)):
            had: dict[int, CpuSet] = dict(before)
            for number, cpus in after:
                if had.get(number) != cpus:
                    found.append(f"{word} {number}: {had.get(number, 'anywhere')} -> {cpus}")
        return tuple(found)

    def encode(self) -> bytes:
        """As JSON, the same bytes for the same pins."""
        document = {
            "vcpus": {str(number): str(cpus) for number, cpus in self.vcpus},
            "emulator": str(self.emulator),
            "iothreads": {str(number): str(cpus) for number, cpus in self.iothreads},
        }
        return json.dumps(document).encode()


def decode_pins(data: bytes) -> Pins:
    """The pins in `data`; raises ValueError for what `encode` did not write."""
    document = json.loads(data)
    if not isinstance(document, dict) or set(document) != {"vcpus", "emulator", "iothreads"}:
        raise ValueError("no pins")
    return pins_from(document)


def pins_from(rows: Mapping[str, object]) -> Pins:
    """Pins from rows of CPU lists; raises ValueError."""
    vcpus = ((VcpuId(number), cpus) for number, cpus in _numbered(rows.get("vcpus")))
    iothreads = ((IothreadId(number), cpus) for number, cpus in _numbered(rows.get("iothreads")))
    return Pins(tuple(vcpus), _cpus(rows.get("emulator")), tuple(iothreads))


def planned_pins(placement: Placement, *, vcpus: Iterable[VcpuId], iothreads: Iterable[IothreadId]) -> Pins:
    """What the plan wants of these threads, those that run; iothreads beyond those planned go with the emulator."""
    wanted = {vcpu: cpus for cell in placement.cells for vcpu, cpus in cell.vcpus}
    planned = [cpus for _, cpus in sorted(placement.iothreads)]
    numbered = zip(sorted(iothreads), [*planned, *[placement.emulator] * 65536], strict=False)
    return Pins(
        tuple((vcpu, wanted[vcpu]) for vcpu in sorted(vcpus) if vcpu in wanted),
        placement.emulator,
        tuple(numbered),
    )


def _numbered(rows: object) -> list[tuple[int, CpuSet]]:
    if not isinstance(rows, dict):
        raise ValueError("no pins by number")  # noqa: TRY004 - of a document, not of a call
    return sorted((int(number), _cpus(cpus)) for number, cpus in rows.items())


def _cpus(text: object) -> CpuSet:
    if not isinstance(text, str):
        raise ValueError("no list of CPUs")  # noqa: TRY004 - of a document, not of a call
    return CpuSet.parse(text)
