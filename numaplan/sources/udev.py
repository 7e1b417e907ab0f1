"""The door to udev's database: the words for PCI devices, which udev took from its hardware database."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from numaplan.sources.store import UnreadableError

_WORDS: Final = {"vendor": "ID_VENDOR_FROM_DATABASE", "model": "ID_MODEL_FROM_DATABASE"}


class Device(Protocol):
    """A device of pyudev."""

    sys_name: str
    properties: Mapping[str, str]


def read_udev() -> object | None:
    """`{"pci": [{"address", "vendor", "model"}]}`; None where udev has no words, as in a container.

    Raises UnreadableError where libudev is missing or fails.
    """
    try:
        import pyudev

        context = pyudev.Context()
    except ImportError as error:
        raise UnreadableError(f"libudev cannot be loaded: {error}; install libudev.so.1 and pyudev") from error
    try:
        rows = [row for device in context.list_devices(subsystem="pci") if len(row := _row(device)) > 1]
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise UnreadableError(f"udev refuses to list PCI devices: {words}") from error
    return {"pci": sorted(rows, key=lambda row: row["address"])} if rows else None


def _row(device: Device) -> dict[str, str]:
    row = {"address": device.sys_name}
    for key, name in _WORDS.items():
        with suppress(KeyError, UnicodeDecodeError):  # absent, or in an encoding of its own
            row[key] = device.properties[name]
    return row
