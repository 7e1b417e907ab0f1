"""PCI devices in a host's picture: a card for each PF, one for each kind of other device that guests are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.snapshot import Snapshot
from numaplan.report.devices import degraded, is_function, speed, speeds, vf_counts, worthy_kind
from numaplan.report.holding import device_owners, used_vfs
from numaplan.report.layout import framed, line, stack
from numaplan.report.svg import Box, Placed, Text
from numaplan.report.text import clean, count
from numaplan.report.topology_cores import guest_tag
from numaplan.report.topology_style import SHEET

CARD_WIDTH: Final = 320
_PAD: Final = 6
_BAR: Final = 6
_SHOWN: Final = 24
_TITLE_ITEMS: Final = 64
_ADDRESS_SPACE: Final = 96
_OWNERS_TOLD: Final = 6


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a host as cards need them: who holds what, and how fast each is."""

    snapshot: Snapshot
    owners: Mapping[PciAddress, tuple[int, ...]]
    speeds: Mapping[PciAddress, int]


def devices(snapshot: Snapshot) -> Devices:
    """Looked up once for all cards."""
    return Devices(snapshot, device_owners(snapshot), speeds(snapshot.links))


def cards(known: Devices, near: Sequence[PciDevice], *, width: int) -> tuple[Box, ...]:
    """Cards for those of `near` that are worth it, PFs first; beyond two dozen they are counted."""
    functions = [device for device in near if is_function(device)]
    alike: dict[tuple[str, str, str | None, tuple[int, ...], str | None], list[PciDevice]] = {}
    for device in near:
        kind = worthy_kind(device)
        if kind is not None:
            name = device.name or f"{device.vendor}:{device.device}"
            key = (kind, name, device.driver, known.owners.get(device.address, ()), degraded(device))
            alike.setdefault(key, []).append(device)
    found = [_function(known, device, width) for device in functions[:_SHOWN]]
    room = max(0, _SHOWN - len(found))
    found += [
        _others(known, members, kind=key[0], name=key[1], width=width) for key, members in list(alike.items())[:room]
    ]
    left = functions[_SHOWN:] + [device for members in list(alike.values())[room:] for device in members]
    if left:
        note = Text(f"and {count(len(left), 'device')} more", "s", width - 2 * _PAD)
        inner = line(note, width=width - 2 * _PAD, height=SHEET.height_of("s"))
        found.append(framed(inner, style="device", pad=_PAD, title=_addresses(left)))
    return tuple(found)


def _function(known: Devices, device: PciDevice, width: int) -> Box:
    """Name and address; speed, driver and VFs; a bar of VFs; what is wrong with its link."""
    space = width - 2 * _PAD
    used = used_vfs(known.snapshot, device, known.owners)
    said = [] if not device.netdevs and device.address not in known.speeds else [speed(device, known.speeds)]
    said += [] if device.driver is None else [device.driver]
    if device.sriov is not None:
        in_use, configured, total = vf_counts(used, device)
        said.append(f"VFs {in_use} used / {configured} set / {total}")
    lines = [
        _head(", ".join(device.netdevs) or device.name or f"{device.vendor}:{device.device}", device.address, space),
        _line(" \u00b7 ".join(said) or "no driver", "s", space),
    ]
    if device.sriov is not None and device.sriov.total:
        lines.append(_vf_bar(used or 0, device.sriov.configured, device.sriov.total, space))
    return _card([*lines, *_notes(known, device, space)], _function_title(device))


def _others(known: Devices, members: Sequence[PciDevice], *, kind: str, name: str, width: int) -> Box:
    space = width - 2 * _PAD
    first = members[0]
    amount = "" if len(members) == 1 else f"{len(members)} \u00d7 "
    driver = "" if first.driver is None else f" \u00b7 {first.driver}"
    lines = [_head(f"{amount}{kind}", first.address, space), _line(f"{name}{driver}", "s", space)]
    return _card([*lines, *_notes(known, first, space)], f"{name}: {_addresses(members)}")


def _card(lines: Sequence[Box], title: str) -> Box:
    return framed(stack(lines, gap=2), style="device", pad=_PAD, title=title)


def _head(name: str, address: PciAddress, space: int) -> Box:
    label = str(address)
    needed = max(_ADDRESS_SPACE, SHEET.width_of(label, "s"))
    return line(
        Text(name, "h3", space - needed - _PAD),
        Text(label, "s", needed, "end"),
        width=space,
        height=SHEET.height_of("h3"),
        drop=SHEET.texts["h3"].size - SHEET.texts["s"].size,
    )


def _line(text: str, style: str, space: int) -> Box:
    return line(Text(text, style, space), width=space, height=SHEET.height_of(style))


def _notes(known: Devices, device: PciDevice, space: int) -> list[Box]:
    worse = degraded(device)
    notes = [] if worse is None else [_line(f"! PCIe {worse}", "w", space)]
    whole = known.owners.get(device.address, ())
    vfs: dict[int, int] = {}
    for vf in () if device.sriov is None else device.sriov.vfs:
        for place in known.owners.get(vf, ()):
            vfs[place] = vfs.get(place, 0) + 1
    held = [guest_tag(place) for place in whole]
    held += [f"{guest_tag(place)} {amount}" for place, amount in sorted(vfs.items())]
    if held:
        more = f" and {len(held) - _OWNERS_TOLD} more" if len(held) > _OWNERS_TOLD else ""
        what = "given whole to" if whole else "VFs of guests:"
        notes.append(_line(f"{what} {', '.join(held[:_OWNERS_TOLD])}{more}", "s", space))
    return notes


def _vf_bar(used: int, configured: int, total: int, space: int) -> Box:
    inner = space - 2
    whole = max(total, configured, 1)
    in_use = min(used, configured) * inner // whole
    made = configured * inner // whole
    parts = [Placed(1, 1, Box("used", in_use, _BAR - 2))] if in_use else []
    parts += [Placed(1 + in_use, 1, Box("made", made - in_use, _BAR - 2))] if made > in_use else []
    return Box("bar", space, _BAR, tuple(parts))


def _function_title(device: PciDevice) -> str:
    said = [str(device.address), device.name or f"{device.vendor}:{device.device}", *device.netdevs]
    said += [] if device.iommu_group is None else [f"IOMMU group {device.iommu_group}"]
    return "; ".join(clean(part) for part in said)


def _addresses(members: Sequence[PciDevice]) -> str:
    shown = ", ".join(str(device.address) for device in members[:_TITLE_ITEMS])
    return shown if len(members) <= _TITLE_ITEMS else f"{shown} and {len(members) - _TITLE_ITEMS} more"
