"""How vnf.yaml names a PF: by an interface or by its PCI address, and which of its VFs may be taken."""

import re
from dataclasses import dataclass
from typing import Final

from pydantic.json_schema import JsonSchemaValue

from numaplan.model.devices import PciAddress
from numaplan.spec.scalars import LIST_LIMIT, NAME_TYPES, Reader, expected, ids_of, text_of

VF_INDEX_LIMIT: Final = 65536
_NAME_LIMIT: Final = 127


@dataclass(frozen=True, slots=True)
class PfSelector:
    """A PF by its interface name, and the VF indexes that may be taken of it; None: all."""

    name: str
    indexes: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Pf(Reader):
    """``ens1f0`` or ``ens1f0#0-7`` (sriov-network-operator, nicSelector.pfNames), or an address for the name."""

    def _read(self, value: object) -> PfSelector:
        wanted = "a PF such as ens1f0, ens1f0#0-7 or 0000:3b:00.0"
        text, hash_, indexes = text_of(value, wanted).partition("#")
        name = _pf_name(text)
        if name is None:
            raise expected(wanted, value)
        if not hash_:
            return PfSelector(name)
        if len(indexes) > LIST_LIMIT // 8:
            raise expected(wanted, value)
        return PfSelector(name, ids_of(indexes, VF_INDEX_LIMIT, wanted=wanted, value=value))

    def _schema(self) -> JsonSchemaValue:
        return {
            **NAME_TYPES,
            "pattern": r"^[^\s/#]+(#[0-9,: /-]+)?$",
            "examples": ["ens1f0", "ens1f0#0-7", "0000:3b:00.0"],
        }


@dataclass(frozen=True, slots=True)
class PfName(Reader):
    """A PF by the name of its interface or by its PCI address."""

    def _read(self, value: object) -> str:
        wanted = "a PF such as ens1f0 or 0000:3b:00.0"
        name = _pf_name(text_of(value, wanted))
        if name is None:
            raise expected(wanted, value)
        return name

    def _schema(self) -> JsonSchemaValue:
        pattern = rf"^[^\s/#]{{1,{_NAME_LIMIT}}}$"
        return {**NAME_TYPES, "pattern": pattern, "examples": ["ens1f0", "0000:3b:00.0"]}


def _pf_name(text: str) -> str | None:
    """The name of an interface as it stands, or a PCI address in full; None for neither.

    No interface has a colon in its name (the kernel's dev_valid_name).
    """
    if ":" in text:
        try:
            return str(PciAddress.parse(text))
        except ValueError:
            return None
    return text if re.fullmatch(rf"[^\s/#]{{1,{_NAME_LIMIT}}}", text) else None
