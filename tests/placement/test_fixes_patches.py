"""A patch of the inventory makes the one document of the other, whatever lies between the two hosts."""

import json

from hypothesis import given, settings

from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json
from numaplan.records.revise import inventory_patch
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.fixes_cases import Json, applied
from tests.placement.random_cases import hosts


def document(snapshot: Snapshot) -> Json:
    return json.loads(inventory_json(snapshot))


@settings(deadline=None, derandomize=True, max_examples=draws(10))
@given(hosts(), hosts())
def test_a_patched_document_is_that_of_the_other_host(old: Snapshot, new: Snapshot) -> None:
    assert applied(document(old), inventory_patch(old, new)) == document(new)


def test_nothing_is_patched_where_nothing_differs() -> None:
    snapshot = host("2n:2c:2t", nics=[Nic("ens0", 0, 2)])
    assert inventory_patch(snapshot, snapshot) == ()


def test_what_goes_and_what_comes_are_single_entries() -> None:
    few, many = (host("1n:2c:1t", nics=[Nic("ens0", 0, vfs)]) for vfs in (1, 2))
    more, less = inventory_patch(few, many), inventory_patch(many, few)
    assert [(each.op, each.path) for each in more if each.path.count("/") == 2] == [
        ("add", "/pci/2"),
        ("add", "/iommu_groups/2"),
    ]
    assert [(each.op, each.path) for each in less if each.path.count("/") == 2] == [
        ("remove", "/pci/2"),
        ("remove", "/iommu_groups/2"),
    ]
