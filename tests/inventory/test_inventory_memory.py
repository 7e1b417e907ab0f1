import pytest

from numaplan.inventory.memory import MemoryInfo, parse_memory, parse_pages, read_memory, read_pools
from numaplan.model.host import HugepagePool
from tests.inventory.trees import To, flaws, tree

WHOLE = """\
Node 1 MemTotal:        1000 kB
Node 1 MemFree:          500 kB
Node 1 Active:           999 kB
Node 1 Active(anon):     998 kB
Node 1 Active(file):      40 kB
Node 1 Inactive(file):    30 kB
Node 1 SReclaimable:       5 kB
Node 1 HugePages_Total:     0
"""
POOLS = "sys/kernel/mm/hugepages"


def pool(size_kib: int, *, total: str, free: str, surplus: str = "0\n") -> dict[str, str | To | None]:
    folder = f"{POOLS}/hugepages-{size_kib}kB"
    return {
        f"{folder}/nr_hugepages": total,
        f"{folder}/free_hugepages": free,
        f"{folder}/surplus_hugepages": surplus,
    }


def test_available_is_what_is_free_and_what_can_be_dropped() -> None:
    assert parse_memory(WHOLE) == MemoryInfo(total_kib=1000, free_kib=500, available_kib=575)


def test_the_file_of_the_host_has_no_node_in_its_lines() -> None:
    assert parse_memory(WHOLE.replace("Node 1 ", "")) == parse_memory(WHOLE)


@pytest.mark.parametrize("key", ["MemFree", "Active(file)", "Inactive(file)", "SReclaimable"])
def test_available_is_unknown_where_an_addend_is_missing(key: str) -> None:
    text = "".join(line for line in WHOLE.splitlines(keepends=True) if f" {key}:" not in line)
    made = tree({"proc/meminfo": text})
    info = read_memory(made, "proc/meminfo")
    assert info.total_kib == 1000
    assert info.available_kib is None
    assert flaws(made) == [("proc/meminfo", f"has no {key}: the memory available is not known")]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("1000 kB", "-1 kB", "MemTotal is no number of kB"),
        ("1000 kB", "1000", "MemTotal is no number of kB"),
        ("500 kB", "99999999999999999999 kB", "MemFree is no number of kB"),
        ("500 kB", "5000 kB", "MemFree 5000 kB is more than MemTotal 1000 kB"),
        (" 40 kB", "4000 kB", "4535 kB available are more than MemTotal 1000 kB"),
        ("MemTotal", "MemTotel", "no MemTotal"),
        ("Active(anon)", "MemFree", "MemFree stands twice"),
    ],
)
def test_a_broken_line_is_refused(old: str, new: str, why: str) -> None:
    made = tree({"proc/meminfo": WHOLE.replace(old, new, 1)})
    assert read_memory(made, "proc/meminfo") == MemoryInfo()
    assert [(what, reason.partition(":")[0]) for what, reason in flaws(made)] == [("proc/meminfo", why)]


@pytest.mark.parametrize("text", ["", "\0\0", "garbage\n", "MemTotal:\n"])
def test_what_is_no_meminfo_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MemTotal"):
        parse_memory(text)


def test_an_absent_meminfo_is_no_gap() -> None:
    made = tree({"sys": None})
    assert read_memory(made, "proc/meminfo") == MemoryInfo()
    assert not flaws(made)


def test_pools_of_every_size_by_size() -> None:
    made = tree(
        pool(1048576, total="16\n", free="12\n")
        | pool(64, total="0\n", free="0\n")
        | pool(2048, total="9\n", free="1\n", surplus="2\n")
        | {f"{POOLS}/power": None}
    )
    assert read_pools(made, POOLS) == (
        HugepagePool(64, total=0, free=0),
        HugepagePool(2048, total=9, free=1, surplus=2),
        HugepagePool(1048576, total=16, free=12),
    )
    assert not flaws(made)


@pytest.mark.parametrize("text", ["", "x\n", "-1\n", "99999999999999999999\n", "\0"])
def test_a_pool_with_a_broken_number_is_left_out_with_a_gap(text: str) -> None:
    made = tree(pool(2048, total="9\n", free=text))
    assert read_pools(made, POOLS) == ()
    assert [what for what, _ in flaws(made)] == [f"{POOLS}/hugepages-2048kB/free_hugepages"]


def test_a_pool_with_more_free_pages_than_pages_is_left_out_with_a_gap() -> None:
    made = tree(pool(2048, total="9\n", free="90\n"))
    assert read_pools(made, POOLS) == ()
    assert (
        f"{POOLS}/hugepages-2048kB/free_hugepages",
        "9 pages, 90 free and 0 surplus: the pool is left out",
    ) in flaws(made)


def test_a_pool_that_does_not_say_what_is_free_is_left_out_with_a_gap() -> None:
    files = pool(2048, total="9\n", free="9\n")
    del files[f"{POOLS}/hugepages-2048kB/free_hugepages"]
    made = tree(files)
    assert read_pools(made, POOLS) == ()
    assert flaws(made) == [(f"{POOLS}/hugepages-2048kB/free_hugepages", "not there: the pool is left out")]


def test_a_folder_without_a_page_size_is_a_gap() -> None:
    made = tree({f"{POOLS}/hugepages-hugekB": None})
    assert read_pools(made, POOLS) == ()
    assert flaws(made) == [(f"{POOLS}/hugepages-hugekB", "no page size")]


def test_pages_are_counted_in_whole_numbers() -> None:
    assert parse_pages("128\n") == 128
