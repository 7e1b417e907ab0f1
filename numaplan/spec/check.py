"""Nodes to models, and pydantic's errors to mistakes in the words of vnf.yaml, each at its place."""

import re
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from numaplan.spec.forms import Keys
from numaplan.spec.models import MODELS_BY_KEY
from numaplan.spec.nodes import (
    PROBLEM_LIMIT,
    Mistake,
    YamlList,
    YamlMap,
    YamlNode,
    YamlScalar,
    child_path,
    closest,
    found_text,
    known_words,
)
from numaplan.spec.scalars import Flaw

Model = TypeVar("Model", bound=Keys)

_CPU_RANGE: Final = re.compile(r"[0-9]+(-[0-9]+)?", re.ASCII)


def validate(model: type[Model], node: YamlNode, mistakes: list[Mistake]) -> Model | None:
    """The model that a node says; None where it says none, with every reason added to `mistakes`."""
    try:
        return model.model_validate(_plain(node))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            mistakes += _mistakes(model, node, detail, hints=len(mistakes) < PROBLEM_LIMIT)
        return None


def _plain(node: YamlNode) -> object:
    match node:
        case YamlMap():
            return {key: _plain(entry.value) for key, entry in node.entries.items()}
        case YamlList():
            return [_plain(item) for item in node.items]
        case YamlScalar():
            return node


def _mistakes(model: type[Keys], root: YamlNode, detail: ErrorDetails, *, hints: bool) -> list[Mistake]:
    loc = detail["loc"]
    kind = detail["type"]
    if kind in {"extra_forbidden", "missing"}:
        parent = _locate(root, loc[:-1])
        key = str(loc[-1])
        return [_unknown(model, parent, loc, hints=hints) if kind == "extra_forbidden" else _missing(parent, key)]
    node = _locate(root, loc)
    if kind == "flaws":
        flaws: tuple[Flaw, ...] = detail["ctx"]["flaws"]
        return [_flawed(node, flaw) for flaw in flaws]
    if kind == "too_long":
        return [Mistake(node.mark, node.path, f"has more than {detail['ctx']['max_length']} entries")]
    if kind == "too_short":
        return [Mistake(node.mark, node.path, "has no entry; take the key away, or give one")]
    wanted, hint = _shape(kind, node)
    return [Mistake(node.mark, node.path, f"expected {wanted}, found {found_text(node)}", hint)]


def _locate(root: YamlNode, loc: tuple[int | str, ...]) -> YamlNode:
    """The node at `loc`, or the deepest one above it: a short form has no node for the keys of the long one."""
    node = root
    for step in loc:
        if isinstance(node, YamlMap) and step in node.entries:
            node = node.entries[str(step)].value
        elif isinstance(node, YamlList) and isinstance(step, int):
            node = node.items[step]
        else:
            break
    return node


def _unknown(model: type[Keys], parent: YamlNode, loc: tuple[int | str, ...], *, hints: bool) -> Mistake:
    key = str(loc[-1])
    above = [step for step in loc[:-1] if isinstance(step, str)]
    known = (MODELS_BY_KEY[above[-1]] if above else model).key_names()
    hint = (closest(key, known) if hints else None) or known_words("keys here", known)
    assert isinstance(parent, YamlMap)  # noqa: S101 - only a map can have a key too many
    if _CPU_RANGE.fullmatch(key) and parent.get(key) is None:
        hint = 'within { } a CPU list needs quotes: "0-1,64-65"'
    name = parent.entries[key].key
    return Mistake(name.mark, name.path, "unknown key", hint)


def _missing(parent: YamlNode, key: str) -> Mistake:
    mark = parent.mark_of(key) if isinstance(parent, YamlMap) else parent.mark
    return Mistake(mark, child_path(parent.path, key), "is missing")


def _flawed(node: YamlNode, flaw: Flaw) -> Mistake:
    if flaw.key is None or not isinstance(node, YamlMap):
        return Mistake(node.mark, node.path, flaw.what, flaw.hint)
    return Mistake(node.mark_of(flaw.key), node.path_of(flaw.key), flaw.what, flaw.hint)


def _shape(kind: str, node: YamlNode) -> tuple[str, str | None]:
    """What was wanted where a value has the wrong shape: pydantic's type of error says it."""
    if kind == "list_type":
        hint = f"write [{node.text}]" if isinstance(node, YamlScalar) and node.text.strip().isprintable() else None
        return "a list", hint if isinstance(node, YamlScalar) and not node.is_null else None
    return "a map of keys and values", None
