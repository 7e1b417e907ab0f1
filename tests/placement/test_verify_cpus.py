"""CPUs: given once, allocatable, on their node, as thread, emulator, iothread and pool policies want them."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.guest import EmulatorPin, Guest, IothreadId, IothreadPin, VcpuId, VcpuPin
from numaplan.model.request import CpuPolicy, EmulatorPolicy, IothreadPolicy, Request, ThreadPolicy
from numaplan.placement.verify import Violation
from tests.hosts import GIB, host
from tests.placement.verify_cases import POLICY, cell, found, guest, placed

HOST = host("2n:4c:2t")
NOTHING_NAMED = replace(POLICY, reserved_cpus=CpuSet(), shared_cpus=None)


def staying(*pins: str, emulator: str | None = None, iothread: str | None = None) -> Guest:
    return Guest(
        "old",
        "old.xml",
        len(pins),
        GIB,
        vcpu_pins=tuple(VcpuPin(VcpuId(vcpu), CpuSet.parse(text), 1) for vcpu, text in enumerate(pins)),
        emulator_pin=None if emulator is None else EmulatorPin(CpuSet.parse(emulator), 1),
        iothreads=0 if iothread is None else 1,
        iothread_pins=() if iothread is None else (IothreadPin(IothreadId(1), CpuSet.parse(iothread), 1),),
    )


def test_free_siblings_of_one_node_are_a_valid_place() -> None:
    assert not found(Request(POLICY, (guest("a"),)), HOST, placed("a", cell(0, "2", "10")))


def test_a_cpu_given_twice_within_a_guest_is_told() -> None:
    assert found(Request(POLICY, (guest("a"),)), HOST, placed("a", cell(0, "2", "2"))) == (
        Violation(
            "a", "cpu_distinct", 'cpu 2 is given 2 times, to guest "a" vCPU 0 and guest "a" vCPU 1; it can go to one'
        ),
    )


def test_a_cpu_given_to_two_guests_is_told_once() -> None:
    request = Request(POLICY, (guest("a", 1), guest("b", 1)))
    assert found(request, HOST, placed("a", cell(0, "2")), placed("b", cell(0, "2"))) == (
        Violation(
            "b", "cpu_distinct", 'cpu 2 is given 2 times, to guest "a" vCPU 0 and guest "b" vCPU 0; it can go to one'
        ),
    )


def test_an_own_emulator_cpu_must_differ_from_the_vcpus() -> None:
    request = Request(POLICY, (guest("a", 1, emulator=EmulatorPolicy.ISOLATE),))
    wrong = found(request, HOST, placed("a", cell(0, "2"), emulator="2"))
    assert [violation.constraint for violation in wrong] == ["cpu_distinct"]


@pytest.mark.parametrize(
    ("cpu", "why"),
    [
        ("0", "is reserved for the host"),
        ("1", "is in the shared pool"),
        ("11", "is offline"),
        ("99", "is not on the host"),
        ("3", 'is taken by guest "old"'),
    ],
)
def test_a_cpu_that_is_not_for_guests_is_told(cpu: str, why: str) -> None:
    snapshot = host("2n:4c:2t", offline="11", guests=[staying("3")])
    assert found(Request(POLICY, (guest("a", 1),)), snapshot, placed("a", cell(0, cpu))) == (
        Violation("a", "cpu_not_allocatable", f'cpu {cpu} of guest "a" vCPU 0 {why}'),
    )


@pytest.mark.parametrize("old", [staying("2-3", emulator="2"), staying("2-3", iothread="2")])
def test_a_staying_emulator_or_iothread_takes_its_only_cpu(old: Guest) -> None:
    snapshot = host("2n:4c:2t", guests=[old])
    wrong = found(Request(POLICY, (guest("a", 1),)), snapshot, placed("a", cell(0, "2")))
    assert [violation.constraint for violation in wrong] == ["cpu_not_allocatable"]


@pytest.mark.parametrize(("cpus", "wrong"), [(("10", "3"), 0), (("10", "11"), 1), (("3", "10"), 1)])
def test_who_is_beside_an_isolated_guest_may_stay_there_as_it_is(cpus: tuple[str, str], wrong: int) -> None:
    """CPU 10 is the sibling of CPU 2."""
    there = replace(staying("10", "3", emulator="4"), name="a")
    snapshot = host("2n:4c:2t", guests=[replace(staying("2"), thread_policy="isolate"), there])
    violations = found(Request(POLICY, (guest("a", 2),)), snapshot, placed("a", cell(0, *cpus)))
    assert [violation.constraint for violation in violations] == ["cpu_not_allocatable"] * wrong


def test_a_wider_affinity_takes_no_cpu() -> None:
    snapshot = host("2n:4c:2t", guests=[staying("2-3", emulator="2-3")])
    assert not found(Request(POLICY, (guest("a", 1),)), snapshot, placed("a", cell(0, "2")))


def test_a_guest_of_the_request_gives_its_own_cpus_back() -> None:
    snapshot = host("2n:4c:2t", guests=[replace(staying("2", emulator="10"), name="a")])
    assert not found(Request(POLICY, (guest("a", 1),)), snapshot, placed("a", cell(0, "2")))


def test_without_named_cpus_those_that_are_not_isolated_are_reserved() -> None:
    snapshot = host("2n:4c:2t", isolated="2,3,10,11")
    request = Request(replace(POLICY, reserved_cpus=None), (guest("a", 1),))
    assert not found(request, snapshot, placed("a", cell(0, "2")))
    wrong = found(request, snapshot, placed("a", cell(1, "6"), emulator="5,13"))
    assert wrong == (Violation("a", "cpu_not_allocatable", 'cpu 6 of guest "a" vCPU 0 is reserved for the host'),)


def test_a_cpu_of_another_node_than_the_cells_is_told() -> None:
    assert found(Request(POLICY, (guest("a"),)), HOST, placed("a", cell(0, "2", "6"))) == (
        Violation("a", "cpu_node", 'cpu 6 of guest "a" vCPU 1 is not on node 0, the node of its cell 0'),
    )


def test_a_dedicated_vcpu_with_two_cpus_is_told() -> None:
    assert found(Request(POLICY, (guest("a", 1),)), HOST, placed("a", cell(0, "2,3"))) == (
        Violation("a", "cpu_count", 'guest "a" vCPU 0 is dedicated and has 2 CPUs; it needs 1'),
    )


def test_a_dedicated_vcpu_without_a_cpu_is_told() -> None:
    wrong = found(Request(POLICY, (guest("a", 1),)), HOST, placed("a", cell(0, "")))
    assert [violation.sentence for violation in wrong] == ['guest "a" vCPU 0 is dedicated and has 0 CPUs; it needs 1']


class TestRequire:
    request = Request(POLICY, (guest("a", 3, thread_policy=ThreadPolicy.REQUIRE),))

    def test_whole_cores_and_a_thread_of_one_more_are_valid(self) -> None:
        assert not found(self.request, HOST, placed("a", cell(0, "2", "10", "3")))

    def test_the_thread_left_over_may_share_its_core(self) -> None:
        request = Request(POLICY, (*self.request.guests, guest("b", 1)))
        assert not found(request, HOST, placed("a", cell(0, "2", "10", "3")), placed("b", cell(0, "11")))

    def test_two_halves_of_cores_are_told(self) -> None:
        request = Request(POLICY, (guest("a", 2, thread_policy=ThreadPolicy.REQUIRE),))
        assert found(request, HOST, placed("a", cell(0, "2", "3"))) == (
            Violation(
                "a",
                "thread_policy",
                'guest "a" cell 0 has CPUs "2-3" on 2 cores, 0 of them whole; its 2 CPUs need 1 whole core',
            ),
        )

    def test_an_emulator_of_its_own_counts_in_the_cell_set(self) -> None:
        request = Request(POLICY, (guest("a", 1, thread_policy=ThreadPolicy.REQUIRE, emulator=EmulatorPolicy.ISOLATE),))
        assert not found(request, HOST, placed("a", cell(0, "2"), emulator="10"))
        wrong = found(request, HOST, placed("a", cell(0, "2"), emulator="3"))
        assert [violation.constraint for violation in wrong] == ["thread_policy"]

    def test_vcpus_come_before_the_emulator_on_whole_cores(self) -> None:
        request = Request(POLICY, (guest("a", 2, thread_policy=ThreadPolicy.REQUIRE, emulator=EmulatorPolicy.ISOLATE),))
        assert not found(request, HOST, placed("a", cell(0, "2", "10"), emulator="3"))
        assert found(request, HOST, placed("a", cell(0, "2", "3"), emulator="10")) == (
            Violation(
                "a",
                "thread_policy",
                'guest "a" cell 0 has 1 vCPU outside its 1 whole core; vCPUs come first, it needs 0',
            ),
        )

    def test_a_host_without_siblings_cannot_have_it(self) -> None:
        request = Request(NOTHING_NAMED, (guest("a", 1, thread_policy=ThreadPolicy.REQUIRE),))
        assert found(request, host("1n:4c:1t"), placed("a", cell(0, "0"), emulator="1")) == (
            Violation(
                "a",
                "thread_policy",
                'guest "a" cell 0 requires siblings; the host has 1 thread per core, it needs 2',
            ),
        )

    def test_a_core_with_an_offline_sibling_is_not_whole(self) -> None:
        request = Request(POLICY, (guest("a", 2, thread_policy=ThreadPolicy.REQUIRE),))
        wrong = found(request, host("2n:4c:2t", offline="10"), placed("a", cell(0, "2", "3")))
        assert [violation.constraint for violation in wrong] == ["thread_policy"]


class TestIsolate:
    request = Request(POLICY, (guest("a", 2, thread_policy=ThreadPolicy.ISOLATE),))

    def test_a_core_for_each_cpu_is_valid(self) -> None:
        assert not found(self.request, HOST, placed("a", cell(0, "2", "3")))

    def test_two_cpus_of_one_core_are_told(self) -> None:
        assert found(self.request, HOST, placed("a", cell(0, "2", "10"))) == (
            Violation(
                "a",
                "thread_policy",
                'guest "a" cell 0 isolates core "2,10", of which 2 threads are held ("2,10"); it needs 1',
            ),
        )

    def test_a_sibling_given_to_another_guest_is_told(self) -> None:
        request = Request(POLICY, (*self.request.guests, guest("b", 1)))
        wrong = found(request, HOST, placed("a", cell(0, "2", "3")), placed("b", cell(0, "11")))
        assert [(violation.vm, violation.constraint) for violation in wrong] == [("a", "thread_policy")]

    def test_a_sibling_taken_by_a_staying_guest_is_told(self) -> None:
        snapshot = host("2n:4c:2t", guests=[staying("10")])
        wrong = found(self.request, snapshot, placed("a", cell(0, "2", "3")))
        assert [violation.constraint for violation in wrong] == ["thread_policy"]

    def test_a_sibling_that_is_reserved_or_offline_is_idle_enough(self) -> None:
        policy = replace(POLICY, reserved_cpus=CpuSet.parse("0,8,4,12,10"))
        request = replace(self.request, policy=policy)
        assert not found(request, host("2n:4c:2t", offline="11"), placed("a", cell(0, "2", "3")))

    def test_its_own_emulator_may_not_use_a_sibling(self) -> None:
        request = Request(POLICY, (guest("a", 1, thread_policy=ThreadPolicy.ISOLATE, emulator=EmulatorPolicy.ISOLATE),))
        assert not found(request, HOST, placed("a", cell(0, "2"), emulator="3"))
        wrong = found(request, HOST, placed("a", cell(0, "2"), emulator="10"))
        assert [violation.constraint for violation in wrong] == ["thread_policy"]

    def test_two_cells_of_one_guest_may_not_share_a_core(self) -> None:
        isolating = guest("a", 1, cells=2, distinct_nodes=False, thread_policy=ThreadPolicy.ISOLATE)
        wrong = found(Request(POLICY, (isolating,)), HOST, placed("a", cell(0, "2"), cell(0, "10", id_=1, first=1)))
        assert [violation.constraint for violation in wrong] == ["thread_policy", "thread_policy"]


class TestSharedEmulator:
    @pytest.mark.parametrize(
        ("reserved", "shared", "expected"),
        [
            ("0,8,4,12", "1,9,5,13", "1,9"),
            ("0,8,4,12", "5,13", "0,8"),
            ("4,12", "5,13", "5,13"),
            ("4,12", "", "4,12"),
            ("0,4", "", "0"),
        ],
    )
    def test_it_floats_on_the_first_rung_of_the_ladder(self, reserved: str, shared: str, expected: str) -> None:
        policy = replace(POLICY, reserved_cpus=CpuSet.parse(reserved), shared_cpus=CpuSet.parse(shared))
        request = Request(policy, (guest("a", 1),))
        assert not found(request, HOST, placed("a", cell(0, "2"), emulator=expected))
        assert found(request, HOST, placed("a", cell(0, "2"), emulator="3")) == (
            Violation("a", "emulator", f'guest "a" emulator floats on CPUs "3"; it needs "{expected}"'),
        )

    def test_it_floats_on_the_shared_cpus_of_all_nodes_of_the_guest(self) -> None:
        request = Request(POLICY, (guest("a", 1, cells=2),))
        cells = (cell(0, "2"), cell(1, "6", id_=1, first=1))
        assert not found(request, HOST, placed("a", *cells, emulator="1,5,9,13"))
        wrong = found(request, HOST, placed("a", *cells, emulator="1,9"))
        assert [violation.constraint for violation in wrong] == ["emulator"]

    def test_where_the_host_names_no_cpus_any_that_nobody_holds_will_do(self) -> None:
        request = Request(NOTHING_NAMED, (guest("a", 1), guest("b", 1)))
        snapshot = host("2n:4c:2t", guests=[staying("3")])
        other = placed("b", cell(0, "9"), emulator="0")
        assert not found(request, snapshot, placed("a", cell(0, "2"), emulator="1,8,10,11"), other)
        for wrong in ("", "2", "9", "3", "6"):
            told = found(request, snapshot, placed("a", cell(0, "2"), emulator=wrong), other)
            assert told == (
                Violation(
                    "a",
                    "emulator",
                    f'guest "a" emulator floats on CPUs "{wrong}"; it needs some of "0-1,8,10-11", '
                    "the CPUs of its nodes that nobody holds",
                ),
            )

    def test_it_floats_on_no_cpu_of_a_staying_guests_vcpu_but_with_its_emulator(self) -> None:
        snapshot = host("2n:4c:2t", guests=[staying("9", emulator="1")])
        request = Request(POLICY, (guest("a", 1),))
        assert not found(request, snapshot, placed("a", cell(0, "2"), emulator="1"))
        wrong = found(request, snapshot, placed("a", cell(0, "2"), emulator="1,9"))
        assert [violation.constraint for violation in wrong] == ["emulator"]

    def test_a_pool_of_one_cpu_is_no_vcpus_own_that_floats_there(self) -> None:
        policy = replace(POLICY, shared_cpus=CpuSet.parse("1"))
        request = Request(policy, (guest("a", 1),))
        floats = replace(staying("1"), shared_vcpus=(VcpuId(0),))
        assert not found(request, host("2n:4c:2t", guests=[floats]), placed("a", cell(0, "2"), emulator="1"))

    def test_where_staying_vcpus_have_a_whole_pool_the_next_rung_serves_and_at_last_what_nobody_holds(self) -> None:
        policy = replace(POLICY, reserved_cpus=CpuSet.parse("0"), shared_cpus=CpuSet.parse("1"))
        request = Request(policy, (guest("a", 1),))
        assert not found(request, host("2n:4c:2t", guests=[staying("1")]), placed("a", cell(0, "2"), emulator="0"))
        held = host("2n:4c:2t", guests=[staying("1", "0")])
        assert not found(request, held, placed("a", cell(0, "2"), emulator="8-9"))
        for wrong in ("0", "1", "2"):
            told = found(request, held, placed("a", cell(0, "2"), emulator=wrong))
            assert [violation.constraint for violation in told] == ["emulator"]


def test_an_isolated_emulator_needs_one_cpu_of_its_own_on_the_node_of_cell_0() -> None:
    request = Request(POLICY, (guest("a", 1, cells=2, emulator=EmulatorPolicy.ISOLATE),))
    cells = (cell(1, "6"), cell(0, "2", id_=1, first=1))
    assert not found(request, HOST, placed("a", *cells, emulator="7"))
    assert found(request, HOST, placed("a", *cells, emulator="3")) == (
        Violation("a", "cpu_node", 'cpu 3 of guest "a" emulator is not on node 1, the node of its cell 0'),
    )
    assert found(request, HOST, placed("a", *cells, emulator="7,14")) == (
        Violation("a", "emulator", 'guest "a" emulator has 2 CPUs of its own; it needs 1'),
    )


def test_an_emulator_set_needs_as_many_cpus_as_asked() -> None:
    request = Request(POLICY, (guest("a", 1, emulator=EmulatorPolicy.SET, emulator_cpus=2),))
    assert not found(request, HOST, placed("a", cell(0, "2"), emulator="3,11"))
    assert found(request, HOST, placed("a", cell(0, "2"), emulator="3")) == (
        Violation("a", "emulator", 'guest "a" emulator has 1 CPU of its own; it needs 2'),
    )


def test_iothreads_that_share_float_where_the_emulator_does() -> None:
    request = Request(POLICY, (guest("a", 1, iothreads=2),))
    assert not found(request, HOST, placed("a", cell(0, "2"), iothreads=["1,9", "1,9"]))
    assert found(request, HOST, placed("a", cell(0, "2"), iothreads=["1,9", "1"])) == (
        Violation("a", "iothreads", 'guest "a" iothread 2 floats on CPUs "1"; it needs "1,9"'),
    )


def test_every_iothread_must_be_planned() -> None:
    request = Request(POLICY, (guest("a", 1, iothreads=2),))
    assert found(request, HOST, placed("a", cell(0, "2"), iothreads=["1,9"])) == (
        Violation("a", "iothreads", 'guest "a" has iothreads [1]; it needs 1 to 2'),
    )


def test_dedicated_iothreads_have_one_cpu_each() -> None:
    request = Request(POLICY, (guest("a", 1, iothreads=1, iothread_policy=IothreadPolicy.DEDICATED),))
    assert not found(request, HOST, placed("a", cell(0, "2"), iothreads=["3"]))
    assert found(request, HOST, placed("a", cell(0, "2"), iothreads=["3,11"])) == (
        Violation("a", "iothreads", 'guest "a" iothread 1 has 2 CPUs of its own; it needs 1'),
    )


class TestSharedPool:
    request = Request(POLICY, (guest("a", 4, cpu_policy=CpuPolicy.SHARED),))

    def test_vcpus_on_the_pool_of_their_node_are_valid(self) -> None:
        assert not found(self.request, HOST, placed("a", cell(0, *["1,9"] * 4)))

    def test_another_set_than_the_pool_is_told(self) -> None:
        assert found(self.request, HOST, placed("a", cell(0, "1,9", "1,9", "1,9", "1"))) == (
            Violation(
                "a",
                "shared_pool",
                'guest "a" cell 0 vCPU 3 floats on CPUs "1"; it needs "1,9", the pool of node 0',
            ),
        )

    def test_a_node_without_a_pool_is_told(self) -> None:
        request = replace(self.request, policy=replace(POLICY, shared_cpus=CpuSet.parse("5,13")))
        assert found(request, HOST, placed("a", cell(0, *[""] * 4), emulator="0,8")) == (
            Violation("a", "shared_pool", 'node 0 has 0 shared CPUs; guest "a" cell 0 needs a pool for 4 vCPUs'),
        )

    def test_more_vcpus_than_the_ratio_allows_are_told(self) -> None:
        request = Request(POLICY, (*self.request.guests, guest("b", 1, cpu_policy=CpuPolicy.SHARED)))
        assert found(request, HOST, placed("a", cell(0, *["1,9"] * 4)), placed("b", cell(0, "1,9"))) == (
            Violation("b", "shared_pool", "node 0 has room for 4 shared vCPUs on 2 CPUs; its guests need 5"),
        )

    def test_floating_vcpus_of_staying_guests_count_on_the_node_that_holds_them(self) -> None:
        assert found(self.request, host("2n:4c:2t", guests=[staying("1,9")]), placed("a", cell(0, *["1,9"] * 4))) == (
            Violation("a", "shared_pool", "node 0 has room for 4 shared vCPUs on 2 CPUs; its guests need 5"),
        )
        for elsewhere in ("5,13", "1,5"):
            snapshot = host("2n:4c:2t", guests=[staying(elsewhere)])
            assert not found(self.request, snapshot, placed("a", cell(0, *["1,9"] * 4)))

    def test_a_mixed_guest_has_both_kinds(self) -> None:
        mixed = guest("a", 2, cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset([VcpuId(0)]))
        assert not found(Request(POLICY, (mixed,)), HOST, placed("a", cell(0, "2", "1,9")))
        wrong = found(Request(POLICY, (mixed,)), HOST, placed("a", cell(0, "1", "2")))
        assert [violation.constraint for violation in wrong] == ["cpu_not_allocatable", "shared_pool"]
        wrong = found(Request(POLICY, (mixed,)), HOST, placed("a", cell(0, "1,9", "2")))
        assert [violation.constraint for violation in wrong] == ["cpu_count"]
