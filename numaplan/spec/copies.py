"""Whether a vm of vnf.yaml names itself among its partners: with a count of 1 the request no longer says so."""

from collections.abc import Mapping

from numaplan.spec.nodes import Mistake, YamlList, YamlMap, YamlScalar
from numaplan.spec.profiles import Profiles, layered
from numaplan.spec.yaml import read_yaml


def links_to_itself(text: str, file: str, *, profiles: Mapping[str, str], vm: str) -> tuple[bool, bool]:
    """Whether `vm` stands in its own affinity, and in its own anti_affinity.

    `text` is a vnf.yaml that parses; a vm that it does not have is linked to nothing.
    """
    mistakes: list[Mistake] = []
    root = read_yaml(text, file, mistakes)
    vms = None if root is None else root.get("vms")
    defaults = None if root is None else root.get("defaults")
    for node in vms.items if isinstance(vms, YamlList) else ():
        if isinstance(node, YamlMap) and _text(node, "name") == vm:
            below = defaults if isinstance(defaults, YamlMap) else None
            whole = layered(node, below, Profiles(profiles), mistakes)
            return _names(whole, "affinity", vm), _names(whole, "anti_affinity", vm)
    return False, False


def _names(whole: YamlMap, key: str, vm: str) -> bool:
    found = whole.get(key)
    items = found.items if isinstance(found, YamlList) else ()
    return any(isinstance(item, YamlScalar) and item.text == vm for item in items)


def _text(node: YamlMap, key: str) -> str | None:
    value = node.get(key)
    return value.text if isinstance(value, YamlScalar) else None
