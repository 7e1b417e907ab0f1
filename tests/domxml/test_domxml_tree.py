"""Spans of what is read, and whatever is refused before it is read."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml.read import read_guest
from numaplan.domxml.tree import ATTRIBUTE_LIMIT, DEPTH_LIMIT, ELEMENT_LIMIT, SIZE_LIMIT, Document, Element, parse
from numaplan.errors import ExitCode, InputError
from tests.depth import draws

BOM = b"\xef\xbb\xbf"


def refusal(data: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(data, "fw1.xml")
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return caught.value


def spans(document: Document) -> Iterator[tuple[str, str, str]]:
    """Name, start tag and end tag of each element, cut out of the bytes."""
    for element in document.root.walk():
        start = document.data[element.start : element.open_end].decode()
        yield element.tag, start, document.data[element.close_start : element.end].decode()


@pytest.mark.parametrize("prefix", [b"", BOM, b"<?xml version='1.0' encoding='UTF-8'?>\n", b"<!-- <vcpu> -->\r\n"])
def test_spans_cut_out_exactly_the_tags(prefix: bytes) -> None:
    text = """<domain type = "a>b"><name>ü</name ><vcpu/><cputune></cputune><x:a xmlns:x='u' b='"'/></domain>"""
    assert list(spans(parse(prefix + text.encode(), "f"))) == [
        ("domain", '<domain type = "a>b">', "</domain>"),
        ("name", "<name>", "</name >"),
        ("vcpu", "<vcpu/>", ""),
        ("cputune", "<cputune>", "</cputune>"),
        ("x:a", """<x:a xmlns:x='u' b='"'/>""", ""),
    ]


def test_lines_and_columns_count_from_one() -> None:
    document = parse(b"<domain>\r\n  <name>a</name>\r\n\t<vcpu/></domain>", "f")
    assert [(e.line, e.column) for e in document.root.walk()] == [(1, 1), (2, 3), (3, 2)]


def test_text_is_that_of_the_element_itself_with_cdata_and_references_resolved() -> None:
    document = parse(b"<domain> a<b>x</b>&amp;<!-- no -->&#52;<![CDATA[<c>]]> </domain>", "f")
    assert document.root.text == "a&4<c>"
    assert [document.data[run.start : run.end] for run in document.root.runs] == [
        b" a",
        b"&amp;",
        b"&#52;",
        b"<![CDATA[<c>]]>",
        b" ",
    ]


def test_names_carry_their_namespace_and_libvirts_own_have_none() -> None:
    root = parse(b"<domain xmlns:q='u'><q:cputune/><a xmlns='v'><cputune/></a><r:b/></domain>", "f").root
    assert [element.name for element in root.walk()] == ["domain", "{u}cputune", "{v}a", "{v}cputune", "r:b"]


def test_attribute_spans_hold_the_value_alone() -> None:
    data = b"""<domain a = '1&amp;2'\n b="x>y"/>"""
    first, second = parse(data, "f").root.attributes
    assert (first.value, data[first.value_start : first.value_end]) == ("1&2", b"1&amp;2")
    assert (second.value, data[second.start : second.end]) == ("x>y", b'\n b="x>y"')


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "f:1:1: the file is empty"),
        (b" \n\n", "f:1:1: the file is empty"),
        (b"<domain>\n <na\0me/></domain>", "f:2:5: a NUL byte"),
        ("<domain/>".encode("utf-16"), "f:1:1: the file is UTF-16"),
        ("<domain/>".encode("utf-16-le"), "f:1:1: the file is UTF-16"),
        ("<domain/>".encode("utf-16-be"), "f:1:1: the file is UTF-16"),
        (b"<?xml version='1.0' encoding='latin-1'?><domain/>", "declares the encoding latin-1"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><domain/>", "declares the encoding ISO-8859-1"),
        (b"<?xml version='1.0' encoding='utf-16'?><domain/>", "encoding"),
        (b"<?xml version='1.0' encoding='nonsense'?><domain/>", "encoding"),
        (b"<domain>\xe9</domain>", "no well-formed XML"),
        (b"<domain><name></domain>", "f:1:17: no well-formed XML: mismatched tag; <name> of line 1 is still open"),
        (b"<domain a='1' a='2'/>", "duplicate attribute"),
        (b"<domain/><domain/>", "no well-formed XML"),
        (b"<domain>&undefined;</domain>", "undefined entity"),
        (b"<!DOCTYPE domain><domain/>", "f:1:1: a DOCTYPE, which is refused"),
        (b"<domain><?php x?></domain>", "f:1:9: a processing instruction <?php ...?>, which is refused"),
        (b"<?xml-stylesheet href='x'?><domain/>", "a processing instruction"),
        (b"<domainsnapshot><domain/></domainsnapshot>", "expected <domain>, found <domainsnapshot>; give the domain"),
        (b"<domstatus><domain/></domstatus>", "expected <domain>, found <domstatus>"),
        (b"<network><name>a</name></network>", "expected <domain>, found <network>"),
        (b"<domain xmlns='urn:x'/>", "expected <domain>"),
    ],
)
def test_what_is_no_domain_xml_is_refused_with_place_and_reason(data: bytes, text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(data, "f")
    assert str(caught.value).startswith("f:1") or str(caught.value).startswith("f:2")
    assert text in str(caught.value)


BOMBS = {
    "billion laughs": b"<!DOCTYPE d [<!ENTITY a 'ha'>"
    + b"".join(b"<!ENTITY a%d '%s'>" % (k, b"&a%d;" % (k - 1) * 10) for k in range(1, 12))
    + b"]><domain><name>&a11;</name></domain>",
    "quadratic": b"<!DOCTYPE d [<!ENTITY a '" + b"x" * 100_000 + b"'>]><domain>" + b"&a;" * 30_000 + b"</domain>",
    "external entity": b"<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><name>&a;</name></domain>",
    "external dtd": b"<!DOCTYPE d SYSTEM 'http://127.0.0.1/x.dtd'><domain/>",
    "parameter entity": b"<!DOCTYPE d [<!ENTITY % p SYSTEM 'file:///dev/zero'>%p;]><domain/>",
    "deep": b"<domain>" * 400_000,
    "wide": b"<domain>" + b"<a/>" * 1_000_000 + b"</domain>",
    "attributes": b"<domain " + b" ".join(b"a%d=''" % k for k in range(350_000)) + b"/>",
    "open comment": b"<domain><!--" + b"-" * (SIZE_LIMIT - 100),
    "open tag": b"<domain " + b"a" * (SIZE_LIMIT - 100),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", BOMBS)
def test_hostile_xml_is_refused(name: str) -> None:
    refusal(BOMBS[name])


def test_size_is_limited() -> None:
    body = b"<domain><!--%s--></domain>"
    room = SIZE_LIMIT - len(body) + 2
    assert parse(body % (b"x" * room), "f").root.name == "domain"
    assert "bytes of XML" in str(refusal(body % (b"x" * (room + 1))))


def test_depth_is_limited() -> None:
    inner = DEPTH_LIMIT - 1
    assert parse(b"<domain>" + b"<a>" * inner + b"</a>" * inner + b"</domain>", "f").root.children
    assert "nested deeper" in str(refusal(b"<domain>" + b"<a>" * (inner + 1) + b"</a>" * (inner + 1) + b"</domain>"))


@pytest.mark.parametrize("length", [1, 30])
def test_attributes_are_limited(length: int) -> None:
    def tag(count: int) -> bytes:
        return b"<domain " + b" ".join(b"a%d='%s'" % (k, b"x" * length) for k in range(count)) + b"/>"

    assert len(parse(tag(ATTRIBUTE_LIMIT), "f").root.attributes) == ATTRIBUTE_LIMIT
    assert f"more than {ATTRIBUTE_LIMIT} attributes" in str(refusal(tag(ATTRIBUTE_LIMIT + 1)))


def test_elements_are_limited() -> None:
    inner = ELEMENT_LIMIT - 1
    assert len(parse(b"<domain>" + b"<a/>" * inner + b"</domain>", "f").root.children) == inner
    assert "elements" in str(refusal(b"<domain>" + b"<a/>" * (inner + 1) + b"</domain>"))


def test_every_truncation_of_a_document_is_refused() -> None:
    devices = "".join(f"    <disk n='{k}' x=\"é>\"><!-- c --><![CDATA[d]]></disk>\n" for k in range(36))
    text = f"<?xml version='1.0'?>\n<domain>\n  <name>fw1</name>\n  <devices>\n{devices}  </devices>\n</domain>"
    data = text.encode()
    assert len(data) > 2000
    parse(data, "f")
    for length in range(len(data)):
        with pytest.raises(InputError):
            parse(data[:length], "f")


@settings(max_examples=draws(150), deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    for document in (data, b"<domain>" + data + b"</domain>", b"<domain " + data + b"/>"):
        try:
            read_guest(document, "f")
        except InputError as error:
            assert str(error).startswith("f")  # noqa: PT017 - either answer will do, a traceback will not


_GAPS = st.sampled_from([" ", "\t", "\n"])
_NAMES = st.sampled_from(["a", "vcpu", "x:b", "cputune", "é"])
_TEXTS = st.sampled_from(
    ["", " ", "\n  ", "4", "&lt;", "<!-- <cputune> -->", "<![CDATA[</vcpu>]]>", "\r\n", "ü", "&#62;"]
)
_VALUES = st.sampled_from(["''", '""', "'>'", "'/>'", '"it\'s"', "'&quot;'", '"<!--"'.replace("<", "&lt;"), "'\n'"])


@st.composite
def _elements(draw: st.DrawFn, depth: int = 0) -> str:
    name = draw(_NAMES)
    attributes = "".join(f"{draw(_GAPS)}a{k}={draw(_VALUES)}" for k in range(draw(st.integers(0, 3))))
    if draw(st.booleans()) or depth > 3:
        return f"<{name}{attributes}{draw(st.sampled_from(['', ' ']))}/>"
    inside = "".join(draw(_TEXTS) + draw(_elements(depth=depth + 1)) for _ in range(draw(st.integers(0, 3))))
    return f"<{name}{attributes}>{inside}{draw(_TEXTS)}</{name}{draw(st.sampled_from(['', ' ']))}>"


def _is_whole(data: bytes, element: Element) -> bool:
    text = data[element.start : element.end]
    ends = text.endswith(b"/>") if element.is_empty_tag else text.rstrip(b" >").endswith(b"</" + element.tag.encode())
    return text.startswith(b"<" + element.tag.encode()) and ends


@settings(max_examples=draws(150), deadline=None)
@given(st.lists(_elements(), max_size=4))
def test_spans_of_any_document_start_and_end_with_their_tags_and_nest(parts: list[str]) -> None:
    data = ("<domain>" + "".join(parts) + "</domain>").encode()
    for element in parse(data, "f").root.walk():
        assert _is_whole(data, element)
        edges = [element.open_end, *(edge for child in element.children for edge in (child.start, child.end))]
        assert [*edges, element.close_start] == sorted([*edges, element.close_start])
        again = parse(b"<domain>" + data[element.start : element.end] + b"</domain>", "f").root.children
        assert [e.tag for e in again] == [element.tag]
