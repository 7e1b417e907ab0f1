"""The form of a plan, its guests and cells, and what guests say of each other's nodes."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest, VcpuId, VcpuPin
from numaplan.model.plan import LEVELS, InterfacePlacement, Level, Placement, Plan, Status
from numaplan.model.request import (
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    HostPolicy,
    IothreadPolicy,
    Request,
)
from numaplan.placement.fingerprint import fingerprint
from numaplan.placement.verify import Violation, verify
from tests.audit.carried_out import guests_of
from tests.hosts import GIB, Nic, host
from tests.placement.verify_cases import POLICY, cell, found, guest, placed, plan, sriov

HOST = host("2n:4c:2t", pages={"2MiB": 4096})
TWO = Request(POLICY, (guest("a", 1), guest("b", 1, required=False)))
A = placed("a", cell(0, "2"))
B = placed("b", cell(0, "3"))
SHARING = guest("a", 1, cpu_policy=CpuPolicy.SHARED)


def placing_nothing(status: Status, *unplaced: str) -> Plan:
    return replace(plan(TWO, HOST, unplaced=unplaced), status=status, levels=())


def test_all_guests_placed_is_valid() -> None:
    assert not found(TWO, HOST, A, B)


def test_an_optional_guest_may_be_left_out() -> None:
    assert not found(TWO, HOST, A, unplaced=["b"])


def test_a_required_guest_may_not_be_left_out() -> None:
    assert found(TWO, HOST, B, unplaced=["a"]) == (
        Violation("a", "required_placed", 'guest "a" is required and has 0 placements; it needs 1'),
    )


def test_a_guest_that_is_neither_placed_nor_unplaced_or_both_is_told() -> None:
    assert found(TWO, HOST, A) == (
        Violation(
            "b",
            "unplaced",
            'guest "b" has 0 placements and stands 0 times among the unplaced; it needs one of either',
        ),
    )
    assert [violation.constraint for violation in found(TWO, HOST, A, B, unplaced=["b"])] == ["unplaced"]


def test_an_unknown_guest_is_told() -> None:
    good = plan(TWO, HOST, A, B)
    more = replace(good, placements=(*good.placements, placed("c", cell(0, "2"))))
    assert verify(TWO, HOST, more) == (
        Violation("c", "unknown_guest", 'guest "c" is in the plan, but the request does not name it'),
    )


def test_a_guest_placed_twice_is_told() -> None:
    good = plan(TWO, HOST, A, B)
    assert verify(TWO, HOST, replace(good, placements=(*good.placements, A))) == (
        Violation("a", "placed_twice", 'guest "a" has 2 placements; it can have 1'),
    )


def test_placements_keep_the_order_of_the_request() -> None:
    assert found(TWO, HOST, B, A) == (
        Violation("a", "order", 'guest "a" is placed after guest "b"; the request names it before that one'),
    )


def test_interfaces_keep_the_order_of_the_guest() -> None:
    snapshot = host("2n:4c:2t", nics=(Nic("e0", 0, 2),))
    asked = Request(POLICY, (guest("a", 1, interfaces=(sriov("one"), sriov("two"))),))
    vfs = [InterfacePlacement(name, (PciAddress(0, 0x11, 0, i),)) for i, name in enumerate(("one", "two"))]
    assert not found(asked, snapshot, replace(A, interfaces=tuple(vfs)))
    assert found(asked, snapshot, replace(A, interfaces=tuple(vfs[::-1]))) == (
        Violation("a", "interfaces", 'guest "a" has interfaces "two", "one", in another order than asked for'),
    )


@pytest.mark.parametrize("status", [Status.OPTIMAL, Status.INFEASIBLE])
def test_a_plan_for_another_host_is_told(status: Status) -> None:
    good = plan(TWO, HOST, A, B) if status is Status.OPTIMAL else placing_nothing(status, "a", "b")
    told = (Violation(None, "host", 'the plan is for host "atlas7"; it is checked on host "built"'),)
    assert verify(TWO, HOST, replace(good, hostname="atlas7")) == told


@pytest.mark.parametrize("planned", ["built", "Built", "built.example.net", None])
def test_a_host_may_be_named_without_its_domain_or_not_at_all(planned: str | None) -> None:
    named = replace(plan(TWO, HOST, A, B), hostname=planned)
    assert verify(TWO, HOST, named) == ()
    assert bool(verify(TWO, HOST, named, same_host=True)) == (planned != "built")


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.UNKNOWN])
def test_without_a_plan_nothing_is_placed(status: Status) -> None:
    empty = placing_nothing(status, "a", "b")
    assert verify(TWO, HOST, empty) == ()
    assert verify(TWO, HOST, replace(empty, placements=(A,))) == (
        Violation(None, "status", f"a plan that is {status} has 1 placement and 0 levels; it can have none"),
    )


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.UNKNOWN])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), [("a", "unplaced"), ("b", "unplaced")]),
        (("a", "b", "b"), [("b", "unplaced")]),
        (("a", "b", "ghost", "ghost"), [("ghost", "unknown_guest")]),
    ],
)
def test_without_a_plan_each_guest_stands_once_among_the_unplaced(
    status: Status, names: tuple[str, ...], told: list[tuple[str, str]]
) -> None:
    wrong = verify(TWO, HOST, placing_nothing(status, *names))
    assert [(violation.vm, violation.constraint) for violation in wrong] == told


def test_what_nobody_requires_is_not_infeasible() -> None:
    optional = Request(POLICY, (guest("b", 1, required=False),))
    assert verify(optional, HOST, placing_nothing(Status.UNKNOWN, "b")) == ()
    assert verify(optional, HOST, placing_nothing(Status.INFEASIBLE, "b")) == (
        Violation(
            None,
            "status",
            "the plan is infeasible, and the request has 0 guests that are required: all of them may be left out",
        ),
    )


def test_another_memory_than_asked_is_told() -> None:
    assert found(Request(POLICY, (guest("a", 1),)), HOST, placed("a", cell(0, "2", memory_kib=GIB - 4))) == (
        Violation("a", "memory_amount", 'guest "a" cell 0 has 1048572 KiB; it needs 1048576 KiB'),
    )


def test_a_node_that_the_host_does_not_have_is_told() -> None:
    wrong = found(
        Request(POLICY, (guest("a", 1),)), HOST, placed("a", cell(7, "2", memory_node=7), emulator="1,5,9,13")
    )
    assert [(violation.constraint, violation.sentence) for violation in wrong] == [
        ("node", 'guest "a" cell 0 is on node 7, which the host does not have'),
        ("memory_node", 'guest "a" cell 0 has its memory on node 7, which the host does not have'),
    ]


def test_a_plan_full_of_nonsense_is_told_and_does_no_harm() -> None:
    nonsense = placed(
        "b",
        cell(99, "8191", memory_node=-1, memory_kib=0, page_kib=1),
        emulator="",
        iothreads=["", "8000"],
        vfs=["ffff:ff:1f.7"] * 2,
        devices=[("x", "0000:00:00.0")],
    )
    as_much = guest(
        "b", 1, iothreads=2, interfaces=(sriov(count=2),), devices=(DeviceRequest("x", vendor="10de"),), required=False
    )
    wrong = {
        (violation.vm, violation.constraint)
        for violation in found(Request(POLICY, (*TWO.guests[:1], as_much)), HOST, placed("a"), nonsense)
    }
    assert wrong == {
        ("a", "cells"),
        *(
            ("b", what)
            for what in (
                "cpu_not_allocatable",
                "device",
                "emulator",
                "iothreads",
                "memory_amount",
                "node",
                "page_size",
                "vf_eligible",
                "vf_twice",
            )
        ),
    }
    more = replace(nonsense, cells=(*nonsense.cells, cell(0, "2", "", id_=0, memory_kib=0, page_kib=0)))
    assert {violation.constraint for violation in found(TWO, HOST, A, more)} == {
        "cells",
        "device",
        "interfaces",
        "iothreads",
    }


EVERYTHING = "0-8191"
FIRST_64 = ", ".join(map(str, range(64)))


@pytest.mark.parametrize(
    ("asked", "wrong", "told"),
    [
        (
            guest("a", 1),
            placed("a", cell(0, *[EVERYTHING] * 100)),
            ("cells", f'guest "a" cell 0 has vCPUs [{FIRST_64} and 36 more]; it needs [0]'),
        ),
        (
            guest("a", 1),
            placed("a", *(cell(0, EVERYTHING, id_=number, first=number) for number in range(100))),
            ("cells", f'guest "a" has 100 cells, [{FIRST_64} and 36 more]; needs 1'),
        ),
        (
            guest("a", 1),
            placed("a", cell(0, EVERYTHING)),
            ("cpu_count", 'guest "a" vCPU 0 is dedicated and has 8192 CPUs; it needs 1'),
        ),
        (
            guest("a", 1, emulator=EmulatorPolicy.ISOLATE),
            placed("a", cell(0, "2"), emulator=EVERYTHING),
            ("emulator", 'guest "a" emulator has 8192 CPUs of its own; it needs 1'),
        ),
        (
            guest("a", 1, iothreads=1, iothread_policy=IothreadPolicy.DEDICATED),
            placed("a", cell(0, "2"), iothreads=[EVERYTHING]),
            ("iothreads", 'guest "a" iothread 1 has 8192 CPUs of its own; it needs 1'),
        ),
        (
            guest("a", 1, iothreads=1),
            placed("a", cell(0, "2"), iothreads=[EVERYTHING] * 100),
            (
                "iothreads",
                f'guest "a" has iothreads [{FIRST_64.removeprefix("0, ")}, 64 and 36 more]; it needs 1 to 1',
            ),
        ),
        (
            guest("a", 1, interfaces=(sriov(count=1),)),
            placed("a", cell(0, "2"), vfs=["0000:11:00.0"] * 100),
            ("interfaces", 'guest "a" interface "data" has 100 VFs; it needs 1'),
        ),
    ],
    ids=["vcpus", "cells", "cpus", "emulator", "iothread", "iothreads", "vfs"],
)
def test_of_what_is_larger_than_asked_for_that_alone_is_told(
    asked: GuestRequest, wrong: Placement, told: tuple[str, str]
) -> None:
    """A plan file of some KiB could fill the memory with what each of its CPUs breaks."""
    assert verify(Request(POLICY, (asked,)), HOST, replace(plan(TWO, HOST, A, B), placements=(wrong,))) == (
        Violation("a", *told),
    )


class TestPartners:
    together = Request(POLICY, (guest("a", 1), guest("b", 1, required=False, affinity=("a",))))
    apart = Request(POLICY, (guest("a", 1), guest("b", 1, required=False, anti_affinity=("a",))))
    b_elsewhere = placed("b", cell(1, "6"), emulator="5,13")

    def test_affinity_needs_one_node_set_within_the_other(self) -> None:
        assert not found(self.together, HOST, A, B)
        assert found(self.together, HOST, A, self.b_elsewhere) == (
            Violation(
                "b",
                "affinity",
                'guest "b" is on nodes 1, guest "a" on 0; affinity needs the nodes of one among the other\'s',
            ),
        )

    def test_affinity_holds_either_way_round(self) -> None:
        for affinity in ({"a": ("b",)}, {"b": ("a",)}):
            request = Request(
                POLICY,
                (guest("a", 1, cells=2, affinity=affinity.get("a", ())), guest("b", 1, affinity=affinity.get("b", ()))),
            )
            both = placed("a", cell(0, "2"), cell(1, "6", id_=1, first=1), emulator="1,5,9,13")
            assert not found(request, HOST, both, B)

    def test_anti_affinity_needs_no_node_in_common(self) -> None:
        assert not found(self.apart, HOST, A, self.b_elsewhere)
        assert found(self.apart, HOST, A, B) == (
            Violation(
                "b",
                "anti_affinity",
                'guest "b" is on nodes 0, guest "a" on 0; anti-affinity needs 0 nodes in common',
            ),
        )

    def test_a_partner_without_a_place_does_not_count(self) -> None:
        request = Request(POLICY, (guest("a", 1, affinity=("b",)), guest("b", 1, required=False)))
        assert not found(request, HOST, A, unplaced=["b"])

    def test_a_staying_partner_is_on_the_nodes_of_its_vcpus(self) -> None:
        old = Guest("old", "old.xml", 1, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("6"), 1),))
        snapshot = replace(HOST, guests=(old,))
        near = Request(POLICY, (guest("a", 1, affinity=("old",)),))
        far = Request(POLICY, (guest("a", 1, anti_affinity=("old",)),))
        assert [violation.constraint for violation in found(near, snapshot, A)] == ["affinity"]
        assert not found(far, snapshot, A)
        at_1 = placed("a", cell(1, "7"), emulator="5,13")
        assert not found(near, snapshot, at_1)
        assert [violation.constraint for violation in found(far, snapshot, at_1)] == ["anti_affinity"]


class TestLevels:
    good = plan(TWO, HOST, A, B)

    def changed(self, name: str, **facts: object) -> Plan:
        levels = tuple(
            replace(level, **facts) if level.name == name else level  # type: ignore[arg-type]  # any field
            for level in self.good.levels
        )
        return replace(self.good, levels=levels)

    def test_a_plan_that_was_carried_out_moves_nobody_any_more(self) -> None:
        there = replace(HOST, guests=guests_of(self.good, TWO))
        assert verify(TWO, there, self.changed("moves", value=2, bound=2)) == ()

    def test_a_plan_holds_while_a_guest_runs_as_before(self) -> None:
        old = (Guest("a", "a.xml", 1, GIB), Guest("b", "b.xml", 1, GIB))
        made = plan(TWO, replace(HOST, guests=old), A, B)
        carried_out, _ = guests_of(made, TWO)
        assert made.levels[-1].value == 2
        assert verify(TWO, replace(HOST, guests=(carried_out, old[1])), made) == ()
        one = replace(made, levels=(*made.levels[:-1], replace(made.levels[-1], value=1, bound=1)))
        (wrong,) = verify(TWO, replace(HOST, guests=old), one)
        assert wrong.sentence == "level moves says 1; the placements make it 2"

    def test_who_was_left_out_is_so_still_when_the_rest_was_carried_out(self) -> None:
        left_out = Guest("b", "b.xml", 1, GIB)
        made = plan(TWO, replace(HOST, guests=(Guest("a", "a.xml", 1, GIB), left_out)), A, unplaced=["b"])
        assert made.levels[-1].value == 2
        there = replace(HOST, guests=(*guests_of(made, TWO), left_out))
        assert verify(TWO, there, made) == ()
        (wrong,) = verify(TWO, there, made, same_host=True)
        assert wrong.sentence == "level moves says 2; the placements make it 1"

    def test_a_plan_that_cannot_have_been_carried_out_says_how_many_it_moves(self) -> None:
        there = replace(HOST, guests=guests_of(self.good, TWO))
        assert verify(TWO, there, self.good, same_host=True) == ()
        (wrong,) = verify(TWO, there, self.changed("moves", value=2, bound=2), same_host=True)
        assert wrong.sentence == "level moves says 2; the placements make it 0"

    @pytest.mark.parametrize("same_host", [True, False])
    def test_a_guest_on_every_cpu_may_have_had_no_pin_when_the_plan_was_made(self, *, same_host: bool) -> None:
        snapshot = host("1n:2c:1t")
        request = Request(HostPolicy(shared_cpus=CpuSet.parse("0-1"), reserved_memory_kib=0), (SHARING,))
        unpinned = Guest("a", "a.xml", 1, GIB)
        everywhere = replace(unpinned, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("0-1"), 1),))
        hosts = [replace(snapshot, guests=(a,)) for a in (unpinned, everywhere)]
        there = placed("a", cell(0, "0-1"), emulator="0-1")
        plans = [replace(plan(request, each, there), fingerprint=fingerprint(each)) for each in hosts]
        assert [each.levels[-1].value for each in plans] == [1, 0]
        assert plans[0].fingerprint == plans[1].fingerprint
        for each in hosts:
            assert [verify(request, each, made, same_host=same_host) for made in plans] == [(), ()]

    @pytest.mark.parametrize("moves", [1, -1])
    def test_nobody_moves_who_was_not_there(self, moves: int) -> None:
        (wrong,) = verify(TWO, HOST, self.changed("moves", value=moves, bound=moves))
        assert wrong.sentence == f"level moves says {moves}; the placements make it 0"

    def test_below_a_level_that_is_not_proven_none_is(self) -> None:
        doubtful = replace(self.changed("cross_node_cost", proven=False), status=Status.FEASIBLE)
        told = [violation.sentence for violation in verify(TWO, HOST, doubtful)]
        below = LEVELS[LEVELS.index("cross_node_cost") + 1 :]
        assert told == [
            f"level {name} is said to be proven, and one before it is not: then none can be" for name in below
        ]

    @pytest.mark.parametrize("level", good.levels[:-1], ids=lambda level: level.name)
    def test_a_value_that_the_placements_do_not_have_is_told(self, level: Level) -> None:
        wrong = self.changed(level.name, value=level.value + 1, bound=level.value + 1)
        assert verify(TWO, HOST, wrong) == (
            Violation(
                None,
                "levels",
                f"level {level.name} says {level.value + 1}; the placements make it {level.value}",
            ),
        )

    def test_levels_out_of_order_are_told(self) -> None:
        wrong = verify(TWO, HOST, replace(self.good, levels=self.good.levels[::-1]))
        assert [violation.constraint for violation in wrong] == ["levels"]

    def test_of_thousands_of_levels_a_few_are_named(self) -> None:
        (wrong,) = verify(TWO, HOST, replace(self.good, levels=self.good.levels * 10_000))
        assert "free_cores, moves, priority, cross_node_cost" in wrong.sentence
        assert "moves and 69986 more; it needs priority" in wrong.sentence

    def test_a_value_better_than_its_bound_is_told(self) -> None:
        assert [violation.sentence for violation in verify(TWO, HOST, self.changed("priority", bound=1))] == [
            "level priority is 2, better than its bound 1"
        ]
        assert [violation.sentence for violation in verify(TWO, HOST, self.changed("llc_spans", bound=3))] == [
            "level llc_spans is 2, better than its bound 3"
        ]

    def test_only_an_optimal_plan_needs_every_level_proven(self) -> None:
        unproven = self.changed("moves", proven=False)
        assert [violation.sentence for violation in verify(TWO, HOST, unproven)] == [
            "level moves is not proven; an optimal plan needs it to be"
        ]
        assert verify(TWO, HOST, replace(unproven, status=Status.FEASIBLE)) == ()

    def test_a_plan_whose_levels_are_all_proven_is_optimal(self) -> None:
        assert verify(TWO, HOST, replace(self.good, status=Status.FEASIBLE)) == (
            Violation(None, "status", "the plan is feasible, and every level is proven; it needs to be optimal"),
        )
