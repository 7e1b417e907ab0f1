"""Whether a vm of vnf.yaml names itself among its partners: with a count of 1 the request no longer says so."""

from collections.abc import Mapping

from numaplan.spec.nodes import Mistake, YamlList, YamlMap, YamlScalar
from numaplan.spec.profiles import Profiles
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
            layers = _layers(node, defaults, Profiles(profiles), mistakes)
            return _names_itself(layers, "affinity", vm), _names_itself(layers, "anti_affinity", vm)
    return False, False


def _layers(node: YamlMap, defaults: object, known: Profiles, mistakes: list[Mistake]) -> list[YamlMap]:
    """The vm, its profile and the defaults, those first that speak louder."""
    below = defaults if isinstance(defaults, YamlMap) else None
    named = node.get("profile") if "profile" in node.entries or below is None else below.get("profile")
    profile = known.guest(named, mistakes) if isinstance(named, YamlScalar) else None
    return [layer for layer in (node, profile, below) if layer is not None]


def _names_itself(layers: list[YamlMap], key: str, vm: str) -> bool:
    """Lists are replaced by the layers above, so the first one that there is holds."""
    found = next((layer.get(key) for layer in layers if key in layer.entries), None)
    items = found.items if isinstance(found, YamlList) else ()
    return any(isinstance(item, YamlScalar) and item.text == vm for item in items)


def _text(node: YamlMap, key: str) -> str | None:
    value = node.get(key)
    return value.text if isinstance(value, YamlScalar) else None
