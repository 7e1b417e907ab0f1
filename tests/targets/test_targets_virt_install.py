"""Options of virt-install; a parser as small as virt-install's own reads them back."""

import re
import shlex
from dataclasses import replace

from hypothesis import given, settings

from numaplan.cpuset import format_id_list
from numaplan.domxml.fragment import needed_guest
from numaplan.domxml.read import read_guest
from numaplan.model.plan import Placement
from numaplan.model.request import CpuCache, GuestRequest, InterfaceRequest, InterfaceType, Memballoon
from numaplan.model.slots import interface_slots
from numaplan.targets.virt_install import render
from tests.requests import guest
from tests.targets.drawn import EXAMPLES, HOST, NAMES, functions, pins, plans, there
from tests.targets.small import placed
from tests.targets.words import commands, run_by_sh

# The suboptions that `virt-install --OPTION=?` lists (4.1) and that are used here, numbers left out.
ADDRESS = " address.type address.domain address.bus address.slot address.function"
KNOWN = {
    "cputune": "vcpupin.vcpu vcpupin.cpuset emulatorpin.cpuset iothreadpin.iothread iothreadpin.cpuset vcpusched.vcpus"
    " vcpusched.scheduler vcpusched.priority",
    "numatune": "memory.mode memory.nodeset memnode.cellid memnode.mode memnode.nodeset",
    "memorybacking": "hugepages.page.size hugepages.page.unit hugepages.page.nodeset nosharepages locked source.type"
    " access.mode allocation.mode",
    "cpu": "mode cache.mode cache.level topology.sockets topology.dies topology.cores topology.threads numa.cell.id"
    " numa.cell.cpus numa.cell.memory numa.cell.unit numa.cell.memAccess numa.cell.distances.sibling.id"
    " numa.cell.distances.sibling.value",
    "vcpus": "vcpu vcpu.placement",
    "memtune": "hard_limit",
    "iothreads": "iothreads",
    "network": "type bridge model.type driver.queues mac.address alias.name xpath.set" + ADDRESS,
    "hostdev": "type alias.name xpath.set" + ADDRESS,
    "controller": "type model index target.busNr target.node" + ADDRESS,
    "memballoon": "model",
}


def suboptions(text: str) -> dict[str, str]:
    """As virt-install reads them: words of a shell at commas; what has no "=" belongs to the one before."""
    splitter = shlex.shlex(text, posix=True)
    splitter.commenters = ""
    splitter.whitespace = ","
    splitter.whitespace_split = True
    found: dict[str, str] = {}
    name = ""
    for word in splitter:
        if "=" in word:
            name, value = word.split("=", 1)
            assert name not in found
            found[name] = value
        else:
            found[name] += f",{word}"
    return found


def parsed(words: list[str]) -> dict[str, list[str]]:
    """The values of each option, in order."""
    found: dict[str, list[str]] = {}
    for word in words[1:]:
        name, _, value = word.removeprefix("--").partition("=")
        found.setdefault(name, []).append(value)
    return found


def one(found: dict[str, list[str]], name: str) -> dict[str, str]:
    return suboptions(found[name][0]) if name in found else {}


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_the_options_say_what_the_plan_says(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    (words,) = commands(render(request, placement, HOST, None).text)
    found = parsed(words)
    assert found["name"] == [request.name]
    assert one(found, "vcpus")["vcpu"] == str(request.vcpus)
    tune = one(found, "cputune")
    own = {int(tune[f"vcpupin{i}.vcpu"]): tune[f"vcpupin{i}.cpuset"] for i in range(request.vcpus)}
    assert own == pins(placement)
    assert tune["emulatorpin.cpuset"] == str(placement.emulator)
    assert [tune[f"iothreadpin{i}.cpuset"] for i in range(len(placement.iothreads))] == [
        str(cpus) for _, cpus in placement.iothreads
    ]
    numa = one(found, "numatune")
    assert numa["memory.nodeset"] == format_id_list(cell.memory_node for cell in placement.cells)
    backing, cpu = one(found, "memorybacking"), one(found, "cpu")
    for i, cell in enumerate(placement.cells if len(placement.cells) > 1 else ()):
        assert numa[f"memnode{i}.nodeset"] == str(cell.memory_node)
        assert cpu[f"numa.cell{i}.memory"] == str(cell.memory_kib)
        assert cpu[f"numa.cell{i}.cpus"] == format_id_list(vcpu for vcpu, _ in cell.vcpus)
    sizes = {value for name, value in backing.items() if name.endswith(".size")}
    assert sizes == {str(cell.page_size_kib) for cell in placement.cells if cell.page_size_kib != 4}
    if request.realtime is not None:
        assert tune["vcpusched0.vcpus"] == format_id_list(request.realtime.vcpus)


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_every_function_is_handed_over_and_every_bridge_is_named(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    (words,) = commands(render(request, placement, HOST, None).text)
    found = parsed(words)
    elements = [
        suboptions(value) for name in ("network", "hostdev") for value in found.get(name, []) if value != "none"
    ]
    paths = [{value for name, value in element.items() if name.startswith("xpath")} for element in elements]
    for address in functions(placement):
        said = {
            f"./source/address/@bus={address.bus:#04x}",
            f"./source/address/@slot={address.slot:#04x}",
            f"./source/address/@function={address.function:#x}",
            "./@managed=yes",
        }
        assert sum(said <= own for own in paths) == 1
    bridges = [port.bridge for port in request.interfaces if port.type is InterfaceType.VIRTIO and port.bridge]
    assert [element["bridge"] for element in elements if "bridge" in element] == bridges
    vlans = [slot.vlan for slot in interface_slots(request, placement) if slot.vlan is not None]
    assert sum("./vlan/tag" in path for own in paths for path in own) == len(vlans)


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_the_buses_of_cells_are_those_of_the_xml(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    if request.memory_backing.locked:
        request = replace(request, memory_backing=replace(request.memory_backing, hard_limit_kib=64 << 20))
    (words,) = commands(render(request, placement, HOST, None).text)
    found = parsed(words)
    guest_there = read_guest(needed_guest(request, placement, HOST).data, "guest.xml")
    said = [suboptions(value) for value in found.get("controller", [])]
    assert [(c["model"], c["index"], c.get("target.node"), c.get("target.busNr")) for c in said] == [
        (c.model, str(c.index), *(None if n is None else str(n) for n in (c.cell, c.bus_number)))
        for c in guest_there.controllers
    ]
    handed = [suboptions(value) for value in (*found.get("network", []), *found.get("hostdev", [])) if value != "none"]
    addresses = {one["alias.name"]: one["address.bus"] for one in handed if "address.bus" in one}
    there_too = {one.alias: one.address for one in guest_there.interfaces}
    there_too |= {one.alias: one.address for one in guest_there.hostdevs}
    assert addresses == {f"ua-{alias}": f"{a.bus:#04x}" for alias, a in there_too.items() if a is not None}


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_every_suboption_is_one_that_virt_install_has(plan: tuple[GuestRequest, Placement]) -> None:
    (words,) = commands(render(*plan, HOST, None).text)
    for name, values in parsed(words).items():
        for value in values:
            if name in KNOWN and value != "none":
                assert {re.sub(r"\d+(?=\.)", "", key) for key in suboptions(value)} <= set(KNOWN[name].split())
            else:
                assert name in {"name", "memory", "xml", "network", "machine"}


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans(NAMES.filter(lambda name: "\0" not in name and "\x01" not in name)))
def test_a_hostile_name_stays_one_word(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    (words,) = run_by_sh(render(request, placement, HOST, None).text.replace("virt-install", "vi"), ["vi"])
    assert f"--name={request.name}".replace("virt-install", "vi") in words
    assert all(word.startswith("--") for word in words[1:])


def test_a_hostile_bridge_stays_one_value() -> None:
    for bridge in ("a,mac.address=x", 'q"x', "back\\slash", "1,bridge", "br 0"):
        request = replace(
            guest("fw", 2), interfaces=(InterfaceRequest("mgmt", InterfaceType.VIRTIO, bridge=bridge, queues=2),)
        )
        (words,) = commands(render(request, placed(request), HOST, None).text)
        assert one(parsed(words), "network") == {"bridge": bridge, "model.type": "virtio", "driver.queues": "2"}


def test_memory_that_is_no_multiple_of_a_mebibyte_is_put_right_in_the_xml() -> None:
    request = guest("fw", 2)
    placement = placed(request)
    odd = replace(placement, cells=(replace(placement.cells[0], memory_kib=(1 << 20) + 4),))
    (words,) = commands(render(request, odd, HOST, None).text)
    found = parsed(words)
    assert found["memory"] == ["1025"]
    assert found["xml"] == ["./memory=1048580", "./currentMemory=1048580"]


def test_the_caches_of_the_host_are_shown_by_its_own_cpu_model_alone() -> None:
    request = replace(guest("fw", 2), cpu_cache=CpuCache.PASSTHROUGH)
    (words,) = commands(render(request, placed(request), HOST, None).text)
    assert one(parsed(words), "cpu") == {"mode": "host-passthrough", "cache.mode": "passthrough"}


def test_a_guest_with_huge_pages_has_no_balloon_unless_it_keeps_what_it_has() -> None:
    request = guest("fw", 2, page_size="1GiB")
    placement = placed(request, page_size_kib=1 << 20)
    assert "--memballoon=model=none" in render(request, placement, HOST, None).text
    kept = replace(request, memballoon=Memballoon.KEEP)
    assert "memballoon" not in render(kept, placement, HOST, None).text


def test_what_is_missing_for_an_installation_is_said() -> None:
    vhost = InterfaceRequest("fast", InterfaceType.VHOSTUSER, bridge="br-dpdk")
    request = replace(guest("fw", 2), interfaces=(vhost, InterfaceRequest("mgmt", InterfaceType.VIRTIO)))
    cannot = render(request, placed(request), HOST, there(request, placed(request))).cannot
    assert [sentence.partition(":")[0] for sentence in cannot] == [
        "there is a guest of that name, and virt-install is for a new one",
        "disk, system and installation source are no part of a plan",
        "what numaplan's metadata tells an audit (thread policy, shared vCPUs) has no option",
        "the plan says nothing of the CPU model",
        'interface "fast"',
        'interface "mgmt"',
    ]
