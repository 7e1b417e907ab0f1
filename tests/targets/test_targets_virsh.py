"""Live pins by virsh."""

from dataclasses import replace

from hypothesis import given, settings

from numaplan.cpuset import CpuSet
from numaplan.model.guest import IothreadId, MemoryBinding, ThreadKind, ThreadScheduler, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, Realtime
from numaplan.targets.virsh import render
from tests.requests import guest
from tests.targets.drawn import EXAMPLES, HOST, NAMES, functions, pins, plans, there
from tests.targets.small import placed
from tests.targets.words import commands, options, run_by_sh

NEW_DEFINITION = "what takes a new definition (the diff of place without -o) and a start"


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_every_thread_is_pinned_where_the_plan_has_it(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    rendered = render(request, placement, HOST, there(request, placement))
    found: dict[str, dict[int, str]] = {"vcpupin": {}, "emulatorpin": {}, "iothreadpin": {}}
    for words in commands(rendered.text):
        said = options(words)
        assert words[0] == "virsh"
        assert said["--domain"] == request.name
        assert said["--live"] == ""
        number = said.get("--vcpu", said.get("--iothread", "0"))
        found[words[1]][int(number)] = said["--cpulist"]
    assert found["vcpupin"] == pins(placement)
    assert found["emulatorpin"] == {0: str(placement.emulator)}
    assert found["iothreadpin"] == {int(number): str(cpus) for number, cpus in placement.iothreads}


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans(NAMES.filter(lambda name: "\0" not in name and "\x01" not in name)))
def test_a_hostile_name_stays_one_word(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    existing = there(request, placement, uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809")
    for words in run_by_sh(render(request, placement, HOST, existing).text, ["virsh"]):
        assert options(words)["--domain"] in {request.name, existing.uuid}


def test_a_guest_that_is_not_there_has_nothing_to_pin() -> None:
    request, placement = _small()
    rendered = render(request, placement, HOST, None)
    assert rendered.text == ""
    assert rendered.cannot == ("libvirt has no such guest to pin: -o virt-install or -o xml is for a new one",)


def test_a_name_that_is_a_number_is_replaced_by_the_uuid_as_virsh_takes_it_for_an_id() -> None:
    request, placement = _small("7")
    uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    assert f"--domain {uuid} " in render(request, placement, HOST, there(request, placement, uuid=uuid)).text
    assert any("id or UUID first" in s for s in render(request, placement, HOST, there(request, placement)).cannot)


def test_iothreads_are_those_that_the_guest_has_and_those_beyond_the_plan_run_as_the_emulator() -> None:
    request, placement = _small()
    placement = replace(placement, iothreads=((IothreadId(1), CpuSet([7])),))
    lines = render(request, placement, HOST, there(request, placement, iothreads=2)).text.splitlines()
    assert [line for line in lines if "iothreadpin" in line] == [
        "virsh iothreadpin --domain fw --iothread 1 --cpulist 7 --live",
        "virsh iothreadpin --domain fw --iothread 2 --cpulist 0 --live",
    ]


def test_the_nodes_of_memory_change_live_in_mode_restrictive_alone() -> None:
    request, placement = _small()
    elsewhere = MemoryBinding(None, "restrictive", (NodeId(1),), 1)
    rendered = render(request, placement, HOST, there(request, placement, memory=elsewhere))
    assert "virsh numatune --domain fw --nodeset 0 --live\n" in rendered.text
    assert any("memory bound in mode strict, it is restrictive" in sentence for sentence in rendered.cannot)
    strict = replace(elsewhere, mode="strict")
    rendered = render(request, placement, HOST, there(request, placement, memory=strict))
    assert "numatune" not in rendered.text
    assert rendered.cannot == (f"{NEW_DEFINITION}: memory on node 0",)


def test_a_guest_that_is_as_the_plan_wants_it_leaves_nothing_to_say() -> None:
    request, placement = _small()
    assert render(request, placement, HOST, there(request, placement)).cannot == ()


def test_what_only_a_new_definition_changes_is_said() -> None:
    request, placement = _small()
    request = replace(request, realtime=Realtime(frozenset({VcpuId(1)}), 3))
    rendered = render(request, placement, HOST, there(request, placement, vcpus=1, memory_kib=5, running=False))
    assert "--vcpu 1 " not in rendered.text
    assert rendered.cannot == (
        "it does not run, and --live needs that: place without -o has the diff of its XML",
        f"{NEW_DEFINITION}: 2 vCPUs, it has 1; memory of 1 GiB, it has 5 KiB; vCPU 1 scheduled fifo at priority 3",
    )
    scheduler = ThreadScheduler(ThreadKind.VCPU, (1,), "fifo", 1, 3)
    assert render(request, placement, HOST, there(request, placement, schedulers=(scheduler,))).cannot == ()


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_a_device_that_the_guest_does_not_have_is_said(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    said = " ".join(render(request, placement, HOST, there(request, placement, hostdevs=())).cannot)
    assert all(str(address) in said for address in functions(placement))


def _small(name: str = "fw") -> tuple[GuestRequest, Placement]:
    request = guest(name, 2)
    return request, placed(request)
