"""`numaplan place --why`, as a user sees it."""

import json
from pathlib import Path

from tests.cli.running import DOMAINS, HOST, VNF, numaplan, placed

LINES = """\
why router is on node 0:
  - node 1 has 0 whole free cores, needs 2
  next best: none found
"""


def test_the_table_has_the_reasons_in_a_section_of_its_own() -> None:
    ran = placed("--why", "-o", "table")
    assert ran.code == 0
    assert f"\n\n{LINES}why firewall is on node 1:\n" in ran.out


def test_beside_a_diff_the_reasons_are_notes() -> None:
    plain, told = placed(), placed("--why")
    assert told.out == plain.out
    assert told.err.startswith(plain.err)
    assert told.err.removeprefix(plain.err).startswith(LINES)


def test_json_has_the_reasons_only_when_they_are_asked_for() -> None:
    plain = json.loads(placed("-o", "json").out)
    told = json.loads(placed("-o", "json", "--why").out)
    assert not any("why" in placement for placement in plain["placements"])
    assert told["placements"][0]["why"] == {"reasons": ["node 1 has 0 whole free cores, needs 2"], "runner_up": None}
    assert all(placement.pop("why")["reasons"] for placement in told["placements"])
    assert told.pop("checksum") != plain.pop("checksum")
    assert told == plain


def test_a_plan_with_reasons_verifies(tmp_path: Path) -> None:
    assert placed("--why", "--out", tmp_path / "plan.json").code == 0
    assert numaplan("verify", tmp_path / "plan.json", VNF, "--snapshot", HOST, "--domains", DOMAINS).code == 0
