"""The kinds of values that the documents hold, each with its bounds and its JSON Schema."""

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import Field, InstanceOf, PlainValidator, ValidationInfo, WithJsonSchema
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

# 200 guests that float on sets of their own of 8192 CPUs name 1.6 million.
NAMED_LIMIT: Final = 1 << 22

LIST_PATTERN: Final = "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$"
MAC_PATTERN: Final = "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"
ADDRESS_PATTERN: Final = r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$"


class Known:
    """The CPU lists and addresses of one document: each text is parsed once, however often it stands there.

    All its lists together name `NAMED_LIMIT` CPUs at most: a document of a few MiB could fill many GiB of memory else.
    A list whose numbers are kept one by one counts each time it stands there.
    """

    def __init__(self) -> None:
        self._cpu_sets: dict[str, CpuSet] = {}
        self._addresses: dict[str, PciAddress] = {}
        self._named = 0

    def cpu_set(self, text: str) -> CpuSet:
        """The CPUs of a kernel list; raises ValueError."""
        known = self._cpu_sets.get(text)
        if known is None:
            # Ranges that overlap thousands of times would cost more than any honest list.
            named = sum(int(last or first) - int(first) + 1 for first, last in _RANGE.findall(text))
            if named > 2 * CPU_LIMIT:
                raise ValueError("it names more CPUs than there can be")
            self._count(named)
            known = self._cpu_sets[text] = CpuSet.parse(text)
        return known

    def numbers(self, text: str) -> CpuSet:
        """As `cpu_set`, for a list that becomes numbers of its own wherever it stands."""
        numbers = self.cpu_set(text)
        self._count(len(numbers))
        return numbers

    def address(self, text: str) -> PciAddress:
        """A PCI address; raises ValueError."""
        known = self._addresses.get(text)
        if known is None:
            known = self._addresses[text] = PciAddress.parse(text)
        return known

    def _count(self, named: int) -> None:
        if self._named + named > NAMED_LIMIT:
            raise ValueError(f"the lists of the document together name more than {NAMED_LIMIT} CPUs")
        self._named += named


def _known(info: ValidationInfo) -> Known:
    return info.context if isinstance(info.context, Known) else Known()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("text", "expected a string")
    return value


def _cpu_set(value: object, info: ValidationInfo) -> CpuSet:
    return _parsed(value, _known(info).cpu_set)


def _numbers(value: object, info: ValidationInfo) -> CpuSet:
    return _parsed(value, _known(info).numbers)


def _parsed(value: object, parse: Callable[[str], CpuSet]) -> CpuSet:
    text = _text(value)
    try:
        return parse(text)
    except ValueError as error:
        raise PydanticCustomError("cpu_set", "expected a CPU list ({why})", {"why": str(error)}) from error


def _address(value: object, info: ValidationInfo) -> PciAddress:
    text = _text(value)
    try:
        return _known(info).address(text)
    except ValueError as error:
        raise PydanticCustomError("pci", "expected a PCI address such as 0000:3b:02.0") from error


def _number(value: object) -> int:
    text = _text(value)
    if _DECIMAL.fullmatch(text) is None or int(text) > ID_LIMIT:
        raise PydanticCustomError("number_key", "expected a decimal number as key")
    return int(text)


# Not `str`: pydantic refuses lone surrogates, which stand for bytes of the host that are no UTF-8.
Text = InstanceOf[str]
CpuList = Annotated[CpuSet, PlainValidator(_cpu_set), WithJsonSchema({"type": "string", "pattern": LIST_PATTERN})]
NumberList = Annotated[CpuSet, PlainValidator(_numbers), WithJsonSchema({"type": "string", "pattern": LIST_PATTERN})]
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
