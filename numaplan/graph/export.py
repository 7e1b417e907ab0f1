"""The graph in the forms that other tools read: GraphML and DOT."""

import unicodedata
from typing import Final

from networkx import Graph, generate_graphml

# Controls, formats, surrogates, line separators: some are illegal in XML, the rest could fool a viewer.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_NARROW: Final = 0x100
_WIDE: Final = 0x10000


def graphml(graph: "Graph[str]") -> str:
    r"""GraphML (http://graphml.graphdrawing.org), as networkx reads it again: the same nodes, edges and attributes.

    A backslash, and a character that XML forbids or that is no text, stands as ``\\``, ``\x1b``, ``\udc80``.
    """
    return "\n".join(generate_graphml(_escaped(graph))) + "\n"


def dot(graph: "Graph[str]") -> str:
    """An undirected DOT graph (https://graphviz.org/doc/info/lang.html); every name and value is quoted."""
    safe = _escaped(graph)
    lines = ["graph numaplan {"]
    lines += [f"  {_quoted(key)} [{_attributes(data, label=key)}];" for key, data in safe.nodes(data=True)]
    lines += [
        f"  {_quoted(one)} -- {_quoted(other)} [{_attributes(data, label=data['kind'])}];"
        for one, other, data in safe.edges(data=True)
    ]
    lines.append("}")
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""`text` with ``\\``, ``\xNN``, ``\uNNNN`` and ``\UNNNNNNNN`` for what is no plain text; no two become one."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape_one(character) for character in text)


def _escape_one(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    if code < _NARROW:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _WIDE else f"\\U{code:08x}"


def _escaped(graph: "Graph[str]") -> "Graph[str]":
    result: Graph[str] = Graph()
    for key, data in graph.nodes(data=True):
        result.add_node(escape(key), **_values(data))
    for one, other, data in graph.edges(data=True):
        result.add_edge(escape(one), escape(other), **_values(data))
    return result


def _values(data: dict[str, str | int]) -> dict[str, str | int]:
    return {name: escape(value) if isinstance(value, str) else value for name, value in data.items()}


def _attributes(data: dict[str, str | int], *, label: str) -> str:
    pairs = {"label": label, **data}
    return ", ".join(f"{name}={_quoted(str(value))}" for name, value in pairs.items())


def _quoted(text: str) -> str:
    r"""In DOT a quoted string ends at the next ``"`` that has no backslash; a label reads ``\\`` as one backslash."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
