"""How far apart a guest sees its cells."""

import pytest

from tests.domxml.plans import domain, lines_of, patched, placed
from tests.hosts import host

FAR = host("2n:8c:2t", distances=[[10, 32], [31, 10]])
TWO = placed(["4"], ["20"])
SEEN = (
    "<vcpu>2</vcpu>",
    "<cpu><numa>",
    "  <cell id='1' cpus='1' memory='1' unit='GiB'/>",
    "  <cell id='0' cpus='0' memory='1' unit='GiB'><distances><sibling id='1' value='21'/></distances></cell>",
    "</numa></cpu>",
)


def distances(data: bytes) -> list[str]:
    text = "".join(lines_of(data)).replace("<cell", "\n<cell")
    return [
        line[line.index("<distances>") : line.index("</cell>")] for line in text.split("\n") if "<distances>" in line
    ]


def test_new_cells_are_as_far_apart_as_the_hosts_nodes_each_way() -> None:
    assert distances(patched(domain("<vcpu>2</vcpu>"), TWO, on=FAR).data) == [
        "<distances><sibling id='0' value='10'/><sibling id='1' value='32'/></distances>",
        "<distances><sibling id='0' value='31'/><sibling id='1' value='10'/></distances>",
    ]


@pytest.mark.parametrize(
    "slit", [[[10, 20], [20, 10]], [[10], [20, 10]], [[], []], [[10, 255], [255, 10]], [[10, 9], [9, 10]]]
)
def test_nothing_is_said_where_libvirt_takes_the_same_and_where_the_host_says_nothing_of_use(
    slit: list[list[int]],
) -> None:
    near = host("2n:8c:2t", distances=slit)
    assert distances(patched(domain("<vcpu>2</vcpu>"), TWO, on=near).data) == []


def test_two_cells_on_one_node_have_no_distances_since_linux_takes_none_of_ten_between_nodes() -> None:
    plan = placed(["4"], ["5"], nodes=[0, 0])
    assert distances(patched(domain("<vcpu>2</vcpu>"), plan, on=FAR).data) == []


def test_cells_that_are_there_change_their_distances_only_where_they_may() -> None:
    kept = patched(domain(*SEEN), TWO, on=FAR)
    assert distances(kept.data) == ["<distances><sibling id='1' value='21'/></distances>"]
    assert kept.withheld == (
        "the distances of the cells on line 6 stay other than the host's: --change-guest-topology changes it",
    )
    changed = patched(domain(*SEEN), TWO, change_topology=True, on=FAR)
    assert distances(changed.data) == [
        "<distances><sibling id='0' value='31'/><sibling id='1' value='10'/></distances>",
        "<distances><sibling id='1' value='32'/><sibling id='0' value='10'/></distances>",
    ]
    assert changed.withheld == ()
    assert changed.noticed == ("other distances between its NUMA cells",)


def test_distances_that_are_libvirts_own_go_where_they_may_change() -> None:
    near = host("2n:8c:2t", distances=[[10, 20], [20, 10]])
    assert distances(patched(domain(*SEEN), TWO, change_topology=True, on=near).data) == []


def test_what_is_written_right_is_not_touched() -> None:
    same = host("2n:8c:2t", distances=[[10, 21], [21, 10]])
    kept = patched(domain(*SEEN), TWO, on=same)
    assert (kept.withheld, kept.noticed) == ((), ())
    assert patched(domain(*SEEN), TWO, change_topology=True, on=same).data == kept.data


def test_distances_to_cells_that_go_are_left_out_where_the_host_says_none() -> None:
    siblings = "<distances><sibling id='0' value='10'/><sibling id='2' value='30'/></distances>"
    there = (
        "<cpu><numa>",
        f"  <cell id='0' cpus='0' memory='1' unit='GiB'>{siblings}</cell>",
        "  <cell id='1' cpus='1' memory='1' unit='GiB'/>",
        "  <cell id='2' cpus='2' memory='1' unit='GiB'/>",
        "</numa></cpu>",
    )
    silent = host("2n:8c:2t", distances=[[], []])
    result = patched(domain("<vcpu>3</vcpu>", *there), TWO, change_topology=True, on=silent)
    assert distances(result.data) == []
    assert result.notes == ("<distances> on line 5 go: they name cells that the guest has no longer",)
