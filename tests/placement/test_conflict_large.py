"""Pigeonholes on a host of 16 nodes and 1,024 CPUs: one guest too many, each named with what is needed of it."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.conflict.excess import excess
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.facts import host_facts
from numaplan.placement.options import build_problem
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

HOST = host("16n:32c:2t", pages={"1GiB": 58}, nics=[Nic("p0", 0, 32)])
CORE_OF_EACH = ",".join(f"{32 * node},{512 + 32 * node}" for node in range(16))
APART = tuple(f"g{i}" for i in range(20))
PAIRS = [pair for i in range(20) for pair in (guest(f"a{i}", 20, affinity=[f"b{i}"]), guest(f"b{i}", 15))]


def members(request: Request, snapshot: Snapshot = HOST) -> Counter[str]:
    """How often each constraint is named, every one of them proven to be needed."""
    found, _ = conflict(request, host_facts(request, snapshot))
    assert not any("no proof" in member.sentence for member in found.members)
    return Counter(member.constraint for member in found.members)


CASES = {
    "pages": (
        ask(*(guest(f"g{i}", memory_gib=4, page_size="1GiB") for i in range(240)), reserved="0"),
        {"memory": 225, "page_size": 225},
        "they need 960 1 GiB pages, the host has 928 free",
    ),
    "slots on nodes, though CPUs are left": (
        ask(*(guest(f"g{i}", 5) for i in range(200)), reserved="0-1"),
        {"vcpus": 193},
        "they need 200 times 5 CPUs, the host can give that 192 times",
    ),
    "VFs": (
        ask(*(guest(f"g{i}", interfaces=[vfs("d", "p0", 2)]) for i in range(20)), reserved="0"),
        {"interfaces.d": 17},
        "they need 40 VFs and devices on node 0, where 32 are free",
    ),
    "guests that keep apart": (
        ask(*(guest(name, anti_affinity=[other for other in APART if other != name]) for name in APART), reserved="0"),
        {"placed": 1, "anti_affinity": 16},
        "they need 20 nodes of their own, the host has 16 free",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_of_equal_guests_one_more_is_named_than_fit(case: str) -> None:
    request, constraints, sentence = CASES[case]
    over = excess(build_problem(request, host_facts(request, HOST)))
    assert over is not None
    assert over.sentence == sentence
    assert members(request) == constraints


def test_guests_that_must_share_nodes_are_counted_as_one() -> None:
    # A node takes one pair of 35 CPUs, and what is left of it none.
    assert members(ask(*PAIRS, reserved="0")) == {"vcpus": 34, "affinity": 17}


def test_three_sizes_that_fill_every_node_are_one_cpu_too_many() -> None:
    sizes = {"a": 35, "b": 16, "c": 13}
    guests = [guest(f"{name}{i}", size) for name, size in sizes.items() for i in range(16)]
    assert members(ask(*guests, reserved="0")) == {"vcpus": 48}


def test_a_member_says_what_is_needed_and_what_each_node_has() -> None:
    request = ask(*(guest(f"g{i}", 9) for i in range(3)), reserved="0")
    found, reasons = conflict(request, host_facts(request, host("2n:8c:2t")))
    assert {member.sentence for member in found.members} == {
        "needs 9 CPUs for its vCPUs; free CPUs: node 0: 15, node 1: 16"
    }
    assert reasons[0].reason == (
        'fits alone, but not together with "g1", "g2": they need 3 times 9 CPUs, the host can give that 2 times'
    )


def test_guests_of_many_kinds_are_one_too_many_and_each_is_proven_to_be() -> None:
    dice = random.Random(7)  # noqa: S311  # a request, no secret
    guests: list[GuestRequest] = []
    left = 16 * 62
    while left >= 0:
        vcpus, policy = dice.choice((2, 3, 4, 5, 6, 8, 12)), dice.choice(("prefer", "prefer", "require", "isolate"))
        left -= vcpus * 2 if policy == "isolate" else vcpus
        memory = dice.choice((2, 4, 6))
        own = replace(guest(f"g{len(guests)}", vcpus, memory_gib=memory, thread_policy=policy), priority=len(guests))
        guests.append(own)
    named = members(ask(*guests, reserved=CORE_OF_EACH))
    assert set(named) <= {"vcpus", "thread_policy"}
    assert named["vcpus"] >= len(guests) - 3
