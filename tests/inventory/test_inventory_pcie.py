import pytest

from numaplan.inventory.pci import read_pci, read_pci_folders
from numaplan.inventory.pcie import parse_link_speed, parse_link_width, parse_resets, read_pcie_link, read_resets
from numaplan.model.devices import PcieLink
from tests.inventory.trees import To, gaps, snapshot, tree

FOLDER = "sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0"
SLOWED = {
    f"{FOLDER}/current_link_speed": "8.0 GT/s PCIe\n",
    f"{FOLDER}/current_link_width": "8\n",
    f"{FOLDER}/max_link_speed": "16.0 GT/s PCIe\n",
    f"{FOLDER}/max_link_width": "16\n",
}
INTEGRATED = {
    f"{FOLDER}/current_link_speed": "Unknown\n",
    f"{FOLDER}/current_link_width": "0\n",
    f"{FOLDER}/max_link_speed": "Unknown\n",
    f"{FOLDER}/max_link_width": "255\n",
}


def test_a_link_that_trained_slower_and_narrower_than_the_function_can() -> None:
    made = tree(SLOWED)
    link = read_pcie_link(made, FOLDER, names=made.names(FOLDER))
    assert link == PcieLink(speed_mtps=8000, width=8, max_speed_mtps=16000, max_width=16)
    assert link.is_degraded
    assert not made.gaps


def test_a_function_integrated_in_the_root_complex_has_no_link_and_one_file_tells() -> None:
    made = tree(INTEGRATED)
    assert read_pcie_link(made, FOLDER, names=made.names(FOLDER)) is None
    assert made.opened == (f"{FOLDER}/max_link_width",)
    assert not made.gaps


def test_a_link_that_is_down_keeps_what_the_function_could_do() -> None:
    down = SLOWED | {f"{FOLDER}/current_link_speed": "Unknown\n", f"{FOLDER}/current_link_width": "0\n"}
    made = tree(down)
    link = read_pcie_link(made, FOLDER, names=made.names(FOLDER))
    assert link == PcieLink(max_speed_mtps=16000, max_width=16)
    assert not link.is_degraded
    assert not made.gaps


def test_a_function_of_the_old_bus_has_no_link() -> None:
    made = tree({f"{FOLDER}/vendor": "0x8086\n"})
    assert read_pcie_link(made, FOLDER, names=made.names(FOLDER)) is None
    assert not made.gaps


@pytest.mark.parametrize("name", [path.rpartition("/")[2] for path in SLOWED])
def test_one_of_the_four_files_that_is_missing_or_broken_costs_its_own_fact_alone(name: str) -> None:
    for text in (None, "", "63\n", "-1\n", "\xff\n", "16 GB/s\n", "5,0 GT/s PCIe\n", "3\n"):
        files = {path: content for path, content in SLOWED.items() if path != f"{FOLDER}/{name}"}
        made = tree(files if text is None else files | {f"{FOLDER}/{name}": text})
        link = read_pcie_link(made, FOLDER, names=made.names(FOLDER))
        assert link is not None
        values = (link.speed_mtps, link.width, link.max_speed_mtps, link.max_width)
        assert sorted(value is None for value in values) == [False, False, False, True], (name, text)
        # Captures of other tools have only some of the files.
        assert [what for what, _ in gaps(made)] == ([] if text is None else [f"{FOLDER}/{name}"])


def test_a_vf_is_not_asked_for_the_link_of_its_pf() -> None:
    vf = FOLDER.replace("00.0/0000:3b:00.0", "00.0/0000:3b:02.0")
    files: dict[str, str | To | None] = {
        f"{vf}/vendor": "0x8086\n",
        f"{vf}/device": "0x154c\n",
        f"{vf}/class": "0x020000\n",
        f"{vf}/numa_node": "-1\n",
        f"{vf}/physfn": To("../0000:3b:00.0"),
        f"{vf}/reset_method": "flr\n",
    }
    made = tree(files | {path.replace(FOLDER, vf): text for path, text in INTEGRATED.items()})
    (device,) = read_pci(made, read_pci_folders(made), (), exposed=False)
    assert (device.link, device.resets) == (None, ("flr",))
    assert not [path for path in made.opened if "_link_" in path]


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("2.5 GT/s PCIe\n", 2500),
        ("8.0 GT/s PCIe\n", 8000),
        ("64.0 GT/s PCIe\n", 64000),
        ("8 GT/s\n", 8000),
        ("2.5 GT/s\n", 2500),
        ("Unknown\n", None),
        ("Unknown speed\n", None),
    ],
)
def test_speeds_of_all_kernels(text: str, speed: int | None) -> None:
    assert parse_link_speed(text) == speed


@pytest.mark.parametrize("text", ["", "8\n", "GT/s\n", "8.0 GT/s PCIe x\n", "8.00 GT/s PCIe\n", "1e9 GT/s\n"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no speed"):
        parse_link_speed(text)


def test_no_lanes_are_said_in_two_ways() -> None:
    assert (parse_link_width("0\n"), parse_link_width("255\n"), parse_link_width("12\n")) == (0, 0, 12)


@pytest.mark.parametrize("text", ["", "-1\n", "3\n", "63\n", "256\n", "x16\n"])
def test_what_is_no_width_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="n"):
        parse_link_width(text)


def test_ways_to_reset_a_function_come_in_the_order_of_the_kernel() -> None:
    assert parse_resets("device_specific flr bus cxl_bus\n") == ("device_specific", "flr", "bus", "cxl_bus")


@pytest.mark.parametrize("text", ["", "\n", "-1\n", "0-3\n", "\xff\xfe\n", "flr " * 20, "FLR\n"])
def test_what_names_no_way_to_reset_a_function_is_a_gap(text: str) -> None:
    made = tree({f"{FOLDER}/reset_method": text})
    assert read_resets(made, FOLDER, names=made.names(FOLDER)) == ()
    assert [what for what, _ in gaps(made)] == [f"{FOLDER}/reset_method"]


def test_a_function_without_the_file_has_no_ways_that_anybody_knows_of() -> None:
    made = tree({FOLDER: None})
    assert read_resets(made, FOLDER, names=()) == ()
    assert not made.gaps


def test_a_captured_host_with_links_of_every_kind() -> None:
    devices = {str(device.address): device for device in snapshot("qemu61-A").pci}
    assert devices["0000:00:00.0"].link is None  # on the root bus, of the old kind
    assert devices["0000:00:03.0"].link is None  # integrated
    port, slow = devices["0000:40:00.0"].link, devices["0000:41:00.0"].link
    assert port == PcieLink(speed_mtps=2500, width=1, max_speed_mtps=16000, max_width=32)
    assert slow == PcieLink(speed_mtps=2500, width=1, max_speed_mtps=2500, max_width=1)
    assert devices["0000:41:00.1"].link is None  # a VF
    assert devices["0000:82:00.0"].resets == ("flr", "pm", "bus")
    assert devices["0000:00:1f.2"].resets == ()
