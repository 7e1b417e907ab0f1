import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.iommu import merge_groups, read_iommu_groups
from numaplan.inventory.pci import (
    Ids,
    parse_group,
    parse_modalias,
    parse_pci_class,
    parse_pci_id,
    parse_pci_name,
    parse_vf_count,
    read_pci,
    read_pci_folders,
)
from numaplan.model.devices import PciAddress, PciDevice, Sriov
from numaplan.model.host import NodeId, NumaNode
from numaplan.sources.tree import HostTree
from tests.inventory.trees import To, capture_id, captures, fresh, gaps, tree

Files = dict[str, str | To | None]
NODES = (
    NumaNode(NodeId(0), (), CpuSet.parse("0-3")),
    NumaNode(NodeId(1), (), CpuSet.parse("4-7")),
    NumaNode(NodeId(2), (), CpuSet()),
)
BUS = "sys/bus/pci/devices"
GROUPS = "sys/kernel/iommu_groups"
ROOT = "sys/devices/pci0000:3a"
PF = f"{ROOT}/0000:3a:00.0/0000:3b:00.0"


def function(folder: str, *, node: str | None = "0\n", pci_class: str = "0x020000\n") -> Files:
    address = folder.rpartition("/")[2]
    files: Files = {
        f"{BUS}/{address}": To("../../../" + folder.removeprefix("sys/")),
        f"{folder}/vendor": "0x8086\n",
        f"{folder}/device": "0x1572\n",
        f"{folder}/class": pci_class,
    }
    if node is not None:
        files[f"{folder}/numa_node"] = node
    return files


def nic(vfs: int, *, numvfs: str | None = None) -> Files:
    files = function(PF)
    files[f"{PF}/sriov_totalvfs"] = "64\n"
    files[f"{PF}/sriov_numvfs"] = f"{vfs}\n" if numvfs is None else numvfs
    files[f"{PF}/driver"] = To("../../../../bus/pci/drivers/i40e")
    files[f"{PF}/iommu_group"] = To("../../../../kernel/iommu_groups/12")
    files[f"{PF}/net/ens1f0"] = None
    for index in range(vfs):
        address = f"0000:3b:{2 + (vfs - 1 - index) // 8:02x}.{(vfs - 1 - index) % 8}"
        folder = f"{ROOT}/0000:3a:00.0/{address}"
        files |= function(folder)
        files[f"{folder}/physfn"] = To("../0000:3b:00.0")
        files[f"{PF}/virtfn{index}"] = To(f"../{address}")
    return files


def read(files: Files, *, nodes: tuple[NumaNode, ...] = NODES) -> tuple[HostTree, dict[str, PciDevice]]:
    made = tree(files)
    return made, {str(device.address): device for device in read_pci(made, read_pci_folders(made), nodes, exposed=True)}


ALIAS = "pci:v000015B3d0000101Dsv000015B3sd00000019bc02sc07i0A\n"


def test_one_file_tells_what_a_function_is() -> None:
    made, devices = read(nic(0) | {f"{PF}/modalias": ALIAS})
    device = devices["0000:3b:00.0"]
    assert (device.vendor, device.device, device.pci_class) == ("15b3", "101d", "02070a")
    assert not {f"{PF}/vendor", f"{PF}/device", f"{PF}/class"} & set(made.opened)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "\0" * 64, ALIAS[:-4], ALIAS.lower(), ALIAS + "x", ALIAS.replace("v0000", "v0001"), "usb:v1D6Bp0002\n"],
)
def test_three_files_tell_what_a_function_is_where_that_one_makes_no_sense(text: str) -> None:
    made, devices = read(nic(0) | {f"{PF}/modalias": text})
    device = devices["0000:3b:00.0"]
    assert (device.vendor, device.device, device.pci_class) == ("8086", "1572", "020000")
    assert not made.gaps


def test_no_host_has_one_file_that_contradicts_the_three() -> None:
    compared = 0
    for name in map(capture_id, captures()):
        host = fresh(name)
        for folder in read_pci_folders(host).values():
            texts = [host.text(f"{folder}/{file}", spare=True) for file in ("modalias", "vendor", "device", "class")]
            if all(texts):
                alias, vendor, device, pci_class = map(str, texts)
                assert parse_modalias(alias) == Ids(
                    parse_pci_id(vendor), parse_pci_id(device), parse_pci_class(pci_class)
                )
                compared += 1
    assert compared > 500


def test_a_physical_function_with_its_vfs_in_the_order_of_their_index() -> None:
    made, devices = read(nic(11))
    device = devices["0000:3b:00.0"]
    assert (device.vendor, device.device, device.pci_class, device.numa_node) == ("8086", "1572", "020000", 0)
    assert (device.driver, device.iommu_group, device.netdevs) == ("i40e", 12, ("ens1f0",))
    assert device.sriov is not None
    assert (device.sriov.total, device.sriov.configured) == (64, 11)
    # virtfn10 comes after virtfn9, and here the last index has the lowest address.
    assert [str(vf) for vf in device.sriov.vfs[:2]] == ["0000:3b:03.2", "0000:3b:03.1"]
    assert str(device.sriov.vfs[10]) == "0000:3b:02.0"
    assert devices["0000:3b:02.0"].physfn == PciAddress.parse("0000:3b:00.0")
    assert not made.gaps


def test_a_function_without_sriov_has_none() -> None:
    _, devices = read(function(PF))
    assert devices["0000:3b:00.0"].sriov is None


def test_a_physical_function_may_have_no_vfs() -> None:
    made, devices = read(nic(0))
    assert devices["0000:3b:00.0"].sriov == Sriov(64, 0, ())
    assert not made.gaps


def test_vfs_that_are_configured_but_not_there_are_a_gap() -> None:
    made, devices = read(nic(0, numvfs="8\n"))
    assert devices["0000:3b:00.0"].sriov == Sriov(64, 8, ())
    assert gaps(made) == [(f"{PF}/sriov_numvfs", "8 VFs are configured, 0 are there")]


def test_a_link_to_a_vf_that_is_no_device_is_a_gap() -> None:
    files = nic(2)
    del files[f"{BUS}/0000:3b:02.0"]
    made, devices = read(files)
    sriov = devices["0000:3b:00.0"].sriov
    assert sriov is not None
    assert [str(vf) for vf in sriov.vfs] == ["0000:3b:02.1"]
    assert (PF, "its VF 0000:3b:02.0 is not among the host's devices") in gaps(made)


def test_a_broken_number_of_vfs_is_a_gap_and_the_links_are_counted() -> None:
    made, devices = read(nic(2, numvfs="-1\n"))
    sriov = devices["0000:3b:00.0"].sriov
    assert sriov is not None
    assert sriov.configured == 2
    assert f"{PF}/sriov_numvfs" in [what for what, _ in gaps(made)]


def test_domains_may_have_more_than_four_digits_and_hang_below_a_function() -> None:
    folder = f"{ROOT}/0000:3a:05.5/pci10000:00/10000:00:02.0"
    _, devices = read(function(folder) | function(f"{ROOT}/0000:3a:05.5"))
    assert list(devices) == ["0000:3a:05.5", "10000:00:02.0"]


def test_a_tree_without_the_bus_is_searched_from_its_roots() -> None:
    vmd = f"{ROOT}/0000:3a:05.5/pci10000:00/10000:00:02.0"
    files = nic(2) | function(vmd) | function(f"{ROOT}/0000:3a:05.5") | function(f"{ROOT}/0000:3a:00.0")
    made, devices = read({path: content for path, content in files.items() if not path.startswith(BUS)})
    assert sorted(devices) == [
        "0000:3a:00.0",
        "0000:3a:05.5",
        "0000:3b:00.0",
        "0000:3b:02.0",
        "0000:3b:02.1",
        "10000:00:02.0",
    ]
    assert not made.gaps


@pytest.mark.parametrize("text", ["-1\n", "0\n"])
def test_local_cpus_do_not_change_what_the_kernel_says(text: str) -> None:
    _, devices = read(function(PF, node=text) | {f"{PF}/local_cpulist": "4-7\n"})
    assert devices["0000:3b:00.0"].numa_node == (None if text == "-1\n" else 0)


@pytest.mark.parametrize(("name", "text"), [("local_cpulist", "4-7\n"), ("local_cpus", "00000000,000000f0\n")])
def test_local_cpus_tell_the_node_where_the_kernel_has_no_file_for_it(name: str, text: str) -> None:
    made, devices = read(function(PF, node=None) | {f"{PF}/{name}": text})
    assert devices["0000:3b:00.0"].numa_node == 1
    assert gaps(made) == [(f"{PF}/numa_node", f"not there; {name} names exactly the CPUs of node 1, which is taken")]


@pytest.mark.parametrize("text", ["0-7\n", "4-5\n", "\n"])
def test_local_cpus_of_no_single_node_tell_nothing(text: str) -> None:
    made, devices = read(function(PF, node=None) | {f"{PF}/local_cpulist": text})
    assert devices["0000:3b:00.0"].numa_node is None
    assert not made.gaps


def test_local_cpus_tell_nothing_on_a_host_with_one_node() -> None:
    _, devices = read(function(PF, node=None) | {f"{PF}/local_cpulist": "0-3\n"}, nodes=NODES[:1])
    assert devices["0000:3b:00.0"].numa_node is None


@pytest.mark.parametrize("text", ["65535\n", "3\n", "-2\n", "", "x\n", "4294967295\n"])
def test_a_node_that_the_host_lacks_is_unknown_with_a_gap(text: str) -> None:
    made, devices = read(function(PF, node=text))
    assert devices["0000:3b:00.0"].numa_node is None
    assert [what for what, _ in gaps(made)] == [f"{PF}/numa_node"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("vendor", "0xffff"[:4]), ("device", ""), ("class", "0x02\n"), ("vendor", "8086\n"), ("device", "\0")],
)
def test_a_function_that_does_not_say_what_it_is_is_left_out_with_a_gap(name: str, text: str) -> None:
    made, devices = read(function(PF) | {f"{PF}/{name}": text})
    assert not devices
    assert [what for what, _ in gaps(made)] == [PF, f"{PF}/{name}"]


def test_a_bus_entry_that_leads_nowhere_is_a_gap() -> None:
    made, devices = read({f"{BUS}/0000:00:01.0": To("../../../devices/pci0000:00/0000:00:01.0")})
    assert not devices
    assert gaps(made) == [(f"{BUS}/0000:00:01.0", "the device that it links to is not there")]


def test_interfaces_of_a_virtio_device_are_those_of_its_function() -> None:
    _, devices = read(function(PF) | {f"{PF}/virtio3/net/eth0": None, f"{PF}/net:eth9": None})
    assert devices["0000:3b:00.0"].netdevs == ("eth0", "eth9")


def test_a_driver_counts_even_where_its_folder_was_not_captured() -> None:
    _, devices = read(function(PF) | {f"{PF}/driver": To("../../nowhere/vfio-pci")})
    assert devices["0000:3b:00.0"].driver == "vfio-pci"


@pytest.mark.parametrize("name", ["physfn", "iommu_group", "virtfn0"])
def test_a_link_to_something_else_is_a_gap(name: str) -> None:
    made, _ = read(function(PF) | {f"{PF}/{name}": To("../what/is-this")})
    assert f"{PF}/{name}" in [what for what, _ in gaps(made)]


def test_groups_come_from_their_folders_and_platform_devices_do_not_count() -> None:
    made = tree(
        {
            f"{GROUPS}/12/devices/0000:3b:00.0": None,
            f"{GROUPS}/12/devices/0000:3a:00.0": None,
            f"{GROUPS}/3/devices/0000:3b:02.0": None,
            f"{GROUPS}/7/devices/arm-smmu.1": None,
        }
    )
    groups = [(group.id, [str(device) for device in group.devices]) for group in read_iommu_groups(made)]
    assert groups == [(3, ["0000:3b:02.0"]), (12, ["0000:3a:00.0", "0000:3b:00.0"])]


def test_groups_are_not_listed_where_every_device_links_to_its_own() -> None:
    made = tree({f"{GROUPS}/5/devices/0000:01:00.0": None})
    linked, unlinked = device("0000:01:00.0", 5), device("0000:01:00.1", None)
    assert read_iommu_groups(made, [linked]) == ()
    assert [group.id for group in read_iommu_groups(made, [linked, unlinked])] == [5]


def device(address: str, group: int | None) -> PciDevice:
    return PciDevice(
        PciAddress.parse(address),
        "8086",
        "1572",
        "020000",
        iommu_group=parse_group("" if group is None else str(group)),
    )


def test_without_group_folders_the_links_of_the_devices_make_the_groups() -> None:
    made = tree({"sys": None})
    groups, devices = merge_groups(made, (), [device("0000:01:00.0", 11), device("0000:00:02.0", 11)])
    assert [(group.id, [str(each) for each in group.devices]) for group in groups] == [
        (11, ["0000:00:02.0", "0000:01:00.0"])
    ]
    assert [each.iommu_group for each in devices] == [11, 11]
    assert not made.gaps


def test_a_group_folder_gives_its_group_to_a_device_without_a_link() -> None:
    made = tree({f"{GROUPS}/5/devices/0000:01:00.0": None})
    _, devices = merge_groups(made, read_iommu_groups(made), [device("0000:01:00.0", None)])
    assert [each.iommu_group for each in devices] == [5]


def test_a_device_that_links_to_another_group_than_the_one_that_lists_it_is_a_gap() -> None:
    made = tree({f"{GROUPS}/5/devices/0000:01:00.0": None})
    groups, _ = merge_groups(made, read_iommu_groups(made), [device("0000:01:00.0", 6)])
    assert [group.id for group in groups] == [6]
    assert gaps(made) == [(f"{GROUPS}/6/devices", "lacks 0000:01:00.0, which links to it")]


@pytest.mark.parametrize("name", ["0000:3b:02", "3b:02.0", "0000:3b:42.0", "0000:3B:02.0", "0000:3b:02.8", "x"])
def test_what_is_no_pci_folder_is_none(name: str) -> None:
    assert parse_pci_name(name) is None


@pytest.mark.parametrize("name", ["", "-1", "a", "01", "9999999999"])
def test_what_is_no_iommu_group_is_none(name: str) -> None:
    assert parse_group(name) is None


def test_ids_lose_their_prefix() -> None:
    assert (parse_pci_id("0x8086\n"), parse_pci_class("0x0C0330\n")) == ("8086", "0c0330")


@pytest.mark.parametrize("text", ["65536\n", "-1\n", ""])
def test_what_is_no_number_of_vfs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="n"):
        parse_vf_count(text)
