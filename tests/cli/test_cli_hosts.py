"""`numaplan place` with several hosts, as a user sees it."""

import json
import os
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from numaplan.api.hosts import place_on_each, preference
from numaplan.api.place import Asking
from numaplan.api.where import Where
from numaplan.model.plan import LEVELS, Level, Limit, Plan, Status
from numaplan.records.inventory import inventory_json
from tests.cli.running import DOMAINS, HOST, VNF, Ran, numaplan, placed, spawned
from tests.hosts import Nic, host

ASKED = """\
apiVersion: numaplan/v1
host: {shared_cpus: "0", reserved_memory: 0GiB}
vms:
  - name: fw
    vcpus: 3
    memory: 1GiB
    page_size: 1GiB
    interfaces: [{name: wan, type: sriov, pf: ens1, affinity: preferred}]
"""


@pytest.fixture
def hosts(tmp_path: Path) -> dict[str, Path]:
    """The VNF, a host where its VF is far, two alike where it is near, one without pages, one that is no host."""
    built = {
        "far": host("2n:4c:1t", nics=[Nic("ens1", 0, 2)], pages={"1GiB": [0, 4]}),
        "near": host("2n:4c:1t", nics=[Nic("ens1", 1, 2)], pages={"1GiB": [0, 4]}),
        "alike": host("2n:4c:1t", nics=[Nic("ens1", 1, 2)], pages={"1GiB": [0, 4]}),
        "bare": host("2n:4c:1t", nics=[Nic("ens1", 1, 2)]),
    }
    paths = {name: tmp_path / f"{name}.json" for name in (*built, "broken", "vnf")}
    for name, snapshot in built.items():
        paths[name].write_text(inventory_json(snapshot, ()))
    paths["broken"].write_text("{")
    paths["vnf"].write_text(ASKED)
    return paths


def ranked(hosts: dict[str, Path], *names: str, extra: tuple[object, ...] = ()) -> Ran:
    """`place` on the hosts of these names, in this order."""
    sources = [word for name in names for word in ("--snapshot", hosts[name])]
    return numaplan("place", hosts["vnf"], *sources, *extra)


def order(ran: Ran) -> list[str]:
    return [Path(entry["snapshot"]).stem for entry in json.loads(ran.out)["hosts"]]


def test_the_best_host_comes_first_and_equals_stay_in_the_order_given(hosts: dict[str, Path]) -> None:
    ran = ranked(hosts, "bare", "far", "alike", "near", extra=("-o", "json"))
    assert ran.code == 0
    assert order(ran) == ["alike", "near", "far", "bare"]
    document = json.loads(ran.out)
    assert [entry["rank"] for entry in document["hosts"]] == [1, 2, 3, 4]
    assert document["hosts"][3]["plan"]["status"] == "infeasible"
    assert order(ranked(hosts, "near", "alike", extra=("-o", "json"))) == ["near", "alike"]


def test_each_plan_is_the_one_that_its_host_gets_by_itself(hosts: dict[str, Path]) -> None:
    document = json.loads(ranked(hosts, "far", "near", extra=("-o", "json")).out)
    for entry in document["hosts"]:
        alone = numaplan("place", hosts["vnf"], "--snapshot", entry["snapshot"], "-o", "json")
        assert entry["plan"] == json.loads(alone.out)


def test_the_document_is_valid_by_its_schema(hosts: dict[str, Path]) -> None:
    schema = json.loads(numaplan("schema", "hosts").out)
    Draft202012Validator.check_schema(schema)
    document = json.loads(ranked(hosts, "broken", "near", "bare", extra=("-o", "json", "--why")).out)
    Draft202012Validator(schema).validate(document)
    assert len(document["unread"]) == 1


def test_the_table_has_a_line_for_each_host_and_says_why_not(hosts: dict[str, Path]) -> None:
    ran = ranked(hosts, "bare", "far", "near", "broken", extra=("-o", "table", "--why"))
    assert ran.code == 0
    lines = ran.out.splitlines()
    cells = [line.split() for line in lines]
    headings = ["rank", "host", "source", "verdict", "priority", "cost", "spans"]
    assert lines[0].split() == [*headings, "free", "nodes", "free", "LLCs", "free", "cores", "moves"]
    assert cells[2][:8] == ["1", "built", str(hosts["near"]), "optimal", "1", "0", "1", "1"]
    assert cells[3][:8] == ["2", "built", str(hosts["far"]), "optimal", "1", "110", "1", "1"]
    assert cells[4] == ["3", "built", str(hosts["bare"]), "infeasible", *"-------"]
    assert cells[5] == ["-", "-", str(hosts["broken"]), "not", "read", *"-------"]
    plan = json.loads(ranked(hosts, "near", extra=("-o", "json")).out)
    assert cells[2][4:] == [str(level["value"]) for level in plan["levels"]]
    assert f"why not {hosts['bare']}:" in lines
    assert any("1 GiB" in line and line.startswith("  fw: ") for line in lines)
    assert any(line.startswith(f"not read: {hosts['broken']}:1:") for line in lines)
    assert "why fw is on node 1:" in lines


def test_diff_out_and_patched_are_those_of_the_best_host(hosts: dict[str, Path], tmp_path: Path) -> None:
    one = numaplan("place", hosts["vnf"], "--snapshot", hosts["near"], "-o", "xml", "--out", tmp_path / "one.json")
    ran = ranked(hosts, "bare", "near", extra=("-o", "xml", "--out", tmp_path / "best.json"))
    assert (ran.code, ran.out) == (0, one.out)
    assert (tmp_path / "best.json").read_text() == (tmp_path / "one.json").read_text()
    assert f"1. {hosts['near']}: takes all required guests\n2. {hosts['bare']}: no: infeasible\n" in ran.err


def test_guests_go_with_the_host_of_the_same_place(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(DOMAINS, other)
    (other / "router.xml").unlink()
    both = ("--snapshot", HOST, "--domains", other, "--snapshot", HOST, "--domains", DOMAINS)
    ran = numaplan("place", VNF, *both, "-o", "json")
    assert ran.code == 0
    notes = [entry["plan"]["notes"] for entry in json.loads(ran.out)["hosts"]]
    # Fewer guests that are there, fewer that move.
    assert any("router: no XML" in note for note in notes[0])
    assert not any("router: no XML" in note for note in notes[1])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--snapshot", HOST, "--snapshot", HOST, "--domains", DOMAINS),
        ("--snapshot", HOST, "--domains", DOMAINS, "--domains", DOMAINS),
        ("--domains", DOMAINS, "--domains", DOMAINS),
        ("--snapshot", HOST, "--snapshot", HOST, "--connect", "test:///default"),
    ],
)
def test_what_goes_with_which_host_must_be_clear(arguments: tuple[object, ...]) -> None:
    ran = numaplan("place", VNF, *arguments)
    assert (ran.code, ran.out) == (2, "")


def test_no_host_is_exit_4_only_where_that_is_proven_of_every_host(hosts: dict[str, Path]) -> None:
    assert ranked(hosts, "bare", "bare").code == 4
    assert ranked(hosts, "bare", "broken").code == 11
    assert ranked(hosts, "broken", "bare", "near").code == 0


def test_where_no_host_can_be_read_the_first_error_is_the_answer(hosts: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    ran = ranked(hosts, "broken", "broken", extra=("--out", out))
    assert (ran.code, ran.out) == (5, "")
    assert f"{hosts['broken']}:1:" in ran.err
    assert not out.exists()


def test_a_mistake_in_the_vnf_is_told_once(hosts: dict[str, Path]) -> None:
    hosts["vnf"].write_text(ASKED.replace("vcpus", "vcpu"))
    ran = ranked(hosts, "near", "far")
    assert ran.code == 5
    assert ran.err.count("did you mean 'vcpus'?") == 1


def test_a_vnf_that_can_be_read_but_once_is_asked_of_every_host(hosts: dict[str, Path]) -> None:
    wheres = [Where(hosts[name]) for name in ("far", "near")]
    read_end, write_end = os.pipe()
    os.write(write_end, ASKED.encode())
    os.close(write_end)
    try:
        found = place_on_each(Path(f"/dev/fd/{read_end}"), wheres, Asking(), host_profile=None)
    finally:
        os.close(read_end)
    assert [host.snapshot for host in found.ranking.hosts] == [str(hosts["near"]), str(hosts["far"])]
    assert found.ranking.unread == ()


def test_the_variable_names_one_host_whatever_is_in_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "a:b c"
    odd.symlink_to(HOST, target_is_directory=True)
    ran = spawned("place", VNF, "-o", "json", NUMAPLAN_SNAPSHOT=str(odd))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["schema"] == "numaplan/plan/1"


def test_one_host_is_answered_as_ever() -> None:
    assert json.loads(placed("-o", "json").out)["schema"] == "numaplan/plan/1"
    comparison = place_on_each(VNF, [Where(HOST, DOMAINS)], Asking(), host_profile=None)
    assert [entry.rank for entry in comparison.ranking.hosts] == [1]


def test_a_plan_beats_no_plan_and_no_answer_beats_a_proof_that_there_is_none() -> None:
    def plan(status: Status, *values: int) -> Plan:
        levels = tuple(Level(name, value, value, proven=True) for name, value in zip(LEVELS, values, strict=False))
        return Plan(status, Limit.NONE, None, "", levels)

    best_first = [
        plan(Status.FEASIBLE, 3, 0, 2, 1, 0, 0, 0),
        plan(Status.OPTIMAL, 3, 0, 2, 0, 0, 0, 0),
        plan(Status.OPTIMAL, 3, 10, 1, 2, 0, 0, 0),
        plan(Status.OPTIMAL, 2, 0, 1, 2, 0, 0, 0),
        plan(Status.UNKNOWN),
        plan(Status.INFEASIBLE),
    ]
    worst_first = best_first[::-1]
    assert sorted(worst_first, key=preference) == best_first


def test_where_no_host_can_be_read_all_of_them_are_told(hosts: dict[str, Path], tmp_path: Path) -> None:
    hosts["torn"] = tmp_path / "torn.json"
    hosts["torn"].write_text("[")
    ran = ranked(hosts, "broken", "torn")
    assert ran.code == 5
    assert [str(hosts[name]) in ran.err for name in ("broken", "torn")] == [True, True]


def test_what_is_wrong_with_the_request_is_told_once(hosts: dict[str, Path]) -> None:
    hosts["vnf"].write_text(ASKED.replace("vcpus: 3", "vcpus: x"))
    ran = ranked(hosts, "near", "far")
    assert ran.code == 5
    assert ran.err.count("vnf.json") == 1
