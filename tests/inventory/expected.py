"""What the tests of a capture's origin expect: lstopo's text or XML, lscpu's table, libvirt's XML, cAdvisor's JSON."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from numaplan.cpuset import parse_id_list

_OBJECT = re.compile(r"( *)([A-Za-z0-9]+) L#[0-9]+(?: \((.*)\))?")
_OS_INDEX = re.compile(r"P#([0-9]+)")
_SIZE = re.compile(r"size=([0-9]+)([KMG]i?B)")
_BUS_ID = re.compile(r"busid=([0-9a-f:.]+) id=([0-9a-f]{4}):([0-9a-f]{4}) class=([0-9a-f]{4})")
_UNITS = {"KB": 1, "KiB": 1, "MB": 1024, "MiB": 1024, "GB": 1024 * 1024, "GiB": 1024 * 1024}


@dataclass(frozen=True)
class Thing:
    """One object of lstopo: its PUs are those below it."""

    kind: str
    os_index: int | None
    pus: tuple[int, ...]
    size_kib: int | None
    text: str


def lstopo_things(path: Path) -> list[Thing]:
    """Objects of an lstopo file, text or XML."""
    text = path.read_text(encoding="utf-8")
    return _xml_things(text) if path.suffix == ".xml" else _console_things(text)


def lscpu_groups(path: Path) -> dict[str, list[list[int]]]:
    """CPUs by Core, Socket and Node of lscpu's last table."""
    tables = path.read_text(encoding="utf-8", errors="replace").split("# CPU,")[1:]
    columns, *rows = (line.split(",") for line in f"CPU,{tables[0]}".splitlines() if line and not line.startswith("#"))
    found: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        for name, value in zip(columns, row, strict=False):
            if name and value:
                found.setdefault(name, {}).setdefault(value, []).append(int(row[0]))
    return {name: sorted(groups.values()) for name, groups in found.items()}


def libvirt_cells(path: Path) -> dict[int, dict[int, list[int]]]:
    """Of libvirt's capabilities, by cell and CPU: socket, die and core id, then the siblings."""
    root = etree.parse(path, etree.XMLParser(load_dtd=False, resolve_entities=False)).getroot()
    return {
        int(cell.get("id", "")): {
            int(cpu.get("id", "")): [
                *(int(cpu.get(name, "")) for name in ("socket_id", "die_id", "core_id")),
                *sorted(parse_id_list(cpu.get("siblings", ""))),
            ]
            for cpu in cell.iterfind("cpus/cpu")
        }
        for cell in root.iterfind("host/topology/cells/cell")
    }


def libvirt_caches(path: Path, level: int) -> list[tuple[list[int], int]]:
    """CPUs and KiB of the cache banks of a level."""
    root = etree.parse(path, etree.XMLParser(load_dtd=False, resolve_entities=False)).getroot()
    return sorted(
        (sorted(parse_id_list(bank.get("cpus", ""))), int(bank.get("size", "")) * _UNITS[bank.get("unit", "")])
        for bank in root.iterfind("host/cache/bank")
        if bank.get("level") == str(level)
    )


def machine_info(path: Path) -> Any:  # noqa: ANN401 - JSON of cAdvisor
    """cAdvisor's MachineInfo."""
    return json.loads(path.read_text(encoding="utf-8"))


def _console_things(text: str) -> list[Thing]:
    stack: list[tuple[int, int]] = []
    found: list[tuple[str, str]] = []
    pus: list[list[int]] = []
    for line in text.splitlines():
        match = _OBJECT.fullmatch(line.rstrip())
        if match is None:
            if found and not line.startswith(" "):
                break
            continue
        depth = len(match[1])
        stack = [(at, index) for at, index in stack if at < depth]
        found.append((match[2], match[3] or ""))
        pus.append([])
        stack.append((depth, len(found) - 1))
        if match[2] == "PU" and (number := _OS_INDEX.search(match[3] or "")):
            for _, index in stack:
                pus[index].append(int(number[1]))
    return [_thing(kind, words, own) for (kind, words), own in zip(found, pus, strict=True)]


def _thing(kind: str, words: str, pus: list[int]) -> Thing:
    index, size = _OS_INDEX.search(words), _SIZE.search(words)
    return Thing(
        kind,
        os_index=int(index[1]) if index else None,
        pus=tuple(sorted(pus)),
        size_kib=int(size[1]) * _UNITS[size[2]] if size else None,
        text=words,
    )


def _xml_things(text: str) -> list[Thing]:
    root = etree.fromstring(text.encode(), etree.XMLParser(load_dtd=False, resolve_entities=False))
    return [_xml_thing(element) for element in root.iterfind(".//object")]


def _xml_thing(element: Any) -> Thing:  # noqa: ANN401 - lxml-stubs know no type for it
    size, index = element.get("cache_size"), element.get("os_index")
    pus = {int(pu.get("os_index")) for pu in element.iter("object") if pu.get("type") == "PU"}
    return Thing(
        element.get("type"),
        os_index=None if index is None else int(index),
        pus=tuple(sorted(pus)),
        size_kib=None if size is None else int(size) // 1024,
        text=f"busid={element.get('pci_busid')} {element.get('pci_type')}",
    )


def pci_things(things: list[Thing]) -> Iterator[tuple[str, str]]:
    """Bus id and "vendor:device" of what lstopo shows of PCI."""
    for thing in things:
        if match := _BUS_ID.search(thing.text):
            yield match[1], f"{match[2]}:{match[3]}"
        elif match := re.search(r"busid=([0-9a-f:.]+) [0-9a-f]{4} \[([0-9a-f]{4}:[0-9a-f]{4})\]", thing.text):
            yield match[1], match[2]
