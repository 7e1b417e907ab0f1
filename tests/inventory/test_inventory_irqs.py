import re

import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.irqs import parse_interrupts, parse_line, read_irqs
from numaplan.inventory.pci import read_pci, read_pci_folders
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId, NumaNode
from numaplan.model.kernel import Irq
from numaplan.sources.tree import HostTree
from tests.inventory.trees import To, fresh, gaps, snapshot, tree

Files = dict[str, str | To | None]
BUS = "sys/bus/pci/devices"
ROOT = "sys/devices/pci0000:00"
NIC = f"{ROOT}/0000:00:02.0"
SATA = f"{ROOT}/0000:00:1f.2"
SMBUS = f"{ROOT}/0000:00:1f.3"
NODES = (NumaNode(NodeId(0), (), CpuSet.parse("0-3")), NumaNode(NodeId(1), (), CpuSet.parse("4-7")))
KERNEL_FILES = {
    "affinity_hint": "ff\n",
    "effective_affinity": "04\n",
    "effective_affinity_list": "2\n",
    "node": "1\n",
    "smp_affinity": "0f\n",
    "smp_affinity_list": "0-3\n",
    "spurious": "count 1\n",
}


def function(folder: str, *, driver: str | None = "x", messages: tuple[int, ...] = (), line: int = 0) -> Files:
    files: Files = {
        f"{BUS}/{folder.rpartition('/')[2]}": To("../../../" + folder.removeprefix("sys/")),
        f"{folder}/vendor": "0x8086\n",
        f"{folder}/device": "0x1572\n",
        f"{folder}/class": "0x020000\n",
        f"{folder}/numa_node": "0\n",
        f"{folder}/irq": f"{line}\n",
    }
    if driver is not None:
        files[f"{folder}/driver"] = To(f"../../../bus/pci/drivers/{driver}")
    return files | {f"{folder}/msi_irqs/{number}": "msix\n" for number in messages}


def irq(number: int, *handlers: str, **changed: str | None) -> Files:
    folder = f"proc/irq/{number}"
    files = {name: changed.get(name, text) for name, text in KERNEL_FILES.items()}
    shown: Files = {f"{folder}/{name}": text for name, text in files.items() if text is not None}
    return shown | {f"{folder}/{handler}": None for handler in handlers}


def read(files: Files) -> tuple[HostTree, dict[int, Irq]]:
    made = tree(files)
    folders = read_pci_folders(made)
    irqs = read_irqs(made, folders, read_pci(made, folders, NODES, exposed=True), NODES)
    assert [each.number for each in irqs] == sorted(each.number for each in irqs)
    return made, {each.number: each for each in irqs}


def test_a_message_has_its_function_its_cpus_its_node_and_its_handlers() -> None:
    made, irqs = read(function(NIC, messages=(65, 9)) | irq(65, "ens1f0-TxRx-0") | irq(9, "b", "a", node="-1\n"))
    assert irqs[65] == Irq(
        number=65,
        affinity=CpuSet.parse("0-3"),
        effective=CpuSet.parse("2"),
        node=NodeId(1),
        device=PciAddress.parse("0000:00:02.0"),
        actions=("ens1f0-TxRx-0",),
    )
    assert (irqs[9].actions, irqs[9].node) == (("a", "b"), None)
    assert not made.gaps


def test_nothing_of_other_interrupts_is_opened() -> None:
    others = irq(0, "timer") | irq(4, "ttyS0") | {"proc/irq/default_smp_affinity": "ff\n"}
    made, irqs = read(function(NIC, messages=(65,)) | irq(65, "ens1f0") | others | {"proc/interrupts": "CPU0\n"})
    assert list(irqs) == [65]
    assert [path for path in made.opened if path.startswith("proc/")] == [
        "proc/irq/65/effective_affinity_list",
        "proc/irq/65/node",
        "proc/irq/65/smp_affinity_list",
    ]


def test_a_message_that_nobody_asked_for_is_no_interrupt_yet() -> None:
    made, irqs = read(function(NIC, messages=(65, 66)) | irq(65, "ens1f0"))
    assert list(irqs) == [65]
    assert not made.gaps


def test_a_function_with_messages_does_not_use_its_line() -> None:
    _, irqs = read(function(NIC, messages=(65,), line=16) | irq(65, "ens1f0") | irq(16, "ehci"))
    assert list(irqs) == [65]


def test_a_function_without_a_driver_is_not_asked_for_its_line() -> None:
    nic = function(NIC, messages=(65,)) | irq(65, "ens1f0")
    made, irqs = read(nic | function(SATA, driver=None, line=16) | irq(16, "ehci"))
    assert list(irqs) == [65]
    assert f"{SATA}/irq" not in made.opened


def test_a_line_that_functions_share_names_none_of_them() -> None:
    lines = function(SATA, line=16) | function(SMBUS, line=16) | irq(16, "ahci", "i801_smbus")
    _, irqs = read(function(NIC, line=17) | irq(17, "e100") | lines)
    assert (irqs[16].device, irqs[16].actions) == (None, ("ahci", "i801_smbus"))
    assert irqs[17].device == PciAddress.parse("0000:00:02.0")


def test_a_line_that_nobody_handles_is_only_wired() -> None:
    made, irqs = read(function(NIC, messages=(65,)) | irq(65, "ens1f0") | function(SATA, line=10) | irq(10))
    assert list(irqs) == [65]
    assert not made.gaps


@pytest.mark.parametrize("line", ["0\n", "255\n"])
def test_a_function_that_is_wired_to_no_line_of_the_host_raises_none(line: str) -> None:
    files = function(SATA) | irq(65, "other") | {f"{SATA}/irq": line, "proc/interrupts": " CPU0\n"}
    made, irqs = read(files)
    assert not irqs
    assert not made.gaps


def test_masks_tell_where_lists_are_missing() -> None:
    made, irqs = read(
        function(NIC, messages=(65,)) | irq(65, "ens1f0", smp_affinity_list=None, effective_affinity_list=None)
    )
    assert (irqs[65].affinity, irqs[65].effective) == (CpuSet.parse("0-3"), CpuSet.parse("2"))
    assert not made.gaps


def test_a_kernel_that_does_not_say_where_interrupts_are_served_leaves_no_gap() -> None:
    silent = dict.fromkeys(("effective_affinity", "effective_affinity_list", "node"))
    made, irqs = read(function(NIC, messages=(65, 66)) | irq(65, "a", **silent) | irq(66, "b", **silent))
    assert [(each.effective, each.node) for each in irqs.values()] == [(None, None)] * 2
    assert not made.gaps


@pytest.mark.parametrize("name", ["node", "effective_affinity_list", "smp_affinity_list"])
def test_one_interrupt_that_lacks_what_the_others_have_is_a_gap(name: str) -> None:
    lacking = irq(66, "b", **{name: None, name.removesuffix("_list"): None})
    made, irqs = read(function(NIC, messages=(65, 66)) | irq(65, "a") | lacking)
    assert len(irqs) == 2
    assert (f"proc/irq/66/{name}", "not there, but other interrupts have it") in gaps(made)


@pytest.mark.parametrize("text", ["", "x\n", "-2\n", "7\n", "99999999999\n"])
def test_a_node_that_is_none_of_the_hosts_is_unknown_with_a_gap(text: str) -> None:
    made, irqs = read(function(NIC, messages=(65,)) | irq(65, "a", node=text))
    assert irqs[65].node is None
    assert [what for what, _ in gaps(made)] == ["proc/irq/65/node"]


@pytest.mark.parametrize("text", ["", "0-\n", "-1\n", "0-9999\n", "\xff\n"])
def test_an_affinity_that_is_no_list_of_cpus_is_a_gap_and_the_mask_tells(text: str) -> None:
    made, irqs = read(function(NIC, messages=(65,)) | irq(65, "a", smp_affinity_list=text))
    assert irqs[65].affinity == CpuSet.parse("0-3")
    assert [what for what, _ in gaps(made)] == ["proc/irq/65/smp_affinity_list"]


def test_an_interrupt_that_is_served_nowhere_has_no_cpus() -> None:
    _, irqs = read(function(NIC, messages=(65,)) | irq(65, "a", effective_affinity_list="\n"))
    assert irqs[65].effective == CpuSet()


def test_a_message_of_two_functions_names_none_of_them_and_is_a_gap() -> None:
    made, irqs = read(function(NIC, messages=(65,)) | function(SATA, messages=(65,)) | irq(65, "a"))
    assert irqs[65].device is None
    assert gaps(made) == [(f"{SATA}/msi_irqs/65", "an interrupt of 0000:00:02.0 too")]


def test_a_file_that_is_no_number_among_the_messages_is_a_gap() -> None:
    made, irqs = read(function(NIC, messages=(65,)) | irq(65, "a") | {f"{NIC}/msi_irqs/x7": "msi\n"})
    assert list(irqs) == [65]
    assert [what for what, _ in gaps(made)] == [f"{NIC}/msi_irqs/x7"]


def test_an_interrupt_whose_folder_went_while_it_was_read_is_a_gap() -> None:
    made, irqs = read(function(NIC, messages=(65, 66)) | irq(65, "a") | {"proc/irq/66": None})
    assert irqs[66] == Irq(number=66, device=PciAddress.parse("0000:00:02.0"))
    assert ("proc/irq/66", "nothing is in it") in gaps(made)


def test_a_host_without_proc_irq_has_no_interrupts_and_nothing_is_opened_for_them() -> None:
    made, irqs = read(function(NIC, messages=(65,), line=16) | {"proc/interrupts": "CPU0\n 65: 1 PCI-MSI 1-edge  a\n"})
    assert not irqs
    assert f"{NIC}/irq" not in made.opened
    assert "proc/interrupts" not in made.opened


TABLE = """\
            CPU0       CPU1
   0:        233          0  IR-IO-APIC   2-edge      timer
  16:          0          7  IR-IO-APIC  16-fasteoi   ahci, i801_smbus
  25:          0          0  IR-PCI-MSIX-0000:00:02.0    0-edge      PCIe PME, aerdrv
  26:          1          0  PCI-MSI 524288-edge
  27:     123456          0     GICv3  27 Level     arch_timer
  28:          0          0  ITS-PCI-MSI-0000:01:00.0   1 Edge      eth0-TxRx-0
  29:          0          0  None
 NMI:          0          0   Non-maskable interrupts
 ERR:          0
"""


def test_the_table_of_interrupts_names_handlers_and_with_new_kernels_the_function() -> None:
    table = parse_interrupts(TABLE)
    assert {number: each.actions for number, each in table.items()} == {
        0: ("timer",),
        16: ("ahci", "i801_smbus"),
        25: ("PCIe PME", "aerdrv"),
        26: (),
        27: ("arch_timer",),
        28: ("eth0-TxRx-0",),
        29: (),
    }
    named = {number: str(each.device) for number, each in table.items() if each.device is not None}
    assert named == {25: "0000:00:02.0", 28: "0000:01:00.0"}


@pytest.mark.parametrize("header", ["  CPU0 CPU1 CPU2", "            CPU0       CPU1       CPU2       "])
@pytest.mark.parametrize("count", ["4294967295", "0"])
@pytest.mark.parametrize(
    "line",
    [
        "  25:{} {} {}   chip  3-edge  a, b",
        "  25: {} {} {}  chip  3-edge  b, a",
        " 25: {:1} {:1} {:1} chip  3-edge  a, b",
    ],
)
def test_the_handlers_stand_behind_the_counts_however_wide(line: str, count: str, header: str) -> None:
    table = parse_interrupts(f"{header}\n{line.format(*[f'{count:>10}'] * 3)}\n")
    assert table[25].actions == ("a", "b")


def test_where_the_columns_are_narrow_a_digit_in_their_place_says_nothing() -> None:
    table = parse_interrupts("  CPU0 CPU1\n 5: 1 1 chip 3-edge  eth0 rx-7, b\n")
    assert table[5].actions == ("b", "eth0 rx-7")


@pytest.mark.parametrize("text", ["", "\n", "garbage\n", "CPU0 x\n", " CPU0\n 5: 1\n", " CPU0\n 5: 1  A B C\n"])
def test_what_is_no_table_of_interrupts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no "):
        parse_interrupts(text)


def test_a_capture_without_messages_takes_functions_and_handlers_from_the_table() -> None:
    table = TABLE.replace("  25:", "  65:")
    files = function(NIC, line=16) | function(SATA, line=16) | irq(65) | irq(16) | irq(0) | irq(27)
    made, irqs = read(files | {"proc/interrupts": table})
    assert {number: (str(each.device), each.actions) for number, each in irqs.items()} == {
        16: ("None", ("ahci", "i801_smbus")),
        65: ("0000:00:02.0", ("PCIe PME", "aerdrv")),
    }
    assert not made.gaps


def test_what_is_no_line_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        parse_line("x\n")


@pytest.mark.parametrize("name", ["host-flat", "host-snc", "host-cxl"])
def test_the_kernels_table_agrees_with_what_is_read_of_a_captured_host(name: str) -> None:
    host, made = snapshot(name), fresh(name)
    irqs = read_irqs(made, read_pci_folders(made), host.pci, host.nodes)
    table = parse_interrupts(made.text("proc/interrupts") or "")
    named = {number: each for number, each in table.items() if each.device is not None}
    assert {each.number: each.device for each in irqs if each.number in named} == {
        number: each.device for number, each in named.items()
    }
    assert {each.number: each.actions for each in irqs} == {each.number: table[each.number].actions for each in irqs}
    served = [each.effective for each in irqs if each.effective is not None]
    assert len(served) == len(irqs)
    assert all(cpus <= host.cpus.online for cpus in served)
    assert not made.gaps


def test_a_must_gather_has_hundreds_of_interrupts() -> None:
    name = "ocp-bare-metal_worker1.internal"
    host, made = snapshot(name), fresh(name)
    irqs = {each.number: each for each in read_irqs(made, read_pci_folders(made), host.pci, host.nodes)}
    queue = irqs[603]
    assert (str(queue.device), queue.actions) == ("0000:86:00.1", ("i40e-ens7f1-TxRx-79",))
    assert (str(queue.affinity), str(queue.effective), queue.node) == ("21", "21", 1)
    assert len(irqs) > 500
    assert [name for each in irqs.values() for name in each.actions if re.search(r"\s{2}", name)] == []
    assert not made.gaps
