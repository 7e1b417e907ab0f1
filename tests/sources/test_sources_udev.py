import errno
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from numaplan.sources.store import UnreadableError
from numaplan.sources.udev import read_udev


class Properties(dict[str, str]):
    """A database; a value of None is in no encoding that can be read."""

    def __getitem__(self, key: str) -> str:
        value: str | None = super().__getitem__(key)
        if value is None:
            raise UnicodeDecodeError("utf-8", b"\xae", 0, 1, "invalid start byte")
        return value


@dataclass
class Device:
    sys_name: str
    properties: Mapping[str, str] = field(default_factory=Properties)


def database(monkeypatch: pytest.MonkeyPatch, *devices: Device, fault: Exception | None = None) -> None:
    class Context:
        def list_devices(self, *, subsystem: str) -> Iterator[Device]:
            assert subsystem == "pci"
            if fault is not None:
                raise fault
            return iter(devices)

    module = ModuleType("pyudev")
    monkeypatch.setattr(module, "Context", Context, raising=False)
    monkeypatch.setitem(sys.modules, "pyudev", module)


def words(vendor: str | None, model: str | None) -> Properties:
    return Properties({"ID_VENDOR_FROM_DATABASE": vendor, "ID_MODEL_FROM_DATABASE": model, "DRIVER": "igb"})  # type: ignore[dict-item]  # None stands for bytes that cannot be read


def test_vendor_and_model_of_each_device_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    database(
        monkeypatch,
        Device("0000:21:10.0", words("Intel Corporation", "82576 Virtual Function")),
        Device("0000:00:1f.0", Properties({"ID_VENDOR_FROM_DATABASE": "Intel Corporation"})),
        Device("0000:00:00.0"),
    )
    assert read_udev() == {
        "pci": [
            {"address": "0000:00:1f.0", "vendor": "Intel Corporation"},
            {"address": "0000:21:10.0", "vendor": "Intel Corporation", "model": "82576 Virtual Function"},
        ]
    }


def test_words_that_cannot_be_decoded_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    database(monkeypatch, Device("0000:21:00.0", words("Mellanox Technologies", None)))
    assert read_udev() == {"pci": [{"address": "0000:21:00.0", "vendor": "Mellanox Technologies"}]}


def test_a_host_whose_udev_knows_no_words_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    database(monkeypatch, Device("0000:00:00.0", Properties({"DRIVER": "igb"})))
    assert read_udev() is None


def test_a_refusal_is_told_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    database(monkeypatch, fault=OSError(errno.EACCES, os.strerror(errno.EACCES)))
    with pytest.raises(UnreadableError, match="udev refuses to list PCI devices: permission denied"):
        read_udev()


def test_a_host_without_libudev_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pyudev")

    def context() -> None:
        raise ImportError("No library named udev")

    monkeypatch.setattr(module, "Context", context, raising=False)
    monkeypatch.setitem(sys.modules, "pyudev", module)
    with pytest.raises(UnreadableError, match=r"No library named udev; install libudev\.so\.1"):
        read_udev()


def test_the_machine_at_hand_answers_or_lacks_libudev() -> None:
    rows: object = None
    refusal = None
    try:
        rows = read_udev()
    except UnreadableError as error:
        refusal = error.why
    assert refusal is None or "libudev" in refusal
    listed = rows["pci"] if isinstance(rows, dict) else []
    assert all("address" in row and set(row) <= {"address", "vendor", "model"} for row in listed)
