"""Edits by spans, their layout, and the proof that refuses those that would break something."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml.check import carry_out
from numaplan.domxml.edit import Edits, apply
from numaplan.domxml.element import New
from numaplan.domxml.tree import Element, parse
from numaplan.errors import InputError
from tests.depth import draws
from tests.domxml.plans import domain

LINES = "<new a='1'>\n     <b>&lt;&amp;&gt;</b>\n   </new>"
NEW = New("new", (("a", "1"),), children=(New("b", text="<&>"),))


def edits_of(data: bytes) -> Edits:
    return Edits(parse(data, "fw1.xml"))


def done(edits: Edits) -> bytes:
    """Without the proof, which knows what a patch may touch."""
    return apply(edits.document.data, edits.splices())


def first(edits: Edits, name: str) -> Element:
    return next(element for element in edits.document.root.walk() if element.name == name)


def inserted(data: bytes, *, parent: str, after: str | None) -> bytes:
    edits = edits_of(data)
    edits.insert(first(edits, parent), NEW, after=None if after is None else first(edits, after))
    return done(edits)


@pytest.mark.parametrize(
    ("there", "after", "written"),
    [
        ("<p/>", None, "<p>\n      <new a='1'>\n        <b>&lt;&amp;&gt;</b>\n      </new>\n    </p>"),
        ("<p></p>", None, "<p>\n      <new a='1'>\n        <b>&lt;&amp;&gt;</b>\n      </new>\n    </p>"),
        ("<p x='1' />", None, "<p x='1'>\n      <new a='1'>\n        <b>&lt;&amp;&gt;</b>\n      </new>\n    </p>"),
        ("<p><s/></p>", "s", "<p><s/><new a='1'><b>&lt;&amp;&gt;</b></new></p>"),
        ("<p><s/></p>", None, "<p><new a='1'><b>&lt;&amp;&gt;</b></new><s/></p>"),
        ("<p>\n   <s/> <!-- of s -->\n</p>", "s", f"<p>\n   <s/> <!-- of s -->\n   {LINES}\n</p>"),
        ("<p>\n   <s/>\n</p>", None, "<p>\n   <new a='1'>\n     <b>&lt;&amp;&gt;</b>\n   </new>\n   <s/>\n</p>"),
        ("<p>\n   <s/></p>", "s", "<p>\n   <s/>\n   <new a='1'>\n     <b>&lt;&amp;&gt;</b>\n   </new></p>"),
        ("<p>\n   <s/><t/>\n</p>", "s", "<p>\n   <s/>\n   <new a='1'>\n     <b>&lt;&amp;&gt;</b>\n   </new><t/>\n</p>"),
        ("<p>\n</p>", None, "<p>\n      <new a='1'>\n        <b>&lt;&amp;&gt;</b>\n      </new>\n</p>"),
    ],
)  # fmt: skip
def test_a_new_child_is_laid_out_as_its_neighbours(there: str, after: str | None, written: str) -> None:
    data = domain(devices=(there,))
    assert inserted(data, parent="p", after=after) == domain(devices=(written,))


def test_line_ends_tabs_and_quotes_are_those_of_the_document() -> None:
    data = b'<domain type="kvm">\r\n\t<p/>\r\n</domain>\r\n'
    assert inserted(data, parent="p", after=None) == (
        b'<domain type="kvm">\r\n\t<p>\r\n\t\t<new a="1">\r\n\t\t\t<b>&lt;&amp;&gt;</b>\r\n\t\t</new>\r\n'
        b"\t</p>\r\n</domain>\r\n"
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("there", ["<p/>", "<p>\n  text\n</p>", "<p/>  ", "<p/>\n"])
def test_a_removed_element_takes_its_line_with_it(there: str, newline: str) -> None:
    data = domain("<a/>", there.replace("\n", newline), "<b/>", newline=newline)
    edits = edits_of(data)
    edits.remove(first(edits, "p"))
    rest = [""] if there.endswith("\n") else []
    written = domain("<a/>", *rest, "<b/>", newline=newline)
    assert done(edits) == (written.replace(f"  {newline}".encode(), newline.encode()) if rest else written)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("<a/><p/><b/>", "<a/><b/>"),
        ("<a/> <p/>", "<a/> "),
        ("<p/> <!-- c -->", " <!-- c -->"),
        ("<!-- c --><p/>", "<!-- c -->"),
    ],
)
def test_what_shares_the_line_of_a_removed_element_stays(there: str, written: str) -> None:
    edits = edits_of(domain(there))
    edits.remove(first(edits, "p"))
    assert done(edits) == domain(written)


def test_an_element_goes_and_another_comes_in_the_same_place() -> None:
    edits = edits_of(domain("<a/>", "<p/>", "<b/>"))
    edits.remove(first(edits, "p"))
    edits.insert(edits.document.root, New("q"), after=first(edits, "p"))
    edits.insert(edits.document.root, New("r"), after=first(edits, "p"))
    assert done(edits) == domain("<a/>", "<q/>", "<r/>", "<b/>")


def test_all_children_go_and_others_come() -> None:
    edits = edits_of(domain(devices=("<a/>", "<p/>")))
    devices = first(edits, "devices")
    for child in devices.children:
        edits.remove(child)
    edits.insert(devices, New("q"), after=devices.children[-1])
    edits.insert(devices, New("r"), after=None)
    assert done(edits) == domain(devices=("<q/>", "<r/>"))


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("<p a='1'/>", "<p a='&apos;2&quot;&lt;' n='&#10;'/>"),
        ('<p a="1"/>', """<p a="&apos;2&quot;&lt;" n='&#10;'/>"""),
        ("<p a = '>' ></p>", "<p a = '&apos;2&quot;&lt;' n='&#10;' ></p>"),
        ("<p/>", "<p a='&apos;2&quot;&lt;' n='&#10;'/>"),
        ("<p></p>", "<p a='&apos;2&quot;&lt;' n='&#10;'></p>"),
    ],
)
def test_values_are_replaced_between_their_quotes_and_new_ones_added_behind(there: str, written: str) -> None:
    edits = edits_of(domain(there))
    edits.set_attribute(first(edits, "p"), "a", "'2\"<")
    edits.set_attribute(first(edits, "p"), "n", "\n")
    assert done(edits) == domain(written)
    assert first(edits_of(domain(written)), "p").get("a") == "'2\"<"


def test_attributes_text_and_children_of_one_empty_tag_change_together() -> None:
    edits = edits_of(domain("<p a='1' b='2' />"))
    element = first(edits, "p")
    edits.drop_attribute(element, "b")
    edits.set_attribute(element, "c", "3")
    edits.insert(element, New("q"), after=None)
    assert done(edits) == domain("<p a='1' c='3'>", "  <q/>", "</p>")


def test_setting_what_is_there_already_changes_nothing() -> None:
    data = domain("<p a='1'> t </p>")
    edits = edits_of(data)
    edits.set_attribute(first(edits, "p"), "a", "1")
    edits.set_text(first(edits, "p"), "t")
    edits.drop_attribute(first(edits, "p"), "b")
    assert edits.splices() == ()
    assert carry_out(edits) is data


def test_two_edits_of_the_same_bytes_are_refused() -> None:
    edits = edits_of(domain("<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"))
    edits.remove(first(edits, "cputune"))
    edits.set_attribute(first(edits, "vcpupin"), "cpuset", "2")
    with pytest.raises(InputError, match="cannot be edited safely: two edits at byte"):
        carry_out(edits)


def spoil(edits: Edits, how: str) -> None:
    root = edits.document.root
    match how:
        case "element added":
            edits.insert(root, New("x"), after=None)
        case "element removed":
            edits.remove(first(edits, "features"))
        case "attribute changed":
            edits.set_attribute(root, "type", "xen")
        case "attribute dropped":
            edits.drop_attribute(first(edits, "memory"), "dumpCore")
        case "text changed":
            edits.set_text(first(edits, "name"), "fw2")
        case "tuning removed":
            edits.remove(first(edits, "shares"))
        case "interface removed":
            edits.remove(first(edits, "interface"))
        case "interface changed":
            edits.set_attribute(first(edits, "mac"), "address", "52:54:00:00:00:02")
        case _:
            edits.insert(first(edits, "interface"), New("boot"), after=None)


@pytest.mark.parametrize(
    "how",
    [
        "element added",
        "element removed",
        "attribute changed",
        "attribute dropped",
        "text changed",
        "tuning removed",
        "interface removed",
        "interface changed",
        "interface filled",
    ],
)
def test_a_patch_that_would_change_more_than_it_may_is_refused(how: str) -> None:
    interface = "<interface type='hostdev'><mac address='52:54:00:00:00:01'/><source/></interface>"
    edits = edits_of(
        domain(
            "<memory dumpCore='on'>1</memory>",
            "<cputune><shares>1</shares></cputune>",
            "<features><acpi/></features>",
            devices=(interface,),
        )
    )
    spoil(edits, how)
    with pytest.raises(InputError, match="cannot be edited safely: elements other than the planned ones"):
        carry_out(edits)


_WORDS = st.sampled_from(["a", "b", "c"])
_GAPS = st.sampled_from(["", "\n", "\n  ", "\r\n\t", " ", "<!-- <a> -->", "<![CDATA[<a>]]>", "text", "&amp;"])


@st.composite
def _parts(draw: st.DrawFn, depth: int = 0) -> str:
    name = draw(_WORDS)
    attribute = draw(st.sampled_from(["", " k='>'", ' k="/>"', "\n k = '<'".replace("<", "&lt;")]))
    if depth > 2 or draw(st.booleans()):
        return f"<{name}{attribute}/>"
    inside = [draw(_GAPS) + draw(_parts(depth=depth + 1)) for _ in range(draw(st.integers(0, 3)))]
    return f"<{name}{attribute}>{''.join(inside)}{draw(_GAPS)}</{name}>"


def _names(element: Element) -> list[str]:
    return [child.name for child in element.children]


@settings(max_examples=draws(200), deadline=None)
@given(st.lists(st.tuples(_GAPS.filter(lambda gap: "text" not in gap), _parts()), max_size=4), st.data())
def test_any_edit_of_any_document_does_what_it_says_and_keeps_the_rest(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    document = parse(("<domain>" + "".join(a + b for a, b in parts) + "</domain>").encode(), "f")
    elements = list(document.root.walk())
    index = data.draw(st.integers(0, len(elements) - 1))
    element = elements[index]
    edits = Edits(document)
    what = data.draw(st.sampled_from(["attribute", "text", "insert", "remove"]))
    expected = _names(element)
    match what:
        case "attribute":
            edits.set_attribute(element, "k", "new<'\">")
        case "text":
            edits.set_text(element, "a<b")
        case "insert":
            place = data.draw(st.integers(0, len(element.children)))
            edits.insert(element, New("new"), after=element.children[place - 1] if place else None)
            expected = [*expected[:place], "new", *expected[place:]]
        case _:
            if index:
                edits.remove(element)
    new = done(edits)
    after = list(parse(new, "f").root.walk())
    if what == "remove":
        assert len(after) == len(elements) - (len(list(element.walk())) if index else 0)
    else:
        assert _names(after[index]) == expected
        assert after[index].get("k") == ("new<'\">" if what == "attribute" else element.get("k"))
        assert (after[index].text == "a<b") or what != "text"
    # What is left when the new parts are taken out again is what was left of the old document.
    kept = []
    position = 0
    for splice in edits.splices():
        kept.append(document.data[position : splice.start])
        position = splice.end
    kept.append(document.data[position:])
    assert re.fullmatch(b".*".join(re.escape(part) for part in kept), new, re.DOTALL)
