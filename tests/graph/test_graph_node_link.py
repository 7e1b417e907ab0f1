"""The graph as JSON and back."""

import json
from typing import Any

import networkx as nx
import pytest

from numaplan.errors import InputError
from numaplan.graph.build import build_graph
from numaplan.graph.node_link import graph_json, read_graph_json
from tests.hosts import host
from tests.records.samples import EVIL, evil_snapshot, full_snapshot


def same(one: "nx.Graph[str]", other: "nx.Graph[str]") -> bool:
    nodes = list(one.nodes(data=True)) == list(other.nodes(data=True))
    edges = {frozenset(edge[:2]): edge[2] for edge in one.edges(data=True)}
    return nodes and edges == {frozenset(edge[:2]): edge[2] for edge in other.edges(data=True)}


def document(**changes: object) -> str:
    """A graph of two nodes, with some of its parts changed."""
    whole: dict[str, object] = {
        "schema": "numaplan/graph/1",
        "nodes": [{"key": "host", "kind": "host"}, {"key": "node:0", "kind": "node", "id": 0}],
        "edges": [{"source": "host", "target": "node:0", "kind": "contains"}],
    }
    return json.dumps(whole | changes)


def test_a_graph_reads_back_as_it_was() -> None:
    graph = build_graph(full_snapshot())
    assert same(read_graph_json(graph_json(graph)), graph)


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_reads_back_as_it_was(text: str) -> None:
    graph = build_graph(evil_snapshot(text))
    written = graph_json(graph)
    assert written.isascii()
    assert same(read_graph_json(written), graph)


def test_networkx_reads_the_same_graph() -> None:
    graph = build_graph(full_snapshot())
    data: dict[str, Any] = json.loads(graph_json(graph))
    read = nx.node_link_graph(data, name="key", edges="edges")
    assert isinstance(read, nx.Graph)
    assert same(read, graph)


def test_a_graph_without_edges_is_a_graph() -> None:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("host", kind="host")
    assert same(read_graph_json(graph_json(graph)), graph)


def test_what_was_written_is_what_is_read() -> None:
    assert list(read_graph_json(document()).edges(data=True)) == [("host", "node:0", {"kind": "contains"})]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected nodes and edges"),
        (document(schema="numaplan/graph/2"), "the schema numaplan/graph/1"),
        (document(nodes={}), "expected nodes and edges"),
        (document(nodes=[7], edges=[]), "expected an object"),
        (document(nodes=[{"key": "host"}], edges=[]), "expected key and a kind"),
        (document(nodes=[{"key": "host", "kind": "hosts"}], edges=[]), "expected key and a kind"),
        (document(nodes=[{"key": 1, "kind": "host"}], edges=[]), "expected key and a kind"),
        (document(nodes=[{"key": "host", "kind": ["host"]}], edges=[]), "strings and whole numbers alone"),
        (document(nodes=[{"key": "host", "kind": "host", "x": 1.5}], edges=[]), "strings and whole numbers alone"),
        (document(nodes=[{"key": "host", "kind": "host", "x": True}], edges=[]), "strings and whole numbers alone"),
        (document(nodes=[{"key": "host", "kind": "host"}] * 2, edges=[]), "'host' stands there twice"),
        (document(edges=[{"source": "host", "target": "gone", "kind": "contains"}]), "one of them is no node"),
        (document(edges=[{"source": "host", "kind": "contains"}]), "expected source, target and a kind"),
        (
            document(edges=[{"source": "host", "target": "node:0", "kind": "contains"}] * 2),
            "'host' and 'node:0' are joined twice",
        ),
    ],
)
def test_what_is_no_graph_of_ours_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_graph_json(text, "a.json")
    assert caught.value.problems[0].where == "a.json"


def test_the_same_host_gives_the_same_bytes() -> None:
    assert graph_json(build_graph(host("2n:2c:2t"))) == graph_json(build_graph(host("2n:2c:2t")))
