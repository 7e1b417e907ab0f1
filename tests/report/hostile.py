"""Hosts that say one and the same thing wherever a host can say a string."""

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from numaplan.model.devices import PciDevice

Noun = TypeVar("Noun")


def saying(noun: Noun, text: str) -> Noun:
    """`noun` with every string in it replaced by `text`, but for PCI classes: they decide what is shown."""
    changed: Noun = _saying(noun, text)
    return changed


def _saying(value: Any, text: str) -> Any:  # noqa: ANN401  # whatever a field of a noun holds
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(_saying(item, text) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        kept = {"pci_class"} if isinstance(value, PciDevice) else set()
        found = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in kept}
        return replace(value, **{name: _saying(item, text) for name, item in found.items()})
    return value
