"""Requests that nobody means: each gets a clear answer and its exit code, however large the numbers are."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import HOST, numaplan

HEAD = "apiVersion: numaplan/v1\nhost: {reserved_cpus: '0', reserved_memory: 0KiB, physnets: {wan: [ens1f0]}}\nvms:\n"
NO_PAGES = "is not a multiple of any page size that it may use"


def vm(**keys: object) -> str:
    said = {"name": "a", "vcpus": 2, "memory": "16MiB", **keys}
    return f"  - {{{', '.join(f'{key}: {value}' for key, value in said.items())}}}\n"


def place(tmp_path: Path, *vms: str) -> tuple[int, dict[str, Any] | None, str]:
    """The exit code, the plan if there is one, and what was said on stderr."""
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(HEAD + "".join(vms))
    ran = numaplan("place", vnf, "--snapshot", HOST, "-o", "json")
    assert "Traceback" not in ran.err
    return ran.code, json.loads(ran.out) if ran.out else None, ran.err


REFUSED = {
    "no vCPUs": (vm(vcpus=0), "4:22: vms[0].vcpus: expected a whole number of 1 or more"),
    "a million vCPUs": (vm(vcpus=10**6), "vms[0].vcpus: expected a whole number of at most"),
    "a billion pages": (vm(memory=f"{10**9}GiB", page_size="1GiB"), "vms[0].memory: expected a size of at most"),
    "4096 VFs": (vm(interfaces="[{name: d, type: sriov, physnet: wan, count: 4096}]"), "interfaces[0].count: expected"),
    "a priority of 10^9": (vm(priority=10**9), "vms[0].priority: expected a whole number of at most"),
    "a million copies": (vm(count=10**6), "vms[0].count: expected a whole number of at most"),
    "a name of 10^5 characters": (vm(name="n" * 10**5), "vms[0].name: expected a guest's name of at most 255 bytes"),
    "a partner of 10^5 characters": (vm(affinity=f"[{'n' * 10**5}]"), f"unknown guest '{'n' * 80}…{'n' * 20}'"),
    "5,000 that keep apart": (vm(count=5000, anti_affinity="[a]"), "make more than 1,000,000 pairs of guests"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_host_could_be_asked_for_is_bad_input_with_its_place(case: str, tmp_path: Path) -> None:
    text, words = REFUSED[case]
    code, plan, err = place(tmp_path, text)
    assert (code, plan) == (5, None)
    assert words in err
    # The long value is not printed whole.
    assert len(err) < 1000


IMPOSSIBLE = {
    "a PF that is not there": (
        [vm(interfaces="[{name: d, type: sriov, pf: nope}]")],
        {("a", "interfaces.d")},
        'interface "d" needs 1 VF with pf nope, the host has 0 free: it has no PF nope',
    ),
    "1,000 vCPUs": (
        [vm(vcpus=1000)],
        {("a", "vcpus")},
        "no node can take it: node 0: 7 free CPUs, needs 1000; node 1: 8 free CPUs, needs 1000",
    ),
    "memory of 1 KiB": (
        [vm(memory="1KiB")],
        {("a", "memory")},
        f"no node can take it: nodes 0-1 each: 1 KiB {NO_PAGES}",
    ),
    "64 cells on nodes of their own": (
        [vm(vcpus=64, memory="64MiB", cells=64)],
        {("a", "vcpus")},
        "needs 64 CPUs (cells 0-63: 1 each) for its vCPUs; free CPUs: node 0: 7, node 1: 8",
    ),
    "near and away": (
        [vm(affinity="[b]"), vm(name="b", anti_affinity="[a]")],
        {("a", "affinity"), ("b", "anti_affinity")},
        'affinity: needs the nodes of "b"',
    ),
    "three that keep apart on two nodes": (
        [vm(count=3, anti_affinity="[a]")],
        {("a-1", "placed"), ("a-2", "anti_affinity"), ("a-3", "anti_affinity")},
        "is required, and takes part by where it is placed",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_this_host_cannot_give_is_proven_and_said_with_numbers(case: str, tmp_path: Path) -> None:
    vms, members, sentence = IMPOSSIBLE[case]
    code, plan, _ = place(tmp_path, *vms)
    assert code == 4
    assert plan is not None
    found = plan["conflict"]["constraints"]
    assert {(member["vm"], member["constraint"]) for member in found} == members
    assert found[0]["sentence"] == sentence


def test_a_guest_near_itself_or_away_from_itself_asks_for_nothing(tmp_path: Path) -> None:
    for key in ("affinity", "anti_affinity"):
        assert place(tmp_path, vm(**{key: "[a]"}))[0] == 0


def test_of_5_000_required_guests_no_more_are_named_than_are_one_too_many(tmp_path: Path) -> None:
    code, plan, _ = place(tmp_path, vm(count=5000))
    assert code == 4
    assert plan is not None
    # CPU 0 is reserved: node 0 takes three of them and node 1 four.
    assert {member["vm"] for member in plan["conflict"]["constraints"]} == {f"a-{i}" for i in range(1, 9)}
    assert len(plan["unplaced"]) == 5000


def test_of_5_000_optional_guests_as_many_are_placed_as_fit(tmp_path: Path) -> None:
    code, plan, _ = place(tmp_path, vm(count=5000, required="false"))
    assert code == 0
    assert plan is not None
    assert len(plan["placements"]) == 7
    assert len(plan["unplaced"]) == 4993


def test_many_links_that_cannot_hold_come_to_a_few(tmp_path: Path) -> None:
    code, plan, _ = place(tmp_path, vm(count=40, affinity="[a]"))
    assert code == 4
    assert plan is not None
    assert len({member["vm"] for member in plan["conflict"]["constraints"]}) == 5
