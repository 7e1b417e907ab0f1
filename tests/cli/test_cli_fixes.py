"""Each fix, carried out on the files that a user has, makes `numaplan place` find a plan."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from numaplan.api.fixes import with_fixes
from numaplan.api.place import place
from numaplan.api.question import read_question
from numaplan.api.where import Where
from numaplan.model.plan import Document, Fix
from tests.cli.running import DOMAINS, HOST, VNF, numaplan
from tests.placement.fixes_cases import applied

# What is changed in the example, and the first words of the fixes that it then has.
CHANGES = {
    "more-pages": ("{name: wan, type: sriov, physnet: wan, count: 2}", "{name: wan, physnet: wan, count: 6}"),
    "a-wider-router": ("profile: dpdk-forwarder\n    vcpus: 4", "profile: dpdk-forwarder\n    vcpus: 8"),
    "more-copies": ("  - name: control\n", "  - name: control\n    count: 12\n"),
    "more-memory": (
        "memory: 1GiB\n    interfaces:\n      - {name: wan",
        "memory: 2GiB\n    interfaces:\n      - {name: wan",
    ),
}


def fixes_of(vnf: Path) -> tuple[Fix, ...]:
    question = read_question(vnf, Where(source=HOST, domains=DOMAINS), host_profile=None)
    conflict = with_fixes(question, place(question).plan).conflict
    assert conflict is not None
    return conflict.fixes


def written(path: Path, document: Any) -> Path:  # noqa: ANN401  # what YAML or JSON can hold
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, stream)
    path.write_text(stream.getvalue() if path.suffix == ".yaml" else json.dumps(document))
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_a_fix_carried_out_on_the_file_leads_to_a_plan(change: str, tmp_path: Path) -> None:
    old, new = CHANGES[change]
    text = VNF.read_text()
    assert old in text
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(text.replace(old, new, 1))
    assert numaplan("place", vnf, "--snapshot", HOST, "--domains", DOMAINS).code == 4
    host = json.loads(numaplan("inventory", "--snapshot", HOST, "--domains", DOMAINS, "-o", "json").out)
    fixes = fixes_of(vnf)
    assert fixes
    for fix in fixes:
        if fix.document is Document.VNF:
            patched = written(
                tmp_path / "patched.yaml", applied(YAML(typ="safe", pure=True).load(vnf.read_text()), fix.patch)
            )
            ran = numaplan("place", patched, "--snapshot", HOST, "--domains", DOMAINS)
        else:
            patched = written(tmp_path / "patched.json", applied(host, fix.patch))
            ran = numaplan("place", vnf, "--snapshot", patched, "--domains", DOMAINS)
        assert ran.code == 0, (fix.sentence, ran.err)


@pytest.mark.parametrize("most", [1, None])
def test_a_search_for_fixes_that_a_limit_ends_says_so(
    most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if most is not None:
        monkeypatch.setattr("numaplan.placement.fixes.probe.MAX_CASES", most)
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(VNF.read_text().replace(*CHANGES["more-copies"], 1))
    question = read_question(vnf, Where(source=HOST, domains=DOMAINS), host_profile=None)
    notes = with_fixes(question, place(question).plan).notes
    assert any(note.startswith("the work for fixes ended") for note in notes) == (most is not None)
    # Which of 12 copies to leave out beside what else is more than can be gone through.
    assert any("another one may be cheaper" in note for note in notes) == (most is None)


def test_where_all_choices_were_gone_through_no_note_doubts_them(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(VNF.read_text().replace(*CHANGES["more-memory"], 1))
    question = read_question(vnf, Where(source=HOST, domains=DOMAINS), host_profile=None)
    notes = with_fixes(question, place(question).plan).notes
    assert not any("ended" in note or "cheaper" in note for note in notes)
