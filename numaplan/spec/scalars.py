"""Values of vnf.yaml from their source text, so that `8086`, `"8086"`, `52:54:00:12:34:56` mean what they look like.

Each reader stands in an annotation of a model: it converts, says what was expected, and gives its JSON Schema.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from numaplan.cpuset import CPU_LIMIT, CpuSet, parse_id_list
from numaplan.model.devices import PciAddress
from numaplan.spec.nodes import YamlScalar, closest, found_text
from numaplan.units import parse_size_kib

# x86 and Arm KVM hosts have at most 52 bits of physical address: 4 PiB. It keeps every sum within 64 bits.
MEMORY_LIMIT_KIB: Final = 1 << 42
VCPU_LIMIT: Final = 4096
# Every second of 8,192 CPUs takes 20 KiB; 100,000 times "0-8191" would take half a minute.
LIST_LIMIT: Final = 1 << 15

_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_HEX_ID: Final = re.compile(r"(?:0x)?([0-9a-f]{4})", re.ASCII | re.IGNORECASE)
_MAC: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt])?i?b?", re.ASCII | re.IGNORECASE)
_BEYOND: Final = re.compile(r"[0-9]{16,}\s*[KMGT]iB", re.ASCII)
_MOST: Final = "a size of at most 4096TiB"
_BAD_NAME: Final = re.compile(r"[/\x00-\x1f\x7f]")
NAME_TYPES: Final = {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a value, or with the one under `key` of a map."""

    what: str
    hint: str | None = None
    key: str | None = None


def flaws_error(flaws: Iterable[Flaw]) -> PydanticCustomError:
    """The way out of a validator; numaplan.spec.check reads the flaws again."""
    return PydanticCustomError("flaws", "flaws", {"flaws": tuple(flaws)})


def expected(wanted: str, value: object, *, hint: str | None = None) -> PydanticCustomError:
    """A value that is not what was wanted."""
    return flaws_error([Flaw(f"expected {wanted}, found {found_text(value)}", hint)])


class Reader(ABC):
    """Makes a value of a scalar's text; an annotation of a model's field."""

    def read(self, value: object) -> Any:  # noqa: ANN401 - each reader has a type of its own
        """The value; raises PydanticCustomError."""
        return self._read(value)

    @property
    def schema(self) -> JsonSchemaValue:
        """JSON Schema of the values as an editor sees them, where `8086` is a number."""
        return self._schema()

    @abstractmethod
    def _read(self, value: object) -> object: ...

    @abstractmethod
    def _schema(self) -> JsonSchemaValue: ...

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The reader replaces whatever pydantic would make of the type."""
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The reader's own."""
        return self._schema()


def text_of(value: object, wanted: str) -> str:
    """The text of a scalar; raises the error that says what was `wanted` for anything else."""
    if not isinstance(value, YamlScalar) or value.is_null:
        raise expected(wanted, value)
    return value.text


def ids_of(text: str, limit: int, *, wanted: str, value: object) -> frozenset[int]:
    """The ids of a list, one at least; raises the error that says what was `wanted` for anything else."""
    try:
        ids = _parse_ids(text, limit)
    except ValueError:
        raise expected(wanted, value) from None
    if not ids:
        raise expected(wanted, value)
    return ids


@lru_cache(maxsize=1024)
def _parse_ids(text: str, limit: int) -> frozenset[int]:
    """As parse_id_list; what stands in ``defaults`` is read for every vm."""
    return parse_id_list(text, limit=limit)


def _is_quoted(value: object) -> bool:
    return isinstance(value, YamlScalar) and value.quoted


@dataclass(frozen=True, slots=True)
class Whole(Reader):
    """A whole number in decimal digits."""

    low: int
    high: int

    def _read(self, value: object) -> int:
        wanted = f"a whole number of {self.low} or more"
        text = text_of(value, wanted)
        if _DIGITS.fullmatch(text) and _is_quoted(value):
            raise expected(wanted, value, hint="take the quotes away")
        if not _DIGITS.fullmatch(text):
            raise expected(wanted, value)
        digits = text.lstrip("0") or "0"
        if len(digits) > len(str(self.high)) or int(digits) > self.high:
            raise expected(f"a whole number of at most {self.high}", value)
        if int(digits) < self.low:
            raise expected(wanted, value)
        return int(digits)

    def _schema(self) -> JsonSchemaValue:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Truth(Reader):
    """``true`` or ``false``; the yes, no, on and off of YAML 1.1 are refused."""

    def _read(self, value: object) -> bool:
        text = text_of(value, "true or false")
        word = text.lower()
        if word in {"true", "false"} and _is_quoted(value):
            raise expected("true or false", value, hint="take the quotes away")
        # YAML 1.2.2, 10.3.2 has these three spellings and no others.
        if word in {"true", "false"} and text in {word, word.capitalize(), word.upper()}:
            return word == "true"
        hints = dict.fromkeys(("yes", "on", "y"), "write true") | dict.fromkeys(("no", "off", "n"), "write false")
        raise expected("true or false", value, hint=hints.get(word))

    def _schema(self) -> JsonSchemaValue:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice(Reader):
    """One word of a closed choice, written exactly so."""

    words: type[StrEnum]

    def _read(self, value: object) -> StrEnum:
        known = [str(word) for word in self.words]
        wanted = known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"
        text = text_of(value, wanted)
        if text not in known:
            raise expected(wanted, value, hint=closest(text, known))
        return self.words(text)

    def _schema(self) -> JsonSchemaValue:
        return {"enum": [str(word) for word in self.words]}


@dataclass(frozen=True, slots=True)
class Size(Reader):
    """Memory in KiB of ``16GiB``; `zero`: 0 may be said, with or without a unit."""

    zero: bool = False

    def _read(self, value: object) -> int:
        wanted = "a size such as 16GiB (a whole number with KiB, MiB, GiB or TiB)"
        text = text_of(value, wanted).strip()
        if self.zero and text and not text.strip("0"):
            return 0
        try:
            size_kib = parse_size_kib(text)
        except ValueError:
            if _BEYOND.fullmatch(text):
                raise expected(_MOST, value) from None
            raise expected(wanted, value, hint=_size_hint(text)) from None
        if size_kib == 0 and not self.zero:
            raise expected("a size of more than 0", value)
        if size_kib > MEMORY_LIMIT_KIB:
            raise expected(_MOST, value)
        return size_kib

    def _schema(self) -> JsonSchemaValue:
        text = {"type": "string", "pattern": r"^\s*[0-9]{1,15}\s*(KiB|MiB|GiB|TiB)\s*$", "examples": ["16GiB"]}
        return {"anyOf": [text, {"enum": [0, "0"]}]} if self.zero else text


def _size_hint(text: str) -> str | None:
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    if match[2] is None:
        return f"add the unit: {match[1]}MiB or {match[1]}GiB?"
    return (
        "give a whole number of the next smaller unit" if "." in match[1] else f"write {match[1]}{match[2].upper()}iB"
    )


@dataclass(frozen=True, slots=True)
class CpuList(Reader):
    """CPUs or vCPUs in the kernel's list form; `empty`: "" is a set too, the empty one."""

    empty: bool = True

    def _read(self, value: object) -> CpuSet:
        wanted = "a CPU list such as 0-1,64-65"
        text = text_of(value, wanted)
        if len(text) > LIST_LIMIT:
            raise expected(f"{wanted} in at most {LIST_LIMIT:,} characters", value)
        try:
            cpus = CpuSet(_parse_ids(text, CPU_LIMIT))
        except ValueError as error:
            about = "" if "no CPU list" in str(error) else f": {error}"
            raise flaws_error([Flaw(f"expected {wanted}, found {found_text(value)}{about}")]) from None
        if not cpus and not self.empty:
            raise expected(wanted, value)
        return cpus

    def _schema(self) -> JsonSchemaValue:
        item = r"\s*[0-9]{1,6}(-[0-9]{1,6}(:[0-9]{1,6}/[0-9]{1,6})?)?\s*"
        pattern = f"^({item}(,{item})*{'|' + chr(92) + 's*' if self.empty else ''})$"
        return {"anyOf": [{"type": "string", "pattern": pattern}, {"type": "integer", "minimum": 0}]}


@dataclass(frozen=True, slots=True)
class CellVcpus(Reader):
    """A guest cell's vCPUs: how many, or which ("0-3,8")."""

    def _read(self, value: object) -> int | CpuSet:
        wanted = "how many vCPUs the cell has, or which (a list such as 0-3,8)"
        text = text_of(value, wanted)
        if not _is_quoted(value) and _DIGITS.fullmatch(text):
            return int(Whole(1, VCPU_LIMIT).read(value))
        if len(text) > LIST_LIMIT:
            raise expected(wanted, value)
        return CpuSet(ids_of(text, VCPU_LIMIT, wanted=wanted, value=value))

    def _schema(self) -> JsonSchemaValue:
        return {"anyOf": [Whole(1, VCPU_LIMIT).schema, CpuList(empty=False).schema["anyOf"][0]]}


@dataclass(frozen=True, slots=True)
class HexId(Reader):
    """A PCI vendor or device id, as lspci -n prints it; ``0x`` before it is allowed."""

    def _read(self, value: object) -> str:
        wanted = "a PCI id of four hexadecimal digits, such as 8086"
        match = _HEX_ID.fullmatch(text_of(value, wanted).strip())
        if match is None:
            raise expected(wanted, value)
        return match[1].lower()

    def _schema(self) -> JsonSchemaValue:
        text = {"type": "string", "pattern": r"^\s*(0[xX])?[0-9a-fA-F]{4}\s*$"}
        return {"anyOf": [text, {"type": "number", "minimum": 0}]}


@dataclass(frozen=True, slots=True)
class Address(Reader):
    """A PCI address."""

    def _read(self, value: object) -> PciAddress:
        wanted = "a PCI address such as 0000:3b:02.0"
        try:
            return PciAddress.parse(text_of(value, wanted))
        except ValueError:
            raise expected(wanted, value) from None

    def _schema(self) -> JsonSchemaValue:
        hexa = "[0-9a-fA-F]"
        return {
            "type": "string",
            "pattern": rf"^\s*({hexa}{{4,8}}:)?{hexa}{{2}}:[01]{hexa}\.[0-7]\s*$",
            "examples": ["0000:3b:02.0"],
        }


@dataclass(frozen=True, slots=True)
class Mac(Reader):
    """A unicast MAC address; libvirt refuses multicast ones, and the kernel all zeros (is_valid_ether_addr)."""

    def _read(self, value: object) -> str:
        wanted = "a MAC address such as 52:54:00:12:34:56"
        mac = text_of(value, wanted).strip().lower()
        if not _MAC.fullmatch(mac):
            raise expected(wanted, value)
        if int(mac[:2], 16) & 1:
            raise expected("a unicast MAC address", value, hint="make the second digit even: 0, 2, 4, 6, 8, a, c or e")
        if not mac.strip("0:"):
            raise expected("a MAC address that is not all zeros", value)
        return mac

    def _schema(self) -> JsonSchemaValue:
        pattern = r"^\s*[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}\s*$"
        return {"type": "string", "pattern": pattern, "examples": ["52:54:00:12:34:56"]}


@dataclass(frozen=True, slots=True)
class Name(Reader):
    """A name; `wanted` says of what, `pattern` which characters it may have, `rule` the same in words."""

    wanted: str
    pattern: str = r"[^\s/]+"
    rule: str = "without spaces and '/'"
    limit: int = 127

    def _read(self, value: object) -> str:
        text = text_of(value, self.wanted)
        if not re.fullmatch(self.pattern, text):
            raise expected(f"{self.wanted} {self.rule}", value)
        if len(text.encode()) > self.limit:
            raise expected(f"{self.wanted} of at most {self.limit} bytes", value)
        return text

    def _schema(self) -> JsonSchemaValue:
        return {**NAME_TYPES, "minLength": 1, "maxLength": self.limit, "pattern": f"^({self.pattern})$"}


@dataclass(frozen=True, slots=True)
class GuestName(Reader):
    """A libvirt domain's name (basictypes.rng, objectName: no '/', no line feed); it becomes a file's name too."""

    limit: int = 255

    def _read(self, value: object) -> str:
        text = text_of(value, "a guest's name")
        if not text.strip() or text in {".", ".."} or _BAD_NAME.search(text):
            raise expected("a guest's name without '/' and control characters, not empty, not '.' or '..'", value)
        if len(text.encode()) > self.limit:
            raise expected(f"a guest's name of at most {self.limit} bytes", value)
        return text

    def _schema(self) -> JsonSchemaValue:
        return {**NAME_TYPES, "minLength": 1, "maxLength": self.limit, "pattern": r"^[^/\n]+$"}
