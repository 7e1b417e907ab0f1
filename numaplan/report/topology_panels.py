"""What stands beside the packages in a host's picture: distances, guests, offline CPUs, lost devices, the marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest
from numaplan.model.snapshot import Snapshot
from numaplan.report.holding import Role
from numaplan.report.layout import flow, framed, grid, line, stack
from numaplan.report.svg import Box, Placed, Text
from numaplan.report.text import UNKNOWN, count, number
from numaplan.report.topology_cores import Cells, cell_box, guest_style, guest_tag
from numaplan.report.topology_devices import CARD_WIDTH
from numaplan.report.topology_node import Drawing, device_rows
from numaplan.report.topology_style import SHEET
from numaplan.units import format_size

PAD: Final = 10
_GAP: Final = 6
_LOCAL: Final = 10
_CELL_WIDTH: Final = 34
_CELL_HEIGHT: Final = 20
_NODES_SHOWN: Final = 32
_GUESTS_SHOWN: Final = 400
_GUEST_WIDTH: Final = 430
_GUEST_ROWS: Final = 16
_OFFLINE_SHOWN: Final = 256
_OFFLINE_WIDTH: Final = 400
_MARK_WIDTH: Final = 330
_NAME_SPACE: Final = 168
_VCPUS_SPACE: Final = 62
_MEMORY_SPACE: Final = 78


@dataclass(frozen=True, slots=True)
class Panels:
    """All panels of a picture; those of guests and devices take the shape that the room for them allows."""

    drawing: Drawing
    distances: Box | None
    guests: tuple[Box, ...]
    offline: Box | None
    marks: Box

    def fitted(self, width: int) -> list[Box]:
        """Those that have something to say, in `width` pixels if they can be so narrow."""
        unlisted = len(self.drawing.cells.snapshot.guests) - len(self.guests)
        found = [
            self.distances,
            _guests(self.guests, unlisted, width=width),
            self.offline,
            _nowhere(self.drawing, width=width),
            self.marks,
        ]
        return [panel for panel in found if panel is not None]


def panels(drawing: Drawing) -> Panels:
    """What does not depend on the room for it is drawn once."""
    cells = drawing.cells
    shown = cells.snapshot.guests[:_GUESTS_SHOWN]
    rows = tuple(_guest_row(cells, place, guest) for place, guest in enumerate(shown))
    return Panels(drawing, _distances(cells.snapshot), rows, _offline(cells), _marks(cells))


def _panel(heading: str, body: Sequence[Box], *, title: str = "") -> Box:
    inner = max([SHEET.width_of(heading, "h2"), *(box.width for box in body)])
    head = line(Text(heading, "h2", inner), width=inner, height=SHEET.height_of("h2"))
    return framed(stack([head, *body], gap=_GAP), style="panel", pad=PAD, title=title)


def _distances(snapshot: Snapshot) -> Box | None:
    """The SLIT as a matrix: from the node of the row to that of the column."""
    known = {node.id: dict(node.distances) for node in snapshot.nodes if node.distances}
    nodes = [node.id for node in snapshot.nodes][:_NODES_SHOWN]
    if not known or len(snapshot.nodes) <= 1:
        return None
    entries = [entry for of_node in known.values() for entry in of_node.values()]
    # Between the nearest and the farthest of the others; numbers say it too.
    others = [entry for entry in entries if entry != _LOCAL]
    middle = (min(others, default=0) + max(others, default=0)) / 2
    widest = max([_CELL_WIDTH - 8, *(SHEET.width_of(str(entry), "n") for entry in [*entries, *nodes])])
    cells = [_matrix_cell("", "head", widest), *(_matrix_cell(str(node), "head", widest) for node in nodes)]
    for node in nodes:
        cells.append(_matrix_cell(str(node), "head", widest))
        for other in nodes:
            entry = known.get(node, {}).get(other)
            shade = "local" if node == other else "far" if entry is not None and entry > middle else "near"
            cells.append(_matrix_cell(number(entry), shade, widest))
    body = [grid(cells, columns=len(nodes) + 1, gap=0)]
    if len(snapshot.nodes) > len(nodes):
        text = f"and {count(len(snapshot.nodes) - len(nodes), 'node')} more"
        body.append(_note(text))
    return _panel("Distances", body, title="distance from the node of the row to the node of the column; 10 is local")


def _matrix_cell(text: str, style: str, widest: int) -> Box:
    top = (_CELL_HEIGHT - SHEET.height_of("n")) // 2
    placed = (Placed(4, top, Text(text, "n", widest, "middle")),) if text else ()
    return Box(style, widest + 8, _CELL_HEIGHT, placed)


def _note(text: str) -> Box:
    wide = SHEET.width_of(text, "s")
    return line(Text(text, "s", wide), width=wide, height=SHEET.height_of("s"))


def _guests(rows: Sequence[Box], unlisted: int, *, width: int) -> Box | None:
    """Each guest with its letter, in columns."""
    if not rows:
        return None
    fitting = max(1, (width - 2 * PAD + 2 * _GAP) // (_GUEST_WIDTH + 2 * _GAP))
    columns = min(fitting, -(-len(rows) // _GUEST_ROWS))
    most = -(-len(rows) // columns)
    stacks = [stack(rows[start : start + most], gap=3) for start in range(0, len(rows), most)]
    body = [flow(stacks, width=columns * (_GUEST_WIDTH + 2 * _GAP), gap=2 * _GAP, level=False)]
    if unlisted:
        body.append(_note(f"and {unlisted} more; the JSON form has them all"))
    return _panel("Guests", body)


def _guest_row(cells: Cells, place: int, guest: Guest) -> Box:
    """Its letter, name, vCPUs, memory, and where it is."""
    tag = guest_tag(place)
    height = SHEET.height_of("tag") + 6
    swatch_width = max(28, SHEET.width_of(tag, "tag") + 8)
    swatch = Box(
        guest_style(place),
        swatch_width,
        height,
        (Placed(4, 3, Text(tag, "tag", swatch_width - 8, "middle")),),
    )
    left = swatch_width + 8
    rest = _GUEST_WIDTH - left - _NAME_SPACE - _VCPUS_SPACE - _MEMORY_SPACE
    texts = (
        (Text(guest.name, "h3", _NAME_SPACE - _GAP), left),
        (Text(count(guest.vcpus, "vCPU"), "s", _VCPUS_SPACE - _GAP), left + _NAME_SPACE),
        (
            Text(UNKNOWN if guest.memory_kib is None else format_size(guest.memory_kib), "s", _MEMORY_SPACE - _GAP),
            left + _NAME_SPACE + _VCPUS_SPACE,
        ),
        (Text(_where(cells, place), "s", rest), _GUEST_WIDTH - rest),
    )
    placed = [Placed(0, 0, swatch), *(Placed(x, 3, text) for text, x in texts)]
    return Box("", _GUEST_WIDTH, height, tuple(placed), _guest_words(cells, place, guest))


def _where(cells: Cells, place: int) -> str:
    cpus = _bound(cells, place)
    if cpus is None:
        return "anywhere"
    nodes = ",".join(str(node.id) for node in cells.snapshot.nodes if node.cpus & cpus)
    return f"node {nodes}" if nodes else "-"


def _bound(cells: Cells, place: int) -> CpuSet | None:
    """Where its vCPUs may run; None: one of them anywhere."""
    # Many vCPUs have one affinity; each is looked at once.
    affinities = {thread.affinity for thread in cells.holding.threads[place] if thread.role is Role.VCPU}
    if None in affinities:
        return None
    return CpuSet(cpu for cpus in affinities if cpus is not None for cpu in cpus)


def _guest_words(cells: Cells, place: int, guest: Guest) -> str:
    match guest.running:
        case None:
            state = f"state {UNKNOWN}"
        case True:
            state = "running"
        case False:
            state = "shut off"
    held = cells.holding.held_by(place)
    devices = ", ".join(str(address) for address in guest.pci_addresses[:_NODES_SHOWN]) or "none"
    return f"{guest_tag(place)}: {guest.name}; {state}; CPUs held {held or 'none'}; PCI devices {devices}"


def _offline(cells: Cells) -> Box | None:
    offline = cells.snapshot.cpus.offline
    if not offline:
        return None
    shown = list(offline)[:_OFFLINE_SHOWN]
    boxes = [
        cell_box(cells, number_text=str(cpu), tag="", style="offline", title=f"CPU {cpu}; offline") for cpu in shown
    ]
    body = [grid(boxes, columns=max(1, _OFFLINE_WIDTH // (cells.width + 4)), gap=4)]
    if len(offline) > len(shown):
        body.append(_note(f"and {len(offline) - len(shown)} more"))
    return _panel(f"Offline CPUs ({len(offline)})", body, title=f"offline CPUs {offline}")


def _nowhere(drawing: Drawing, *, width: int) -> Box | None:
    """Devices whose node is not known, or is none of the host's."""
    snapshot = drawing.cells.snapshot
    known = {node.id for node in snapshot.nodes}
    lost = [device for device in snapshot.pci if device.numa_node not in known]
    columns = max(1, min(3, (width - 2 * PAD + 4) // (CARD_WIDTH + 4)))
    single = device_rows(drawing, lost, width=CARD_WIDTH)
    if not single:
        return None
    # As many columns as there are cards: a lone card needs no more room than its own.
    amount = len(single[0].children)
    columns = min(columns, amount)
    return _panel("Devices of unknown node", device_rows(drawing, lost, width=columns * (CARD_WIDTH + 4) - 4))


def _marks(cells: Cells) -> Box:
    """A sample of each mark that this picture uses, and what it means."""
    states, held = cells.snapshot.cpus, cells.holding
    styles = {cells.style(cpu) for cpu in states.online}
    roles = {thread.role.value for threads in held.holders.values() for thread in threads}
    last = str(max(states.online, default=0))

    def sample(tag: str, style: str, *, isolated: bool = False, tickless: bool = False) -> Box:
        return cell_box(cells, number_text=last, tag=tag, style=style, isolated=isolated, tickless=tickless)

    tagged = cells.height > SHEET.height_of("n") * 2
    rows = [_mark(sample("", "free"), "an online CPU that no guest holds", shown="free" in styles)]
    rows += [_mark(sample("", "kept"), "not isolated, so the host keeps it", shown="kept" in styles)]
    rows += [_mark(sample("", "free", isolated=True), "isolated (bar on the left)", shown=bool(states.isolated))]
    rows += [_mark(sample("", "free", tickless=True), "nohz_full (bar on the right)", shown=bool(states.nohz_full))]
    if tagged:
        guest = any(style[0] == "g" for style in styles)
        rows += [_mark(sample("A", "g0"), "a thread of guest A is pinned to it", shown=guest)]
        rows += [_mark(sample("Ae", "g0"), "pinned: e emulator, i iothread only", shown=len(roles) > 1)]
        rows += [_mark(sample("A+B", "clash"), "pinned or polled by more than one", shown="clash" in styles)]
        rows += [_mark(sample("~A", "floating"), "guest A floats on it, among others", shown="floating" in styles)]
        rows += [_mark(sample("PMD", "pmd"), "polled by Open vSwitch", shown=bool(cells.polling & states.online))]
    bar = Box("bar", cells.width, 10, (Placed(1, 1, Box("used", cells.width // 2, 8)),))
    rows += [_mark(bar, "dark: in use; numbers: available / total", shown=True)]
    made = Box("bar", cells.width, 10, (Placed(1, 1, Box("used", 8, 8)), Placed(9, 1, Box("made", 8, 8))))
    has_vfs = any(device.sriov is not None for device in cells.snapshot.pci)
    rows += [_mark(made, "VFs: used, set up, possible", shown=has_vfs)]
    return _panel("Marks", [stack([row for row in rows if row is not None], gap=4)])


def _mark(sample: Box, meaning: str, *, shown: bool) -> Box | None:
    if not shown:
        return None
    height = max(sample.height, SHEET.height_of("t"))
    space = _MARK_WIDTH - sample.width - 8
    return Box(
        "",
        _MARK_WIDTH,
        height,
        (
            Placed(0, (height - sample.height) // 2, sample),
            Placed(sample.width + 8, (height - SHEET.height_of("t")) // 2, Text(meaning, "t", space)),
        ),
    )
