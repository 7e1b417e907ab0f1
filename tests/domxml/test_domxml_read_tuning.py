"""How a guest is tuned, as its domain XML says it: schedulers, caches, backing, distances, controllers, machine."""

import pytest

from numaplan.model.guest import (
    CacheTune,
    CellId,
    MemoryBacking,
    ThreadKind,
    ThreadScheduler,
    VcpuId,
)
from tests.domxml.reading import read, refusal


def cells(*inside: str) -> str:
    each = "".join(f"<cell id='{i}' memory='1'>{part}</cell>" for i, part in enumerate(inside))
    return f"<cpu><numa>{each}</numa></cpu>"


def siblings(*pairs: tuple[int, int]) -> str:
    each = "".join(f"<sibling id='{cell}' value='{value}'/>" for cell, value in pairs)
    return f"<distances>{each}</distances>"


# vCPUs


@pytest.mark.parametrize(
    ("inside", "current"),
    [
        (("<vcpu>8</vcpu>",), None),
        (("<vcpu current='4'>8</vcpu>",), 4),
        (("<vcpu current='8'>8</vcpu>",), None),
        (("<vcpu current='+7'>8</vcpu>",), 7),
        (
            ("<vcpu current='8'>4</vcpu>", "<vcpus><vcpu id='0' enabled='yes'/><vcpu id='2' enabled='yes'/></vcpus>"),
            2,
        ),
        (("<vcpu>4</vcpu>", "<vcpus><vcpu id='0' enabled='yes'/><vcpu id='1' enabled='no'/></vcpus>"), 1),
        (("<vcpu>4</vcpu>", "<vcpus/>"), None),
        (("<vcpu current='0'>4</vcpu>",), 0),
        (("<vcpu>4</vcpu>", "<vcpus><vcpu id='0' enabled='no'/></vcpus>"), 0),
    ],
)
def test_vcpus_that_are_plugged_in_are_counted_by_state_then_by_current(
    inside: tuple[str, ...], current: int | None
) -> None:
    assert read(*inside).current_vcpus == current


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (("<vcpu current='9'>8</vcpu>",), "current of <vcpu> is '9'; expected a whole number from 0 to 8"),
        (("<vcpu current='x'>8</vcpu>",), "current of <vcpu> is 'x'"),
        (("<vcpu current=''>8</vcpu>",), "current of <vcpu> is ''"),
        (("<vcpus><vcpu id='1' enabled='yes'/></vcpus>",), "id of <vcpu> is '1'"),
        (("<vcpus><vcpu enabled='yes'/></vcpus>",), "id of <vcpu> is missing"),
        (("<vcpus><vcpu id='0'/></vcpus>",), "enabled of <vcpu> is ''; expected yes or no"),
    ],
)
def test_a_number_of_vcpus_that_cannot_be_plugged_in_is_refused(inside: tuple[str, ...], text: str) -> None:
    assert text in refusal(*inside)


def test_a_pin_of_a_vcpu_that_the_guest_lacks_is_ignored_whatever_it_says() -> None:
    pins = "<vcpupin vcpu='9' cpuset='x'/><vcpupin vcpu='9'/><vcpupin vcpu='100000' cpuset='1'/>"
    assert read("<vcpu>2</vcpu>", f"<cputune>{pins}</cputune>").vcpu_pins == ()


# Schedulers


def test_schedulers_are_read_by_kind_and_a_priority_with_real_time_policies_alone() -> None:
    guest = read(
        "<vcpu>8</vcpu>",
        "<iothreads>2</iothreads>",
        "<cputune>",
        "<emulatorsched scheduler='rr' priority='-1'/>",
        "<iothreadsched iothreads='1-2' scheduler='batch' priority='7'/>",
        "<vcpusched vcpus='0-4,^3' scheduler='fifo' priority='1'/>",
        "<vcpusched vcpus='5' scheduler='idle'/>",
        "</cputune>",
    )
    assert guest.schedulers == (
        ThreadScheduler(ThreadKind.VCPU, (0, 1, 2, 4), "fifo", 8, 1),
        ThreadScheduler(ThreadKind.VCPU, (5,), "idle", 9),
        ThreadScheduler(ThreadKind.IOTHREAD, (1, 2), "batch", 7),
        ThreadScheduler(ThreadKind.EMULATOR, (), "rr", 6, -1),
    )


def test_a_vcpu_of_two_schedulers_stays_with_the_first() -> None:
    two = "<vcpusched vcpus='0-1' scheduler='fifo' priority='1'/><vcpusched vcpus='1-2' scheduler='rr' priority='2'/>"
    again = "<vcpusched vcpus='0-2' scheduler='batch'/>"
    found = read("<vcpu>4</vcpu>", f"<cputune>{two}{again}</cputune>").schedulers
    assert [(each.threads, each.policy) for each in found] == [((0, 1), "fifo"), ((2,), "rr")]


@pytest.mark.parametrize(
    ("scheduler", "text"),
    [
        ("<vcpusched scheduler='batch'/>", "vcpus of <vcpusched> is missing"),
        ("<vcpusched vcpus='' scheduler='batch'/>", "vcpus of <vcpusched> is ''"),
        ("<vcpusched vcpus='0'/>", "scheduler of <vcpusched> is missing; expected batch, idle, fifo or rr"),
        ("<vcpusched vcpus='0' scheduler=''/>", "scheduler of <vcpusched> is missing"),
        ("<vcpusched vcpus='0' scheduler='fifo'/>", "priority of <vcpusched> is missing"),
        ("<vcpusched vcpus='0' scheduler='rr' priority='1.5'/>", "priority of <vcpusched> is '1.5'"),
        ("<vcpusched vcpus='0' scheduler='rr' priority='2147483648'/>", "priority of <vcpusched> is '2147483648'"),
        ("<iothreadsched scheduler='batch'/>", "iothreads of <iothreadsched> is missing"),
        ("<emulatorsched priority='1'/>", "scheduler of <emulatorsched> is missing"),
        ("<emulatorsched scheduler='idle'/><emulatorsched scheduler='idle'/>", "a second <emulatorsched>"),
    ],
)
def test_a_scheduler_that_says_nothing_of_use_is_refused(scheduler: str, text: str) -> None:
    assert text in refusal(f"<cputune>{scheduler}</cputune>")


# Caches


def test_cache_shares_are_read_in_kib_with_the_monitors_left_out() -> None:
    guest = read(
        "<vcpu>4</vcpu>",
        "<cputune>",
        "<cachetune vcpus='0-1' id='vcpus_0-1'><monitor level='3' vcpus='0-1'/>",
        "<cache id='0' level='3' type='both' size='3' unit='MiB'/>",
        "<cache id='1' level='3' type='code' size='1025' unit='b'/></cachetune>",
        "<cachetune vcpus='2-9'><monitor level='3' vcpus='2'/></cachetune>",
        "</cputune>",
    )
    assert guest.cachetunes == (
        CacheTune((VcpuId(0), VcpuId(1)), 5, ((0, 3, "both", 3072), (1, 3, "code", 2))),
        CacheTune((VcpuId(2), VcpuId(3)), 8),
    )


@pytest.mark.parametrize("tune", ["<cachetune vcpus='0'/>", "<cachetune vcpus='7'><monitor level='3'/></cachetune>"])
def test_a_cache_share_of_nothing_or_of_no_vcpu_is_none(tune: str) -> None:
    assert read("<vcpu>4</vcpu>", f"<cputune>{tune}</cputune>").cachetunes == ()


@pytest.mark.parametrize(
    "cache",
    [
        "<cache level='3' type='both' size='3'/>",
        "<cache id='0' type='both' size='3'/>",
        "<cache id='0' level='3' size='3'/>",
        "<cache id='0' level='3' type='both'/>",
        "<cache id='x' level='3' type='both' size='3'/>",
        "<cache id='0' level='-3' type='both' size='3'/>",
        "<cache id='0' level='3' type='both' size='3' unit='furlong'/>",
        "<cache id='0' level='3' type='both' size='18446744073709551615' unit='KiB'/>",
    ],
)
def test_a_cache_that_cannot_be_read_leaves_the_rest_of_the_guest_readable(cache: str) -> None:
    good = "<cache id='1' level='3' type='both' size='3' unit='KiB'/>"
    guest = read(f"<cputune><cachetune vcpus='0'>{cache}{good}</cachetune></cputune>")
    assert [tune.caches for tune in guest.cachetunes] == [((1, 3, "both", 3),)]


def test_a_cache_share_without_vcpus_is_refused() -> None:
    assert "vcpus of <cachetune> is missing" in refusal("<cputune><cachetune/></cputune>")


# Memory


def test_memory_backing_is_read_word_for_word() -> None:
    backing = (
        "<memoryBacking><hugepages/><nosharepages/><locked/><source type='memfd'/><access mode='shared'/>"
        "<allocation mode='immediate' threads='8'/><discard/></memoryBacking>"
    )
    assert read(backing).backing == MemoryBacking(
        3,
        nosharepages=True,
        locked=True,
        discard=True,
        source="memfd",
        access="shared",
        allocation="immediate",
        allocation_threads=8,
    )


@pytest.mark.parametrize("inside", ["", "<hugepages/>", "<source/>", "<access mode=''/>", "<allocation threads='0'/>"])
def test_memory_backing_that_says_nothing_but_huge_pages_is_none(inside: str) -> None:
    assert read(f"<memoryBacking>{inside}</memoryBacking>").backing is None


@pytest.mark.parametrize("threads", ["x", "-1", "1.5", "99999999999"])
def test_allocation_threads_that_are_no_number_are_refused(threads: str) -> None:
    text = refusal(f"<memoryBacking><allocation threads='{threads}'/></memoryBacking>")
    assert f"threads of <allocation> is '{threads}'" in text


@pytest.mark.parametrize(
    ("memtune", "limit"),
    [
        ("<memtune><hard_limit unit='GiB'>1</hard_limit></memtune>", 1 << 20),
        ("<memtune><hard_limit>5</hard_limit></memtune>", 5),
        ("<memtune><hard_limit unit='b'>1025</hard_limit></memtune>", 2),
        ("<memtune><hard_limit unit='MB'>1</hard_limit></memtune>", 977),
        ("<memtune><hard_limit>0</hard_limit></memtune>", 0),
        ("<memtune><hard_limit unit='KiB'>9007199254740991</hard_limit></memtune>", None),
        ("<memtune><hard_limit unit='EiB'>1</hard_limit></memtune>", None),
        ("<memtune><hard_limit/></memtune>", None),
        ("<memtune><soft_limit>5</soft_limit></memtune>", None),
        ("<memtune/><memtune><hard_limit>5</hard_limit></memtune>", 5),
    ],
)
def test_a_memory_limit_has_a_unit_and_is_none_where_no_host_reaches_it(memtune: str, limit: int | None) -> None:
    assert read(memtune).memory_limit_kib == limit


@pytest.mark.parametrize("limit", ["<hard_limit>x</hard_limit>", "<hard_limit unit='x'>1</hard_limit>"])
def test_a_memory_limit_that_is_no_size_is_refused(limit: str) -> None:
    assert "<hard_limit>" in refusal(f"<memtune>{limit}</memtune>")


# The guest's NUMA nodes


@pytest.mark.parametrize(
    ("inside", "rows"),
    [
        (("", ""), [(), ()]),
        ((siblings((0, 10), (1, 21)), ""), [(10, 21), (21, 10)]),
        ((siblings((1, 21)), siblings((0, 31))), [(10, 21), (31, 10)]),
        (("", siblings((0, 31)), ""), [(10, 31, 20), (31, 10, 20), (20, 20, 10)]),
    ],
)
def test_the_guest_sees_a_distance_for_each_pair_of_nodes_or_none(
    inside: tuple[str, ...], rows: list[tuple[int, ...]]
) -> None:
    found = read(cells(*inside)).cells
    assert [tuple(value for _, value in cell.distances) for cell in found] == rows
    named = [tuple(cell for cell, _ in each.distances) for each in found]
    assert named == [tuple(range(len(inside))) if row else () for row in rows]


def test_distances_are_those_of_the_cells_ids_not_of_their_order_in_the_file() -> None:
    numa = f"<cell id='1' memory='1'>{siblings((0, 40))}</cell><cell id='0' memory='1'>{siblings((1, 30))}</cell>"
    found = read(f"<cpu><numa>{numa}</numa></cpu>").cells
    assert [cell.distances for cell in found] == [
        ((CellId(0), 10), (CellId(1), 30)),
        ((CellId(0), 40), (CellId(1), 10)),
    ]


@pytest.mark.parametrize("pair", [(2, 20), (1, 9), (1, 256), (1, 10), (0, 20)])
def test_a_distance_that_libvirt_refuses_says_nothing(pair: tuple[int, int]) -> None:
    assert [cell.distances for cell in read(cells(siblings(pair), "")).cells] == [(), ()]


def test_distances_of_more_nodes_than_any_kernel_knows_are_not_spread_out() -> None:
    found = read(cells(siblings((1, 20)), *[""] * 1024)).cells
    assert {cell.distances for cell in found} == {()}


# Limits


@pytest.mark.parametrize(
    "part",
    [
        "<cputune>{}</cputune>".format("<vcpusched vcpus='0-8191' scheduler='batch'/>" * 5_000),
        "<cputune>{}</cputune>".format("<cachetune vcpus='0-8191'><monitor/></cachetune>" * 5_000),
        "<memoryBacking><hugepages>{}</hugepages></memoryBacking>".format("<page size='4' nodeset='0-8191'/>" * 5_000),
    ],
)
def test_one_long_list_in_thousands_of_elements_is_kept_once(part: str) -> None:
    guest = read("<vcpu>8192</vcpu>", part)
    lists = [each.threads for each in guest.schedulers]
    lists += [each.vcpus for each in guest.cachetunes]
    lists += [each.cells or () for each in guest.hugepages]
    assert sum(len(each) for each in {id(each): each for each in lists}.values()) == 8192
