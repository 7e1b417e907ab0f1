"""`numaplan rebalance` as a user runs it."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from numaplan.records.plan import read_plan
from tests.cli.running import DOMAINS, EXAMPLES, HOST, VNF, numaplan

BADLY = EXAMPLES / "badly-placed"
POLICY = """
apiVersion: numaplan/v1
host: {reserved_cpus: 0-1, shared_cpus: 8-9, reserved_memory: 512MiB}
vms: [{name: late, vcpus: 2, memory: 256MiB}]
"""


@pytest.fixture
def late(tmp_path: Path) -> Path:
    path = tmp_path / "late.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return path


def test_moves_are_a_table_with_a_sentence_a_step_and_the_totals_last(late: Path) -> None:
    ran = numaplan("rebalance", late, "--snapshot", HOST, "--domains", BADLY)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "moves for host atlas7: optimal (proven: no cheaper moves exist)"
    assert lines[2].split() == ["step", "guest", "move", "from", "to", "cost"]
    assert "step 1, late: start it on CPUs" in ran.out
    assert lines[-1] == "1 step (1 start); cost 0, at least 0"


def test_moves_as_json_hold_a_plan_document_of_their_own() -> None:
    ran = numaplan("rebalance", VNF, "--snapshot", HOST, "--domains", BADLY, "-o", "json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert document["schema"] == "numaplan/moves/1"
    assert (document["status"], document["conflict"]) == ("optimal", None)
    assert [move["step"] for move in document["moves"]] == list(range(1, len(document["moves"]) + 1))
    assert sum(move["cost"] for move in document["moves"]) == document["cost"] == document["bound"]
    plan = read_plan(json.dumps(document["plan"]), "plan.json")
    assert [placement.vm for placement in plan.placements] == ["router", "firewall", "control", "database"]
    assert ran == numaplan("rebalance", VNF, "--snapshot", HOST, "--domains", BADLY, "-o", "json")


@pytest.mark.parametrize("arguments", [(VNF, "--domains", BADLY), ("--domains", DOMAINS), ("--domains", BADLY)])
def test_moves_are_valid_by_their_schema(arguments: tuple[object, ...]) -> None:
    schema = json.loads(numaplan("schema", "moves").out)
    Draft202012Validator.check_schema(schema)
    ran = numaplan("rebalance", *arguments, "--snapshot", HOST, "-o", "json")
    Draft202012Validator(schema).validate(json.loads(ran.out))


def test_nothing_to_do_is_said_and_is_no_failure() -> None:
    ran = numaplan("rebalance", "--snapshot", HOST, "--domains", DOMAINS)
    assert ran.code == 0
    assert ran.out.startswith("moves for host atlas7: nothing to do\n")


def test_what_rests_on_memory_that_nobody_saw_is_not_proven() -> None:
    ran = numaplan("rebalance", "--snapshot", HOST, "--domains", BADLY)
    assert ran.code == 11
    assert "note: memory of database, firewall, router counts as needed anew where the guest moves" in ran.out


def test_a_host_that_no_moves_mend_is_told_with_the_guest_and_its_reason(tmp_path: Path) -> None:
    """Shut off, it has no memory there."""
    host = json.loads(numaplan("inventory", "--snapshot", HOST, "--domains", BADLY, "-o", "json").out)
    for guest in host["guests"]:
        guest["running"] = False
    path = tmp_path / "host.json"
    path.write_text(json.dumps(host), encoding="utf-8")
    ran = numaplan("rebalance", "--snapshot", path)
    assert ran.code == 4
    assert "infeasible (proven: no moves help)" in ran.out
    assert "firewall: is there and lies badly: cell 0 has vCPUs on node 0 and its memory on node 1" in ran.out
    document = json.loads(numaplan("rebalance", "--snapshot", path, "-o", "json").out)
    assert document["moves"] == []
    assert document["conflict"] == document["plan"]["conflict"]
    assert [member["vm"] for member in document["conflict"]["constraints"]] == ["firewall"]


def test_a_host_is_mended_under_the_host_section_of_a_file_without_vms(tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    path.write_text("apiVersion: numaplan/v1\nhost: {reserved_cpus: 0-1}\nvms: []\n", encoding="utf-8")
    ran = numaplan("rebalance", path, "--snapshot", HOST, "--domains", DOMAINS)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("moves for host atlas7: nothing to do\n")
    assert "reserved_cpus is not set" not in ran.out
    for verb in ("place", "capacity"):
        ran = numaplan(verb, path, "--snapshot", HOST, "--domains", DOMAINS)
        assert ran.code == 5
        assert "vms: at least one vm is needed" in ran.err
    path.write_text("apiVersion: numaplan/v1\nhost: {reserved_cpus: 0-1}\n", encoding="utf-8")
    assert numaplan("rebalance", path, "--snapshot", HOST, "--domains", DOMAINS).code == 5


def test_who_is_kept_is_left_alone() -> None:
    kept = [word for name in ("database", "firewall", "router") for word in ("--keep", name)]
    ran = numaplan("rebalance", "--snapshot", HOST, "--domains", BADLY, *kept)
    assert ran.code == 0
    assert ran.out.count("stays in any case") == 3


def test_keeping_a_guest_that_is_not_there_or_is_to_be_placed_is_bad_input(late: Path) -> None:
    ran = numaplan("rebalance", "--snapshot", HOST, "--domains", BADLY, "--keep", "nobody")
    assert (ran.code, ran.out) == (5, "")
    assert '--keep: there is no guest "nobody" on this host' in ran.err
    ran = numaplan("rebalance", late, "--snapshot", HOST, "--domains", BADLY, "--keep", "late")
    assert ran.code == 5
    assert '--keep: guest "late" is to be placed' in ran.err


def test_a_host_profile_that_is_not_there_is_bad_input() -> None:
    ran = numaplan("rebalance", "--snapshot", HOST, "--domains", BADLY, "--host-profile", "none-such")
    assert ran.code == 5
    assert "none-such" in ran.err
