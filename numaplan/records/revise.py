"""A change of a host as a patch (RFC 6902) of its inventory document, as `inventory` writes it."""

import json
from collections.abc import Iterator, Sequence

from numaplan.model.plan import Operation
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json

# What tells the entries of a list apart, by the list's key.
_IDENTITY = {
    "packages": "id",
    "numa_nodes": "id",
    "hugepages": "size_kib",
    "pci": "address",
    "iommu_groups": "id",
    "links": "name",
    "guests": "name",
}


def inventory_patch(old: Snapshot, new: Snapshot) -> tuple[Operation, ...]:
    """The operations that make the document of `old` that of `new`."""
    return tuple(_differences(_document(old), _document(new), "", key=""))


def _document(snapshot: Snapshot) -> object:
    document: object = json.loads(inventory_json(snapshot))
    return document


def _differences(old: object, new: object, path: str, *, key: str) -> Iterator[Operation]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for name, value in old.items():
            yield from _differences(value, new[name], f"{path}/{_escaped(name)}", key=name)
    elif isinstance(old, list) and isinstance(new, list) and key in _IDENTITY and _are_objects([*old, *new]):
        yield from _entries(old, new, path, identity=_IDENTITY[key])
    else:
        yield Operation("replace", path, new)


def _are_objects(entries: Sequence[object]) -> bool:
    """Guests are objects where they stand, and names at the devices that they hold."""
    return all(isinstance(entry, dict) for entry in entries)


def _entries(
    old: Sequence[dict[str, object]], new: list[dict[str, object]], path: str, *, identity: str
) -> Iterator[Operation]:
    """Entries that went, then entry by entry those that came or changed: each place is right when its turn has come."""
    kept = {entry[identity] for entry in new}
    for place in reversed(range(len(old))):
        if old[place][identity] not in kept:
            yield Operation("remove", f"{path}/{place}")
    left = [entry for entry in old if entry[identity] in kept]
    before = {entry[identity]: entry for entry in left}
    for place, entry in enumerate(new):
        if entry[identity] in before:
            yield from _differences(before[entry[identity]], entry, f"{path}/{place}", key="")
        else:
            yield Operation("add", f"{path}/{place}", entry)


def _escaped(name: str) -> str:
    """RFC 6901, section 3."""
    return name.replace("~", "~0").replace("/", "~1")
