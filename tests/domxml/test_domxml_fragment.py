"""The small domain that a guest without XML would need."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from numaplan.domxml.fragment import needed_guest
from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import read_guest
from numaplan.errors import ExitCode, InputError
from numaplan.model.guest import VcpuId
from numaplan.model.plan import Placement
from numaplan.model.request import (
    CpuCache,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    MemoryBackingRequest,
    Realtime,
)
from tests.corpus import corpus
from tests.domxml.plans import placed, sriov
from tests.hosts import Nic, host
from tests.requests import guest, vfs

CASES = Path(__file__).parent / "cases"
GIB = 1 << 20

NEEDED: dict[str, tuple[GuestRequest, Placement]] = {
    "small": (guest("a & b", 2), placed(["4", "5"], name="a & b")),
    "all": (
        guest(
            "fw1",
            [2, 2],
            memory_gib=4,
            memory_policy="preferred",
            thread_policy="require",
            iothreads=1,
            interfaces=(
                sriov("left", 2, vlan=7),
                InterfaceRequest("mgmt", InterfaceType.VIRTIO, bridge="br-mgmt", mac="52:54:00:00:00:03", queues=4),
                InterfaceRequest("none", InterfaceType.VIRTIO),
                sriov("right", mac="52:54:00:00:00:04"),
            ),
        ),
        placed(
            ["4", "36"], ["20", "52"], memory_gib=4, page_kib=[GIB, 2048], iothreads=["2"], topology=(2, 1, 1, 2),
            vfs={"left": ["0000:3b:02.0", "10000:3b:02.1"], "right": ["0000:5e:02.0"]}, devices={"qat": "0000:77:00.0"},
        ),
    ),
    "near": (
        replace(
            guest("fw2", [1, 1], interfaces=(sriov("a"), sriov("b"))),
            memory_backing=MemoryBackingRequest(locked=True, hard_limit_kib=3 * GIB),
            cpu_cache=CpuCache.PASSTHROUGH,
            realtime=Realtime(frozenset({VcpuId(1)})),
        ),
        placed(["4"], ["20"], name="fw2", page_kib=GIB, vfs={"a": ["0000:21:00.0"], "b": ["0000:11:00.0"]}),
    ),
}  # fmt: skip
# Nodes 0 and 1 have a NIC each; the functions of the other guests are not known there.
ON = host("2n:8c:2t", nics=[Nic("ens1f0", 0, 1), Nic("ens2f0", 1, 1)])


@pytest.mark.parametrize("name", NEEDED)
def test_it_says_all_that_the_plan_needs(name: str, golden: Callable[[Path, str], None]) -> None:
    golden(CASES / f"needed-{name}.xml", needed_guest(*NEEDED[name], ON).data.decode())


@pytest.mark.parametrize("schema", ["schemas-11.3.0", "schemas-9.0.0"])
@pytest.mark.parametrize("name", NEEDED)
def test_it_is_valid(name: str, schema: str) -> None:
    rules = etree.RelaxNG(etree.parse(str(corpus() / schema / "domain.rng")))
    rules.assertValid(etree.fromstring(needed_guest(*NEEDED[name], ON).data))


@pytest.mark.parametrize("name", NEEDED)
def test_patching_it_changes_nothing(name: str) -> None:
    request, placement = NEEDED[name]
    data = needed_guest(request, placement, ON).data
    result = patch_guest(data, "f", request=request, placement=placement, host=ON, change_topology=False)
    assert (result.data, result.notes) == (data, ())
    assert read_guest(data, "f").name == request.name


def test_what_it_lacks_is_told() -> None:
    trusted = replace(vfs("a", "ens1f0"), trust=True)
    switch = InterfaceRequest("v", InterfaceType.VHOSTUSER, bridge="br0")
    placement = placed(["4"], vfs={"a": ["0000:10:00.1"]})
    assert needed_guest(guest("fw1", 1, interfaces=[trusted, switch]), placement, ON).notes == (
        'interface "a": libvirt has no word for trust; set it on the PF of 0000:10:00.1: ip link set PF vf N trust on',
        'interface "v" is not in the XML for it: vhostuser needs the path of a socket',
    )


def test_locked_memory_without_a_limit_is_refused() -> None:
    request = replace(guest("fw1", 1), memory_backing=MemoryBackingRequest(locked=True))
    with pytest.raises(InputError) as caught:
        needed_guest(request, placed(["4"]), ON)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert str(caught.value) == (
        'vnf.yaml: guest "fw1" has no XML that could have a limit for its locked memory;'
        " give memory_backing.hard_limit, above its memory"
    )
