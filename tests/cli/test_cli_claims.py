"""What a plan claims that it cannot have proven, and output for which there is no room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import DOMAINS, HOST, ROOT, VNF, numaplan, placed


def test_a_level_that_is_proven_at_another_value_than_its_bound_is_told(tmp_path: Path) -> None:
    plan = json.loads(placed("-o", "json").out)
    cost = plan["levels"][1]
    assert (cost["name"], cost["proven"], cost["bound"]) == ("cross_node_cost", True, cost["value"])
    cost["bound"] = 0
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    ran = numaplan("verify", path, VNF, "--snapshot", HOST, "--domains", DOMAINS)
    assert ran.code == 3
    said = f"level cross_node_cost is said to be proven at {cost['value']}, with the bound 0"
    assert said in ran.out + ran.err


@pytest.mark.parametrize("form", ["table", "json"])
def test_output_to_a_full_disk_is_no_bug_of_numaplan(form: str) -> None:
    command = [sys.executable, "-c", "from numaplan.cli.main import run; run()"]
    command += ["place", str(VNF), "--snapshot", str(HOST), "-o", form]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 7
    assert "numaplan: the output cannot be written: No space left on device" in ran.stderr
    assert "bug" not in ran.stderr
