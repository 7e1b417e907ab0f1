"""What we read of a domain XML is what libvirt reads: its own rendering of the domain says the same.

libvirt's test driver takes a definition and gives it back with every default filled in.
"""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml.etree import fromstring

from numaplan.domxml.read import read_guest
from numaplan.model.guest import Guest, GuestController
from tests.depth import draws
from tests.domxml.test_domxml_corpus import documents

pytestmark = pytest.mark.libvirt

# All of the corpus takes half a minute: without --every-document each eighth is asked about.
EVERY = 8
EXAMPLES = draws(75)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """libvirt's test driver, which keeps all that it is told in this process."""
    library = import_module("libvirt")
    library.registerErrorHandler(lambda *_: None, None)
    connection = library.open("test:///default")
    yield connection
    connection.close()


def taken(driver: Any, data: bytes) -> bytes | None:  # noqa: ANN401  # the binding has no types
    """The domain as libvirt gives it back; None where it refuses it."""
    library = import_module("libvirt")
    try:
        domain = driver.defineXML(data.decode())
    except library.libvirtError:
        return None
    rendered = domain.XMLDesc(library.VIR_DOMAIN_XML_INACTIVE).encode()
    domain.undefine()
    assert isinstance(rendered, bytes)
    return rendered


def may_be_asked(data: bytes) -> bool:
    """Whether libvirt 9 knows all words of a domain and survives it.

    It has no word of a topology's clusters, and writes behind its array for a distance to a cell that is not there
    (virDomainNumaDefNodeDistanceParseXML in src/conf/numa_conf.c; later releases refuse it).
    """
    cells = fromstring(data).findall("cpu/numa/cell")
    ids = {cell.get("id", str(place)) for place, cell in enumerate(cells)}
    siblings = {sibling.get("id") for cell in cells for sibling in cell.findall("distances/sibling")}
    return b"clusters=" not in data and siblings <= ids


def plain(value: Any) -> Any:  # noqa: ANN401  # any field of any noun
    """A noun without the lines on which it stands."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in fields(value)
            if field.name not in {"line", "vcpu_line", "file", "controllers", "schedulers"}
        }
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def filled(guest: Guest, after: Guest) -> Guest:
    """The guest with what libvirt adds to every domain and what the test driver calls its interfaces."""
    interfaces = zip(guest.interfaces, after.interfaces, strict=True)
    return replace(
        guest,
        uuid=guest.uuid or after.uuid,
        architecture=guest.architecture or after.architecture,
        interfaces=tuple(replace(own, target=other.target, mac=own.mac or other.mac) for own, other in interfaces),
    )


def numbered(guest: Guest) -> list[GuestController]:
    """Its controllers that have a number, without lines and addresses, which libvirt adds."""
    return [replace(each, line=0, address=None) for each in guest.controllers if each.index is not None]


def scheduled(guest: Guest) -> dict[tuple[object, int | None], tuple[str, int | None]]:
    """How each of its threads is scheduled: libvirt writes an element for each of them."""
    return {
        (each.kind, thread): (each.policy, each.priority)
        for each in guest.schedulers
        for thread in each.threads or [None]
    }


def assert_same(before: Guest, after: Guest, name: str) -> None:
    assert plain(filled(before, after)) == plain(filled(after, after)), name
    assert scheduled(before) == scheduled(after), name
    assert [each for each in numbered(before) if each not in numbered(after)] == [], name


def test_libvirts_rendering_of_a_domain_says_what_we_read_before(driver: Any, request: pytest.FixtureRequest) -> None:  # noqa: ANN401
    every = 1 if request.config.getoption("--every-document") else EVERY
    asked = 0
    for name, original, _ in documents()[::every]:
        data = re.sub(rb"<domain\b([^>]*?)\stype=(['\"])\w+\2", rb"<domain\1 type='test'", original, count=1)
        rendered = taken(driver, data) if may_be_asked(data) else None
        if rendered is not None:
            asked += 1
            assert_same(read_guest(data, name), read_guest(rendered, name), name)
    assert asked > 600 // every


# Domains with anything in the elements that we read: where libvirt takes one, so do we, and read the same.

# Mostly such that libvirt takes: what has ten mistakes tells nothing of any.
LISTS = st.sampled_from([*["0", "0-3", "0-3,^2", " 1 , 3 ", "0-7", "5"] * 4, "2-1", "", "x", "^0"])
NUMBERS = st.sampled_from([*["0", "1", "2", "3", "8", "10", "21", "255", " 1", "+1"] * 3, "300", "", "x", "-1", "1.5"])
UNITS = st.sampled_from([*[None, "KiB", "MiB", "b", "KB"] * 4, "x"])
MODES = st.sampled_from([None, "strict", "preferred", "interleave", "restrictive"])
PLACEMENTS = st.sampled_from([None, None, "static", "auto"])
POLICIES = st.sampled_from([*["batch", "idle", "fifo", "rr"] * 4, None, "other"])


def element(
    name: str, text: st.SearchStrategy[str] | None = None, **attributes: st.SearchStrategy[str | None]
) -> st.SearchStrategy[str]:
    """An element with some of its attributes."""
    parts = {key.rstrip("_"): value for key, value in attributes.items()}
    return st.builds(
        lambda content, values: (
            f"<{name}"
            + "".join(f" {key}='{value}'" for key, value in values.items() if value is not None)
            + (f">{content}</{name}>" if content else "/>")
        ),
        st.just("") if text is None else text,
        st.fixed_dictionaries(parts),
    )


def some(*kinds: st.SearchStrategy[str], most: int = 3) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*kinds), max_size=most).map("".join)


def good(value: str) -> st.SearchStrategy[str]:
    """Mostly this value."""
    return st.sampled_from([value] * 20 + ["x", "0", "1", ""])


SMALL = st.sampled_from(["0", "1", "2", "3"])
CPUTUNE = some(
    element("vcpupin", vcpu=SMALL | NUMBERS, cpuset=LISTS),
    element("emulatorpin", cpuset=LISTS),
    element("iothreadpin", iothread=SMALL, cpuset=LISTS),
    element("vcpusched", vcpus=st.sampled_from(["0", "1-2", "0-3,^1"]), scheduler=POLICIES, priority=NUMBERS),
    element("iothreadsched", iothreads=SMALL, scheduler=POLICIES, priority=good("1")),
    element("emulatorsched", scheduler=POLICIES, priority=good("-1")),
    element(
        "cachetune",
        element("cache", id=good("0"), level=good("3"), type=st.just("both"), size=good("3"), unit=UNITS),
        vcpus=st.sampled_from(["0", "1-2", "3-9", "7"]),
    ),
)
PAGES = element("hugepages", st.just("") | element("page", size=NUMBERS, unit=UNITS, nodeset=LISTS))
# Of two <hugepages> libvirt takes what both say together; we leave that to whoever wrote them.
BACKING = st.tuples(
    some(
        st.sampled_from(["<nosharepages/>", "<locked/>", "<discard/>"]),
        element("source", type=st.sampled_from(["file", "anonymous", "memfd"])),
        element("access", mode=st.sampled_from(["shared", "private"])),
        element("allocation", mode=st.sampled_from(["immediate", "ondemand"]), threads=NUMBERS),
    ),
    some(PAGES, most=1),
).map("".join)
NUMATUNE = some(element("memory", mode=MODES, placement=PLACEMENTS, nodeset=st.none() | LISTS), most=1)
# libvirt 9 aborts after a distance that it refuses (virDomainNumaDefNodeDistanceParseXML frees what it then writes to).
DISTANCES = element("distances", element("sibling", id=st.just("0"), value=st.just("10")))
FURTHER = element("distances", element("sibling", id=st.just("0"), value=st.sampled_from(["11", "21", "255"])))
ACCESS = st.sampled_from([None, None, "shared", "private", "x"])
FIRST = element("cell", st.just("") | DISTANCES, memory=good("4"), unit=UNITS, memAccess=ACCESS)
NEXT = element("cell", st.just("") | FURTHER, memory=good("4"), unit=UNITS, memAccess=ACCESS)
NUMA = element("numa", st.tuples(FIRST, some(NEXT)).map("".join))
CPU = st.tuples(some(NUMA, most=1), some(st.just("<cache mode='passthrough'/>"), most=1)).map("".join)
DEVICES = some(
    element(
        "controller",
        element("target", element("node", SMALL | NUMBERS), busNr=st.sampled_from([None, "0xfe", "254"])),
        type=st.just("pci"),
        index=good("4"),
        model=st.just("pcie-expander-bus"),
    ),
    element("memballoon", model=st.sampled_from(["none", "virtio", None])),
    element(
        "hostdev",
        st.just("<source><address domain='0' bus='0x3b' slot='2' function='1'/></source>")
        | st.just("<source><address bus='1'/></source><address type='pci' bus='1' slot='0x3'/>"),
        mode=st.just("subsystem"),
        type=st.just("pci"),
        managed=st.sampled_from([None, "yes", "no", "x"]),
    ),
)
DOMAINS = st.tuples(
    element("vcpu", good("8"), placement=PLACEMENTS, cpuset=st.none() | LISTS, current=st.none() | NUMBERS),
    some(element("vcpus", some(element("vcpu", id=SMALL, enabled=good("yes"), hotpluggable=st.just("no")))), most=1),
    some(element("iothreads", good("2")), most=1),
    some(element("cputune", CPUTUNE), most=1),
    some(element("numatune", NUMATUNE), most=1),
    some(element("memoryBacking", BACKING), most=1),
    some(element("memtune", element("hard_limit", NUMBERS, unit=UNITS)), most=1),
    some(element("cpu", CPU), most=1),
    element("devices", DEVICES),
).map("".join)


def test_what_libvirt_takes_is_read_and_read_alike(driver: Any) -> None:  # noqa: ANN401
    found = {"taken": 0, "refused": 0}

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(DOMAINS)
    def ask(inside: str) -> None:
        head = "<name>drawn</name><memory>1024</memory><os><type arch='x86_64'>hvm</type></os>"
        data = f"<domain type='test'>{head}{inside}</domain>".encode()
        rendered = taken(driver, data)
        found["refused" if rendered is None else "taken"] += 1
        if rendered is not None:
            assert_same(read_guest(data, "drawn"), read_guest(rendered, "drawn"), inside)

    ask()
    assert found["taken"] > EXAMPLES // 10, found
