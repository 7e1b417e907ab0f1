"""Of a large group whose members say the same, few are asked: what is read stays what all of them say."""

import random
from collections.abc import Mapping

import pytest

from numaplan.inventory import caches, pci, siblings
from numaplan.inventory.host import read_host
from numaplan.inventory.siblings import ask_witnesses, witnesses
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.tree import HostTree
from tests.inventory.broken import MUTATIONS, Fault, FaultyStore, Host, facts
from tests.inventory.trees import MadeStore, To, cpu_files, gaps, opened

CPU = "sys/devices/system/cpu"
BUS = "sys/devices/pci0000:3a"
COUNT = 16
NAMES = ("host-flat", "nri-server", "hwloc-128arm-2pa2n8cluster4co", "hwloc-64amd64-4p2n4ca2co", "host-snc")
TREES = 6
SEED = 7
Files = dict[str, str | To | None]


def host(path: str = "", text: str | None = None) -> Files:
    """One package, one cache, sixteen cores; the file at `path` has another text, or is not there."""
    files = cpu_files(COUNT)
    for cpu in range(COUNT):
        for index, level, shared in ((0, 1, f"{cpu}"), (1, 2, f"{cpu}"), (2, 3, f"0-{COUNT - 1}")):
            folder = f"{CPU}/cpu{cpu}/cache/index{index}"
            files |= {
                f"{folder}/level": f"{level}\n",
                f"{folder}/type": "Unified\n",
                f"{folder}/size": "1024K\n",
                f"{folder}/shared_cpu_list": f"{shared}\n",
            }
    if text is not None:
        return files | {path: text}
    return {each: content for each, content in files.items() if each != path}


def read(files: Files) -> tuple[Snapshot, MadeStore, list[str]]:
    store = MadeStore(files)
    tree = HostTree(store, Source.CAPTURE)
    return read_host(tree), store, [what for what, _ in gaps(tree) if what.startswith(f"{CPU}/cpu")]


def asked(store: MadeStore, file: str) -> list[int]:
    return [cpu for cpu in range(COUNT) if f"{CPU}/cpu{cpu}/{file}" in store.reads]


def functions(count: int, *, odd: Mapping[int, str]) -> Files:
    files: Files = {}
    for i in range(count + 1):
        address = f"0000:3b:{i // 8:02x}.{i % 8}"
        folder = f"{BUS}/{address}"
        files[f"sys/bus/pci/devices/{address}"] = To(f"../../../devices/pci0000:3a/{address}")
        ids = {"vendor": "0x8086\n", "device": odd.get(i, "0x1889\n" if i else "0x1592\n"), "class": "0x020000\n"}
        files |= {f"{folder}/{name}": text for name, text in ids.items()}
        files[f"{folder}/numa_node"] = "0\n"
        if i:
            files[f"{folder}/physfn"] = To("../0000:3b:00.0")
            files[f"{BUS}/0000:3b:00.0/virtfn{i - 1}"] = To(f"../{address}")
    return files | {f"{BUS}/0000:3b:00.0/sriov_{name}": f"{count}\n" for name in ("totalvfs", "numvfs")}


@pytest.mark.parametrize(
    ("group", "chosen"),
    [((), ()), ((5,), (5,)), ((1, 2, 3, 4), (1, 2, 3, 4)), (range(5), (0, 1, 2, 4)), (range(32), (0, 10, 20, 31))],
)
def test_the_first_the_last_and_some_between_are_witnesses(group: range | tuple[int, ...], chosen: object) -> None:
    assert witnesses(group) == chosen


def test_what_witnesses_agree_on_is_taken_for_all_of_their_group() -> None:
    calls: list[int] = []

    def ask(cpu: int) -> int:
        calls.append(cpu)
        return 0xFF if cpu < 8 else 0xFF00

    assert ask_witnesses(0xFFFF, ask, members=int) == {cpu: 0xFF if cpu < 8 else 0xFF00 for cpu in range(16)}
    assert sorted(calls) == [0, 2, 4, 7, 8, 10, 12, 15]


def test_where_witnesses_do_not_agree_each_cpu_is_asked_once() -> None:
    for odd in (0, 2, 4, 7):
        calls: list[int] = []

        def ask(cpu: int, odd: int = odd, calls: list[int] = calls) -> int | None:
            calls.append(cpu)
            return None if cpu == odd else 0xFF

        assert ask_witnesses(0xFF, ask, members=int) == {cpu: 0xFF for cpu in range(8) if cpu != odd}
        # Of those behind a lowest one that says nothing, the next one's group is taken as any other.
        assert len(calls) == len(set(calls))
        assert odd == 0 or sorted(calls) == list(range(8))


def test_a_cpu_that_witnesses_do_not_name_is_asked_itself() -> None:
    answers = {cpu: 0b0111_1111 if cpu < 7 else 0b1111_1111 for cpu in range(8)}
    assert ask_witnesses(0xFF, answers.get, members=int) == answers


def test_of_a_large_package_and_cache_four_cpus_are_asked() -> None:
    whole, store, gaps_ = read(host())
    assert asked(store, "topology/physical_package_id") == [0, 5, 10, 15]
    assert asked(store, "topology/core_siblings_list") == [0, 5, 10, 15]
    assert asked(store, "cache/index2/size") == [0, 5, 10, 15]
    assert asked(store, "topology/thread_siblings_list") == list(range(COUNT))
    assert asked(store, "topology/core_id") == list(range(COUNT))
    assert [(str(llc.cpus), llc.size_kib) for llc in whole.llcs] == [("0-15", 1024)]
    assert [(package.id, str(package.cpus)) for package in whole.packages] == [(0, "0-15")]
    assert not gaps_


@pytest.mark.parametrize("cpu", [0, 5, 10, 15])
@pytest.mark.parametrize("text", ["99\n", "garbage", None])
@pytest.mark.parametrize("file", ["topology/physical_package_id", "topology/core_siblings_list", "cache/index2/size"])
def test_where_a_witness_is_at_odds_with_the_others_all_are_asked(cpu: int, text: str | None, file: str) -> None:
    path = f"{CPU}/cpu{cpu}/{file}"
    broken, store, gaps_ = read(host(path, text))
    # One that is absent was looked for, but not read; and a lowest CPU that says nothing leaves its group to the next.
    assert len(asked(store, file)) >= COUNT - 1 or cpu == 0
    assert facts(broken) == facts(read(host())[0])
    assert path in gaps_


def test_a_cache_of_one_cpu_alone_stays_its_own() -> None:
    files = host(f"{CPU}/cpu9/cache/index2/shared_cpu_list", "9\n")
    others = "0-8,10-15"
    for cpu in range(COUNT):
        if cpu != 9:
            files[f"{CPU}/cpu{cpu}/cache/index2/shared_cpu_list"] = f"{others}\n"
    assert [str(llc.cpus) for llc in read(files)[0].llcs] == [others, "9"]


def test_vfs_of_a_pf_have_the_ids_on_which_the_first_of_them_agree() -> None:
    whole, store, _ = read(cpu_files(2) | functions(20, odd={}))
    assert {device.device for device in whole.pci if device.physfn is not None} == {"1889"}
    assert len([path for path in store.reads if path.endswith("/device")]) == 5
    assert len([path for path in store.reads if path.endswith("/numa_node")]) == 21


@pytest.mark.parametrize("odd", [1, 4])
def test_vfs_that_do_not_agree_are_asked_each(odd: int) -> None:
    whole, store, _ = read(cpu_files(2) | functions(20, odd={odd: "0x188a\n", 15: "0x188b\n"}))
    found = [device.device for device in whole.pci]
    assert (found[odd], found[15], found.count("1889")) == ("188a", "188b", 18)
    assert len([path for path in store.reads if path.endswith("/device")]) == 21


@pytest.mark.parametrize("name", NAMES)
def test_one_broken_file_changes_no_fact_that_asking_everybody_would_keep(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    base = opened(name)._store
    for module in (siblings, caches, pci):
        monkeypatch.setattr(module, "WITNESSES", 10**6)
    everybody = Host.of(base)
    rng = random.Random(f"{SEED} {name}")  # noqa: S311 - the same files every time
    files = sorted(real for real in everybody.files if "/topology/" in real or "/cache/" in real)
    count = TREES * request.config.getoption("--trees") // 1000
    chosen: list[dict[str, Fault]] = [{rng.choice(files): rng.choice(MUTATIONS)} for _ in range(count)]
    kept = [facts(everybody.read(faults)) for faults in chosen]
    monkeypatch.undo()
    few = [facts(read_host(HostTree(FaultyStore(base, faults), Source.CAPTURE))) for faults in chosen]
    assert [faults for faults, a, b in zip(chosen, kept, few, strict=True) if a != b] == []
    assert len(Host.of(base).files) < len(everybody.files)
