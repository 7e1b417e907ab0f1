"""The XML says what the placement says, and nothing else of it changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.domxml.patch import patch_guest
from numaplan.errors import ExitCode, InputError
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from tests.domxml.plans import BINDING, HOST, PINS, TWO_VCPUS, domain, lines_of, patched, placed, sriov
from tests.hosts import host
from tests.requests import guest

CASES = Path(__file__).parent / "cases"
GIB = 1 << 20
VF = "0000:3b:02.0"

_CELLS = placed(["4", "5"], ["20", "21"], memory_gib=2, page_kib=GIB, topology=(2, 1, 1, 2))
GOLDEN: dict[str, tuple[GuestRequest, Placement]] = {
    "plain": (
        guest("fw1", 2, memory_gib=4, interfaces=(sriov("data", 2, vlan=7),), iothreads=1),
        placed(["4", "5"], memory_gib=4, page_kib=GIB, vfs={"data": [VF, "0000:3b:02.1"]}, iothreads=["2"],
               topology=(1, 1, 1, 2)),
    ),
    "dressed": (
        guest("fw1", 4, memory_gib=2, interfaces=(sriov("left"), sriov("right")), thread_policy="isolate"),
        placed(["4", "5", "6", "7"], nodes=[1], memory_gib=2, page_kib=GIB, emulator="1,33",
               vfs={"left": [VF], "right": ["0000:3b:0b.0"]}, topology=(1, 1, 4, 1)),
    ),
    "cells": (guest("fw1", [2, 2], memory_gib=2), _CELLS),
    "tabs": (
        guest("fw1", 2, interfaces=(sriov("data", mac="52:54:00:00:00:02"),)),
        placed(["4", "5"], vfs={"data": [VF]}),
    ),
    "line": (guest("fw1", 2, cpu_policy="shared"), placed(["4-7", "4-7"], emulator="0-1")),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_a_patched_domain_reads_as_its_golden_file(name: str, golden: Callable[[Path, str], None]) -> None:
    request, placement = GOLDEN[name]
    data = (CASES / f"{name}-in.xml").read_bytes()
    # "dressed" has a topology of its own that does not fit.
    result = patched(data, placement, request, change_topology=name == "dressed")
    golden(CASES / f"{name}-out.xml", result.data.decode())
    golden(CASES / f"{name}-notes.txt", "".join(f"{remark}\n" for remark in result.remarks))


def test_what_says_the_right_thing_keeps_every_byte() -> None:
    data = domain(
        "<memory unit='MiB' >1024</memory>",
        "<vcpu cpuset='0-7' >\n2 </vcpu>",
        '<cputune><emulatorpin cpuset="0,1"/><vcpupin vcpu="01" cpuset="5,^4"/>',
        '<vcpupin cpuset="3-4,^3" vcpu="0"/></cputune>',
        "<numatune><memory nodeset='0-1,^1'/></numatune>",
    )
    assert patched(data).data == data
    assert patched(data).notes == ()


def test_what_is_missing_is_put_where_libvirt_prints_it() -> None:
    result = patched(domain(*TWO_VCPUS, "<os><type>hvm</type></os>"))
    assert result.data == domain(*TWO_VCPUS, *PINS, *BINDING, "<os><type>hvm</type></os>")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("cputune", ["<cputune/>", "<cputune />", "<cputune></cputune>"])
def test_an_empty_element_is_filled(cputune: str, newline: str) -> None:
    result = patched(domain(*TWO_VCPUS, cputune, *BINDING, newline=newline))
    assert result.data == domain(*TWO_VCPUS, *PINS, *BINDING, newline=newline)


def test_an_empty_element_with_a_neighbour_on_its_line_keeps_it() -> None:
    data = b"<domain><name>a</name><memory>1048576</memory><cputune/><x/><vcpu/></domain>"
    assert patched(data).data == (
        b"<domain><name>a</name><memory>1048576</memory>"
        b"<cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5'/><emulatorpin cpuset='0-1'/></cputune>"
        b"<numatune><memory mode='strict' nodeset='0'/></numatune><x/><vcpu>2</vcpu></domain>"
    )


def test_a_byte_order_mark_stays() -> None:
    data = b"\xef\xbb\xbf" + domain(*TWO_VCPUS)
    assert patched(data).data == b"\xef\xbb\xbf" + domain(*TWO_VCPUS, *PINS, *BINDING)


def test_comments_and_cdata_with_decoys_stay() -> None:
    decoys = ("<!-- <cputune> <vcpu>9</vcpu> -->", "<description><![CDATA[<cputune>]]></description>")
    result = patched(domain(*decoys, *TWO_VCPUS, "<cputune> <!-- a --> <!-- b --></cputune>"))
    assert lines_of(result.data)[2:6] == [*decoys, *TWO_VCPUS]
    assert b"<cputune> <!-- a --> <!-- b -->\n    <vcpupin vcpu='0' cpuset='4'/>" in result.data


def test_the_quotes_of_a_replaced_value_stay() -> None:
    result = patched(domain(*TWO_VCPUS, """<cputune><vcpupin vcpu="0" cpuset="9"/></cputune>"""))
    assert b"""<vcpupin vcpu="0" cpuset="4"/>""" in result.data


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("<vcpu>4</vcpu>", "<vcpu>2</vcpu>"),
        ("<vcpu><![CDATA[4]]></vcpu>", "<vcpu>2</vcpu>"),
        ("<vcpu> &#52; </vcpu>", "<vcpu> 2 </vcpu>"),
        ("<vcpu>1<!-- x -->6</vcpu>", "<vcpu>2<!-- x --></vcpu>"),
        ("<vcpu placement='auto'>2</vcpu>", "<vcpu placement='static'>2</vcpu>"),
        ("<vcpu placement='auto' cpuset='0-9'>2</vcpu>", "<vcpu placement='static'>2</vcpu>"),
        ("<vcpu cpuset='4-5'>2</vcpu>", "<vcpu>2</vcpu>"),
        ("<vcpu cpuset='0-5'>2</vcpu>", "<vcpu cpuset='0-5'>2</vcpu>"),
        ("<vcpu current='3'>4</vcpu>", "<vcpu>2</vcpu>"),
        ("<vcpu current='2'>4</vcpu>", "<vcpu>2</vcpu>"),
        ("<vcpu current='2'>2</vcpu>", "<vcpu current='2'>2</vcpu>"),
        ("<vcpu current='1'>4</vcpu>", "<vcpu current='1'>2</vcpu>"),
        ("<vcpu current='1'>1</vcpu>", "<vcpu>2</vcpu>"),
        ("<vcpu/>", "<vcpu>2</vcpu>"),
        ("<vcpu placement='static'/>", "<vcpu placement='static'>2</vcpu>"),
    ],
)
def test_vcpu_says_how_many_and_nothing_against_the_pins(there: str, written: str) -> None:
    result = patched(domain("<memory unit='GiB'>1</memory>", there))
    assert lines_of(result.data)[3] == written
    assert any("lowered" in note for note in result.notes) == ("current='3'" in there)


def test_vcpu_is_added_where_the_xml_relied_on_the_default() -> None:
    assert lines_of(patched(domain("<memory unit='GiB'>1</memory>")).data)[3] == TWO_VCPUS[1]


def test_vcpus_one_by_one_go_when_their_number_changes() -> None:
    listed = "<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/></vcpus>"
    kept = patched(domain(*TWO_VCPUS, listed))
    assert listed in lines_of(kept.data)
    changed = patched(domain("<memory unit='GiB'>1</memory>", "<vcpu>1</vcpu>", listed))
    assert listed not in lines_of(changed.data)
    assert changed.notes == ("<vcpus> on line 5 goes: it lists 1 vCPU, vnf.yaml asks for 2",)


def test_shares_of_vcpus_that_go_are_cut_and_noted() -> None:
    monitors = "<monitor level='3' vcpus='3'/><monitor level='3' vcpus='1,3'/>"
    tune = f"<cachetune vcpus='1-3'><cache id='0' level='3' type='both' size='3' unit='MiB'/>{monitors}</cachetune>"
    four = ("<memory unit='GiB'>1</memory>", "<vcpu>4</vcpu>")
    result = patched(domain(*four, f"<cputune>{tune}<memorytune vcpus='2-3'/></cputune>"))
    cut = tune.replace("1-3", "1").replace("<monitor level='3' vcpus='3'/>", "").replace("1,3", "1")
    assert cut in "".join(lines_of(result.data))
    assert b"memorytune" not in result.data
    assert [note.partition(", the guest has 2: ")[2] for note in result.notes] == [
        "that is left out",
        "it goes",
        "that is left out",
        "it goes",
    ]
    notes = patched(domain(*four, "<cputune><cachetune vcpus='3'/></cputune>")).notes
    assert notes == ("<cachetune> on line 5 names vCPU 3, the guest has 2: it goes",)


def test_iothreads_that_come_beside_listed_ones_are_listed() -> None:
    there = ("<iothreads>1</iothreads>", "<iothreadids><iothread id='2'/></iothreadids>")
    written = "".join(lines_of(patched(domain(*TWO_VCPUS, *there), placed(["4", "5"], iothreads=["2", "3"])).data))
    assert "<iothreads>2</iothreads><iothreadids><iothread id='2'/><iothread id='1'/></iothreadids>" in written
    assert "<iothreadpin iothread='1' cpuset='2'/><iothreadpin iothread='2' cpuset='3'/>" in written


def test_more_iothreads_are_added_and_pinned() -> None:
    result = patched(domain(*TWO_VCPUS), placed(["4", "5"], iothreads=["2", "3"]))
    assert lines_of(result.data)[4:9] == [
        "<iothreads>2</iothreads>", "<cputune>", *(line.strip() for line in PINS[1:4]),
    ]  # fmt: skip
    assert lines_of(result.data)[9:11] == [
        "<iothreadpin iothread='1' cpuset='2'/>", "<iothreadpin iothread='2' cpuset='3'/>",
    ]  # fmt: skip


def test_listed_iothreads_keep_their_ids() -> None:
    there = ("<iothreads>2</iothreads>", "<iothreadids><iothread id='7'/><iothread id='3'/></iothreadids>")
    lines = lines_of(patched(domain(*TWO_VCPUS, *there), placed(["4", "5"], iothreads=["2", "3", "6"])).data)
    assert "<iothreads>3</iothreads>" in lines
    assert [line for line in lines if "iothreadpin" in line] == [
        "<iothreadpin iothread='1' cpuset='2'/>",
        "<iothreadpin iothread='3' cpuset='3'/>",
        "<iothreadpin iothread='7' cpuset='6'/>",
    ]


def test_iothreads_that_nobody_uses_go() -> None:
    result = patched(domain(*TWO_VCPUS, "<iothreads>4</iothreads>"), placed(["4", "5"], iothreads=["2"]))
    assert "<iothreads>1</iothreads>" in lines_of(result.data)
    assert result.notes == ()


@pytest.mark.parametrize("planned", [(), ("2",)])
def test_iothreads_that_a_disk_uses_stay_and_run_with_the_emulator(planned: tuple[str, ...]) -> None:
    disk = "<disk><driver iothread='2'/></disk>"
    data = domain(*TWO_VCPUS, "<iothreads>2</iothreads>", devices=(disk,))
    result = patched(data, placed(["4", "5"], iothreads=planned))
    assert "<iothreads>2</iothreads>" in lines_of(result.data)
    assert "<iothreadpin iothread='2' cpuset='0-1'/>" in lines_of(result.data)
    asked = f"the XML has 2 iothreads, vnf.yaml asks for {len(planned)}: the others stay, pinned as the emulator"
    assert result.notes == (asked,)


def test_pins_that_contradict_go_and_other_tuning_stays() -> None:
    there = (
        "<cputune>",
        "  <shares>1</shares>",
        "  <vcpupin vcpu='5' cpuset='9'/>",
        "  <iothreadpin iothread='1' cpuset='9'/>",
        "  <emulatorsched scheduler='batch'/>",
        "</cputune>",
    )
    result = patched(domain(*TWO_VCPUS, *there))
    written = (there[0], there[1], *PINS[1:4], *there[4:])
    assert result.data == domain(*TWO_VCPUS, *written, *BINDING)


SIBLINGS = "<topology sockets='1' dies='1' cores='1' threads='2'/>"
TOPOLOGY = placed(["4", "5"], topology=(1, 1, 1, 2))


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("", f"<cpu>{SIBLINGS}</cpu>"),
        ("<cpu/>", f"<cpu>{SIBLINGS}</cpu>"),
        (
            "<cpu mode='custom'><model>EPYC</model><feature name='x'/></cpu>",
            f"<cpu mode='custom'><model>EPYC</model>{SIBLINGS}<feature name='x'/></cpu>",
        ),
        (
            "<cpu><topology threads='2' cores='1' sockets='1'/></cpu>",
            "<cpu><topology threads='2' cores='1' sockets='1'/></cpu>",
        ),
    ],
)
def test_the_topology_is_added_where_there_is_none(there: str, written: str) -> None:
    data = patched(domain(*TWO_VCPUS, *([there] if there else [])), TOPOLOGY).data
    assert written in "".join(lines_of(data))


OTHER = "<cpu><topology sockets='2' clusters='1' cores='1' threads='1'/></cpu>"


def test_another_topology_stays_unless_it_may_change() -> None:
    result = patched(domain(*TWO_VCPUS, OTHER), TOPOLOGY)
    assert OTHER in lines_of(result.data)
    assert (result.notes, result.noticed) == ((), ())
    assert result.withheld == (
        "<topology> on line 5 stays (2x1x1x1), its CPUs make up 1x1x1x2: --change-guest-topology changes it",
    )
    changed = patched(domain(*TWO_VCPUS, OTHER), TOPOLOGY, change_topology=True)
    assert "<cpu><topology sockets='1' clusters='1' cores='1' threads='2'/></cpu>" in lines_of(changed.data)


def refusal(data: bytes, placement: Placement) -> InputError:
    request = guest("fw1", [len(cell.vcpus) for cell in placement.cells])
    with pytest.raises(InputError) as caught:
        patch_guest(data, "fw1.xml", request=request, placement=placement, host=HOST, change_topology=False)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return caught.value


def test_a_topology_that_would_not_fit_the_vcpus_is_refused_or_changed() -> None:
    data = domain("<memory>1</memory>", "<vcpu>4</vcpu>", "<cpu><topology sockets='4' cores='1' threads='1'/></cpu>")
    assert str(refusal(data, TOPOLOGY)) == (
        "fw1.xml:5:8: <topology> has 4 vCPUs, vnf.yaml asks for 2;"
        " libvirt wants them equal: --change-guest-topology changes it"
    )
    changed = patched(data, TOPOLOGY, change_topology=True)
    assert "<cpu><topology sockets='1' cores='1' threads='2'/></cpu>" in lines_of(changed.data)
    # Nothing to put in its place: libvirt's own default fits.
    gone = patched(data, placed(["4", "5"]), change_topology=True)
    assert "topology" not in gone.data.decode()
    assert gone.notes == ("<topology> on line 5 goes: it has 4 vCPUs, the guest 2",)


TWO_CELLS = placed(["4", "5"], ["20", "21"], memory_gib=2)
NUMA = (
    "<vcpu>4</vcpu>",
    "<cpu>",
    "  <numa>",
    "    <cell cpus='0-2' memory='3' unit='GiB' memAccess='shared'/>",
    "    <cell cpus='3' memory='1' unit='GiB'/>",
    "  </numa>",
    "</cpu>",
)


def test_numa_cells_are_added_where_there_are_none() -> None:
    assert lines_of(patched(domain("<vcpu>4</vcpu>"), TWO_CELLS).data)[-10:-2] == [
        "</numatune>",
        "<cpu>",
        "<numa>",
        "<cell id='0' cpus='0-1' memory='2097152' unit='KiB'/>",
        "<cell id='1' cpus='2-3' memory='2097152' unit='KiB'/>",
        "</numa>",
        "</cpu>",
        "<devices>",
    ]


def test_other_cells_stay_and_are_bound_unless_they_may_change() -> None:
    result = patched(domain(*NUMA), TWO_CELLS)
    assert result.data.decode().index("".join(f"  {line}\n" for line in NUMA[1:]))
    assert result.withheld == ("<numa> on line 6 stays, with 2 cells of its own: --change-guest-topology changes it",)
    assert "<memnode cellid='1' mode='strict' nodeset='1'/>" in lines_of(result.data)
    changed = patched(domain(*NUMA), TWO_CELLS, change_topology=True)
    assert lines_of(changed.data)[-7:-5] == [
        "<cell cpus='0-1' memory='2' unit='GiB' memAccess='shared'/>",
        "<cell cpus='2-3' memory='2' unit='GiB'/>",
    ]
    assert changed.notes == ()


def test_cells_that_name_vcpus_beyond_the_wanted_ones_are_refused() -> None:
    assert "<numa> names vCPU 3, vnf.yaml asks for 2 vCPUs" in str(refusal(domain(*NUMA), placed(["4", "5"])))


def test_a_cell_more_or_less_leaves_nothing_that_names_it() -> None:
    distances = "<distances><sibling id='{}' value='10'/></distances>"
    there = (
        "<vcpu>2</vcpu>",
        "<cpu><numa>",
        f"  <cell id='0' cpus='0' memory='1' unit='GiB'>{distances.format(1)}</cell>",
        f"  <cell id='1' cpus='1' memory='1' unit='GiB'>{distances.format(1)}</cell>",
        "</numa></cpu>",
    )
    data = domain(*there, devices=("<memory model='dimm'><target><size>1024</size><node>1</node></target></memory>",))
    fewer = patched(data, placed(["4", "5"], memory_gib=2), change_topology=True)
    assert lines_of(fewer.data)[-7:-4] == [
        "<cpu><numa>", "<cell id='0' cpus='0-1' memory='2' unit='GiB'></cell>", "</numa></cpu>",
    ]  # fmt: skip
    assert fewer.notes == ("<node> on line 9 names cell 1, the guest has 1",)
    more = patched(
        data, placed(["4"], ["20"], ["6"]), change_topology=True, on=host("3n:8c:2t", distances=[[], [], []])
    )
    assert "<cell id='2' cpus='2' memory='1048576' unit='KiB'/>" in lines_of(more.data)
    assert more.data.count(b"<distances>") == 2


@pytest.mark.parametrize("name", ["cputune", "numatune", "cpu", "vcpu", "memoryBacking"])
def test_duplicates_are_refused_with_both_lines(name: str) -> None:
    error = refusal(domain(f"<{name}/>", f"<{name}/>"), placed(["4", "5"]))
    assert str(error).startswith(f"fw1.xml:4:3: a second <{name}>, the first is on line 3")


def metadata(placement: Placement, request: GuestRequest, there: str = "<title/>") -> str:
    text = "".join(lines_of(patched(domain(there, *TWO_VCPUS), placement, request).data))
    return text[text.index("</name>") + 7 : text.index("<memory ")].removeprefix("<title/>").removesuffix("<title/>")


def test_metadata_says_what_an_audit_would_take_for_an_oversight() -> None:
    plan, small = placed(["4", "5"]), placed(["4", "5"], vfs={"data": [VF]})
    head = "<metadata><numaplan:guest xmlns:numaplan='urn:numaplan:1' thread_policy="
    assert metadata(plan, guest("fw1", 2)) == ""
    assert metadata(plan, guest("fw1", 2, thread_policy="isolate")) == f"{head}'isolate'/></metadata>"
    shared = guest("fw1", 2, cpu_policy="shared")
    assert metadata(plan, shared) == f"{head}'prefer' shared_vcpus='0-1'/></metadata>"
    assert metadata(small, guest("fw1", 2, interfaces=(sriov("data"),))) == f"{head}'prefer'/></metadata>"


def test_metadata_that_is_there_is_brought_up_to_date_beside_that_of_others() -> None:
    ours = "<guest xmlns='urn:numaplan:1' thread_policy='isolate' shared_vcpus='0'/>"
    there = f"<metadata><x:a xmlns:x='u'/>{ours}</metadata>"
    written = there.replace("isolate", "prefer").replace(" shared_vcpus='0'", "")
    assert metadata(placed(["4", "5"]), guest("fw1", 2), there) == written
