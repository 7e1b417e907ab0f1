"""A hypothetical host, from its description in words: docs/synthetic.md has the notation."""

import re
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn, TypeVar

from numaplan.cpuset import CPU_LIMIT, CpuId, CpuSet
from numaplan.errors import InputError
from numaplan.model.snapshot import Snapshot
from numaplan.spec.synthetic_host import HostShape, NicShape, build_host
from numaplan.units import format_count, format_size, parse_size_kib

NODE_LIMIT: Final = 256
VF_LIMIT: Final = 4096
NIC_LIMIT: Final = 256
TEXT_LIMIT: Final = 1 << 14
MEMORY_LIMIT_KIB: Final = 1 << 42
DISTANCE_LIMIT: Final = 255
_LOCAL: Final = 10
_SMALL_PAGE_KIB: Final = 4

_OPTION: Final = "--synthetic"
_COUNTED: Final = re.compile(r"([0-9]{1,9}) +([A-Za-z][A-Za-z0-9]*)(?: +of +([0-9]+ *[KMGT]iB))?(?: +per +([a-z]+))?")
_MEMORY: Final = re.compile(r"([0-9]+ *[KMGT]iB)(?: +memory)?(?: +per +([a-z]+))?")
_PAGES: Final = re.compile(r"([0-9]+ *[KMGT]iB)(?:@([0-9]{1,3}))? *= *([0-9]{1,9})(?: +per +([a-z]+))?")
_NIC: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,30})@([0-9]{1,3}) *:(.*)", re.DOTALL)
_VFS: Final = re.compile(r"([0-9]{1,9})(?: +of +([0-9]{1,9}))? +VFs?")
_SPEED: Final = re.compile(r"([0-9]{1,6}) *([GM])bit/s")
_IDS: Final = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})")
_TOKEN: Final = re.compile(r"[0-9]+(?: +of +[0-9]+)? +VFs?(?![^\s,])|[0-9]+ *[GM]bit/s(?![^\s,])|[^\s,]+")
_WORD: Final = re.compile(r"(isolated|distances|siblings)\b(.*)", re.DOTALL)
_UNITS: Final = {
    "package": "packages",
    "packages": "packages",
    "node": "nodes",
    "nodes": "nodes",
    "core": "cores",
    "cores": "cores",
    "thread": "threads",
    "threads": "threads",
    "l3": "L3",
    "llc": "L3",
    "llcs": "L3",
}
_SPREADS: Final = ("package", "node")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the description; `at` is where it begins, from 0."""

    text: str
    at: int

    def split(self, separator: str) -> list["_Part"]:
        """Its pieces between separators, without the spaces around them; empty ones are left out."""
        found = []
        at = self.at
        for piece in self.text.split(separator):
            if stripped := piece.strip():
                found.append(_Part(stripped, at + len(piece) - len(piece.lstrip())))
            at += len(piece) + len(separator)
        return found

    def after(self, text: str) -> "_Part":
        """What stands behind, where `text` is its end."""
        stripped = text.strip()
        return _Part(stripped, self.at + len(self.text) - len(text.lstrip()))


@dataclass(frozen=True, slots=True)
class _Count:
    """A number, and what it is a number per: the host (None), a package or a node."""

    value: int
    per: str | None
    part: _Part


@dataclass(slots=True)
class _Said:
    """What was said, before it is known how many packages and nodes there are."""

    counts: dict[str, _Count] = field(default_factory=dict)
    llc_kib: int | None = None
    memory: _Count | None = None
    pages: dict[tuple[int, int | None], _Count] = field(default_factory=dict)
    nics: dict[str, tuple[int, NicShape, _Part]] = field(default_factory=dict)
    words: dict[str, _Part] = field(default_factory=dict)


def parse_synthetic(text: str) -> Snapshot:
    """The host that `text` describes; raises InputError with the column of what is wrong, and what was expected."""
    if len(text) > TEXT_LIMIT:
        raise InputError(f"the description has {len(text)} characters; at most {TEXT_LIMIT} are read", _OPTION)
    return _Reader(text).host()


class _Reader:
    """Reads one description."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.said = _Said()

    def host(self) -> Snapshot:
        """The host of the whole description."""
        for section in _Part(self.text, 0).split(";"):
            if match := _NIC.fullmatch(section.text):
                self._nic(section, match[1], int(match[2]), section.after(match[3]))
            elif match := _WORD.fullmatch(section.text):
                self._once(self.said.words, match[1], section.after(match[2]), section)
            else:
                for item in section.split(","):
                    self._item(item)
        return build_host(self._shape())

    def _item(self, item: _Part) -> None:
        if match := _PAGES.fullmatch(item.text):
            size = self._size(match[1], item)
            if size <= _SMALL_PAGE_KIB or size & (size - 1):
                self._refuse(item, f"{match[1]} is no size of huge pages", "expected one such as 2MiB or 1GiB")
            node = None if match[2] is None else int(match[2])
            if node is not None and match[4] is not None:
                self._refuse(item, "a number on one node is per nothing", "leave out 'per ...' or '@...'")
            self._once(self.said.pages, (size, node), self._count(int(match[3]), match[4], item), item)
        elif match := _MEMORY.fullmatch(item.text):
            if self.said.memory is not None:
                self._refuse(item, "memory is given twice", None)
            self.said.memory = self._count(self._size(match[1], item), match[2], item)
        elif (match := _COUNTED.fullmatch(item.text)) and match[2].lower() in _UNITS:
            unit = _UNITS[match[2].lower()]
            if match[3] is not None and unit != "L3":
                self._refuse(item, f"{unit} have no size", "leave out 'of ...'")
            if match[3] is not None:
                self.said.llc_kib = self._size(match[3], item)
            if int(match[1]) == 0:
                self._refuse(item, f"a host has one of the {unit} at least", "expected a number of 1 or more")
            self._once(self.said.counts, unit, self._count(int(match[1]), match[4], item), item)
        else:
            self._refuse(
                item,
                f"{item.text[:60]!r} is not understood",
                "expected such as '2 packages', '2 nodes per package', '64 cores', '2 threads', '2 L3 per node',"
                " '384GiB', '1GiB=64', and after ';' 'ens1f0@0: 16 VFs', 'isolated 2-31', 'distances 12 21',"
                " 'siblings adjacent'",
            )

    def _count(self, value: int, per: str | None, item: _Part) -> _Count:
        if per is not None and per not in (*_SPREADS, "core"):
            self._refuse(item, f"per {per!r} is not understood", "expected 'per package' or 'per node'")
        return _Count(value, per, item)

    def _nic(self, section: _Part, name: str, node: int, rest: _Part) -> None:
        vfs: tuple[int, int] | None = None
        nic = NicShape(name, 0, vfs=0, total=0)
        for token in _tokens(rest):
            if (match := _VFS.fullmatch(token.text)) and vfs is None:
                vfs = int(match[1]), int(match[2] or match[1])
                if vfs[0] > vfs[1]:
                    self._refuse(token, f"{vfs[0]} VFs are more than the {vfs[1]} that there can be", None)
                nic = replace(nic, vfs=vfs[0], total=vfs[1])
            elif (match := _SPEED.fullmatch(token.text)) and nic.speed_mbps is None:
                if int(match[1]) == 0:
                    self._refuse(token, "a link carries something", "leave the speed out where it is not known")
                nic = replace(nic, speed_mbps=int(match[1]) * (1000 if match[2] == "G" else 1))
            elif (match := _IDS.fullmatch(token.text)) and nic.ids is None:
                nic = replace(nic, ids=(match[1], match[2]))
            else:
                self._refuse(
                    token, f"{token.text[:60]!r} is not understood", "expected such as '16 VFs 25Gbit/s 8086:1889'"
                )
        self._once(self.said.nics, name, (node, nic, section), section)
        if len(self.said.nics) > NIC_LIMIT or sum(one.vfs for _, one, _ in self.said.nics.values()) > VF_LIMIT:
            self._refuse(section, f"there are more than {NIC_LIMIT} PFs or {VF_LIMIT:,} VFs", None)

    def _shape(self) -> HostShape:
        said = self.said
        packages = self._number("packages", default=1)
        nodes = self._spread_out("nodes", packages, default=packages)
        if nodes % packages:
            self._refuse(
                said.counts["nodes"].part, f"{nodes} nodes are not shared out evenly by {packages} packages", None
            )
        if nodes > NODE_LIMIT:
            self._refuse(said.counts["nodes"].part, f"a host has at most {NODE_LIMIT} nodes", None)
        if "cores" not in said.counts:
            whole = _Part(self.text.strip(), 0)
            self._refuse(whole, "how many cores is not said", "write such as '32 cores' or '16 cores per node'")
        cores = self._share(said.counts["cores"], "cores", nodes, packages)
        threads = self._number("threads", default=1, also="core")
        if cores * nodes * threads > CPU_LIMIT:
            self._refuse(said.counts["cores"].part, f"this makes more than {CPU_LIMIT:,} CPUs", None)
        llcs = self._share(said.counts["L3"], "L3", nodes, packages) if "L3" in said.counts else 1
        if cores % llcs:
            part = said.counts["L3"].part
            self._refuse(
                part, f"{format_count(cores, 'core')} of a node cannot be shared out evenly by {llcs} L3", None
            )
        shape = HostShape(
            packages=packages,
            nodes=nodes,
            cores=cores,
            threads=threads,
            llcs=llcs,
            llc_kib=said.llc_kib,
            adjacent=self._adjacent(),
            pages=self._pages(nodes, packages),
            distances=self._distances(nodes, nodes // packages),
            nics=tuple(self._placed(node, nic, part, nodes) for node, nic, part in said.nics.values()),
        )
        return replace(
            shape,
            isolated=self._isolated(cores * nodes * threads),
            memory_kib=self._memory(shape, packages),
        )

    def _number(self, unit: str, *, default: int, also: str | None = None) -> int:
        """A number that is one of the whole host, or per the one thing that is `also` allowed."""
        count = self.said.counts.get(unit)
        if count is not None and count.per not in (None, also):
            self._refuse(count.part, f"{unit} are not per {count.per}", None)
        return default if count is None else count.value

    def _spread_out(self, unit: str, packages: int, *, default: int) -> int:
        count = self.said.counts.get(unit)
        if count is not None and count.per not in (None, "package"):
            self._refuse(count.part, f"{unit} are not per {count.per}", None)
        return default if count is None else count.value * (packages if count.per else 1)

    def _share(self, count: _Count, what: str, nodes: int, packages: int) -> int:
        """A node's part of a number; what does not divide is refused."""
        if count.per == "node":
            return count.value
        if count.per not in (None, "package"):
            self._refuse(count.part, f"{what} are not per {count.per}", "expected 'per package' or 'per node'")
        parts = nodes if count.per is None else nodes // packages
        if count.value % parts:
            all_in = "in all" if count.per is None else "of a package"
            self._refuse(
                count.part,
                f"{count.value} {what} {all_in} are not shared out evenly by {parts} nodes",
                f"write such as '{max(1, count.value // parts)} {what} per node'" if what != "pages" else None,
            )
        return count.value // parts

    def _pages(self, nodes: int, packages: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """(page size in KiB, how many node by node), the smallest size first."""
        found: dict[int, list[int]] = {}
        for (size, node), count in self.said.pages.items():
            numbers = found.setdefault(size, [0] * nodes)
            if node is None:
                share = self._share(count, "pages", nodes, packages)
                given = {other for one, other in self.said.pages if one == size and other is not None}
                found[size] = [numbers[n] if n in given else share for n in range(nodes)]
            elif node >= nodes:
                self._refuse(count.part, f"there is no node {node}", f"nodes are 0 to {nodes - 1}")
            else:
                numbers[node] = count.value
        return tuple((size, tuple(found[size])) for size in sorted(found))

    def _memory(self, shape: HostShape, packages: int) -> int | None:
        """KiB of each node, huge pages included; None where nothing is said."""
        memory = self.said.memory
        if memory is None:
            return None
        share = self._share(memory, "KiB of memory", shape.nodes, packages)
        for node in range(shape.nodes):
            huge = sum(size * numbers[node] for size, numbers in shape.pages)
            if huge > share:
                self._refuse(
                    memory.part,
                    f"the huge pages of node {node} take {format_size(huge)}, it has {format_size(share)}",
                    None,
                )
        return share

    def _distances(self, nodes: int, per_package: int) -> tuple[tuple[int, ...], ...]:
        part = self.said.words.get("distances")
        near, far = 12, 21
        if part is not None:
            tokens = _tokens(part)
            entries = [self._distance(token) for token in tokens]
            if len(entries) == nodes * nodes:
                self._local(tokens[:: nodes + 1], entries[:: nodes + 1])
                return tuple(tuple(entries[n * nodes : (n + 1) * nodes]) for n in range(nodes))
            if len(entries) != 2:  # noqa: PLR2004  # near and far
                rows = f"{format_count(nodes, 'row')} of {nodes}"
                hint = f"expected two (to nodes of the same package, to others), or {rows}"
                self._refuse(part, f"{len(entries)} distances are given", hint)
            near, far = entries

        def entry(a: int, b: int) -> int:
            if a == b:
                return _LOCAL
            return near if a // per_package == b // per_package else far

        return tuple(tuple(entry(a, b) for b in range(nodes)) for a in range(nodes))

    def _local(self, tokens: list[_Part], entries: list[int]) -> None:
        for node, (token, entry) in enumerate(zip(tokens, entries, strict=True)):
            if entry != _LOCAL:
                self._refuse(token, f"node {node} is {entry} from itself", f"expected {_LOCAL}")

    def _distance(self, token: _Part) -> int:
        # ACPI 6.5, section 5.2.17: a byte, 10 is local and less means nothing.
        value = int(token.text) if re.fullmatch(r"[0-9]{1,3}", token.text, re.ASCII) else 0
        if not _LOCAL <= value <= DISTANCE_LIMIT:
            self._refuse(
                token, f"{token.text[:20]!r} is no distance", f"expected a number of {_LOCAL} to {DISTANCE_LIMIT}"
            )
        return value

    def _adjacent(self) -> bool:
        part = self.said.words.get("siblings")
        if part is not None and part.text not in ("adjacent", "apart"):
            self._refuse(
                part, f"siblings are not {part.text[:20]!r}", "expected 'siblings adjacent' or 'siblings apart'"
            )
        return part is not None and part.text == "adjacent"

    def _isolated(self, cpus: int) -> CpuSet:
        part = self.said.words.get("isolated")
        if part is None:
            return CpuSet()
        try:
            found = CpuSet.parse(part.text)
        except ValueError as error:
            self._refuse(part, str(error), "expected a list such as 2-31,34-63")
        if not found:
            self._refuse(part, "no CPU is named", "expected a list such as 2-31,34-63")
        if missing := found - CpuSet(CpuId(cpu) for cpu in range(cpus)):
            self._refuse(part, f"there is no CPU {missing}", f"CPUs are 0 to {cpus - 1}")
        return found

    def _placed(self, node: int, nic: NicShape, part: _Part, nodes: int) -> NicShape:
        if node >= nodes:
            self._refuse(part, f"there is no node {node}", f"nodes are 0 to {nodes - 1}")
        return replace(nic, node=node)

    def _size(self, text: str, part: _Part) -> int:
        try:
            size = parse_size_kib(text)
        except ValueError as error:
            self._refuse(part, str(error), None)
        if not 0 < size <= MEMORY_LIMIT_KIB:
            self._refuse(part, f"{text} is no size of a host", f"expected 1KiB to {format_size(MEMORY_LIMIT_KIB)}")
        return size

    def _once(self, into: dict[_Key, _Value], key: _Key, value: _Value, part: _Part) -> None:
        if key in into:
            self._refuse(part, "this was said before", "say it once")
        into[key] = value

    def _refuse(self, part: _Part, what: str, hint: str | None) -> NoReturn:
        """Raises InputError at the part."""
        line = self.text.replace("\n", " ")
        raise InputError(what, f"{_OPTION}:1:{part.at + 1}", hint, excerpt=f"{line}\n{' ' * part.at}^")


def _tokens(part: _Part) -> list[_Part]:
    """Its words, with or without commas between them; what a number counts belongs to it."""
    return [_Part(match[0], part.at + match.start()) for match in _TOKEN.finditer(part.text)]
