"""Where nothing that is added to a host makes room for one copy more: what keeps it out is told."""

import re
from dataclasses import replace
from typing import Final

import pytest

from numaplan.model.request import DeviceRequest, GuestRequest, PageSize, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.spec.synthetic import parse_synthetic
from tests.requests import ask, guest, vfs

NO_ADDITION: Final = "no addition to a node makes room for one more fw"
NO_NODE: Final = "no node to it that has all that it needs, or could have it"
TWO_NODES: Final = "2 nodes, 8 cores, 2 threads, 32GiB; 1GiB=4; ens1f0@0: 4 VFs"
MANY_NODES: Final = "16 nodes, 64 cores, 2 threads, 256GiB; 1GiB=32; ens1f0@0: 4 VFs"
GPU: Final = DeviceRequest("gpu", vendor="10de", device="20b0")
APART: Final = vfs("data", "ens1f0", 2, distinct_pfs=True)


def half_a_page() -> GuestRequest:
    one = guest("fw", 4)
    return replace(one, cells=(replace(one.cells[0], memory_kib=512 << 10, page_size=PageSize("1GiB")),))


def next_sentence(request: Request, snapshot: Snapshot, *, apart: bool = False) -> str:
    found = count_copies(request, snapshot, "fw", together=False, apart=apart)
    assert isinstance(found, Counted)
    assert found.capacity.proven
    assert found.capacity.next.short == ()
    return found.capacity.next.sentence


@pytest.mark.parametrize("spec", [TWO_NODES, MANY_NODES], ids=["few-nodes", "many-nodes"])
@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (half_a_page(), "512 MiB is not a multiple of any page size that it may use (the host has huge pages of"),
        (guest("fw", 2, interfaces=[APART]), 'needed: 2 for "data" on as many PFs; node 0: 4 free of 1 PF; node'),
        (
            guest("fw", 2, interfaces=[replace(APART, count=9)]),
            'interface "data" needs 9 VFs with pf ens1f0 on as many PFs, the host has 4',
        ),
        (guest("fw", 2, interfaces=[vfs("data", "nope")]), 'interface "data" needs 1 VF with pf nope, the host has 0'),
        (
            replace(guest("fw", 2), devices=(GPU,)),
            'device "gpu" needs 1 device with vendor 10de, device 20b0, the host has 0 free',
        ),
        (guest("fw", [1] * 17), "its 17 cells need nodes of their own, and only"),
    ],
    ids=["page size", "distinct PFs", "too few distinct PFs", "no such PF", "no GPU", "cells"],
)
def test_a_copy_that_has_no_place_even_alone_is_told_why_as_place_tells_it(
    spec: str, wanted: GuestRequest, reason: str
) -> None:
    request, snapshot = ask(wanted, reserved="0"), parse_synthetic(spec)
    sentence = next_sentence(request, snapshot)
    assert sentence.startswith(f"{NO_ADDITION}, which has no place even alone: ")
    assert reason in sentence
    (unplaced,) = solve(request, snapshot, budget=Budget()).unplaced
    assert sentence.endswith(f": {unplaced.reason}")


def test_what_could_be_added_is_not_to_blame_and_what_is_there_is_told_as_it_is() -> None:
    """There are eight CPUs a node and four GiB of pages; the GPU is what no addition brings."""
    wanted = replace(guest("fw", 64, page_size="1GiB", memory_gib=64), devices=(GPU,))
    assert 'device "gpu" needs' in next_sentence(ask(wanted, reserved="0"), parse_synthetic(TWO_NODES))
    apart = guest("fw", 64, interfaces=[APART])
    assert "node 0: 4 free of 1 PF" in next_sentence(ask(apart, reserved="0"), parse_synthetic(TWO_NODES))


def test_pages_that_are_not_to_blame_are_none_that_the_host_is_said_to_have() -> None:
    """The other cell could have pages of 2 MiB added."""
    one = guest("fw", [1, 1])
    cells = [(512, "1GiB"), (1024, "2MiB")]
    wanted = replace(
        one,
        cells=tuple(
            replace(cell, memory_kib=mib << 10, page_size=PageSize(size))
            for cell, (mib, size) in zip(one.cells, cells, strict=True)
        ),
    )
    sentence = next_sentence(ask(wanted, reserved="0"), parse_synthetic(TWO_NODES))
    assert sentence.endswith(
        "512 MiB is not a multiple of any page size that it may use (the host has huge pages of 1 GiB only)"
    )


@pytest.mark.parametrize(
    ("others", "links", "apart", "told"),
    [
        ((guest("db", 2),), {"anti_affinity": ("db",)}, True, 'anti_affinity to "db" and the other copies leaves'),
        (
            (guest("db", 2), guest("web", 2, anti_affinity=["db"])),
            {"affinity": ("db",), "anti_affinity": ("web",)},
            True,
            'affinity to "db" and anti_affinity to "web" and the other copies leave',
        ),
        ((guest("db", 2, affinity=["fw"], anti_affinity=["fw"]),), {}, False, 'affinity to "db" and anti_affinity to'),
    ],
    ids=["apart", "both", "torn"],
)
def test_links_that_leave_it_no_node_are_named(
    others: tuple[GuestRequest, ...], links: dict[str, tuple[str, ...]], told: str, *, apart: bool
) -> None:
    wanted = replace(guest("fw", 2), **links)  # type: ignore[arg-type]  # the names of two fields of the same type
    sentence = next_sentence(ask(*others, wanted, reserved="0"), parse_synthetic(TWO_NODES), apart=apart)
    assert re.fullmatch(re.escape(f"{NO_ADDITION}: its {told}") + ".*" + re.escape(NO_NODE), sentence)


def test_a_copy_that_fits_alone_is_not_said_not_to() -> None:
    """Two VFs by name: the first copy has them."""
    data = replace(vfs("data", "ens1f0", 2), vf_indexes=frozenset(range(2)))
    words = "adding CPUs, memory or VFs to the existing nodes does not make room for one more fw"
    assert next_sentence(ask(guest("fw", 1, interfaces=[data])), parse_synthetic(TWO_NODES)) == words
