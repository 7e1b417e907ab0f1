"""The kinds of values that the documents hold, each with its bounds and its JSON Schema."""

import re
from typing import Annotated, Final

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.model.devices import PciAddress

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", re.ASCII)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)

# Ids are C ints in the kernel; sizes and counts are bounded so that no sum of them leaves 64 bits.
ID_LIMIT: Final = 2**31 - 1
SIZE_LIMIT: Final = 2**48
INTEGER_LIMIT: Final = 2**63 - 1
LIST_LIMIT: Final = 1 << 18
# libvirt's largest guests have 4096 vCPUs (formatdomain, "CPU Allocation"; QEMU's q35 since 9.1).
GUEST_CPU_LIMIT: Final = 1 << 16

LIST_PATTERN: Final = "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$"
ADDRESS_PATTERN: Final = r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("text", "expected a string")
    return value


def _cpu_set(value: object) -> CpuSet:
    text = _text(value)
    # Ranges that overlap thousands of times would cost more than any honest list.
    if sum(int(last or first) - int(first) + 1 for first, last in _RANGE.findall(text)) > 2 * CPU_LIMIT:
        raise PydanticCustomError("cpu_set", "expected a CPU list of at most {limit} CPUs", {"limit": CPU_LIMIT})
    try:
        return CpuSet.parse(text)
    except ValueError as error:
        raise PydanticCustomError("cpu_set", "expected a CPU list ({why})", {"why": str(error)}) from error


def _address(value: object) -> PciAddress:
    text = _text(value)
    try:
        return PciAddress.parse(text)
    except ValueError as error:
        raise PydanticCustomError("pci", "expected a PCI address such as 0000:3b:02.0") from error


def _number(value: object) -> int:
    text = _text(value)
    if _DECIMAL.fullmatch(text) is None or int(text) > ID_LIMIT:
        raise PydanticCustomError("number_key", "expected a decimal number as key")
    return int(text)


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
CpuList = Annotated[CpuSet, PlainValidator(_cpu_set), WithJsonSchema({"type": "string", "pattern": LIST_PATTERN})]
Address = Annotated[
    PciAddress, PlainValidator(_address), WithJsonSchema({"type": "string", "pattern": ADDRESS_PATTERN})
]
NumberKey = Annotated[int, PlainValidator(_number), WithJsonSchema({"type": "string", "pattern": "^[0-9]+$"})]
Id = Annotated[int, Field(ge=0, le=ID_LIMIT)]
# 10 is "local", and what is below is reserved (ACPI, System Locality Distance Information Table).
SlitEntry = Annotated[int, Field(ge=10, le=ID_LIMIT)]
CpuNumber = Annotated[int, Field(ge=0, le=CPU_LIMIT - 1)]
Size = Annotated[int, Field(ge=0, le=SIZE_LIMIT)]
Integer = Annotated[int, Field(ge=-INTEGER_LIMIT, le=INTEGER_LIMIT)]
Count = Annotated[int, Field(ge=0, le=GUEST_CPU_LIMIT)]
