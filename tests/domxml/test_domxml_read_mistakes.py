"""What a domain XML must not say: every mistake is told with its line, what was found and what was expected."""

import pytest

from tests.domxml.reading import refusal


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<vcpu>x4</vcpu>", "fw1.xml:3:3: <vcpu> is 'x4'; expected a whole number from 1 to 8192"),
        ("<vcpu>0</vcpu>", "<vcpu> is '0'"),
        ("<vcpu>-1</vcpu>", "<vcpu> is '-1'"),
        ("<vcpu>4294967296</vcpu>", "<vcpu> is '4294967296'"),
        ("<vcpu>٤</vcpu>", "<vcpu> is '٤'"),
        ("<vcpu cpuset='0-'>2</vcpu>", "cpuset of <vcpu> is '0-'; expected ids such as 0-3,^2,8"),
        ("<vcpu cpuset='1,^1'>2</vcpu>", "at least one"),
        ("<vcpu cpuset='0-4294967295'>2</vcpu>", "cpuset of <vcpu>"),
        ("<memory>1.5</memory>", "<memory> is '1.5'"),
        ("<memory unit='furlong'>1</memory>", "the unit of <memory> is 'furlong'; expected b, KiB"),
        ("<memory unit='EiB'>99999</memory>", "are the limit"),
        ("<iothreads>many</iothreads>", "<iothreads> is 'many'"),
        ("<cputune><vcpupin vcpu='0'/></cputune>", "cpuset of <vcpupin> is missing"),
        ("<cputune><vcpupin cpuset='0'/></cputune>", "vcpu of <vcpupin> is missing"),
        ("<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='0' cpuset='2'/></cputune>", "a second <vcpupin>"),
        ("<cputune><emulatorpin cpuset=''/></cputune>", "cpuset of <emulatorpin> is ''"),
        ("<cputune><emulatorpin cpuset='1'/><emulatorpin cpuset='1'/></cputune>", "a second <emulatorpin>"),
        ("<numatune><memory nodeset='x'/></numatune>", "nodeset of <memory> is 'x'"),
        ("<numatune><memory mode='strict'/></numatune>", "nodeset of <memory> is missing; expected ids"),
        ("<numatune><memory placement='static'/></numatune>", "nodeset of <memory> is missing"),
        ("<memoryBacking><hugepages><page size='0'/></hugepages></memoryBacking>", "size of <page> is 0"),
        ("<numatune><memnode cellid='0' mode='strict'/></numatune>", "nodeset of <memnode> is missing"),
        ("<cpu><topology sockets='1' cores='0' threads='1'/></cpu>", "cores of <topology> is '0'"),
        ("<cpu><topology sockets='1' cores='1'/></cpu>", "threads of <topology> is missing"),
        ("<cpu><numa><cell id='1' memory='1'/></numa></cpu>", "id of <cell> is '1'"),
        ("<cpu><numa><cell id='0' memory='1'/><cell id='0' memory='1'/></numa></cpu>", "a second cell 0"),
        ("<cpu><numa><cell cpus='0' memory='1'/><cell cpus='0' memory='1'/></numa></cpu>", "vCPU 0 is in two cells"),
        ("<cpu><numa><cell cpus='0-3' memory='1'/></numa></cpu>", "names vCPU 3, <vcpu> says 1"),
        ("<cpu><numa><cell cpus='0'/></numa></cpu>", "memory of <cell> is missing"),
        ("<memoryBacking><hugepages><page unit='G'/></hugepages></memoryBacking>", "size of <page> is missing"),
        ("<metadata><n:guest xmlns:n='urn:numaplan:1' thread_policy='x'/></metadata>", "thread_policy of <n:guest>"),
        ("<metadata><n:guest xmlns:n='urn:numaplan:1' loose_devices='x'/></metadata>", "loose_devices of <n:guest>"),
    ],
)  # fmt: skip
def test_broken_values_are_refused_with_line_what_was_found_and_what_expected(inside: str, text: str) -> None:
    found = refusal(inside)
    assert found.startswith("fw1.xml:3:")
    assert text in found


def test_a_mistake_of_each_part_is_told_at_once_in_the_order_of_the_file() -> None:
    found = refusal(
        "<memory unit='GiB'>x</memory>",
        "<vcpu cpuset='a'>two</vcpu>",
        "<cputune><vcpupin vcpu='7' cpuset='b'/></cputune>",
        "<cpu><numa><cell cpus='0-3' memory='y'/></numa></cpu>",
        "<iothreads>-1</iothreads>",
        "<iothreads/>",
        devices=("<hostdev mode='subsystem' type='pci'><source><address bus='zz'/></source></hostdev>",),
    )
    told = [line.split("; ")[0] for line in found.splitlines()]
    assert told == [
        "fw1.xml:3:3: <memory> is 'x'",
        "fw1.xml:4:3: <vcpu> is 'two'",
        "fw1.xml:4:3: cpuset of <vcpu> is 'a'",
        "fw1.xml:5:12: cpuset of <vcpupin> is 'b'",
        "fw1.xml:6:14: memory of <cell> is 'y'",
        "fw1.xml:7:3: <iothreads> is '-1'",
        "fw1.xml:8:3: a second <iothreads>, the first is on line 7",
        "fw1.xml:10:50: bus of <address> is 'zz'",
    ]


def test_what_depends_on_a_mistake_is_none_of_its_own() -> None:
    mistaken = refusal(
        "<vcpu current='3'>x</vcpu>",
        "<cputune><vcpupin vcpu='7' cpuset='1'/></cputune>",
        "<cpu><numa><cell cpus='0-3' memory='1'/></numa></cpu>",
    )
    assert mistaken == "fw1.xml:3:3: <vcpu> is 'x'; expected a whole number from 1 to 8192"


@pytest.mark.parametrize(
    "part", ["bus='0x100'", "bus='zz'", "slot='0x20'", "function='8'", "function='09'", "domain=''"]
)
def test_broken_pci_addresses_are_refused(part: str) -> None:
    device = f"<hostdev mode='subsystem' type='pci'><source><address {part}/></source></hostdev>"
    name = part.partition("=")[0]
    assert f"{name} of <address>" in refusal(devices=(device,))


@pytest.mark.parametrize("name", ["cputune", "numatune", "memoryBacking", "cpu", "vcpu", "memory", "iothreads", "name"])
def test_an_element_that_libvirt_knows_once_is_refused_twice(name: str) -> None:
    text = refusal(f"<{name}/>", "<title>a</title>", f"<{name}/>")
    assert f"a second <{name}>, the first is on line {2 if name == 'name' else 3}" in text
    assert text.startswith(f"fw1.xml:{3 if name == 'name' else 5}:3: ")
