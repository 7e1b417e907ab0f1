"""xml_digests: equal for one domain however it is written and whoever reads it, and not for two."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from numaplan.domxml.digest import xml_digests
from numaplan.domxml.tree import parse
from numaplan.errors import InputError
from tests.corpus import corpus
from tests.depth import draws

DOMAIN = """<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>fw1</name>
  <cputune>
    <vcpupin vcpu='0' cpuset='4'/>
    <vcpupin vcpu='1' cpuset='5'/>
  </cputune>
  <devices>
    <interface type='bridge'><source bridge='br0'/></interface>
    <interface type='bridge'><source bridge='br1'/></interface>
    <disk type='network'><source protocol='https' name='a'><host name='h'/></source></disk>
    <graphics type='vnc' port='-1'/>
  </devices>
  <qemu:commandline><qemu:arg value='-foo'/></qemu:commandline>
</domain>
"""
# Every eighth document of the corpus.
EVERY = 8


def of(xml: str) -> dict[str, str]:
    return dict(xml_digests(xml.encode(), "fw1.xml"))


def changed(old: str, new: str, xml: str = DOMAIN) -> list[str]:
    """The parts that another text changes, adds or removes."""
    assert old in xml
    before, after = of(xml), of(xml.replace(old, new, 1))
    return [part for part in {**before, **after} if before.get(part) != after.get(part)]


def test_parts_are_children_of_the_domain_and_devices_by_number() -> None:
    assert [part for part, _ in xml_digests(DOMAIN.encode(), "fw1.xml")] == [
        "@",
        "name",
        "cputune",
        "devices/interface",
        "devices/interface[2]",
        "devices/disk",
        "devices/graphics",
        "{http://libvirt.org/schemas/domain/qemu/1.0}commandline",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<cputune>", "<!-- by hand --><cputune>"),
        ("<name>fw1<", "<name>f<!-- w -->w1<"),
        ("<name>fw1<", "<name>\n  <![CDATA[fw1]]>\n<"),
        ("vcpu='0' cpuset='4'", 'cpuset="4"\tvcpu="0" '),
        ("cpuset='4'/>", "cpuset='4'></vcpupin >"),
        ("cpuset='4'", "cpuset='&#52;'"),
        ("  <devices>\n", "<devices>\r\n\r\n"),
        ("<domain type='kvm'", "<?xml version='1.0'?>\n<domain id='7' type='kvm'"),
        (
            "qemu:commandline><qemu:arg value='-foo'/></qemu:commandline>",
            "q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-foo'/></q:commandline>",
        ),
        ("<graphics type='vnc' port='-1'/>", "<graphics type='vnc' passwd='sesame' port='-1'/>"),
        ("<host name='h'/>", "<host name='h'/><cookies><cookie name='a'>sesame</cookie></cookies>"),
    ],
)
def test_what_says_the_same_has_the_same_digests(old: str, new: str) -> None:
    assert changed(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("cpuset='4'", "cpuset='6'", ["cputune"]),
        ("fw1", "fw 1", ["name"]),
        ("type='kvm'", "type='qemu'", ["@"]),
        ("bridge='br1'", "bridge='br2'", ["devices/interface[2]"]),
        ("<graphics", "<rng/><graphics", ["devices/rng"]),
        ("<graphics type='vnc' port='-1'/>", "", ["devices/graphics"]),
        ("port='-1'", "port='5900'", ["devices/graphics"]),
        ("value='-foo'", "value='-bar'", ["{http://libvirt.org/schemas/domain/qemu/1.0}commandline"]),
        ("<host name='h'/>", "h<host name='h'/>", ["devices/disk"]),
        ("<vcpupin vcpu='0' cpuset='4'/>", "<vcpupin vcpu='0'/>", ["cputune"]),
        ("    <vcpupin vcpu='1' cpuset='5'/>\n", "", ["cputune"]),
    ],
)
def test_what_says_something_else_has_another_digest_there_alone(old: str, new: str, parts: list[str]) -> None:
    assert changed(old, new) == parts


def test_pins_in_another_order_are_another_text() -> None:
    """libvirt has an order of its own, so this one is somebody's doing."""
    first, second = "<vcpupin vcpu='0' cpuset='4'/>", "<vcpupin vcpu='1' cpuset='5'/>"
    swapped = DOMAIN.replace(first, "@").replace(second, first).replace("@", second)
    assert of(swapped)["cputune"] != of(DOMAIN)["cputune"]


def test_text_between_children_counts_where_it_stands() -> None:
    one, other = (f"<domain><metadata>{inside}</metadata></domain>" for inside in ("a<b/>c", "ac<b/>"))
    assert of(one)["metadata"] != of(other)["metadata"]
    assert of("<domain><metadata>\n a <b/>\n c\n</metadata></domain>") == of(one)


def test_no_secret_is_in_a_digest_s_name() -> None:
    with_secret = DOMAIN.replace("port='-1'", "port='-1' passwd='sesame'")
    assert "sesame" not in str(xml_digests(with_secret.encode(), "fw1.xml"))


def test_what_is_no_domain_is_refused_with_its_place() -> None:
    with pytest.raises(InputError, match=r"fw1.xml:1:1: expected <domain>, found <network>"):
        xml_digests(b"<network/>", "fw1.xml")


def documents() -> list[Path]:
    folder = corpus() / "domain-xml"
    with (folder / "MANIFEST.tsv").open(encoding="utf-8") as manifest:
        return [Path(folder, row["file"]) for row in csv.DictReader(manifest, delimiter="\t")][::EVERY]


def test_real_domains_written_anew_have_the_digests_that_they_had() -> None:
    """lxml writes quotation marks, entities and empty elements in its own way."""
    seen = 0
    for file in documents():
        data = file.read_bytes()
        try:
            before = xml_digests(data, file.name)
        except InputError:
            continue
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
        for comment in root.iter(etree.Comment):
            comment.text = " another "
        assert xml_digests(etree.tostring(root), file.name) == before, file.name
        assert len(dict(before)) == len(before)
        seen += 1
    assert seen > 100


@settings(max_examples=draws(30), deadline=None, derandomize=True)
@given(st.data())
def test_each_value_of_a_domain_counts(data: st.DataObject) -> None:
    """Whichever attribute is changed, exactly one part has another digest."""
    elements = [element for element in parse(DOMAIN.encode(), "fw1.xml").root.walk() if element.attributes]
    element = elements[data.draw(st.integers(0, len(elements) - 1))]
    attributes = [each for each in element.attributes if not each.name.startswith("xmlns")]
    attribute = attributes[data.draw(st.integers(0, len(attributes) - 1))]
    value = data.draw(st.text("abcdefgh0123456789-", min_size=1, max_size=5).filter(lambda v: v != attribute.value))
    other = DOMAIN[: attribute.value_start] + value + DOMAIN[attribute.value_end :]
    before, after = of(DOMAIN), of(other)
    assert before.keys() == after.keys()
    assert sum(before[part] != after[part] for part in before) == 1


@pytest.mark.libvirt
def test_libvirt_s_xml_with_and_without_secrets_has_equal_digests() -> None:
    import libvirt  # noqa: PLC0415  # not installed everywhere

    connection = libvirt.open("test:///default")
    devices = """<graphics type='vnc' passwd='sesame' passwdValidTo='2031-01-01T00:00:00' connected='keep'/>
      <graphics type='spice' passwd='sesame'/><graphics type='rdp'/>
      <disk type='network' device='cdrom'><driver name='qemu' type='raw'/><target dev='hda' bus='ide'/>
        <source protocol='https' name='a'><host name='h' port='1'/>
          <cookies><cookie name='a'>sesame</cookie></cookies></source></disk>"""
    domain = connection.defineXML(
        "<domain type='test'><name>secret</name><memory unit='KiB'>1024</memory><os><type>hvm</type></os>"
        f"<devices>{devices}</devices></domain>"
    )
    try:
        plain = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        full = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    finally:
        domain.undefine()
    assert len(re.findall("sesame", full)) == 3
    assert "sesame" not in plain
    assert of(plain) == of(full)
