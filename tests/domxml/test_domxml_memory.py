"""How much memory a guest has, in which pages, on which nodes."""

import pytest

from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from tests.domxml.plans import BINDING, PINS, TWO_VCPUS, domain, lines_of, patched, placed
from tests.requests import guest

GIB = 1 << 20


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("<memory>1</memory>", "<memory>1048576</memory>"),
        ("<memory unit='GiB'>4</memory>", "<memory unit='GiB'>1</memory>"),
        ("<memory unit='GB'>4</memory>", "<memory unit='KiB'>1048576</memory>"),
        ("<memory unit='TiB' dumpCore='off'>4</memory>", "<memory unit='KiB' dumpCore='off'>1048576</memory>"),
        ("<memory unit='bytes'>4</memory>", "<memory unit='bytes'>1073741824</memory>"),
        ("<memory/>", "<memory>1048576</memory>"),
        ("<title>t</title>", "<title>t</title>\n<memory unit='KiB'>1048576</memory>"),
    ],
)
def test_memory_is_what_the_cells_have_in_the_unit_that_is_there(there: str, written: str) -> None:
    lines = lines_of(patched(domain(there, "<vcpu>2</vcpu>")).data)
    assert lines[2 : 2 + len(written.split("\n"))] == written.split("\n")


@pytest.mark.parametrize(("current", "written"), [("4", "1"), ("5", "1"), ("2", "1"), ("1", "1")])
def test_current_memory_follows_where_it_was_all_or_would_be_too_much(current: str, written: str) -> None:
    there = ("<memory unit='GiB'>4</memory>", f"<currentMemory unit='GiB'>{current}</currentMemory>")
    data = patched(domain(*there, "<vcpu>2</vcpu>")).data
    assert f"<currentMemory unit='GiB'>{written}</currentMemory>" in lines_of(data)


def test_a_balloon_that_is_smaller_stays_so() -> None:
    small = "<currentMemory unit='MiB'>512</currentMemory>"
    there = domain("<memory unit='GiB'>4</memory>", small, "<vcpu>2</vcpu>")
    assert small in lines_of(patched(there).data)


def test_too_small_a_max_memory_is_noted() -> None:
    there = domain("<maxMemory slots='2' unit='MiB'>512</maxMemory>", *TWO_VCPUS)
    assert patched(there).notes == ("<maxMemory> on line 3 is less than 1 GiB: libvirt refuses that, raise it",)


HUGE = placed(["4", "5"], page_kib=GIB)
PAGES = "<memoryBacking><hugepages><page size='1048576' unit='KiB'/></hugepages></memoryBacking>"


@pytest.mark.parametrize(
    "there",
    [
        "<hugepages><page size='1' unit='GiB'/></hugepages>",
        "<hugepages><page size='1048576'/></hugepages>",
        "<hugepages><page size='1' unit='G' nodeset='0'/></hugepages>",
    ],
)
def test_the_page_size_that_is_there_already_is_not_touched(there: str) -> None:
    backing = f"<memoryBacking>{there}</memoryBacking>"
    assert backing in lines_of(patched(domain(backing, *TWO_VCPUS), HUGE).data)


def test_pages_of_cells_that_go_do_not_stay() -> None:
    there = "<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/><page size='2' unit='M' nodeset='1-2'/>"
    cells = "".join(f"<cell id='{i}' cpus='{i}' memory='1' unit='GiB'/>" for i in range(3))
    xml = domain(
        "<memory unit='GiB'>3</memory>",
        f"{there}</hugepages></memoryBacking>",
        "<vcpu>3</vcpu>",
        f"<cpu><numa>{cells}</numa></cpu>",
    )
    written = "".join(lines_of(patched(xml, HUGE, change_topology=True).data))
    assert PAGES in written
    assert written.count("<page") == 1


@pytest.mark.parametrize("inside", [("  <hugepages/>",), ("  <hugepages>", "    <page size='2'/>", "  </hugepages>")])
def test_a_backing_of_huge_pages_alone_goes_with_them(inside: tuple[str, ...]) -> None:
    result = patched(domain("<memoryBacking>", *inside, "</memoryBacking>", *TWO_VCPUS))
    assert result.data == domain(*TWO_VCPUS, *PINS, *BINDING)
    said = patched(domain("<memoryBacking>", *inside, "  <!-- ours -->", "</memoryBacking>", *TWO_VCPUS))
    assert said.data == domain("<memoryBacking>", "  <!-- ours -->", "</memoryBacking>", *TWO_VCPUS, *PINS, *BINDING)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("<memoryBacking/>", PAGES),
        ("<memoryBacking><locked/></memoryBacking>", PAGES.replace("</memory", "<locked/></memory")),
        ("<memoryBacking><hugepages/></memoryBacking>", PAGES),
        ("<memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>", PAGES),
        (
            "<memoryBacking><hugepages><page size='2048' nodeset='0'/><page size='4'/></hugepages></memoryBacking>",
            PAGES.replace(" unit='KiB'", " unit='KiB'"),
        ),
    ],
)
def test_huge_pages_are_of_the_planned_size(there: str, written: str) -> None:
    data = patched(domain(there, *TWO_VCPUS), HUGE).data
    assert "".join(lines_of(data)).startswith(f"<domain type='kvm'><name>fw1</name>{written}<memory")


def test_cells_of_different_page_sizes_name_their_guest_cells() -> None:
    mixed = placed(["4"], ["20"], ["6"], nodes=[0, 1, 0], page_kib=[GIB, 4, 2048])
    data = patched(domain("<memory unit='GiB'>3</memory>", "<vcpu>3</vcpu>"), mixed).data
    assert "<page size='1048576' unit='KiB' nodeset='0'/><page size='2048' unit='KiB' nodeset='2'/>" in "".join(
        lines_of(data)
    )


def test_ordinary_pages_take_huge_ones_away_with_a_note() -> None:
    result = patched(domain("<memoryBacking>", "  <hugepages/>", "  <locked/>", "</memoryBacking>", *TWO_VCPUS))
    assert result.data == domain("<memoryBacking>", "  <locked/>", "</memoryBacking>", *TWO_VCPUS, *PINS, *BINDING)
    assert result.notes == ("<hugepages> on line 4 goes: the plan has pages of 4 KiB",)


@pytest.mark.parametrize("backing", ["<source type='anonymous'/>", "<allocation mode='ondemand'/>"])
def test_what_libvirt_refuses_beside_huge_pages_goes_with_a_note(backing: str) -> None:
    result = patched(domain(f"<memoryBacking>{backing}</memoryBacking>", *TWO_VCPUS), HUGE)
    assert PAGES in lines_of(result.data)
    assert result.notes == (f"{backing[:-2]}> on line 3 goes: libvirt refuses it beside huge pages",)


def numatune(placement: Placement, request: GuestRequest | None = None, there: str = "") -> list[str]:
    count = sum(len(cell.vcpus) for cell in placement.cells)
    data = patched(domain(f"<vcpu>{count}</vcpu>", *([there] if there else [])), placement, request).data
    text = "".join(lines_of(data))
    return text[text.index("<numatune>") + 10 : text.index("</numatune>")].replace("><", ">\n<").split("\n")


def test_a_guest_without_numa_is_bound_as_a_whole() -> None:
    assert numatune(placed(["4"], nodes=[1])) == ["<memory mode='strict' nodeset='1'/>"]


def test_preferred_memory_prefers_one_node() -> None:
    request = guest("fw1", 1, memory_policy="preferred")
    assert numatune(placed(["4"], memory_nodes=[3]), request) == ["<memory mode='preferred' nodeset='3'/>"]


def test_cells_are_bound_one_by_one() -> None:
    assert numatune(placed(["4"], ["20"])) == [
        "<memory mode='strict' nodeset='0-1'/>",
        "<memnode cellid='0' mode='strict' nodeset='0'/>",
        "<memnode cellid='1' mode='strict' nodeset='1'/>",
    ]


def test_preferred_cells_on_two_nodes_keep_their_mode_below_a_strict_union() -> None:
    # libvirt allows one node in mode "preferred".
    assert numatune(placed(["4"], ["20"]), guest("fw1", [1, 1], memory_policy="preferred")) == [
        "<memory mode='strict' nodeset='0-1'/>",
        "<memnode cellid='0' mode='preferred' nodeset='0'/>",
        "<memnode cellid='1' mode='preferred' nodeset='1'/>",
    ]


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("<memory placement='auto'/>", "<memory nodeset='0'/>"),
        (
            "<memory mode='strict' placement='static' nodeset='1'/>",
            "<memory mode='strict' placement='static' nodeset='0'/>",
        ),
        ("<memory mode='interleave' nodeset='0-1'/>", "<memory mode='strict' nodeset='0'/>"),
        ("<memory nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/>", "<memory nodeset='0'/>"),
    ],
)
def test_a_binding_that_is_there_is_corrected(there: str, written: str) -> None:
    assert numatune(placed(["4", "5"]), there=f"<numatune>{there}</numatune>") == [written]
