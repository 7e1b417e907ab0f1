"""Changes of a request as a patch of the vnf.yaml that says it, which may have its keys from defaults and profiles.

A patch is made for the file loaded as plain data, as a reader of YAML 1.2 has it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.change import Drop, Edit, Step
from numaplan.model.plan import Operation
from numaplan.spec.nodes import Mistake, YamlList, YamlMap, YamlNode, YamlScalar, input_error
from numaplan.spec.profiles import Profiles, layered
from numaplan.spec.yaml import read_yaml
from numaplan.units import parse_size_kib

# YAML 1.2.2, 10.3.2, as far as vnf.yaml has such values; digits after a leading zero are an id, not a number.
_INTEGER: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

# Keys of a vm that each of its cells may say for itself.
_OF_CELLS: Final = ("page_size", "memory_policy")


class VnfFile:
    """A vnf.yaml without mistakes, as it is written, and what its vms have from elsewhere."""

    def __init__(self, text: str, *, profiles: Mapping[str, str]) -> None:
        """Raises InputError where the text is no YAML that is read here."""
        mistakes: list[Mistake] = []
        root = read_yaml(text, "vnf.yaml", mistakes)
        if root is None:
            raise input_error(mistakes)
        self._root = root
        self._profiles = Profiles(profiles)
        self._vms: dict[str, tuple[int, YamlMap]] = {}
        vms = root.get("vms")
        for number, vm in enumerate(vms.items if isinstance(vms, YamlList) else ()):
            name = vm.get("name") if isinstance(vm, YamlMap) else None
            if isinstance(vm, YamlMap) and isinstance(name, YamlScalar):
                self._vms[name.text] = (number, vm)

    @property
    def data(self) -> object:
        """The file as plain data; each call makes it anew."""
        return _plain(self._root)

    def patch(self, edits: Iterable[Edit | Drop]) -> tuple[Operation, ...]:
        """The operations that make these edits, one after the other, on the file's data."""
        written: dict[tuple[Step, ...], object] = {}
        for edit in edits:
            if isinstance(edit, Edit) and edit.vm is None:
                self._write_host(edit, written)
            else:
                self._write_vm(edit, written)
        return tuple(self._operation(path, value) for path, value in written.items())

    def _write_host(self, edit: Edit, written: dict[tuple[Step, ...], object]) -> None:
        own = self._root.get("host")
        if isinstance(own, YamlMap):
            written["host", *edit.path] = edit.value
        else:
            _set(written.setdefault(("host",), {}), edit.path, edit.value)

    def _write_vm(self, edit: Edit | Drop, written: dict[tuple[Step, ...], object]) -> None:
        number, own = self._vms[str(edit.vm)]
        defaults = self._root.get("defaults")
        merged = layered(own, defaults if isinstance(defaults, YamlMap) else None, self._profiles, [])
        if isinstance(edit, Drop):
            partners = ("vms", number, edit.key)
            now = written[partners] if partners in written else _plain(merged.get(edit.key))
            written[partners] = [item for item in now if str(item) not in edit.names] if isinstance(now, list) else now
            return
        for path, value in _values(edit, merged):
            whole = ("vms", number, path[0])
            if whole in written:
                written[whole] = _set(written[whole], path[1:], value)
            elif len(path) == 1 or path[0] in own.entries:
                written["vms", number, *path] = value
            else:
                # What the vm has from below it cannot change in part: lists are replaced as a whole.
                written[whole] = _set(_plain(merged.get(str(path[0]))), path[1:], value)

    def _operation(self, path: tuple[Step, ...], value: object) -> Operation:
        node: YamlNode | None = self._root
        for step in path[:-1]:
            node = _child(node, step)
        there = isinstance(node, YamlMap) and path[-1] in node.entries
        return Operation("replace" if there else "add", "".join(f"/{_escaped(step)}" for step in path), value)


def _values(edit: Edit, merged: YamlMap) -> list[tuple[tuple[Step, ...], object]]:
    """(path from the vm, value) of everything that an edit sets."""
    cells = merged.get("cells")
    listed = cells.items if isinstance(cells, YamlList) else ()
    if edit.path == ("cells",) and listed and isinstance(edit.value, int):
        return [(edit.path, [part for cell in listed for part in _split(cell, edit.value)])]
    key = edit.path[0]
    saying = [k for k, cell in enumerate(listed) if isinstance(cell, YamlMap) and cell.get(str(key)) is not None]
    own: list[tuple[tuple[Step, ...], object]] = []
    if key in _OF_CELLS:
        own = [(("cells", k, key), edit.value) for k in saying]
    if own and len(own) == len(listed):
        # The cells say it all: what the vm says means nothing.
        return own
    return [(edit.path, edit.value), *own]


def _split(cell: YamlNode, parts: int) -> list[object]:
    """A cell of a list as several equal ones."""
    data = _plain(cell)
    if not isinstance(data, dict):
        return [data]
    vcpus, memory = data["vcpus"], parse_size_kib(str(data["memory"]))
    # A cell that is the only one has its vCPUs counted from 0, however it says that.
    count = vcpus if isinstance(vcpus, int) else len(CpuSet.parse(str(vcpus)))
    return [{**data, "vcpus": count // parts, "memory": f"{memory // parts}KiB"} for _ in range(parts)]


def _set(data: object, path: Sequence[Step], value: object) -> object:
    """`data` with the value at `path` set; it is changed in place where it is a map or list."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list) and isinstance(step, int):
        data[step] = _set(data[step], rest, value)
    elif isinstance(data, dict):
        data[step] = _set(data.get(step), rest, value)
    return data


def _child(node: YamlNode | None, step: Step) -> YamlNode | None:
    if isinstance(node, YamlMap):
        return node.get(str(step))
    if isinstance(node, YamlList) and isinstance(step, int):
        return node.items[step]
    return None


def _plain(node: YamlNode | None) -> object:
    match node:
        case YamlMap(entries=entries):
            return {key: _plain(entry.value) for key, entry in entries.items()}
        case YamlList(items=items):
            return [_plain(item) for item in items]
        case YamlScalar():
            return _plain_scalar(node)
        case None:
            return None


def _plain_scalar(scalar: YamlScalar) -> object:
    if scalar.is_null:
        return None
    if scalar.quoted:
        return scalar.text
    if scalar.text in _TRUTHS:
        return _TRUTHS[scalar.text]
    return int(scalar.text) if _INTEGER.fullmatch(scalar.text) else scalar.text


def _escaped(step: Step) -> str:
    """RFC 6901, section 3."""
    return str(step).replace("~", "~0").replace("/", "~1")
