from numaplan.inventory.folding import fold_gaps
from numaplan.model.snapshot import Gap
from tests.inventory.broken import kind_of
from tests.inventory.trees import capture_id, captures, snapshot


def gaps(pattern: str, count: int, why: str = "permission denied (EACCES)") -> list[Gap]:
    return [Gap(pattern.format(number), why) for number in range(count)]


def test_many_files_of_one_kind_share_a_gap() -> None:
    assert fold_gaps(gaps("sys/cpu{}/topology/core_id", 12)) == (
        Gap("sys/cpu{0-11}/topology/core_id", "permission denied (EACCES)"),
    )


def test_a_few_files_keep_gaps_of_their_own() -> None:
    few = gaps("sys/cpu{}/topology/core_id", 4)
    assert list(fold_gaps(few)) == few


def test_files_of_another_kind_or_for_another_reason_stay_apart() -> None:
    found = (
        gaps("sys/cpu{}/online", 5)
        + gaps("sys/cpu{}/online", 5, "busy (EBUSY)")
        + gaps("sys/cpu{}/cache/index3/size", 5)
    )
    assert [gap.what for gap in fold_gaps(found)] == [
        "sys/cpu{0-4}/cache/index3/size",
        "sys/cpu{0-4}/online",
        "sys/cpu{0-4}/online",
    ]


def test_folders_and_pci_functions_are_never_folded() -> None:
    found = sorted([*gaps("sys/devices/system/node/node{}", 8), *gaps("sys/bus/pci/devices/0000:0{}:00.0/class", 8)])
    assert list(fold_gaps(found)) == found


def test_no_capture_drowns_in_gaps_of_one_kind() -> None:
    for path in captures():
        read = snapshot(capture_id(path))
        kinds = [(kind_of(gap.what), gap.why) for gap in read.gaps]
        assert all(kinds.count(kind) <= 4 for kind in set(kinds)), capture_id(path)
        assert len(read.gaps) <= 16, capture_id(path)
