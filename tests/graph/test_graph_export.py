"""GraphML and DOT."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest
from lxml import etree

from numaplan.graph.build import build_graph
from numaplan.graph.export import dot, escape, graphml
from numaplan.inventory.host import read_host
from numaplan.model.snapshot import Snapshot
from numaplan.sources.tree import open_tree
from tests.corpus import corpus
from tests.hosts import Nic, host
from tests.records.samples import EVIL, evil_snapshot, full_snapshot

HERE = Path(__file__).parent
_STRING = r'"(?:[^"\\]|\\.)*"'
_PAIRS = rf"\[[a-z_]+={_STRING}(?:, [a-z_]+={_STRING})*\]"
_STATEMENT = re.compile(rf"  ({_STRING})(?: -- ({_STRING}))? {_PAIRS};")


def reread(text: str) -> "nx.Graph[str]":
    graph = nx.read_graphml(io.BytesIO(text.encode()))
    assert isinstance(graph, nx.Graph)
    return graph


def test_graphml_reads_back_as_the_same_graph() -> None:
    graph = build_graph(full_snapshot())
    assert content(reread(graphml(graph))) == content(graph)


def test_graphml_of_captured_hosts_reads_back_as_the_same_graph() -> None:
    captures = sorted([*corpus().glob("lab/*.tar.gz"), *corpus().glob("hwloc-*/capture.*")])[::6]
    assert len(captures) > 3
    for capture in captures:
        graph = build_graph(read_host(open_tree(capture)))
        assert len(graph) > 2
        assert content(reread(graphml(graph))) == content(graph), capture.parent.name


def content(graph: "nx.Graph[str]") -> tuple[object, object]:
    return (
        {key: data for key, data in graph.nodes(data=True)},  # noqa: C416  # the stubs of dict() do not know the view
        {frozenset((one, other)): data for one, other, data in graph.edges(data=True)},
    )


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_makes_xml_that_an_independent_parser_reads(text: str) -> None:
    graph = build_graph(evil_snapshot(text))
    written = graphml(graph)
    etree.fromstring(written.encode())
    back = reread(written)
    assert len(back) == len(graph)
    assert back.number_of_edges() == graph.number_of_edges()
    assert f"link:{escape(text)}" in back


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_makes_dot_whose_every_line_is_one_quoted_statement(text: str) -> None:
    graph = build_graph(evil_snapshot(text))
    lines = dot(graph).split("\n")
    assert lines[0] == "graph numaplan {"
    assert lines[-2:] == ["}", ""]
    matches = [_STATEMENT.fullmatch(line) for line in lines[1:-2]]
    assert all(matches)
    assert sum(match is not None and match[2] is None for match in matches) == len(graph)
    assert sum(match is not None and match[2] is not None for match in matches) == graph.number_of_edges()
    assert len({match[1] for match in matches if match is not None and match[2] is None}) == len(graph)


def test_no_two_names_are_escaped_to_one() -> None:
    texts = [*EVIL, "\\x1b", "\x1b", "\\\\x1b", "\x80", "\udc80", "\\udc80", "\\"]
    assert len({escape(text) for text in texts}) == len(set(texts))


@pytest.mark.parametrize("snapshot", [host("2n:2c:2t", pages={"1GiB": 2}, nics=[Nic("ens1f0", 1, 1)])], ids=["small"])
def test_a_small_host_in_both_forms(snapshot: Snapshot, golden: Callable[[Path, str], None]) -> None:
    golden(HERE / "small.dot", dot(build_graph(snapshot)))
    golden(HERE / "small.graphml", graphml(build_graph(snapshot)))
