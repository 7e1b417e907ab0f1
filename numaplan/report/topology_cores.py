"""Cores in a host's picture: each CPU a cell with its number and the letters of the guests that hold it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.host import Core, CoreKind, LlcDomain
from numaplan.model.snapshot import Snapshot
from numaplan.report.holding import Holding, Role, Thread, holding, polling_cpus
from numaplan.report.layout import framed, grid, line, stack
from numaplan.report.svg import Box, Placed, Text
from numaplan.report.text import number
from numaplan.report.topology_groups import CoreGroup
from numaplan.report.topology_style import GUEST_COLOURS, SHEET
from numaplan.units import format_size

_LETTERS: Final = 26
_MARGIN: Final = 4
_BAR: Final = 3
_GAP: Final = 2
_CORE_GAP: Final = 4
_CORE_PAD: Final = 3
_GROUP_PAD: Final = 5
_TAG_LENGTH: Final = 5
_STACKED: Final = 2
_TWO_COLUMNS: Final = 8
_TOLD: Final = 12
_SUFFIX: Final = {Role.VCPU: "", Role.EMULATOR: "e", Role.IOTHREAD: "i"}
_GROUP_COLUMNS: Final = ((4, 4), (6, 3), (8, 4), (16, 8))
_MANY_COLUMNS: Final = 12
SMALLEST_GROUP: Final = 96


def guest_tag(place: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    tag = ""
    left = place + 1
    while left:
        left, letter = divmod(left - 1, _LETTERS)
        tag = chr(ord("A") + letter) + tag
    return tag


def guest_style(place: int) -> str:
    """The look of a guest's CPUs; colours come again after a dozen guests, letters never."""
    return f"g{place % len(GUEST_COLOURS)}"


@dataclass(frozen=True, slots=True)
class Cells:
    """How the CPUs of one host are drawn: what is on them, and the size that each of them has."""

    snapshot: Snapshot
    holding: Holding
    polling: CpuSet
    width: int
    height: int

    @property
    def core_width(self) -> int:
        """Of the widest core."""
        threads = max((len(core.cpus) for core in self.snapshot.cores), default=1)
        columns = _thread_columns(threads)
        return columns * (self.width + _GAP) - _GAP + 2 * _CORE_PAD

    def style(self, cpu: CpuId) -> str:
        """The ground of a CPU's cell."""
        guests = self.holding.guests_on(cpu)
        if len(guests) + (cpu in self.polling) > 1:
            return "clash"
        if guests:
            return guest_style(guests[0])
        if cpu in self.polling:
            return "pmd"
        if cpu in self.holding.floaters:
            return "floating"
        return "kept" if self.is_kept(cpu) else "free"

    def is_kept(self, cpu: CpuId) -> bool:
        """Whether it looks as if the host keeps it to itself: it isolates others."""
        return bool(self.snapshot.cpus.isolated) and cpu not in self.snapshot.cpus.isolated

    def words(self, cpu: CpuId) -> str:
        """All that is known of a CPU, for its tooltip."""
        states = self.snapshot.cpus
        said = [f"CPU {cpu}"]
        said += ["isolated"] if cpu in states.isolated else []
        said += ["nohz_full"] if cpu in states.nohz_full else []
        said += ["not isolated, so the host keeps it"] if self.is_kept(cpu) else []
        said += ["polled by Open vSwitch"] if cpu in self.polling else []
        said += _some(self._threads(self.holding.holders.get(cpu, ())))
        said += _some([f"{self._guest(place)} floats here" for place in self.holding.floaters.get(cpu, ())])
        return "; ".join(said)

    def _threads(self, threads: Sequence[Thread]) -> list[str]:
        return [f"{self._guest(thread.guest)}: {thread.words} is pinned here" for thread in threads]

    def _guest(self, place: int) -> str:
        return f"guest {guest_tag(place)} {self.snapshot.guests[place].name}"


def _some(said: Sequence[str]) -> list[str]:
    rest = len(said) - _TOLD
    return [*said[:_TOLD], f"{rest} more"] if rest > 0 else list(said)


def cells(snapshot: Snapshot) -> Cells:
    """Every cell as wide as the widest needs, and with a second line only where any CPU has a letter."""
    held = holding(snapshot)
    polling = polling_cpus(snapshot)
    numbers = max((SHEET.width_of(str(cpu), "n") for cpu in snapshot.cpus.present | snapshot.cpus.online), default=0)
    tags = [_tag(held, polling, cpu) for cpu in snapshot.cpus.online]
    widest = max((SHEET.width_of(tag, "tag") for tag in tags), default=0)
    height = SHEET.height_of("n") + (SHEET.height_of("tag") if any(tags) else 0) + _MARGIN
    return Cells(snapshot, held, polling, max(20, numbers, widest) + 2 * (_MARGIN + 1), height)


def _tag(held: Holding, polling: CpuSet, cpu: CpuId) -> str:
    guests = held.guests_on(cpu)
    tags = [guest_tag(place) + _suffix(held, cpu, place) for place in guests]
    if cpu in polling:
        tags.append("PMD")
    if not tags:
        floating = held.floaters.get(cpu, ())
        if not floating:
            return ""
        tag = "~" + ",".join(guest_tag(place) for place in floating)
        return tag if len(tag) <= _TAG_LENGTH else f"~\u00d7{len(floating)}"
    tag = "+".join(tags)
    return tag if len(tags) == 1 or len(tag) <= _TAG_LENGTH else f"+\u00d7{len(tags)}"


def _suffix(held: Holding, cpu: CpuId, place: int) -> str:
    """``e`` or ``i`` where the guest holds the CPU for its emulator or iothreads alone."""
    roles = {thread.role for thread in held.holders.get(cpu, ()) if thread.guest == place}
    return next(_SUFFIX[role] for role in Role if role in roles)


def cpu_box(look: Cells, cpu: CpuId) -> Box:
    """One CPU: its number, below it who holds it."""
    return cell_box(
        look,
        number_text=str(cpu),
        tag=_tag(look.holding, look.polling, cpu),
        style=look.style(cpu),
        isolated=cpu in look.snapshot.cpus.isolated,
        tickless=cpu in look.snapshot.cpus.nohz_full,
        title=look.words(cpu),
    )


def cell_box(
    look: Cells,
    *,
    number_text: str,
    tag: str,
    style: str,
    isolated: bool = False,
    tickless: bool = False,
    title: str = "",
) -> Box:
    """A cell as CPUs have it; the legend's samples are made of it too."""
    space = look.width - 2 * _MARGIN
    line = SHEET.height_of("n")
    top = _MARGIN // 2 if tag else (look.height - line) // 2
    placed = [Placed(_MARGIN, top, Text(number_text, "n", space, "middle"))]
    if tag:
        placed.append(Placed(_MARGIN, top + line, Text(tag, "tag", space, "middle")))
    bar = look.height - 2 * _BAR
    if isolated:
        placed.append(Placed(0, _BAR, Box("isolated", _BAR, bar)))
    if tickless:
        placed.append(Placed(look.width - _BAR, _BAR, Box("tickless", _BAR, bar)))
    return Box(style, look.width, look.height, tuple(placed), title)


def core_box(look: Cells, core: Core) -> Box:
    """A core: its threads below each other, in two columns from three of them on."""
    threads = [cpu_box(look, cpu) for cpu in core.cpus]
    inner = grid(threads, columns=_thread_columns(len(threads)), gap=_GAP)
    title = f"core of CPUs {core.cpus}; core id {number(core.core_id)}, die {number(core.die_id)}"
    return framed(inner, style="core", pad=_CORE_PAD, title=title)


def _thread_columns(threads: int) -> int:
    if threads <= _STACKED:
        return 1
    return 2 if threads <= _TWO_COLUMNS else 4


def group_box(look: Cells, group: CoreGroup, *, width: int, alone: bool) -> Box:
    """Cores that share a cache, no wider than `width`; `alone`: it is the only group of its node and takes it all."""
    space = width - 2 * _GROUP_PAD
    fitting = max(1, (space + _CORE_GAP) // (look.core_width + _CORE_GAP))
    boxes = [core_box(look, core) for core in group.cores]
    columns = fitting if alone else min(fitting, group_columns(len(boxes)))
    inner = grid(boxes, columns=max(1, min(columns, len(boxes))), gap=_CORE_GAP)
    label = _label(group)
    least = width if alone else 0
    if not label:
        return framed(inner, style="llc", pad=_GROUP_PAD, width=least)
    wanted = space if alone else min(space, max(SHEET.width_of(label, "s"), SMALLEST_GROUP - 2 * _GROUP_PAD))
    most = max(inner.width, wanted)
    head = line(Text(label, "s", most), width=most, height=SHEET.height_of("s"))
    return framed(stack([head, inner], gap=2), style="llc", pad=_GROUP_PAD, width=least, title=label)


def group_columns(cores: int) -> int:
    """How many cores of a group of several stand beside each other."""
    return next((columns for most, columns in _GROUP_COLUMNS if cores <= most), _MANY_COLUMNS)


def group_width(look: Cells, cores: int) -> int:
    """How wide a group of several gets, but for its label."""
    columns = min(cores, group_columns(cores))
    return max(SMALLEST_GROUP, columns * (look.core_width + _CORE_GAP) - _CORE_GAP + 2 * _GROUP_PAD)


def _label(group: CoreGroup) -> str:
    said = []
    if group.llc is not None:
        size = "" if group.llc.size_kib is None else f" {format_size(group.llc.size_kib)}"
        said.append(f"L{group.llc.level}{size}{_elsewhere(group.llc)}")
    if group.package is not None and group.package.id is not None:
        said.append(f"package {group.package.id}")
    if group.kind is not None:
        said.append(_kind(group.kind))
    return " \u00b7 ".join(said)


def _elsewhere(llc: LlcDomain) -> str:
    if len(llc.numa_nodes) <= 1:
        return ""
    return f" of nodes {','.join(map(str, llc.numa_nodes))}"


def _kind(kind: CoreKind) -> str:
    return f"{kind.value.replace('_', '-')} cores"
