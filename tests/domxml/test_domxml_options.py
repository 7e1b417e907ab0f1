"""Everything that vnf.yaml can ask of a guest's XML, drawn at random, on other projects' domains."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from numaplan.domxml.patch import patch_guest
from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.model.guest import VcpuId
from numaplan.model.plan import Placement
from numaplan.model.request import (
    CpuCache,
    DeviceLocality,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Memballoon,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    Realtime,
)
from tests.depth import draws
from tests.domxml.leftover import assert_nothing_else_changed
from tests.domxml.plans import GIB, placed, sriov
from tests.domxml.test_domxml_corpus import ON, documents, rules, says
from tests.requests import guest

# More examples, once in a while: how many.
EXAMPLES = draws(30)
# What may be refused, and where vnf.yaml or the option is that would help.
REFUSALS = ("change-guest-topology", "cpu_cache", "access private", "which is no VF")


@st.composite
def asked(draw: st.DrawFn) -> tuple[GuestRequest, Placement, bool]:
    """A request with every option, a placement for it, and whether the guest's topology may change."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    count = sum(sizes)
    pages = [draw(st.sampled_from([4, 2048, GIB])) for _ in sizes]
    numbers = iter(range(4, 64))
    vfs = draw(st.lists(st.sampled_from(["0000:11:00.0", "0000:21:00.1", "0000:21:00.2"]), unique=True))
    interfaces = [sriov("data", len(vfs), vlan=draw(st.none() | st.integers(0, 4094)))] if vfs else []
    if draw(st.booleans()):
        interfaces.append(InterfaceRequest("fast", InterfaceType.VHOSTUSER, bridge="br-dpdk"))
    placement = placed(
        *([str(next(numbers)) for _ in range(size)] for size in sizes),
        nodes=draw(st.lists(st.integers(0, 3), min_size=len(sizes), max_size=len(sizes))),
        page_kib=pages,
        iothreads=["2"] * draw(st.integers(0, 2)),
        vfs={"data": vfs} if vfs else None,
        devices=draw(st.sampled_from([None, {"qat": "0000:10:00.0"}])),
        topology=draw(st.sampled_from([None, (1, 1, count, 1)])),
    )
    realtime = draw(st.none() | st.frozensets(st.integers(0, count - 1), min_size=1))
    locked = draw(st.booleans())
    request = replace(
        guest("g", sizes, interfaces=interfaces, memory_policy=draw(st.sampled_from(["strict", "preferred"]))),
        realtime=None if realtime is None else Realtime(frozenset(map(VcpuId, realtime)), draw(st.integers(1, 99))),
        memory_backing=MemoryBackingRequest(
            nosharepages=draw(st.booleans()),
            locked=locked,
            hard_limit_kib=1 << 38 if locked else draw(st.sampled_from([None, 1 << 38])),
            allocation=draw(st.none() | st.sampled_from(MemoryAllocation)),
            access=draw(st.none() | st.sampled_from(MemoryAccess)),
        ),
        cpu_cache=draw(st.none() | st.sampled_from(CpuCache)),
        memballoon=draw(st.sampled_from(Memballoon)),
        device_locality=draw(st.sampled_from(DeviceLocality)),
    )
    return request, placement, draw(st.booleans())


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_asked_nothing_else_changes_and_what_was_valid_stays_valid(data: st.DataObject) -> None:
    name, old, valid = data.draw(st.sampled_from(documents()))
    request, placement, change_topology = data.draw(asked())

    def patch(there: bytes) -> bytes:
        result = patch_guest(
            there, name, request=request, placement=placement, host=ON, change_topology=change_topology
        )
        assert there != result.data or result.noticed == ()
        return result.data

    try:
        new = patch(old)
    except InputError as error:
        if any(word in str(error) for word in REFUSALS):
            return
        raise
    huge = any(cell.page_size_kib != 4 for cell in placement.cells)
    balloon_goes = request.memballoon is Memballoon.NONE or (request.memballoon is Memballoon.AUTO and huge)
    vcpus_go = request.vcpus < read_guest(old, name).vcpus
    assert_nothing_else_changed(old, new, balloon_goes=balloon_goes, devices_move=change_topology, vcpus_go=vcpus_go)
    assert patch(new) == new
    now = read_guest(new, name)
    assert says(now, request, placement)
    assert_options(now_xml=etree.fromstring(new), request=request, huge=huge, balloon_goes=balloon_goes)
    if valid:
        rules().assertValid(etree.fromstring(new))


def assert_options(now_xml: etree._Element, request: GuestRequest, *, huge: bool, balloon_goes: bool) -> None:
    """Whether the XML says what was asked for beside places, read without any of our own readers."""
    asked = request.memory_backing
    if request.realtime is not None:
        fifo = [e for e in now_xml.iterfind("cputune/vcpusched") if e.get("scheduler") in {"fifo", "rr"}]
        assert {e.get("priority") for e in fifo} == {str(request.realtime.priority)}
    assert not asked.nosharepages or now_xml.find("memoryBacking/nosharepages") is not None
    assert not asked.locked or now_xml.find("memoryBacking/locked") is not None
    assert not asked.locked or now_xml.find("memtune/hard_limit") is not None
    if balloon_goes and now_xml.get("type") in {"kvm", "qemu", "hvf"}:
        assert [e.items() for e in now_xml.iterfind("devices/memballoon")] == [[("model", "none")]]
    if request.cpu_cache is not None:
        cache = now_xml.find("cpu/cache")
        assert cache is not None
        assert cache.get("mode") == request.cpu_cache
    general = now_xml.find("memoryBacking/access")
    said = None if general is None else general.get("mode")
    cells = [cell.get("memAccess") or said for cell in now_xml.iterfind("cpu/numa/cell")]
    switched = now_xml.find("devices/interface[@type='vhostuser']") is not None
    if asked.access is MemoryAccess.SHARED or switched:
        assert set(cells or [said]) == {"shared"}
    source, allocation = now_xml.find("memoryBacking/source"), now_xml.find("memoryBacking/allocation")
    if huge:
        assert source is None or source.get("type") != "anonymous"
        assert allocation is None or allocation.get("mode") != "ondemand"
