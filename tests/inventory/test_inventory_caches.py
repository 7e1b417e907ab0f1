import pytest

from numaplan.inventory.caches import parse_cache_size, parse_cache_type, parse_level, read_llcs
from numaplan.inventory.cpus import read_cpu_states
from numaplan.inventory.nodes import read_nodes
from numaplan.inventory.topology import read_topology
from numaplan.model.host import LlcDomain
from numaplan.sources.tree import HostTree
from tests.inventory.trees import To, absent, cpu_files, flaws, tree

CPU = "sys/devices/system/cpu"
Files = dict[str, str | To | None]


def read(made: HostTree) -> tuple[LlcDomain, ...]:
    online = read_cpu_states(made).online
    nodes = read_nodes(made, online)
    topology = read_topology(made, online, nodes.node_of)
    return read_llcs(made, online, cores=topology.cores, node_of=nodes.node_of)


def cache(cpu: int, index: int, *, level: int, shared: str, size: str = "1024K", kind: str = "Unified") -> Files:
    folder = f"{CPU}/cpu{cpu}/cache/index{index}"
    return {
        f"{folder}/level": f"{level}\n",
        f"{folder}/type": f"{kind}\n",
        f"{folder}/size": f"{size}\n",
        f"{folder}/shared_cpu_list": f"{shared}\n",
    }


def cached(count: int, *, per_l3: int, nodes: int = 1) -> Files:
    files: Files = cpu_files(count, nodes=nodes)
    for cpu in range(count):
        first = cpu // per_l3 * per_l3
        files |= cache(cpu, 0, level=1, shared=str(cpu), kind="Data")
        files |= cache(cpu, 1, level=1, shared=str(cpu), kind="Instruction")
        files |= cache(cpu, 2, level=2, shared=str(cpu))
        files |= cache(cpu, 10, level=3, shared=f"{first}-{first + per_l3 - 1}", size="32M")
    return files


def cache_gaps(made: HostTree) -> list[tuple[str, str]]:
    return [(what, why) for what, why in flaws(made) if "/cache" in what or what == CPU]


def shape(llcs: tuple[LlcDomain, ...]) -> list[tuple[int, str, int | None, tuple[int, ...]]]:
    return [(llc.level, str(llc.cpus), llc.size_kib, llc.numa_nodes) for llc in llcs]


def test_the_highest_level_counts() -> None:
    made = tree(cached(8, per_l3=2, nodes=2))
    assert shape(read(made)) == [
        (3, "0-1", 32768, (0,)),
        (3, "2-3", 32768, (0,)),
        (3, "4-5", 32768, (1,)),
        (3, "6-7", 32768, (1,)),
    ]
    assert not cache_gaps(made)


def test_a_cache_may_span_nodes() -> None:
    assert shape(read(tree(cached(4, per_l3=4, nodes=2)))) == [(3, "0-3", 32768, (0, 1))]


def test_on_a_host_without_a_third_level_the_second_is_the_last() -> None:
    files = cpu_files(2) | cache(0, 0, level=2, shared="0") | cache(1, 0, level=2, shared="1")
    assert [level for level, *_ in shape(read(tree(files)))] == [2, 2]


def test_a_fourth_level_is_the_last_where_a_cpu_has_one() -> None:
    files = cached(2, per_l3=1) | cache(0, 11, level=4, shared="0-1") | cache(1, 11, level=4, shared="0-1")
    assert shape(read(tree(files))) == [(4, "0-1", 1024, (0,))]


def test_an_instruction_cache_is_no_last_level_cache() -> None:
    files = cpu_files(1) | cache(0, 0, level=1, shared="0", kind="Data")
    files |= cache(0, 1, level=2, shared="0", kind="Instruction")
    assert [level for level, *_ in shape(read(tree(files)))] == [1]


def test_offline_sharers_do_not_count() -> None:
    files = cached(4, per_l3=4) | {f"{CPU}/online": "0-2\n", f"{CPU}/cpu3/online": "0\n"}
    assert [cpus for _, cpus, *_ in shape(read(tree(files)))] == ["0-2"]


def test_a_mask_serves_where_there_is_no_list() -> None:
    files = {path: text for path, text in cached(2, per_l3=2).items() if not path.endswith("shared_cpu_list")}
    for cpu in range(2):
        files[f"{CPU}/cpu{cpu}/cache/index10/shared_cpu_map"] = "00000000,00000003\n"
    assert [cpus for _, cpus, *_ in shape(read(tree(files)))] == ["0-1"]


def test_no_caches_at_all_is_no_gap() -> None:
    made = tree(cpu_files(4))
    assert read(made) == ()
    assert not cache_gaps(made)


def test_cpus_without_a_cache_folder_are_where_the_others_put_them() -> None:
    files = {path: text for path, text in cached(4, per_l3=2).items() if f"{CPU}/cpu1/cache" not in path}
    made = tree(files)
    assert [cpus for _, cpus, *_ in shape(read(made))] == ["0-1", "2-3"]
    assert cache_gaps(made) == [(f"{CPU}/cpu1/cache", "shows no cache of level 3, which other CPUs say it shares")]


def test_cpus_that_nobody_puts_anywhere_are_a_gap() -> None:
    files = {path: text for path, text in cached(3, per_l3=1).items() if f"{CPU}/cpu1/cache" not in path}
    made = tree(files)
    assert [cpus for _, cpus, *_ in shape(read(made))] == ["0", "2"]
    assert cache_gaps(made) == [(f"{CPU}/cpu1/cache", "shows no cache, unlike that of other CPUs")]


def test_cpus_of_one_host_may_have_different_last_levels() -> None:
    files = cached(4, per_l3=2)
    for cpu in (2, 3):
        files = {path: text for path, text in files.items() if f"{CPU}/cpu{cpu}/cache/index10" not in path}
    assert [(level, cpus) for level, cpus, *_ in shape(read(tree(files)))] == [(3, "0-1"), (2, "2"), (2, "3")]


def test_a_cache_that_says_not_who_shares_it_is_shared_by_the_threads_of_a_core() -> None:
    files: Files = cpu_files(4, threads=2)
    for cpu in range(4):
        files |= cache(cpu, 0, level=3, shared="")
    made = tree(files)
    assert [cpus for _, cpus, *_ in shape(read(made))] == ["0-1", "2-3"]
    assert cache_gaps(made) == [
        (f"{CPU}/cpu{{0-3}}/cache/index0", "does not say who shares it: the threads of a core are taken to"),
        (f"{CPU}/cpu{{0-3}}/cache/index0/shared_cpu_list", "does not name its own CPU"),
    ]


def test_a_broken_level_of_one_cpu_is_a_gap_and_changes_nothing() -> None:
    whole = cached(4, per_l3=4)
    made = tree(whole | {f"{CPU}/cpu2/cache/index10/level": "99999999999999999999\n"})
    assert read(made) == read(tree(whole))
    assert f"{CPU}/cpu2/cache/index10/level" in [what for what, _ in cache_gaps(made)]


def test_a_size_on_which_the_sharers_differ_is_that_of_most() -> None:
    files = cached(3, per_l3=3)
    files[f"{CPU}/cpu0/cache/index10/size"] = "3M\n"
    made = tree(files)
    assert shape(read(made)) == [(3, "0-2", 32768, (0,))]
    assert [what for what, _ in cache_gaps(made)] == [f"{CPU}/cpu0/cache/index10/size"]


def test_a_size_that_nobody_says_is_unknown() -> None:
    files = {path: text for path, text in cached(2, per_l3=2).items() if not path.endswith("/size")}
    made = tree(files)
    assert [size for _, _, size, _ in shape(read(made))] == [None]
    assert not [what for what in absent(made) if "/cache" in what]


def test_a_size_that_only_other_caches_say_is_missed() -> None:
    files = cached(2, per_l3=1)
    made = tree({path: text for path, text in files.items() if not path.endswith("/index10/size")})
    assert [size for _, _, size, _ in shape(read(made))] == [None, None]
    assert f"{CPU}/cpu{{0-1}}/cache/index10/size" in absent(made)


@pytest.mark.parametrize("file", ["level", "type", "shared_cpu_list"])
def test_what_every_cache_says_is_missed_where_it_is_absent(file: str) -> None:
    files = cached(2, per_l3=1)
    del files[f"{CPU}/cpu1/cache/index10/{file}"]
    made = tree(files)
    read(made)
    assert f"{CPU}/cpu1/cache/index10/{file}" in absent(made)


def test_a_second_cache_of_the_last_level_is_a_gap() -> None:
    made = tree(cached(1, per_l3=1) | cache(0, 11, level=3, shared="0"))
    assert len(read(made)) == 1
    assert cache_gaps(made) == [(f"{CPU}/cpu0/cache/index11", "a second cache of level 3; only index10 is taken")]


@pytest.mark.parametrize(
    ("text", "size"), [("32768K\n", 32768), ("33M\n", 33792), ("1G\n", 1048576), ("2048\n", 2), ("64K", 64)]
)
def test_cache_sizes(text: str, size: int) -> None:
    assert parse_cache_size(text) == size


@pytest.mark.parametrize("text", ["", "\n", "-1\n", "0K\n", "K\n", "32 K\n", "9999999999K\n", "163\n", "32k\n"])
def test_what_is_no_cache_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_cache_size(text)


@pytest.mark.parametrize("text", ["", "Unif", "data\n", "Trace\n"])
def test_what_is_no_cache_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        parse_cache_type(text)


@pytest.mark.parametrize("text", ["0\n", "10\n", "-1\n", "L3\n", ""])
def test_what_is_no_cache_level_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|within"):
        parse_level(text)
