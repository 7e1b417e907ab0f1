"""The whole journey on the captured host that ships: inventory, place, verify, audit."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from lxml import etree

from tests.cli.running import DOMAINS, EXAMPLES, HOST, ROOT, VNF, numaplan, placed, spawned
from tests.corpus import corpus
from tests.patching import TOOLS, applied


def test_the_inventory_shows_nodes_pools_and_vfs() -> None:
    ran = numaplan("inventory", "--snapshot", HOST)
    assert ran.code == 0
    for fact in ("0-7", "8-15", "1GiB 1/1 free", "0000:61:00.0", "eth0"):
        assert fact in ran.out


def test_inventory_json_of_a_capture_is_a_source_itself(tmp_path: Path) -> None:
    written = tmp_path / "host.json"
    assert numaplan("inventory", "--snapshot", HOST, "-o", "json", "--out", written).code == 0
    again = numaplan("inventory", "--snapshot", written, "-o", "json")
    assert again.out == written.read_text()
    assert json.loads(again.out)["schema"] == "numaplan/inventory/1"


@pytest.mark.parametrize("form", ["dot", "graphml"])
def test_the_graph_comes_in_its_forms(form: str) -> None:
    ran = numaplan("inventory", "--snapshot", HOST, "-o", form)
    assert ran.code == 0
    assert "0000:61:00.0" in ran.out


@pytest.mark.parametrize("form", ["diff", "table", "json", "xml"])
def test_the_same_question_gives_the_same_bytes(form: str) -> None:
    arguments = ("place", VNF, "--snapshot", HOST, "--domains", DOMAINS, "-o", form)
    one = spawned(*arguments, PYTHONHASHSEED="1")
    two = spawned(*arguments, PYTHONHASHSEED="2")
    assert one.returncode == 0, one.stderr
    assert (one.stdout, one.stderr) == (two.stdout, two.stderr)


def test_the_plan_is_optimal_and_every_guest_is_placed() -> None:
    plan = json.loads(placed("-o", "json").out)
    assert plan["status"] == "optimal"
    assert [placement["vm"] for placement in plan["placements"]] == ["router", "firewall", "control", "database"]
    assert all(level["proven"] for level in plan["levels"])


def test_a_plan_that_was_written_verifies_and_a_changed_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    assert placed("--out", file).code == 0
    assert numaplan("verify", file, VNF, "--snapshot", HOST, "--domains", DOMAINS).code == 0
    plan = json.loads(file.read_text())
    plan["placements"][0]["cells"][0]["vcpus"]["0"] = "9"
    file.write_text(json.dumps(plan))
    ran = numaplan("verify", file, VNF, "--snapshot", HOST, "--domains", DOMAINS)
    assert ran.code == 3
    assert "router" in ran.out


def test_the_patched_xml_validates_and_placing_again_changes_nothing(tmp_path: Path) -> None:
    assert placed("--patched", tmp_path / "new").code == 0
    schema = etree.RelaxNG(etree.parse(corpus() / "schemas-11.3.0" / "domain.rng"))
    files = sorted((tmp_path / "new").glob("*.xml"))
    assert [file.name for file in files] == ["control.xml", "database.xml", "firewall.xml", "router.xml"]
    for file in files:
        assert schema.validate(etree.parse(file)), schema.error_log
    again = numaplan("place", VNF, "--snapshot", HOST, "--domains", tmp_path / "new")
    assert (again.code, again.out) == (0, "")


def test_what_was_placed_audits_clean(tmp_path: Path) -> None:
    placed("--patched", tmp_path / "new")
    ran = numaplan("audit", "--snapshot", HOST, "--domains", tmp_path / "new", "--fail-on", "warning", "-o", "json")
    assert ran.code == 0
    assert json.loads(ran.out)["summary"] == {"guests": 4, "error": 0, "warning": 0, "info": 0}


def test_the_diff_is_what_patch_applies(tmp_path: Path) -> None:
    ran = placed("--patched", tmp_path / "new")
    diffs = re.split(r"(?m)^(?=--- a/)", ran.out)[1:]
    names = [re.match(r"--- a/(\S+)", diff) for diff in diffs]
    assert [name[1] for name in names if name] == ["router.xml", "firewall.xml", "control.xml", "database.xml"]
    for name, diff in zip(names, diffs, strict=True):
        assert name is not None
        for tool in TOOLS:
            old = (DOMAINS / name[1]).read_bytes()
            assert applied(tool, tmp_path, old, diff=diff, name=name[1]) == (tmp_path / "new" / name[1]).read_bytes()


def test_the_badly_placed_variant_trips_the_rules_that_matter() -> None:
    ran = numaplan("audit", "--snapshot", HOST, "--domains", EXAMPLES / "badly-placed", "-o", "json")
    assert ran.code == 3
    rules = {finding["rule"] for finding in json.loads(ran.out)["findings"]}
    assert rules >= {"NP101", "NP102", "NP103", "NP201", "NP202", "NP203", "NP301"}


@pytest.mark.parametrize(("fail_on", "code"), [("error", 3), ("warning", 3), ("info", 3), ("never", 0)])
def test_fail_on_decides_the_exit_code(fail_on: str, code: int) -> None:
    arguments = ("--snapshot", HOST, "--domains", EXAMPLES / "badly-placed")
    assert numaplan("audit", *arguments, "--fail-on", fail_on).code == code


def test_guests_without_xml_are_planned_and_told_what_they_need() -> None:
    ran = numaplan("place", VNF, "--snapshot", HOST, "-o", "xml")
    assert ran.code == 0
    assert ran.out.count("<domain") == 4
    assert "no XML" in ran.err


def test_what_does_not_fit_is_exit_4_with_a_reason_for_each_guest(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(VNF.read_text().replace("memory: 256MiB", "memory: 4GiB"))
    ran = numaplan("place", vnf, "--snapshot", HOST, "--out", tmp_path / "plan.json", "--patched", tmp_path / "new")
    assert ran.code == 4
    assert "no node can take its cell 0: nodes 0-1 each: 256 free 2 MiB pages, needs 1024" in ran.err
    for guest in ("router", "firewall", "control", "database"):
        assert re.search(rf"^  (each of )?(\w+, )*{guest}(, \w+)*: ", ran.err, re.MULTILINE)
    assert json.loads((tmp_path / "plan.json").read_text())["status"] == "infeasible"
    assert not (tmp_path / "new").exists()


def test_explain_and_schema_speak_offline() -> None:
    assert "NP103" in numaplan("explain", "NP103").out
    assert numaplan("explain", "NP999").code == 5
    for kind in ("vnf", "inventory", "plan", "audit"):
        assert "$schema" in json.loads(numaplan("schema", kind).out)


def test_the_examples_in_the_help_work() -> None:
    text = numaplan("--help").out
    examples = [line.split()[1:] for line in text.splitlines() if line.startswith("    numaplan ")]
    assert [example[0] for example in examples] == ["inventory", "place", "audit"]
    # The audited guests are badly placed on purpose.
    assert [spawned(*example).returncode for example in examples] == [0, 0, 3]


def test_the_demo_runs(tmp_path: Path) -> None:
    script = tmp_path / "numaplan"
    script.write_text(f'#!/bin/sh\nexec {ROOT}/.venv/bin/numaplan "$@"\n')
    script.chmod(0o755)
    ran = subprocess.run(["sh", ROOT / "examples" / "demo.sh", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "valid: optimal, 4 guests" in ran.stdout


def test_where_guests_that_stay_take_the_room_rebalance_is_named(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text("apiVersion: numaplan/v1\nvms: [{name: more, vcpus: 16, memory: 128MiB, cells: 2}]\n")
    hint = "stay where they are: numaplan rebalance looks for moves that make room"
    beside = numaplan("place", vnf, "--snapshot", HOST, "--domains", EXAMPLES / "badly-placed")
    assert beside.code == 4
    assert hint in beside.err
    vnf.write_text(vnf.read_text().replace("vcpus: 16", "vcpus: 32"))
    alone = numaplan("place", vnf, "--snapshot", HOST)
    assert alone.code == 4
    assert hint not in alone.err
