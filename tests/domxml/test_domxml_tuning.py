"""Realtime vCPUs, how memory is held, caches and balloons: what is written, kept, refused."""

from dataclasses import replace

import pytest

from numaplan.errors import ExitCode, InputError
from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    CpuCache,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Memballoon,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    Realtime,
)
from tests.domxml.plans import GIB, TWO_VCPUS, domain, lines_of, patched, placed
from tests.requests import guest

FOUR = ("<memory unit='GiB'>1</memory>", "<vcpu>4</vcpu>")
FOUR_PLACED = placed(["4", "5", "6", "7"])
HUGE = placed(["4", "5"], page_kib=GIB)


def realtime(*vcpus: int, priority: int = 1) -> GuestRequest:
    return replace(guest("fw1", 4), realtime=Realtime(frozenset(VcpuId(v) for v in vcpus), priority))


def scheds(there: str, request: GuestRequest) -> list[str]:
    """The schedulers of four vCPUs that had `there`."""
    lines = lines_of(patched(domain(*FOUR, f"<cputune>{there}</cputune>"), FOUR_PLACED, request).data)
    text = "".join(lines).replace("<vcpusched", "\n<vcpusched").replace("/>", "/>\n")
    return [line for line in text.split("\n") if line.startswith("<vcpusched")]


def sched(vcpus: str, scheduler: str = "fifo", priority: int | None = 1) -> str:
    own = "" if priority is None else f" priority='{priority}'"
    return f"<vcpusched vcpus='{vcpus}' scheduler='{scheduler}'{own}/>"


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("", [sched("1-3")]),
        (sched("1-3"), [sched("1-3")]),
        (sched("3,1-2"), [sched("3,1-2")]),
        (sched("1"), [sched("1-3")]),
        (sched("0-9"), [sched("1-3")]),
        (sched("1") + sched("2-3"), [sched("1"), sched("2-3")]),
        (sched("1-3", priority=9), [sched("1-3")]),
        (sched("0-3", "rr", 9), [sched("1-3")]),
        (sched("0", "rr", 9) + sched("1", "fifo", 1), [sched("1-3")]),
        (sched("0-3", "batch", None), [sched("0", "batch", None), sched("1-3")]),
        (sched("1-3", "idle", None), [sched("1-3")]),
    ],
)
def test_the_realtime_vcpus_are_those_of_vnf_yaml(there: str, written: list[str]) -> None:
    assert sorted(line.replace(" priority='1'", "") for line in scheds(there, realtime(1, 2, 3))) == sorted(
        line.replace(" priority='1'", "") for line in written
    )
    assert all("priority='1'" in line for line in scheds(there, realtime(1, 2, 3)) if "fifo" in line)


def test_without_a_word_schedulers_stay_but_for_vcpus_that_are_gone() -> None:
    there = sched("0-1", "rr", 9) + sched("2-7", "batch", None) + sched("8-9")
    assert scheds(there, guest("fw1", 4)) == [sched("0-1", "rr", 9), sched("2-3", "batch", None)]


def test_a_guest_that_is_realtime_with_all_its_vcpus_is_told() -> None:
    said = "all its vCPUs are realtime: its own housekeeping needs one that is not"
    four = domain(*FOUR)
    assert said in patched(four, FOUR_PLACED, realtime(0, 1, 2, 3)).notes
    assert said not in patched(four, FOUR_PLACED, realtime(1, 2, 3)).notes


@pytest.mark.parametrize(
    ("pins", "told"), [({0: "20", 1: "21"}, True), ({0: "4", 1: "21"}, False), ({0: "5", 1: "6"}, False), ({}, False)]
)
def test_a_share_of_a_cache_that_vcpus_leave_is_told(pins: dict[int, str], told: bool) -> None:  # noqa: FBT001
    pinned = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>" for vcpu, cpu in pins.items())
    share = "<cachetune vcpus='0-1'><cache id='1' level='3' type='both' size='3' unit='MiB'/></cachetune>"
    notes = patched(domain(*TWO_VCPUS, f"<cputune>{pinned}{share}</cputune>"), placed(["4", "5"])).notes
    assert (
        any("<cachetune>" in note and "vCPUs 0-1 get CPUs at another last-level cache" in note for note in notes)
        is told
    )


def backing(**said: object) -> GuestRequest:
    return replace(guest("fw1", 2), memory_backing=MemoryBackingRequest(**said))  # type: ignore[arg-type]


def held(there: str, request: GuestRequest, *, page_kib: int = 4) -> str:
    """What is in memoryBacking then, its huge pages left out."""
    data = patched(domain(*TWO_VCPUS, *([there] if there else [])), placed(["4", "5"], page_kib=page_kib), request).data
    text = "".join(lines_of(data))
    if "<memoryBacking>" not in text:
        return ""
    inside = text[text.index("<memoryBacking>") + 15 : text.index("</memoryBacking>")]
    return inside.replace("<hugepages><page size='1048576' unit='KiB'/></hugepages>", "")


@pytest.mark.parametrize(
    ("there", "request_", "written"),
    [
        ("", backing(), ""),
        ("", backing(nosharepages=True), "<nosharepages/>"),
        ("<memoryBacking><nosharepages/></memoryBacking>", backing(nosharepages=True), "<nosharepages/>"),
        ("<memoryBacking><nosharepages/><locked/></memoryBacking>", backing(), "<nosharepages/><locked/>"),
        ("", backing(allocation=MemoryAllocation.IMMEDIATE), "<allocation mode='immediate'/>"),
        (
            "<memoryBacking><discard/><allocation threads='8'/></memoryBacking>",
            backing(allocation=MemoryAllocation.ONDEMAND),
            "<discard/><allocation threads='8' mode='ondemand'/>",
        ),
        ("", backing(access=MemoryAccess.PRIVATE), ""),
        (
            "<memoryBacking><access mode='shared'/></memoryBacking>",
            backing(access=MemoryAccess.PRIVATE),
            "<access mode='private'/>",
        ),
        ("", backing(access=MemoryAccess.SHARED), "<source type='memfd'/><access mode='shared'/>"),
        (
            "<memoryBacking><source type='file'/><access mode='private'/></memoryBacking>",
            backing(access=MemoryAccess.SHARED),
            "<source type='file'/><access mode='shared'/>",
        ),
        (
            "<memoryBacking><source type='anonymous'/></memoryBacking>",
            backing(access=MemoryAccess.SHARED),
            "<source type='memfd'/><access mode='shared'/>",
        ),
    ],
)
def test_memory_is_held_as_vnf_yaml_says_and_else_as_it_was(there: str, request_: GuestRequest, written: str) -> None:
    assert held(there, request_) == written


@pytest.mark.parametrize(
    ("there", "request_", "written"),
    [
        ("", backing(access=MemoryAccess.SHARED), "<access mode='shared'/>"),
        ("<memoryBacking><source type='memfd'/></memoryBacking>", backing(), "<source type='memfd'/>"),
        ("<memoryBacking><allocation mode='ondemand' threads='4'/></memoryBacking>", backing(),
         "<allocation threads='4'/>"),
        ("<memoryBacking><allocation mode='ondemand'/></memoryBacking>", backing(allocation=MemoryAllocation.IMMEDIATE),
         "<allocation mode='immediate'/>"),
    ],
)  # fmt: skip
def test_huge_pages_need_no_file_and_take_nothing_on_demand(there: str, request_: GuestRequest, written: str) -> None:
    assert held(there, request_, page_kib=GIB) == written


def test_pages_that_turn_out_huge_are_not_allocated_on_demand() -> None:
    result = patched(domain(*TWO_VCPUS), HUGE, backing(allocation=MemoryAllocation.ONDEMAND))
    assert b"allocation" not in result.data
    assert result.notes == ("allocation ondemand of vnf.yaml is left out: libvirt refuses it beside huge pages",)


def refusal(data: bytes, request: GuestRequest) -> str:
    with pytest.raises(InputError) as caught:
        patched(data, None, request)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return str(caught.value)


def test_locked_memory_needs_a_limit_above_it() -> None:
    locked = backing(locked=True)
    assert refusal(domain(*TWO_VCPUS), locked) == (
        "fw1.xml:1:1: locked memory needs a hard limit, and neither vnf.yaml nor the XML has one;"
        " give memory_backing.hard_limit in vnf.yaml: 1 GiB and what QEMU itself takes"
    )
    low = "<memtune><hard_limit unit='MiB'>1024</hard_limit></memtune>"
    assert refusal(domain(low, *TWO_VCPUS), locked).startswith(
        "fw1.xml:3:12: locked memory needs a hard limit above the guest's 1 GiB, here it is 1 GiB"
    )
    enough = low.replace("1024", "1025")
    assert enough in lines_of(patched(domain(enough, *TWO_VCPUS), None, locked).data)
    own = backing(locked=True, hard_limit_kib=2 * GIB)
    assert low.replace("1024", "2048") in lines_of(patched(domain(low, *TWO_VCPUS), None, own).data)


LIMIT = "<hard_limit unit='KiB'>2097152</hard_limit>"


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("", ["<memtune>", LIMIT, "</memtune>"]),
        ("<memtune/>", ["<memtune>", LIMIT, "</memtune>"]),
        (
            "<memtune><soft_limit>1</soft_limit></memtune>",
            [f"<memtune>{LIMIT}<soft_limit>1</soft_limit></memtune>"],
        ),
        (
            "<memtune><hard_limit unit='G'>9</hard_limit></memtune>",
            ["<memtune><hard_limit unit='G'>2</hard_limit></memtune>"],
        ),
    ],
)
def test_a_hard_limit_is_written_where_libvirt_has_it(there: str, written: list[str]) -> None:
    parts = (TWO_VCPUS[0], *([there] if there else []), TWO_VCPUS[1])
    lines = lines_of(patched(domain(*parts), None, backing(hard_limit_kib=2 * GIB)).data)
    assert lines[3 : 3 + len(written)] == written


def test_a_limit_of_libvirts_that_is_none_is_as_good_as_any() -> None:
    none = "<memtune><hard_limit unit='KiB'>9007199254740991</hard_limit></memtune>"
    assert none in lines_of(patched(domain(none, *TWO_VCPUS), None, backing(locked=True)).data)


def test_limits_that_are_too_low_are_noted() -> None:
    low = "<memtune><hard_limit>1048576</hard_limit></memtune>"
    assert patched(domain(low, *TWO_VCPUS)).notes == (
        "<hard_limit> on line 3 is 1 GiB, the guest alone has 1 GiB: the kernel kills it there, raise it",
    )
    swap = "<memtune><swap_hard_limit>1048576</swap_hard_limit></memtune>"
    assert patched(domain(swap, *TWO_VCPUS), None, backing(hard_limit_kib=2 * GIB)).notes == (
        "<swap_hard_limit> on line 3 is less than 2 GiB: raise it",
    )


VHOST = "<interface type='vhostuser'><source type='unix' path='/tmp/a' mode='client'/></interface>"


def test_vhost_user_needs_shared_memory_whoever_asks_for_it() -> None:
    wanted = ["<memoryBacking>", "<source type='memfd'/>", "<access mode='shared'/>", "</memoryBacking>"]
    there = lines_of(patched(domain(*TWO_VCPUS, devices=(VHOST,))).data)
    assert [line for line in there if line in wanted] == wanted
    asked = guest("fw1", 2, interfaces=(InterfaceRequest("a", InterfaceType.VHOSTUSER),))
    assert [line for line in lines_of(patched(domain(*TWO_VCPUS), None, asked).data) if line in wanted] == wanted


def test_vhost_user_and_private_memory_are_refused_together() -> None:
    text = refusal(domain(*TWO_VCPUS, devices=(VHOST,)), backing(access=MemoryAccess.PRIVATE))
    assert text == (
        "fw1.xml:6:5: this interface is of type vhostuser, which needs shared memory, and vnf.yaml asks for access"
        " private; take one of them out"
    )


CELLS = (
    "<cpu><numa>",
    "  <cell cpus='0' memory='1' unit='GiB' memAccess='private'/>",
    "  <cell cpus='1' memory='1' unit='GiB'/>",
    "</numa></cpu>",
)


def test_cells_say_themselves_who_may_map_them() -> None:
    plan = placed(["4"], ["20"])
    request = replace(guest("fw1", [1, 1]), memory_backing=MemoryBackingRequest(access=MemoryAccess.SHARED))
    data = patched(domain("<vcpu>2</vcpu>", *CELLS), plan, request).data
    assert [line for line in lines_of(data) if "<cell " in line] == [
        "<cell cpus='0' memory='1' unit='GiB' memAccess='shared'/>",
        "<cell cpus='1' memory='1' unit='GiB' memAccess='shared'/>",
    ]
    general = "<memoryBacking><access mode='shared'/><source type='memfd'/></memoryBacking>"
    kept = patched(domain("<vcpu>2</vcpu>", general, *CELLS), plan, request).data
    assert [line for line in lines_of(kept) if "<cell " in line][1] == CELLS[2].strip()
    new = patched(domain("<vcpu>2</vcpu>", general), plan, request).data
    assert "<cell id='0' cpus='0' memory='1048576' unit='KiB'/>" in lines_of(new)


def test_cells_that_stay_other_than_planned_are_shared_too() -> None:
    request = replace(guest("fw1", [2]), memory_backing=MemoryBackingRequest(access=MemoryAccess.SHARED))
    data = patched(domain("<vcpu>2</vcpu>", *CELLS), placed(["4", "5"], memory_gib=2), request).data
    assert data.count(b"memAccess='shared'") == 2


def cache(there: str, wanted: CpuCache, os: str = "<os><type>hvm</type></os>") -> list[str]:
    request = replace(guest("fw1", 2), cpu_cache=wanted)
    lines = lines_of(patched(domain(*TWO_VCPUS, os, *([there] if there else [])), None, request).data)
    return [line for line in lines if line.startswith(("<cpu>", "<cpu ", "<cache"))]


HOST_CPU = "<cpu mode='host-passthrough'>{}</cpu>"


@pytest.mark.parametrize(
    ("there", "wanted", "written"),
    [
        ("", CpuCache.DISABLE, ["<cpu>", "<cache mode='disable'/>"]),
        ("", CpuCache.EMULATE, ["<cpu>", "<cache level='3' mode='emulate'/>"]),
        (HOST_CPU.format("<model/>"), CpuCache.PASSTHROUGH, [HOST_CPU.format("<model/><cache mode='passthrough'/>")]),
        (
            HOST_CPU.format("<cache level='3' mode='emulate'/>"),
            CpuCache.PASSTHROUGH,
            [HOST_CPU.format("<cache mode='passthrough'/>")],
        ),
        (
            HOST_CPU.format("<cache mode='passthrough'/>"),
            CpuCache.EMULATE,
            [HOST_CPU.format("<cache mode='emulate' level='3'/>")],
        ),
    ],
)
def test_the_caches_that_a_guest_sees_are_those_of_vnf_yaml(there: str, wanted: CpuCache, written: list[str]) -> None:
    assert cache(there, wanted) == written


@pytest.mark.parametrize("mode", ["", " mode='host-model'", " mode='custom'"])
def test_the_hosts_caches_go_with_the_hosts_cpu_alone(mode: str) -> None:
    request = replace(guest("fw1", 2), cpu_cache=CpuCache.PASSTHROUGH)
    assert "libvirt takes it beside mode='host-passthrough' alone" in refusal(
        domain(*TWO_VCPUS, f"<cpu{mode}/>"), request
    )


def test_other_processors_have_no_word_for_caches() -> None:
    request = replace(guest("fw1", 2), cpu_cache=CpuCache.DISABLE)
    arm = "<os><type arch='aarch64'>hvm</type></os>"
    assert "which libvirt takes on x86 alone; this is aarch64" in refusal(domain(*TWO_VCPUS, arm), request)


def balloon(there: str, wanted: str, *, page_kib: int = GIB, kind: str = "kvm") -> list[str]:
    request = replace(guest("fw1", 2), memballoon=Memballoon(wanted))
    data = domain(*TWO_VCPUS, devices=there.split("\n") if there else ()).replace(b"'kvm'", f"'{kind}'".encode())
    lines = lines_of(patched(data, placed(["4", "5"], page_kib=page_kib), request).data)
    return lines[lines.index("<devices>") + 1 : lines.index("</devices>")]


NONE = "<memballoon model='none'/>"
FULL = (
    "<memballoon model='virtio' autodeflate='on'>\n  <stats period='5'/>\n  <alias name='ua-b'/>\n"
    "  <address type='pci' bus='0x05'/>\n</memballoon>"
)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("", [NONE]),
        (NONE, [NONE]),
        (FULL, [NONE]),
        ("<video/>\n<rng/>", ["<video/>", NONE, "<rng/>"]),
        ("<memballoon model=\"virtio\" ><stats period='1'/></memballoon>", ['<memballoon model="none" />']),
        ("<memballoon model='virtio'></memballoon>", ["<memballoon model='none'></memballoon>"]),
        (
            "<memballoon model='virtio'>\n<!-- why -->\n<stats period='1'/>\n</memballoon>",
            ["<memballoon model='none'>", "<!-- why -->", "</memballoon>"],
        ),
    ],
)
def test_a_guest_on_huge_pages_has_no_balloon(there: str, written: list[str]) -> None:
    assert balloon(there, "auto") == written
    assert balloon(there, "none", page_kib=4) == written


def test_a_balloon_stays_on_ordinary_pages_where_it_is_kept_and_where_qemu_does_not_run() -> None:
    assert balloon("", "auto", page_kib=4) == balloon("", "keep") == balloon("", "none", kind="xen") == []
    assert balloon(FULL, "keep") == [line.strip() for line in FULL.split("\n")]


def test_memory_that_a_balloon_held_back_is_noticed_when_it_goes() -> None:
    there = domain("<memory unit='GiB'>1</memory>", "<currentMemory unit='MiB'>512</currentMemory>", "<vcpu>2</vcpu>")
    result = patched(there, HUGE)
    assert result.noticed == ("no memory balloon any longer, which held back 512 MiB of its memory",)
    assert "<currentMemory unit='MiB'>512</currentMemory>" in lines_of(result.data)


def test_a_domain_without_devices_gets_them_once() -> None:
    data = b"<domain type='kvm'>\n  <name>a</name>\n  <memory>1048576</memory>\n  <vcpu>2</vcpu>\n</domain>\n"
    plan = placed(["4", "5"], page_kib=GIB, vfs={"a": ["0000:3b:02.0"]}, devices={"q": "0000:77:00.0"})
    request = guest("a", 2, interfaces=(InterfaceRequest("a", InterfaceType.SRIOV, pf="p"),))
    lines = lines_of(patched(data, plan, request).data)
    assert lines.count("<devices>") == 1
    assert lines[-2] == "</devices>"
    assert lines[-3] == NONE
