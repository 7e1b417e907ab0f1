"""The fix that is told is the cheapest of its kind, and enough for all copies of a guest."""

import json
from pathlib import Path

import pytest

from tests.cli.running import numaplan

ONE = "1 nodes, 8 cores, 16GiB"
PLAIN = 'reserved_cpus: "0", reserved_memory: 0KiB'
CACHE = "{name: a, vcpus: 1, memory: 4GiB, page_size: 1GiB}"
SHARED = "{name: a, count: 2, vcpus: 1, cpu_policy: shared, memory: 1GiB}"
VFS = "{name: a, count: 3, vcpus: 1, memory: 1GiB, interfaces: [{name: data, type: sriov, pf: ens0, count: 2}]}"
ANY_PF = "{name: a, vcpus: 1, memory: 1GiB, interfaces: [{name: d, type: sriov, physnet: p, count: 4}]}"


@pytest.mark.parametrize(
    ("policy", "guest", "synthetic", "cost", "told"),
    [
        (
            PLAIN,
            "{name: a, count: 3, vcpus: 1, memory: 1GiB}",
            "1 nodes, 8 cores, 512MiB",
            30,
            "2560 MiB more ordinary",
        ),
        (PLAIN, VFS, f"{ONE}; ens0@0: 1 of 8 VFs", 25, "5 more VFs on ens0"),
        ("shared_ratio: 1, reserved_memory: 0KiB", SHARED, ONE, 10, "shared_cpus"),
        (
            'reserved_cpus: "0"',
            "{name: a, vcpus: 1, memory: 2GiB}",
            "1 nodes, 8 cores, 1GiB",
            30,
            "3 GiB more ordinary",
        ),
        (PLAIN, CACHE, "8 nodes, 16 cores, 64GiB; 1GiB@0=1, 1GiB@1=1, 1GiB@7=3", 1, "1 more 1 GiB page on node 7"),
        (
            f"{PLAIN}, physnets: {{p: [ens0, ens1, ens2]}}",
            ANY_PF,
            "3 nodes, 12 cores, 24GiB; ens0@0: 1 of 8 VFs; ens1@1: 1 of 8 VFs; ens2@2: 3 of 8 VFs",
            5,
            "1 more VF on ens2",
        ),
        ("reserved_memory: 0KiB", "{name: a, vcpus: 4, memory: 1GiB}", "2 nodes, 8 cores, 16GiB", 5, "shared_cpus"),
    ],
)
def test_the_cheapest_fix_of_a_kind_is_told(
    policy: str, guest: str, synthetic: str, cost: int, told: str, tmp_path: Path
) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(f"apiVersion: numaplan/v1\nhost: {{{policy}}}\nvms: [{guest}]\n", encoding="utf-8")
    ran = numaplan("place", vnf, "--synthetic", synthetic, "-o", "json")
    assert ran.code == 4
    first = json.loads(ran.out)["conflict"]["fixes"][0]
    assert told in first["sentence"]
    assert first["cost"] == cost


def test_who_keeps_away_from_a_guest_that_is_left_out_is_named(tmp_path: Path) -> None:
    """It is the other one that asks for it, and is worth less, but required."""
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(
        f"apiVersion: numaplan/v1\nhost: {{{PLAIN}}}\nvms:\n"
        "  - {name: d, vcpus: 2, memory: 1GiB, anti_affinity: [e]}\n"
        "  - {name: e, vcpus: 2, memory: 1GiB, required: false, priority: 9}\n",
        encoding="utf-8",
    )
    ran = numaplan("place", vnf, "--synthetic", ONE, "-o", "json")
    assert ran.code == 0
    (left_out,) = json.loads(ran.out)["unplaced"]
    assert left_out["vm"] == "e"
    assert "d" in left_out["reason"].split("placed, ")[1]
