"""Settings of an ESXi virtual machine; a parser of its file reads them back."""

import re
from dataclasses import replace

from hypothesis import given, settings

from numaplan.cpuset import CpuSet
from numaplan.model.guest import VcpuId
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, Realtime
from numaplan.targets.vmx import render
from tests.requests import guest
from tests.targets.drawn import EXAMPLES, HOST, NAMES, functions, plans
from tests.targets.small import placed

LINE = re.compile(r'([A-Za-z0-9.]+) = "([^"\n]*)"')
ESCAPE = re.compile(rb"\|([0-9A-F]{2})")


def parsed(text: str) -> dict[str, str]:
    """Each line is a name and a quoted value, in which |HH is a byte."""
    found: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        match = LINE.fullmatch(line)
        assert match is not None, line
        assert match[1] not in found
        found[match[1]] = ESCAPE.sub(lambda byte: bytes([int(byte[1], 16)]), match[2].encode()).decode()
    return found


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans(NAMES))
def test_the_settings_say_what_the_plan_says(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    said = parsed(render(request, placement, HOST, None).text)
    assert said["displayName"] == request.name
    assert said["numvcpus"] == str(request.vcpus)
    assert said["memSize"] == str(sum(-(-cell.memory_kib // 1024) for cell in placement.cells))
    assert {int(node) for node in said["numa.nodeAffinity"].split(",")} == set(placement.nodes)
    affinities = {name: CpuSet.parse(value) for name, value in said.items() if name.endswith(".affinity")}
    affinities.pop("sched.mem.affinity", None)
    if request.realtime is None:
        assert affinities == {
            f"sched.vcpu{vcpu}.affinity": cpus for cell in placement.cells for vcpu, cpus in cell.vcpus
        }
    else:
        assert affinities == {}
        assert said["sched.cpu.latencySensitivity"] == "high"
    given_ids = [value for name, value in said.items() if re.fullmatch(r"pciPassthru\d+\.id", name)]
    assert given_ids == [f"{a.domain:05d}:{a.bus:03d}:{a.slot:02d}.{a.function}" for a in functions(placement)]


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_memory_is_reserved_where_esxi_would_not_start_the_guest_without(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    said = parsed(render(request, placement, HOST, None).text)
    if functions(placement) or request.realtime is not None or "sched.mem.lpage.enable1GPage" in said:
        assert said["sched.mem.min"] == said["memSize"]
        assert said["sched.mem.pin"] == "TRUE"


def test_pins_that_latency_sensitivity_leaves_out_are_said() -> None:
    request = replace(guest("fw", 2), realtime=Realtime(frozenset({VcpuId(1)}), 4))
    cannot = render(request, placed(request), HOST, None).cannot
    assert any("the pins (vCPU 0 on 1, 1 on 2) are left out" in sentence for sentence in cannot)
    assert any("sched.cpu.min" in sentence for sentence in cannot)


def test_equal_cells_are_virtual_nodes_and_unequal_ones_are_said() -> None:
    request = guest("db", [2, 2])
    rendered = render(request, placed(request), HOST, None)
    said = parsed(rendered.text)
    assert (said["numa.vcpu.maxPerVirtualNode"], said["numa.vcpu.min"]) == ("2", "4")
    assert any("cell 0 on node 0; cell 1 on node 1" in sentence for sentence in rendered.cannot)
    uneven = guest("db", [3, 1])
    rendered = render(uneven, placed(uneven), HOST, None)
    assert "numa.vcpu.maxPerVirtualNode" not in parsed(rendered.text)
    assert any("cells of 3, 1 vCPUs" in sentence for sentence in rendered.cannot)


def test_a_value_cannot_end_its_line() -> None:
    request = guest('a"\nnumvcpus = "64', 2)
    said = parsed(render(request, placed(request), HOST, None).text)
    assert said["displayName"] == request.name
    assert said["numvcpus"] == "2"
