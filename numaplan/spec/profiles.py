"""Profiles: named files of keys that a vm (GuestProfile) or ``host`` (HostProfile) starts from."""

import re
from collections.abc import Mapping
from functools import reduce

from numaplan.spec.check import validate
from numaplan.spec.layers import merge
from numaplan.spec.models import GuestKeys, HostKeys, ProfileKeys, ProfileKind
from numaplan.spec.nodes import Document, Mark, Mistake, YamlMap, YamlScalar, hint_for
from numaplan.spec.yaml import read_yaml


class Profiles:
    """The profiles that can be named; each is read when it is first asked for, and its mistakes are told once."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._specs: dict[str, tuple[str | None, YamlMap | None]] = {}

    def guest(self, name: YamlScalar, mistakes: list[Mistake]) -> YamlMap | None:
        """The keys of the guest profile that a vm names; None where it cannot be used, `mistakes` say why."""
        return self._spec(name, ProfileKind.GUEST, mistakes)

    def host(self, name: str, mistakes: list[Mistake]) -> YamlMap | None:
        """The keys of the host profile that --host-profile names; None where it cannot be used."""
        option = Document("--host-profile", (), rank=-1)
        return self._spec(YamlScalar(Mark(option), "", name), ProfileKind.HOST, mistakes)

    def _spec(self, name: YamlScalar, kind: ProfileKind, mistakes: list[Mistake]) -> YamlMap | None:
        label = "guest profiles" if kind is ProfileKind.GUEST else "host profiles"
        if name.text not in self._texts:
            hint = hint_for(name.text, label=label, known=self._names(kind))
            mistakes.append(Mistake(name.mark, name.path, f"unknown profile {name.text!r}", hint))
            return None
        if name.text not in self._specs:
            self._specs[name.text] = _read_profile(name.text, self._texts[name.text], mistakes)
        found, spec = self._specs[name.text]
        if found is not None and found != kind:
            what = f"profile {name.text!r} is a {found}, a {kind} is needed here"
            hint = hint_for(name.text, label=label, known=self._names(kind))
            mistakes.append(Mistake(name.mark, name.path, what, hint))
            return None
        return spec

    def _names(self, kind: ProfileKind) -> tuple[str, ...]:
        """Those of a kind, judged by their text alone: a broken profile that nobody uses breaks nothing."""
        line = re.compile(rf"^kind:\s*['\"]?{kind}\b", re.MULTILINE)
        return tuple(sorted(name for name, text in self._texts.items() if line.search(text)))


def _read_profile(name: str, text: str, mistakes: list[Mistake]) -> tuple[str | None, YamlMap | None]:
    """Its kind and its ``spec``; None for what it does not say rightly."""
    root = read_yaml(text, f"{name}.yaml", mistakes, rank=1)
    if root is None:
        return None, None
    keys = validate(ProfileKeys, root, mistakes)
    if keys is None:
        return None, None
    if keys.name not in {None, name}:
        what = f"this profile is found as {name!r} and calls itself {keys.name!r}"
        mistakes.append(Mistake(root.mark_of("name"), root.path_of("name"), what))
    spec = root.get("spec") or YamlMap(root.mark, "spec", {})
    validate(GuestKeys if keys.kind is ProfileKind.GUEST else HostKeys, spec, mistakes)
    return keys.kind, spec if isinstance(spec, YamlMap) else None


def layered(vm: YamlMap, defaults: YamlMap | None, known: Profiles, mistakes: list[Mistake]) -> YamlMap:
    """A vm over its profile, which it or the defaults name, over the defaults."""
    named = vm.get("profile") if "profile" in vm.entries or defaults is None else defaults.get("profile")
    profile = known.guest(named, mistakes) if isinstance(named, YamlScalar) else None
    layers = [layer for layer in (defaults, profile, vm) if layer is not None]
    return reduce(merge, layers)
