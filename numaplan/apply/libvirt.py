"""A libvirt as the place where guests are defined."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from numaplan.apply.pins import decode_pins, pins_from
from numaplan.apply.readback import definition_checks, told_checks
from numaplan.apply.step import Kind
from numaplan.cpuset import CpuSet
from numaplan.domxml.read import read_guest
from numaplan.domxml.resemble import may_come_from
from numaplan.errors import BackendError
from numaplan.model.applied import Check
from numaplan.model.plan import Placement
from numaplan.sources.definitions import Definitions
from numaplan.sources.uri import redact


class LibvirtTarget:
    """The guests of one connection; see `Target`."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions: Final = definitions

    @property
    def address(self) -> str:
        """Its URI."""
        return self._definitions.uri

    def hostname(self) -> str:
        """The host that the connection leads to."""
        return self._definitions.hostname()

    def read(self, guest: str, kind: Kind) -> bytes | None:
        """The XML of its next start with secrets, or its pins where it runs."""
        if kind is Kind.DEFINITION:
            xml = self._definitions.definition(guest)
            return None if xml is None else xml.encode()
        rows = self._definitions.pins(guest)
        if rows is None:
            return None
        try:
            return pins_from(rows).encode()
        except ValueError as error:
            raise BackendError(f"no pins of {guest} are to be had: {error}", redact(self.address)) from error

    def write(self, guest: str, kind: Kind, data: bytes) -> None:
        """Defines it, or pins its threads one after the other."""
        if kind is Kind.DEFINITION:
            self._definitions.define(guest, data.decode())
            return
        pins = decode_pins(data)
        vcpus: dict[int, CpuSet] = dict(pins.vcpus)
        iothreads: dict[int, CpuSet] = dict(pins.iothreads)
        self._definitions.pin(guest, vcpus, pins.emulator, iothreads)

    def same(self, kind: Kind, one: bytes, other: bytes) -> bool:
        """The same definition is written the same way each time; pins are compared thread by thread."""
        return one == other or (kind is Kind.PINS and decode_pins(one) == decode_pins(other))

    def may_be(self, kind: Kind, now: bytes, *, old: bytes, written: bytes) -> bool:
        """A definition as libvirt completes it; pins of which each is an old or a new one."""
        if kind is Kind.DEFINITION:
            return may_come_from(now, old=old, given=written)
        pins, before, after = decode_pins(now), decode_pins(old), decode_pins(written)
        return (
            pins.emulator in {before.emulator, after.emulator}
            and _mixed(dict(pins.vcpus), dict(before.vcpus), dict(after.vcpus))
            and _mixed(dict(pins.iothreads), dict(before.iothreads), dict(after.iothreads))
        )

    def locked(self, *, timeout_s: float) -> AbstractContextManager[None]:
        """Nothing: each guest is looked at once more right before its turn."""
        del timeout_s
        return nullcontext()

    def file_of(self, guest: str) -> None:
        """None: guests have no files here."""

    def locate(self, files: Mapping[str, str]) -> None:
        """Nothing to say."""

    def settle(self) -> None:
        """Nothing is left behind."""

    def running_xml(self, guest: str) -> bytes | None:
        """What the guest runs as; None where it does not run."""
        xml = self._definitions.running_xml(guest)
        return None if xml is None else xml.encode()

    def read_back(self, placement: Placement) -> tuple[Check, ...]:
        """What libvirt says of the next start of a guest, beside what the plan wants of it."""
        rows, xml = self._definitions.told(placement.vm), self._definitions.definition(placement.vm)
        if rows is None or xml is None:
            return (Check(placement.vm, "definition", "as planned", "it is gone", "libvirt"),)
        guest = read_guest(xml.encode(), f"{placement.vm}.xml")
        return (*told_checks(placement, rows), *definition_checks(placement, guest))

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened on the way that a user should know."""
        if not self._definitions.unchecked:
            return ()
        return ("defined without libvirt's check against its schema: what was defined before does not pass it either",)

    def reopen(self) -> None:
        """Connects anew."""
        self._definitions.reopen()


def _mixed(now: dict[int, CpuSet], before: dict[int, CpuSet], after: dict[int, CpuSet]) -> bool:
    return now.keys() == before.keys() and all(cpus in {before[k], after.get(k)} for k, cpus in now.items())
