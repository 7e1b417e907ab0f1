"""topology_svg: what the picture shows, that nothing in it overlaps, and that no host can break it."""

import random
import re
from dataclasses import replace

import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress, PciDevice, PcieLink
from numaplan.model.guest import EmulatorPin, Guest, GuestHostdev, VcpuId, VcpuPin
from numaplan.model.host import CoreKind, NodeId, Package, PackageId
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch
from numaplan.report.measure import shorten, text_width
from numaplan.report.svg import Box, Placed, Text, svg
from numaplan.report.topology_style import SHEET
from numaplan.report.topology_svg import topology_svg
from tests.hosts import GIB, Nic, host
from tests.inventory.trees import capture_id, captures, snapshot
from tests.records.samples import EVIL, full_snapshot
from tests.report.hostile import saying
from tests.report.pictures import SVG, all_texts, cell, contrast, overlaps, parse, shown_text, tooltips


def pinned(name: str, *cpus: int) -> Guest:
    pins = tuple(VcpuPin(VcpuId(i), CpuSet([CpuId(cpu)]), 1) for i, cpu in enumerate(cpus))
    return Guest(name, f"{name}.xml", len(cpus), len(cpus) * GIB, vcpu_pins=pins)


def crowded(nodes: int, cores: int) -> Snapshot:
    """A host with all of it: guests, PFs at every node, isolated CPUs."""
    guests = [pinned(f"cnf-{i}", *range(4 + i * 8, 12 + i * 8)) for i in range(nodes * cores // 10)]
    nics = [Nic(f"ens{i}f{j}np{j}", i, 147) for i in range(min(nodes, 7)) for j in range(2)]
    return host(
        f"{nodes}n:{cores}c:2t",
        llcs_per_node=4,
        nodes_per_package=max(1, nodes // 4),
        pages={"1GiB": 24, "2MiB": 1 << 17},
        nics=nics,
        guests=guests,
        isolated=f"2-{2 * nodes * cores - 1}",
    )


@pytest.mark.parametrize("name", [capture_id(path) for path in captures()])
def test_nothing_overlaps_on_a_captured_host_and_every_cpu_is_there_once(name: str) -> None:
    taken = snapshot(name)
    root = parse(topology_svg(taken))
    assert overlaps(root) == []
    drawn = [tip.split(";")[0] for tip in tooltips(root) if re.match(r"CPU \d+(;|$)", tip)]
    assert sorted(drawn) == sorted(f"CPU {cpu}" for cpu in taken.cpus.online | taken.cpus.offline)


@pytest.mark.parametrize(
    ("shape", "widest", "highest"), [((1, 4), 900, 1000), ((2, 20), 1600, 1300), ((8, 16), 2400, 2000)]
)
def test_nothing_overlaps_on_a_crowded_host_and_it_fits_a_screen_or_two(
    shape: tuple[int, int], widest: int, highest: int
) -> None:
    root = parse(topology_svg(crowded(*shape)))
    assert overlaps(root) == []
    assert float(root.get("width", "inf")) <= widest
    assert float(root.get("height", "inf")) <= highest


def test_1024_cpus_16_nodes_and_2048_vfs_stay_bounded_and_vfs_are_counted() -> None:
    text = topology_svg(crowded(16, 32))
    root = parse(text)
    assert overlaps(root) == []
    assert float(root.get("width", "inf")) <= 3600
    assert float(root.get("height", "inf")) <= 3000
    assert len(text) < 1_500_000
    assert "25 Gb/s \u00b7 i40e \u00b7 VFs 0 used / 147 set / 64" in all_texts(root)
    assert "0000:11:00.0" not in text


@pytest.mark.parametrize("seed", range(40))
def test_nothing_overlaps_on_a_random_host(seed: int) -> None:
    root = parse(topology_svg(random_host(random.Random(seed))))  # noqa: S311  # no secret: a case
    assert overlaps(root) == []


def random_host(dice: random.Random) -> Snapshot:
    """A host that contradicts itself: nodes that overlap, packages that span them, CPUs of nothing, odd devices."""
    nodes, cores, threads = dice.randint(1, 6), dice.randint(1, 9), dice.choice([1, 2, 4, 8])
    total = nodes * cores * threads
    some = CpuSet(cpu for cpu in range(total) if dice.random() < 0.3)
    guests = [pinned("n" * dice.randint(1, 80), *dice.choices(range(total), k=3)) for _ in range(dice.randint(0, 60))]
    guests.append(Guest("floats", "f", 4, GIB, vcpu_cpuset=some or None))
    nics = [Nic("e" * dice.randint(1, 40), dice.choice([None, 0, 99]), 3) for _ in range(dice.randint(0, 9))]
    built = host(
        f"{nodes}n:{cores}c:{threads}t",
        llcs_per_node=dice.choice([0, 1, min(3, cores)]),
        nodes_per_package=dice.randint(1, 3),
        pages={"2MiB": dice.choice([0, 1, 10**9])},
        nics=nics,
        guests=guests,
        isolated=str(some),
        offline=str(CpuSet(dice.sample(range(total), k=dice.randint(0, total // 2)))),
    )
    odd = [
        replace(
            node,
            cpus=node.cpus if dice.random() < 0.6 else some,
            memory_kib=dice.choice([None, 0, 1 << 40]),
            distances=dice.choice([(), node.distances, ((NodeId(0), 255), (NodeId(77), 10))]),
            packages=dice.choice([(), node.packages, (PackageId(0), PackageId(1))]),
        )
        for node in built.nodes
    ]
    extra = (Package(None, some, ()), Package(None, CpuSet(), (NodeId(0), NodeId(55))))
    return replace(
        built,
        nodes=tuple(odd),
        packages=dice.choice([(), built.packages, (*built.packages, *extra)]),
        cores=tuple(
            replace(core, numa_node=dice.choice([None, core.numa_node]), kind=dice.choice([None, *CoreKind]))
            for core in built.cores
            if dice.random() < 0.9
        ),
        openvswitch=dice.choice([None, OpenVswitch(dpdk=True, pmd_cpus=some)]),
    )


def test_the_same_host_is_the_same_bytes() -> None:
    assert topology_svg(full_snapshot()) == topology_svg(full_snapshot())


def test_each_cpu_shows_the_letter_and_the_colour_of_the_guest_that_holds_it() -> None:
    root = parse(topology_svg(host("2n:4c:2t", guests=[pinned("fw", 1, 9), pinned("vr", 2)])))
    assert cell(root, 1) == ("g0", ["1", "A"])
    assert cell(root, 9) == ("g0", ["9", "A"])
    assert cell(root, 2) == ("g1", ["2", "B"])
    assert cell(root, 3) == ("free", ["3"])


def test_a_cpu_pinned_by_two_guests_is_marked_and_told() -> None:
    root = parse(topology_svg(host("1n:4c:1t", guests=[pinned("fw", 1, 2), pinned("vr", 2)])))
    assert cell(root, 2) == ("clash", ["2", "A+B"])
    assert "CPU 2; guest A fw: vCPU 1 is pinned here; guest B vr: vCPU 0 is pinned here" in tooltips(root)
    assert "pinned or polled by more than one" in all_texts(root)
    assert (root.findtext(f"{SVG}desc") or "").endswith("CPUs held by more than one: 2.")


def test_more_guests_on_a_cpu_than_fit_are_counted() -> None:
    root = parse(topology_svg(host("1n:2c:1t", guests=[pinned(f"g{i}", 1) for i in range(5)])))
    assert cell(root, 1) == ("clash", ["1", "+\u00d75"])


def test_emulators_floating_vcpus_and_polling_threads_have_marks_of_their_own() -> None:
    guests = [
        replace(pinned("fw", 1), emulator_pin=EmulatorPin(CpuSet.parse("2"), 1)),
        Guest("web", "w", 2, GIB, vcpu_cpuset=CpuSet.parse("3-4")),
        Guest("any", "a", 2, GIB),
    ]
    built = replace(host("1n:8c:1t", guests=guests), openvswitch=OpenVswitch(dpdk=True, pmd_cpus=CpuSet.parse("1,6")))
    root = parse(topology_svg(built))
    assert cell(root, 2) == ("g0", ["2", "Ae"])
    assert cell(root, 3) == ("floating", ["3", "~B"])
    assert cell(root, 6) == ("pmd", ["6", "PMD"])
    assert cell(root, 1) == ("clash", ["1", "A+PMD"])
    assert cell(root, 0) == ("free", ["0"])


def test_isolated_kept_and_offline_cpus_differ_in_more_than_colour() -> None:
    root = parse(topology_svg(host("1n:4c:1t", isolated="2", offline="3")))
    assert cell(root, 0)[0] == "kept"
    assert cell(root, 2)[0] == "free"
    assert cell(root, 3)[0] == "offline"
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "isolated"]
    assert len(bars) == 2, "CPU 2 and its sample"
    for style in ("kept", "offline", "pmd"):
        assert "url(#numaplan-" in SHEET.boxes[style].css
    assert "Offline CPUs (1)" in all_texts(root)


def test_nodes_stand_where_their_packages_are_and_those_of_none_apart() -> None:
    built = host("4n:2c:1t", nodes_per_package=2)
    lonely = replace(built.nodes[3], cpus=CpuSet(), packages=())
    packages = (built.packages[0], replace(built.packages[1], numa_nodes=(NodeId(2),), cpus=built.nodes[2].cpus))
    cores = tuple(core for core in built.cores if core.numa_node != 3)
    online = built.cpus.online - built.nodes[3].cpus
    taken = replace(
        built,
        nodes=(*built.nodes[:3], lonely),
        packages=packages,
        cores=cores,
        llcs=built.llcs[:3],
        cpus=replace(built.cpus, online=online, present=online),
    )
    words = [text for text in all_texts(parse(topology_svg(taken))) if text.split()[0] in {"Package", "No", "Node"}]
    assert words == ["Package 0", "Node 0", "Node 1", "Package 1", "Node 2", "No package", "Node 3"]


def test_a_node_that_spans_packages_stands_once_with_both() -> None:
    built = host("1n:4c:1t", llcs_per_node=2)
    halves = (
        Package(PackageId(0), CpuSet.parse("0-1"), (NodeId(0),)),
        Package(PackageId(1), CpuSet.parse("2-3"), (NodeId(0),)),
    )
    texts = all_texts(parse(topology_svg(replace(built, packages=halves))))
    assert [text for text in texts if text.startswith(("Package", "Node", "L3"))] == [
        "Packages 0, 1",
        "Node 0",
        "L3 32 MiB \u00b7 package 0",
        "L3 32 MiB \u00b7 package 1",
    ]


def test_a_host_without_nodes_or_packages_still_shows_its_cpus() -> None:
    bare = replace(host("1n:2c:1t"), nodes=(), packages=(), cores=(), llcs=())
    root = parse(topology_svg(bare))
    assert overlaps(root) == []
    assert cell(root, 1) == ("free", ["1"])
    assert "No node" in all_texts(root)


def test_devices_stand_at_their_node_and_those_of_unknown_node_apart() -> None:
    gpu = PciDevice(PciAddress(0, 0x90, 0, 0), "10de", "2331", "030200", NodeId(1), "vfio-pci", name="H100")
    slow = PcieLink(8000, 4, 16000, 8)
    disks = [PciDevice(PciAddress(0, 0xA0 + i, 0, 0), "144d", "a824", "010802", NodeId(0), "nvme") for i in range(4)]
    built = host("2n:2c:1t", nics=[Nic("ens1f0", 0, 4), Nic("ens2f0", None, 2)])
    built = replace(built, pci=(replace(built.pci[0], link=slow), *built.pci[1:], gpu, *disks))
    built = replace(built, guests=(replace(pinned("ai", 1), hostdevs=(GuestHostdev(gpu.address, 1),)),))
    root = parse(topology_svg(built))
    texts = all_texts(root)
    assert overlaps(root) == []
    order = [texts.index(text) for text in ("Node 0", "ens1f0", "4 \u00d7 NVMe storage", "Node 1", "3D controller")]
    assert order == sorted(order)
    assert texts.index("Devices of unknown node") < texts.index("ens2f0")
    assert "! PCIe 8.0 GT/s x4 of 16.0 GT/s x8" in texts
    assert "given whole to A" in texts


def test_every_guest_is_in_the_legend_with_vcpus_memory_and_nodes() -> None:
    guests = [pinned(f"vnf-{i:03}", i) for i in range(30)]
    texts = all_texts(parse(topology_svg(host("2n:16c:1t", guests=guests))))
    at = texts.index("vnf-029")
    assert texts[at - 1 : at + 4] == ["AD", "vnf-029", "1 vCPU", "1 GiB", "node 1"]


def test_the_distances_are_a_matrix() -> None:
    texts = all_texts(parse(topology_svg(host("2n:1c:1t", distances=[[10, 32], [21, 10]]))))
    at = texts.index("Distances")
    assert texts[at + 1 : at + 9] == ["0", "1", "0", "10", "32", "1", "21", "10"]


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_no_evil_string_breaks_the_picture(text: str) -> None:
    shown = topology_svg(saying(full_snapshot(), text * 3))
    root = parse(shown)
    assert overlaps(root) == []
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "style", "defs", "pattern", "path", "g", "rect", "text",
    }  # fmt: skip
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]", shown
    )


def test_a_tower_of_marks_and_glyphs_of_any_width_stay_in_their_line() -> None:
    name = "Z" + "\u0301" * 500 + "\ufdfd" * 40
    root = parse(topology_svg(host("1n:1c:1t", guests=[pinned(name, 0)])))
    assert overlaps(root) == []
    shown = [text for text in root.iter(f"{SVG}text") if "\ufdfd" in shown_text(text)]
    assert shown
    assert all(text.get("textLength") for text in shown)
    assert all("\u0301" * 3 not in shown_text(text) for text in shown)


def test_a_long_name_is_shortened_and_stands_in_full_in_a_tooltip() -> None:
    name = "vnf-" + "x" * 300
    root = parse(topology_svg(host("1n:1c:1t", guests=[pinned(name, 0)])))
    assert name not in all_texts(root)
    assert any(text.startswith("vnf-xx") and text.endswith("\u2026") for text in all_texts(root))
    assert name in tooltips(root)


def test_the_picture_refers_to_nothing_outside_and_says_what_it_is() -> None:
    text = topology_svg(full_snapshot())
    root = parse(text)
    assert root.get("role") == "img"
    assert [child.tag.removeprefix(SVG) for child in root][:2] == ["title", "desc"]
    assert root.findtext(f"{SVG}title") == "NUMA topology of host compute-7"
    assert "Node 0: CPUs 0-2,8-11," in (root.findtext(f"{SVG}desc") or "")
    assert re.findall(r"url\((?!#)|href|<script|<image|<foreignObject|@import| on\w+=", text) == []
    assert re.findall(r"https?://[^\"<]*", text) == ["http://www.w3.org/2000/svg"]
    assert set(re.findall(r"font-family:([^;}]*)", text)) == {"sans-serif"}


def test_text_has_contrast_on_every_ground() -> None:
    grounds = {colour for style in SHEET.boxes.values() for colour in re.findall(r"fill:(#[0-9a-f]{6})", style.css)} - {
        SHEET.boxes[dark].css.partition("fill:")[2][:7] for dark in ("isolated", "tickless", "used")
    }
    ink = SHEET.texts["n"].css.partition("fill:")[2]
    assert len(grounds) > 12
    assert min(contrast(ink, ground) for ground in grounds) >= 7
    for style in SHEET.texts.values():
        assert contrast(style.css.partition("fill:")[2], "#f3f7ef") >= 4.5


def test_the_check_of_this_file_sees_what_overlaps_and_what_sticks_out() -> None:
    def drawn(*children: Placed) -> list[str]:
        return overlaps(parse(svg(Box("page", 100, 100, children), SHEET, title="", description="")))

    cell_ = Box("free", 30, 30)
    assert drawn(Placed(0, 0, cell_), Placed(30, 0, cell_)) == []
    assert len(drawn(Placed(0, 0, cell_), Placed(29, 29, cell_))) == 1
    assert len(drawn(Placed(71, 0, cell_))) == 1
    assert len(drawn(Placed(0, 0, Text("over", "n", 90)), Placed(10, 0, cell_))) == 1
    assert len(drawn(Placed(90, 0, Text("out", "n", 90)))) == 1


def test_shortening_keeps_as_much_as_fits() -> None:
    text = "ens1f0np0-something"
    for width in range(200):
        shown = shorten(text, 12, width)
        assert text_width(shown, 12) <= width
        if shown not in {text, ""}:
            longer = text[: len(shown)] + "\u2026"
            assert text_width(longer, 12) > width
    assert shorten(text, 12, 200) == text
