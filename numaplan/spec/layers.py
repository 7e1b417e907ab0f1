"""Maps on top of each other: defaults, then a profile, then a vm's own keys; a host profile, then ``host``."""

from collections.abc import Callable
from typing import Final

from numaplan.spec.nodes import YamlEntry, YamlList, YamlMap, YamlNode, YamlScalar


def _is_list(node: YamlNode) -> bool:
    return isinstance(node, YamlList)


def _is_other_than(word: str) -> Callable[[YamlNode], bool]:
    return lambda node: isinstance(node, YamlScalar) and node.text != word


# (key, test of its value, keys of the layers below that mean nothing beside such a value)
_SUPERSEDED: Final = (
    ("cells", _is_list, ("vcpus", "memory")),
    ("cpu_policy", _is_other_than("mixed"), ("dedicated_vcpus",)),
    ("policy", _is_other_than("set"), ("cpus",)),
)


def merge(lower: YamlMap, upper: YamlMap) -> YamlMap:
    """`upper` over `lower`: maps deep, lists and scalars replaced, a null taking away what lies below.

    What an upper layer makes meaningless goes too: a list of cells says its vCPUs and memory itself. Every entry
    keeps its place, so that a mistake is shown where it stands.
    """
    superseded = {
        key
        for name, test, keys in _SUPERSEDED
        if name in upper.entries and test(upper.entries[name].value)
        for key in keys
    }
    entries = {key: entry for key, entry in lower.entries.items() if key not in superseded}
    for key, entry in upper.entries.items():
        below = entries.get(key)
        if below is not None and isinstance(below.value, YamlMap) and isinstance(entry.value, YamlMap):
            entries[key] = YamlEntry(entry.key, merge(below.value, entry.value))
        else:
            entries[key] = entry
    return YamlMap(upper.mark, upper.path, entries)
