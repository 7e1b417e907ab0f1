"""What the host could have more of: VFs up to those of a range, PFs that stay whole, pages that others take first."""

from tests.hosts import Nic, host
from tests.placement.test_fixes import sentences, vm


def test_a_range_past_the_configured_vfs_takes_those_before_it_too() -> None:
    snapshot = host("1n:12c:1t", nics=[Nic("ens0", 0, 4)])
    last = vm("a", interfaces=[{"name": "data", "pf": "ens0#6-7", "count": 2}])
    assert sentences(snapshot, last)[0] == "configure 4 more VFs on ens0: cost 20"
    first = vm("b", interfaces=[{"name": "data", "pf": "ens0#0-3", "count": 4}])
    sixth = vm("c", interfaces=[{"name": "data", "pf": "ens0#5"}])
    assert sentences(snapshot, first, sixth)[0] == "configure 2 more VFs on ens0: cost 10"
    others = vm("d", interfaces=[{"name": "data", "pf": "ens0", "count": 3}])
    assert sentences(snapshot, first, sixth, others)[0] == "configure 4 more VFs on ens0: cost 20"
