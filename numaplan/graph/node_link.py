"""The graph as JSON, in the node-link form that networkx, D3 and their kin read, and back."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from networkx import Graph

from numaplan.errors import InputError
from numaplan.graph.keys import Edge, Vertex

GRAPH_SCHEMA: Final = "numaplan/graph/1"

# "id" is an attribute of many nodes: the kernel's number.
_NAME: Final = "key"
_ENDS: Final = ("source", "target")
_LIMIT_CHARACTERS: Final = 256 * 1024 * 1024


def graph_json(graph: "Graph[str]") -> str:
    """``{"nodes": [{"key": ..., "kind": ...}], "edges": [{"source": ..., "target": ..., "kind": ...}]}``.

    A node or an edge a line. ``networkx.node_link_graph(document, name="key", edges="edges")`` reads it as well.
    """
    nodes = ({_NAME: key, **data} for key, data in graph.nodes(data=True))
    edges = ({"source": one, "target": other, **data} for one, other, data in graph.edges(data=True))
    head = f'"schema": "{GRAPH_SCHEMA}",\n"directed": false,\n"multigraph": false,\n"graph": {{}}'
    return f'{{\n{head},\n"nodes": [{_lines(nodes)}],\n"edges": [{_lines(edges)}]\n}}\n'


def read_graph_json(text: str, file: str = "graph.json") -> "Graph[str]":
    """The graph that `graph_json` wrote; raises InputError."""
    if len(text) > _LIMIT_CHARACTERS:
        raise InputError(f"the document has {len(text)} characters; at most {_LIMIT_CHARACTERS} are read", file)
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", file) from error
    graph: Graph[str] = Graph()
    try:
        _fill(graph, document)
    except ValueError as error:
        raise InputError(f"no graph of ours: {error}", file) from error
    return graph


def _lines(objects: Iterable[dict[str, object]]) -> str:
    return ",".join(f"\n {json.dumps(entry, ensure_ascii=True)}" for entry in objects) + "\n"


def _fill(graph: "Graph[str]", document: object) -> None:
    match document:
        case {"schema": schema, "nodes": list(nodes), "edges": list(edges)} if schema == GRAPH_SCHEMA:
            pass
        case _:
            raise ValueError(f"expected nodes and edges, and the schema {GRAPH_SCHEMA}")
    vertices = frozenset(kind.value for kind in Vertex)
    for (key,), data in _entries(nodes, names=(_NAME,), kinds=vertices):
        if key in graph:
            raise ValueError(f"the node {key[:80]!r} stands there twice")
        graph.add_node(key, **data)
    for (one, other), data in _entries(edges, names=_ENDS, kinds=frozenset(kind.value for kind in Edge)):
        if one not in graph or other not in graph:
            raise ValueError(f"an edge joins {one[:80]!r} and {other[:80]!r}: one of them is no node")
        if graph.has_edge(one, other):
            raise ValueError(f"{one[:80]!r} and {other[:80]!r} are joined twice")
        graph.add_edge(one, other, **data)


def _entries(
    entries: Iterable[object], *, names: tuple[str, ...], kinds: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], dict[str, str | int]]]:
    """The names and the attributes of each; raises ValueError."""
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"expected an object, found {json.dumps(entry)[:80]}")  # noqa: TRY004 - a wrong document
        data = {name: value for name, value in entry.items() if isinstance(value, str) or type(value) is int}
        if len(data) < len(entry):
            raise ValueError(f"expected strings and whole numbers alone: {json.dumps(entry)[:80]}")
        called = tuple(str(data.pop(name)) for name in names if isinstance(data.get(name), str))
        if len(called) < len(names) or data.get("kind") not in kinds:
            raise ValueError(f"expected {', '.join(names)} and a kind: {json.dumps(entry)[:80]}")
        yield called, data
