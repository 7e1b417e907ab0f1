"""`numaplan verify`: a plan is held against the request that it is told, and nothing is called checked that is not."""

import json
from pathlib import Path

import pytest

from numaplan.cli.show_plan import summary
from numaplan.model.plan import Limit, Plan, Status
from tests.cli.running import HOST, numaplan

GUEST = "{name: a, vcpus: 2, memory: 64MiB, interfaces: [{name: d, type: sriov, physnet: p, vlan: 100}]}"


def vnf(path: Path, *guests: str, host: str = "physnets: {p: [eth1]}") -> Path:
    path.write_text(f"apiVersion: numaplan/v1\nhost: {{{host}}}\nvms: [{', '.join(guests)}]\n", encoding="utf-8")
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Of one guest with a VF in VLAN 100."""
    written = tmp_path / "plan.json"
    assert numaplan("place", vnf(tmp_path / "v1.yaml", GUEST), "--snapshot", HOST, "--out", written).code == 0
    assert numaplan("verify", written, tmp_path / "v1.yaml", "--snapshot", HOST).code == 0
    return written


@pytest.mark.parametrize(
    ("guests", "host", "told"),
    [
        ([GUEST.replace("100", "200")], "physnets: {p: [eth1]}", "a: request: the plan was made for another request"),
        ([GUEST], "physnets: {p: [eth1]}, shared_ratio: 7", "host: request: the plan was made for another host"),
        (
            [GUEST, GUEST.replace("name: a", "name: b, required: false")],
            "physnets: {p: [eth1]}",
            "b: request: the plan was made without this guest",
        ),
    ],
)
def test_a_plan_for_another_request_is_told(
    guests: list[str], host: str, told: str, plan: Path, tmp_path: Path
) -> None:
    """It is carried out by the request that it holds, whatever the same placement would satisfy."""
    ran = numaplan("verify", plan, vnf(tmp_path / "v2.yaml", *guests, host=host), "--snapshot", HOST)
    assert ran.code == 3
    assert told in ran.out


def test_on_the_host_that_a_plan_was_made_for_it_moves_as_many_as_it_says(plan: Path, tmp_path: Path) -> None:
    """Where the fingerprint is that of the host, nobody carried the plan out since."""
    (tmp_path / "xml").mkdir()
    host = ("--snapshot", HOST, "--domains", tmp_path / "xml")
    request = tmp_path / "v1.yaml"
    (tmp_path / "xml" / "a.xml").write_text(numaplan("place", request, *host, "-o", "xml").out, encoding="utf-8")
    assert numaplan("place", request, *host, "--out", plan).code == 0
    document = json.loads(plan.read_text(encoding="utf-8"))
    assert document["levels"][-1] == {"name": "moves", "value": 0, "bound": 0, "proven": True}
    document["levels"][-1] |= {"value": 1, "bound": 1}
    plan.write_text(json.dumps(document), encoding="utf-8")
    ran = numaplan("verify", plan, request, *host)
    assert (ran.code, ran.out) == (3, "host: levels: level moves says 1; the placements make it 0\n")
    document["host"]["fingerprint"] = "sha256:another"
    plan.write_text(json.dumps(document), encoding="utf-8")
    assert numaplan("verify", plan, request, *host).code == 0


def test_physnets_in_another_order_are_the_same(plan: Path, tmp_path: Path) -> None:
    host = "physnets: {p: [eth1], q: [eth0]}"
    request = vnf(tmp_path / "v2.yaml", GUEST, host=host)
    assert numaplan("place", request, "--snapshot", HOST, "--out", plan).code == 0
    document = json.loads(plan.read_text(encoding="utf-8"))
    physnets = document["request"]["host"]["physnets"]
    document["request"]["host"]["physnets"] = dict(reversed(physnets.items()))
    plan.write_text(json.dumps(document), encoding="utf-8")
    ran = numaplan("verify", plan, request, "--snapshot", HOST)
    assert (ran.code, ran.out) == (0, "valid: optimal, 1 guest\n")
    document["request"]["host"]["physnets"] = {"p": physnets["q"], "q": physnets["p"]}
    plan.write_text(json.dumps(document), encoding="utf-8")
    assert numaplan("verify", plan, request, "--snapshot", HOST).code == 3


def test_no_name_in_a_plan_makes_a_line_of_its_own(plan: Path, tmp_path: Path) -> None:
    """Not in a pipe either, where somebody looks for the line that says valid."""
    document = json.loads(plan.read_text(encoding="utf-8"))
    document["placements"][0]["interfaces"][0]["name"] = 'x\nvalid: optimal, 1 guest\r\u2028\x1b[2K\u202e"'
    plan.write_text(json.dumps(document), encoding="utf-8")
    ran = numaplan("verify", plan, tmp_path / "v1.yaml", "--snapshot", HOST)
    assert ran.code == 3
    assert all(told.startswith("a: interfaces: ") for told in ran.out.split("\n")[:-1])
    assert 'interface "x valid: optimal, 1 guest  ?[2K?"" is planned 1 time' in ran.out


def test_no_note_of_a_plan_makes_a_line_of_its_own() -> None:
    plan = Plan(Status.UNKNOWN, Limit.WORK, None, "", notes=("a\nb\x1b[2K: the host does not say",))
    assert summary(plan).splitlines()[1:] == ["  note: a b?[2K: the host does not say"]


@pytest.mark.parametrize(("names", "counted"), [(["a"], "1 guest"), (["a", "b"], "2 guests")])
def test_guests_are_counted_in_words(names: list[str], counted: str, tmp_path: Path) -> None:
    request = vnf(tmp_path / "v.yaml", *(f"{{name: {name}, vcpus: 1, memory: 64MiB}}" for name in names))
    written = tmp_path / "plan.json"
    assert f"optimal: {counted} placed;" in numaplan("place", request, "--snapshot", HOST, "--out", written).err
    assert numaplan("verify", written, request, "--snapshot", HOST).out == f"valid: optimal, {counted}\n"


@pytest.fixture
def other_cells(tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    """A vnf.yaml that asks for two cells of two vCPUs, and a host where the guest's XML has three and one."""
    cells = (
        "<numa><cell id='0' cpus='0-2' memory='32' unit='MiB'/><cell id='1' cpus='3' memory='32' unit='MiB'/></numa>"
    )
    xml = f"<domain type='kvm'><name>a</name><memory unit='MiB'>64</memory><vcpu>4</vcpu><cpu>{cells}</cpu></domain>"
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(xml, encoding="utf-8")
    request = vnf(tmp_path / "cells.yaml", "{name: a, vcpus: 4, cells: 2, distinct_nodes: false, memory: 64MiB}")
    return request, ("--snapshot", HOST, "--domains", tmp_path / "xml")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (True, 'a: cells: guest "a" cell 0 has vCPUs [0, 1]; it needs [0, 1, 2]'),
        (False, 'a: cells: guest "a" cell 0 has vCPUs [0, 1, 2]; it needs [0, 1]'),
    ],
)
def test_a_plan_has_the_cells_of_the_xml_or_those_asked_for_as_it_says_itself(
    other_cells: tuple[Path, tuple[object, ...]],
    plan: Path,
    told: str,
    *,
    changes: bool,
) -> None:
    request, host = other_cells
    assert numaplan("place", request, *host, *["--change-guest-topology"] * changes, "--out", plan).code == 0
    assert numaplan("verify", plan, request, *host).code == 0
    document = json.loads(plan.read_text(encoding="utf-8"))
    assert document["change_guest_topology"] is changes
    plan.write_text(json.dumps(document | {"change_guest_topology": not changes}), encoding="utf-8")
    ran = numaplan("verify", plan, request, *host)
    assert ran.code == 3
    assert told in ran.out
    assert "a: request: the plan was made for another request of it (other cells" in ran.out


def test_a_plan_that_changes_cells_is_carried_out_by_those_of_vnf_yaml(
    other_cells: tuple[Path, tuple[object, ...]], plan: Path
) -> None:
    request, host = other_cells
    assert numaplan("place", request, *host, "--out", plan).code == 0
    kept = json.loads(plan.read_text(encoding="utf-8"))
    assert numaplan("place", request, *host, "--change-guest-topology", "--out", plan).code == 0
    changed = json.loads(plan.read_text(encoding="utf-8"))
    plan.write_text(json.dumps(changed | {"request": kept["request"]}), encoding="utf-8")
    ran = numaplan("verify", plan, request, *host)
    assert (ran.code, ran.out) == (3, "a: request: the plan was made for another request of it (other cells)\n")


def test_of_a_plan_that_places_nothing_it_is_said_that_its_form_alone_was_checked(tmp_path: Path) -> None:
    request, written = vnf(tmp_path / "v.yaml", "{name: a, vcpus: 999, memory: 64MiB}"), tmp_path / "plan.json"
    assert numaplan("place", request, "--snapshot", HOST, "--out", written).code == 4
    ran = numaplan("verify", written, request, "--snapshot", HOST)
    assert (ran.code, ran.out) == (
        0,
        "valid: infeasible, 0 guests; it places nothing, and that nothing fits is not checked\n",
    )


def test_of_tied_page_sizes_the_larger_is_to_be_taken(tmp_path: Path) -> None:
    request = vnf(tmp_path / "v.yaml", "{name: a, vcpus: 1, memory: 1GiB, page_size: any}", host="reserved_cpus: '0'")
    words, written = "1 node, 4 cores, 8GiB; 1GiB=1, 2MiB=512", tmp_path / "plan.json"
    assert numaplan("place", request, "--synthetic", words, "--out", written).code == 0
    assert numaplan("verify", written, request, "--synthetic", words).code == 0
    document = json.loads(written.read_text(encoding="utf-8"))
    document["placements"][0]["cells"][0]["page_size_kib"] = 4
    written.write_text(json.dumps(document), encoding="utf-8")
    ran = numaplan("verify", written, request, "--synthetic", words)
    told = 'a: page_size: guest "a" cell 0 has pages of 4 KiB; node 0 has room for it in larger ones of 2 MiB\n'
    assert (ran.code, ran.out) == (3, told)
    # Which pages are free changes by itself: another host than that of the plan says nothing.
    document["host"]["fingerprint"] = "sha256:another"
    written.write_text(json.dumps(document), encoding="utf-8")
    assert numaplan("verify", written, request, "--synthetic", words).code == 0


def test_a_plan_that_was_changed_since_is_told_to_be_one(plan: Path, tmp_path: Path) -> None:
    """What stands in it may be right all the same; carried out it is not."""
    host = ("--snapshot", HOST)
    assert "checksum" not in numaplan("verify", plan, tmp_path / "v1.yaml", *host).err
    document = json.loads(plan.read_text(encoding="utf-8"))
    plan.write_text(json.dumps(document | {"notes": ["mine"]}), encoding="utf-8")
    ran = numaplan("verify", plan, tmp_path / "v1.yaml", *host)
    assert (ran.code, "checksum" in ran.err) == (0, True)
    del document["checksum"]
    plan.write_text(json.dumps(document), encoding="utf-8")
    assert "checksum" not in numaplan("verify", plan, tmp_path / "v1.yaml", *host).err


def test_a_next_best_place_that_is_none_is_told_and_what_of_it_is_not_checked_is_in_the_help(tmp_path: Path) -> None:
    request, written = vnf(tmp_path / "v.yaml", "{name: a, vcpus: 1, memory: 64MiB}"), tmp_path / "plan.json"
    host = ("--synthetic", "2 nodes, 4 cores, 8GiB")
    assert numaplan("place", request, *host, "--why", "--out", written).code == 0
    assert numaplan("verify", written, request, *host).code == 0
    document = json.loads(written.read_text(encoding="utf-8"))
    del document["checksum"]
    document["placements"][0]["why"]["runner_up"] |= {"extra_cost": 7, "sentence": "lies"}
    written.write_text(json.dumps(document), encoding="utf-8")
    ran = numaplan("verify", written, request, *host)
    assert (ran.code, ran.out) == (3, 'a: why: guest "a" runner_up says extra_cost 7; the distances make it 0\n')
    told = " ".join(numaplan("verify", "--help").out.split())
    assert "Of what place --why wrote, only the nodes of the next best place are checked" in told


def test_of_thousands_of_faults_the_first_are_told_and_how_many_more_there_are(plan: Path, tmp_path: Path) -> None:
    document = json.loads(plan.read_text(encoding="utf-8"))
    (placed,) = document["placements"]
    document["placements"] += [placed | {"vm": f"x{i}"} for i in range(1100)]
    plan.write_text(json.dumps(document), encoding="utf-8")
    ran = numaplan("verify", plan, tmp_path / "v1.yaml", "--snapshot", HOST)
    *told, more = ran.out.splitlines()
    assert (ran.code, len(told), more) == (3, 1000, "and 100 more")
