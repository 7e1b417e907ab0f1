"""What the site could change in its policy: CPUs to share where guests that stay are more than their pool takes."""

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest, VcpuId, VcpuPin
from tests.hosts import GIB, host
from tests.placement.test_fixes import sentences, vm


def stays(vcpus: int, cpus: str) -> Guest:
    pins = tuple(VcpuPin(VcpuId(vcpu), CpuSet.parse(cpus), 1) for vcpu in range(vcpus))
    return Guest("stays", "stays.xml", vcpus, GIB, vcpu_pins=pins, running=True)


def test_a_pool_that_guests_who_stay_overdraw_is_widened_for_them_too() -> None:
    shared = vm("a", cpu_policy="shared")
    said = sentences(host("1n:8c:1t", guests=[stays(8, "2-7")]), shared, reserved_cpus="0-1", shared_cpus="2")
    assert said[:2] == ["add CPUs 6-7 of node 0 to shared_cpus: cost 10", "let shared_ratio be 10: cost 60"]


def test_a_pool_is_made_that_is_wide_enough_for_many_who_stay() -> None:
    said = sentences(host("1n:24c:1t", guests=[stays(40, "2-23")]), vm("a", cpu_policy="shared"), reserved_cpus="0-1")
    assert said[0] == "add CPUs 13-23 of node 0 to shared_cpus: cost 55"


def test_the_sibling_of_a_cpu_that_is_in_use_is_shared_before_a_core_that_is_free() -> None:
    guests = [vm("r", 4, thread_policy="require"), vm("s", 1, cpu_policy="shared")]
    for snapshot, reserved in ((host("1n:4c:2t", guests=[stays(1, "1")]), "0,4"), (host("1n:4c:2t"), "0-1,4")):
        assert sentences(snapshot, *guests, reserved_cpus=reserved)[0] == "add CPU 5 of node 0 to shared_cpus: cost 5"
