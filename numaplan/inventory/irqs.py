"""Interrupts of PCI functions: who raises them, who handles them, and on which CPUs (/proc/irq, msi_irqs).

Timers, inter-processor and platform interrupts are left out: no plan moves them, and a large host has thousands.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from numaplan.cpuset import CpuSet
from numaplan.inventory.attribute import (
    cpus_of,
    parse_cpu_bits,
    parse_id,
    parse_integer,
    parse_mask_bits,
    read_attribute,
)
from numaplan.inventory.pci import parse_pci_name
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import NodeId, NumaNode
from numaplan.model.kernel import Irq
from numaplan.sources.tree import HostTree

IRQ_ROOT: Final = "proc/irq"
INTERRUPTS: Final = "proc/interrupts"

Files = tuple[tuple[str, Callable[[str], int]], ...]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
# kernel/irq/proc.c: what stands beside a folder for each handler.
_AFFINITY: Final[Files] = (("smp_affinity_list", parse_cpu_bits), ("smp_affinity", parse_mask_bits))
_EFFECTIVE: Final[Files] = (("effective_affinity_list", parse_cpu_bits), ("effective_affinity", parse_mask_bits))
_NODE: Final[Files] = (("node", parse_id),)
_FIRST: Final = tuple(files[0][0] for files in (_AFFINITY, _EFFECTIVE, _NODE))
_FILES: Final = frozenset({"affinity_hint", "spurious"} | {name for name, _ in (*_AFFINITY, *_EFFECTIVE, *_NODE)})
# show_interrupts() there: counts for each CPU, the chip, its own number with "-edge" or "Level" behind it, and after
# two blanks or more the handlers. A count is right-justified in ten places, and a blank parts it from the next.
_WIDTH: Final = 11
_COLUMN = re.compile(r"CPU[0-9]+", re.ASCII)
_HANDLED = re.compile(r"(\S+)(?: +[0-9]+)?(?:-\S+| +(?:Level|Edge) *(?:-\S+)?)? *(?:  (\S.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Handled:
    """A line of /proc/interrupts: the function that its chip is named for, if it is, and the names of its handlers."""

    device: PciAddress | None
    names: str

    @property
    def actions(self) -> tuple[str, ...]:
        """The handlers, sorted."""
        return tuple(sorted({name.strip() for name in self.names.split(", ")} - {""}))


class _Served(NamedTuple):
    """Where an interrupt may be and is handled."""

    affinity: CpuSet | None
    effective: CpuSet | None
    node: NodeId | None


@dataclass(frozen=True, slots=True)
class _Raisers:
    """Which functions raise an interrupt. `lines` are shared wires; `messages`: any function shows its MSIs."""

    devices: Mapping[int, frozenset[PciAddress]]
    lines: frozenset[int]
    messages: bool


def read_irqs(
    tree: HostTree, folders: Mapping[PciAddress, str], devices: Sequence[PciDevice], nodes: Sequence[NumaNode]
) -> tuple[Irq, ...]:
    """Interrupts in /proc/irq that one of `devices` raises, by number; `folders` and `nodes` are the host's.

    A message (MSI) that nobody asked for yet has no folder there, and a line (INTx) without a handler is only wired:
    neither counts. A line that several functions share has no `device`.

    A handler is named by a folder of its interrupt. /proc/interrupts names it too, but with a count for each CPU, which
    makes it larger than the bound of a file on a thousand CPUs, and slow for the kernel to write; it is opened for
    captures alone that lack those folders, or msi_irqs.
    """
    ids = frozenset(node.id for node in nodes)
    known = frozenset(int(name) for name in tree.names(IRQ_ROOT) if _NUMBER.fullmatch(name))
    if not known:
        return ()
    raisers = _read_raisers(tree, folders, devices, known=known)
    table = {} if raisers.messages else _read_table(tree)
    owners = _with_table(raisers.devices, table, devices=devices, known=known)
    names: dict[int, Sequence[str]] = {}
    served: dict[int, _Served] = {}
    for number in sorted(owners):
        folder = f"{IRQ_ROOT}/{number}"
        names[number] = tree.names(folder)
        tree.read_ahead(folder, _FIRST)
        served[number] = _read_served(tree, folder, names=names[number], ids=ids)
    actions = {number: tuple(name for name in each if name not in _FILES) for number, each in names.items()}
    if not any(actions.values()):
        table = table or _read_table(tree)
        actions = {number: table[number].actions if number in table else () for number in names}
    handled = any(actions.values())
    _note_lacking(tree, names)
    return tuple(
        Irq(
            number=number,
            affinity=where.affinity,
            effective=where.effective,
            node=where.node,
            device=next(iter(owners[number])) if len(owners[number]) == 1 else None,
            actions=actions[number],
        )
        for number, where in served.items()
        if actions[number] or not handled or number not in raisers.lines
    )


def parse_interrupts(text: str) -> Mapping[int, Handled]:
    """Numbered lines of /proc/interrupts, those without a handler too; raises ValueError for another file."""
    header, *lines = text.split("\n")
    columns = header.split()
    if not columns or not all(_COLUMN.fullmatch(column) for column in columns):
        raise ValueError("no table of interrupts")
    aligned = len(header.rstrip()[header.index("CPU") :]) == (len(columns) - 1) * _WIDTH + len(columns[-1])
    table = {}
    for line in lines:
        head, _, rest = line.partition(":")
        number = head.strip()
        if not _NUMBER.fullmatch(number):
            continue  # "NMI" and its kin are none that anybody could move
        match = _HANDLED.fullmatch(_behind_counts(rest, len(columns), aligned=aligned).rstrip())
        if match is None:
            raise ValueError(f"no chip and number for interrupt {number}")
        table[int(number)] = Handled(parse_pci_name(match[1].rpartition("-")[2]), match[2] or "")
    return table


def _behind_counts(text: str, columns: int, *, aligned: bool) -> str:
    """What follows the counts of so many CPUs: by its place under a header that is `aligned`, else word by word."""
    end = columns * _WIDTH
    if aligned and text[end - 1 : end].isdigit() and text[end : end + 1] == " ":
        return text[end:].lstrip()
    parts = text.split(None, columns)
    return parts[-1] if len(parts) > columns else ""


def parse_line(text: str) -> int:
    """The number of the interrupt that a function's pin is wired to, 0 for none; raises ValueError."""
    return parse_integer(text)


def _read_raisers(
    tree: HostTree, folders: Mapping[PciAddress, str], devices: Sequence[PciDevice], *, known: Collection[int]
) -> _Raisers:
    """By the folder msi_irqs, else by the file irq (Documentation/ABI/testing/sysfs-bus-pci).

    A function without a driver raises nothing, and a VF has no pin.
    """
    found: dict[int, set[PciAddress]] = {}
    lines: set[int] = set()
    messages = False
    elsewhere = any("irq" in tree.names(folder) for folder in folders.values())
    for device in devices:
        if device.address not in folders:
            continue
        folder = folders[device.address]
        names = tree.names(folder)
        own = _read_messages(tree, folder) if "msi_irqs" in names else ()
        messages = messages or bool(own)
        if not own and device.driver is not None and device.physfn is None:
            line = _read_line(tree, folder, elsewhere=elsewhere)
            own = (line,) if line else ()
            lines.update(own)
        for number in own:
            if number not in known:
                continue
            raisers = found.setdefault(number, set())
            if raisers and number not in lines:
                tree.note(f"{folder}/msi_irqs/{number}", f"an interrupt of {min(raisers)} too")
            raisers.add(device.address)
    return _Raisers({number: frozenset(raisers) for number, raisers in found.items()}, frozenset(lines), messages)


def _read_line(tree: HostTree, folder: str, *, elsewhere: bool) -> int | None:
    """The interrupt line of a function; the file is missed where other functions have it."""
    if "irq" in tree.names(folder):
        return read_attribute(tree, f"{folder}/irq", parse_line)
    if elsewhere:
        tree.note(f"{folder}/irq", "not there, but other functions have it")
    return None


def _read_messages(tree: HostTree, folder: str) -> tuple[int, ...]:
    numbers = []
    for name in tree.names(f"{folder}/msi_irqs"):
        if _NUMBER.fullmatch(name):
            numbers.append(int(name))
        else:
            tree.note(f"{folder}/msi_irqs/{name}", "no number of an interrupt")
    return tuple(numbers)


def _read_table(tree: HostTree) -> Mapping[int, Handled]:
    return read_attribute(tree, INTERRUPTS, parse_interrupts, expected=True) or {}


def _with_table(
    raisers: Mapping[int, frozenset[PciAddress]],
    table: Mapping[int, Handled],
    *,
    devices: Sequence[PciDevice],
    known: Collection[int],
) -> Mapping[int, frozenset[PciAddress]]:
    """`raisers`, and those that /proc/interrupts names in the chip's place ("IR-PCI-MSIX-0000:18:00.0")."""
    addresses = {device.address for device in devices}
    named = {
        number: frozenset({handled.device})
        for number, handled in table.items()
        if handled.device in addresses and number in known
    }
    return {**raisers, **{number: named[number] | raisers.get(number, frozenset()) for number in named}}


def _read_served(tree: HostTree, folder: str, *, names: Sequence[str], ids: Collection[NodeId]) -> _Served:
    if not names:
        tree.note(folder, "nothing is in it")
    affinity = _read_first(tree, folder, files=_AFFINITY, names=names)
    effective = _read_first(tree, folder, files=_EFFECTIVE, names=names)
    node = _read_first(tree, folder, files=_NODE, names=names)
    if node is not None and node >= 0 and node not in ids:
        tree.note(f"{folder}/node", f"node {node} is not one of the host's")
        node = None
    return _Served(
        affinity=None if affinity is None else _cpu_set(affinity),
        effective=None if effective is None else _cpu_set(effective),
        node=None if node is None or node < 0 else NodeId(node),
    )


def _read_first(tree: HostTree, folder: str, *, files: Files, names: Collection[str]) -> int | None:
    """What the first of `files` says that is there and makes sense."""
    for name, parse in files:
        if name in names:
            value = read_attribute(tree, f"{folder}/{name}", parse)
            if value is not None:
                return value
    return None


def _note_lacking(tree: HostTree, names: Mapping[int, Sequence[str]]) -> None:
    """A kernel shows the same files for each interrupt, so one that lacks what another has is odd."""
    for (first, _), *_others in (_AFFINITY, _EFFECTIVE, _NODE):
        lacking = [number for number, each in names.items() if each and first not in each]
        if len(lacking) < len(names):
            for number in lacking:
                tree.note(f"{IRQ_ROOT}/{number}/{first}", "not there, but other interrupts have it")


@lru_cache(maxsize=4096)
def _cpu_set(bits: int) -> CpuSet:
    """Thousands of interrupts share a few sets of a thousand CPUs."""
    return cpus_of(bits)
