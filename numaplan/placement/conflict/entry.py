"""How sentences name an entry of a guest's interfaces or devices, and what it asks for."""

from collections.abc import Sequence

from numaplan.cpuset import format_id_list
from numaplan.model.devices import PciDevice
from numaplan.model.request import DeviceRequest, InterfaceRequest
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import obstacle
from numaplan.units import format_count


def noun(entry: InterfaceRequest | DeviceRequest) -> str:
    """How sentences name an entry."""
    return f'device "{entry.name}"' if isinstance(entry, DeviceRequest) else f'interface "{entry.name}"'


def choice(entry: InterfaceRequest | DeviceRequest, count: int) -> str:
    """What an entry asks for: "2 VFs with physnet wan"."""
    words = [
        f"{key} {value}"
        for key in ("physnet", "pf", "vendor", "device", "address")
        if (value := getattr(entry, key, None)) is not None
    ]
    if isinstance(entry, InterfaceRequest) and entry.vf_indexes is not None:
        words = [f"{word}#{format_id_list(entry.vf_indexes)}" if word.startswith("pf ") else word for word in words]
    return f"{given(entry, count)} with {', '.join(words)}"


def given(entry: InterfaceRequest | DeviceRequest, count: int) -> str:
    """``2 VFs``, ``1 device``."""
    return format_count(count, "device" if isinstance(entry, DeviceRequest) else "VF")


def group_bound(facts: HostFacts, devices: Sequence[PciDevice]) -> str:
    """Which devices go only together with others of their IOMMU groups, the first one by name; "" for none."""
    if not devices:
        return ""
    more = f" and {len(devices) - 1} more like it" if len(devices) > 1 else ""
    return f"{devices[0].address} {obstacle(facts, devices[0])}{more}"
