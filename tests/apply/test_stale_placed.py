"""What `place` writes is what carrying it out needs: the request, what it rests on, and no secret."""

import json
import shutil
from pathlib import Path

import pytest

from numaplan.api.place import Answer, Asking, place
from numaplan.api.question import read_question
from numaplan.api.where import Where
from numaplan.apply.stale import differences
from numaplan.domxml.digest import xml_digests
from numaplan.model.plan import Status
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.fingerprint import basis_of
from numaplan.records.plan import plan_json, read_carried_plan

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "fixtures" / "sysfs" / "16-2n4c2t-sriov"
SECRETS = ("sesame", "open-up", "blue-cookie")


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's guests, the firewall with secrets in its XML."""
    folder = tmp_path_factory.mktemp("placed") / "domains"
    shutil.copytree(ROOT / "examples" / "domains", folder)
    file = folder / "firewall.xml"
    display = f'<graphics type="vnc" passwd="{SECRETS[0]}"/><graphics type="spice" passwd="{SECRETS[1]}"/>'
    cookies = f'<cookies><cookie name="a">{SECRETS[2]}</cookie></cookies>'
    disk = f'<disk type="network"><source protocol="https" name="a"><host name="h"/>{cookies}</source></disk>'
    text = file.read_text(encoding="utf-8")
    assert "</devices>" in text
    file.write_text(text.replace("</devices>", f"{display}{disk}</devices>"), encoding="utf-8")
    return folder


def answered(domains: Path, *, change_topology: bool = False) -> Answer:
    question = read_question(ROOT / "examples" / "vnf.yaml", Where(HOST, domains), host_profile=None)
    return place(question, Asking(change_topology=change_topology))


@pytest.fixture(scope="module")
def answer(domains: Path) -> Answer:
    return answered(domains)


def test_a_plan_holds_its_request_and_what_it_rests_on(answer: Answer, domains: Path) -> None:
    question = read_question(ROOT / "examples" / "vnf.yaml", Where(HOST, domains), host_profile=None)
    plan = answer.plan
    assert plan.request == keep_guest_topology(question.request, question.snapshot)[0]
    assert plan.basis is not None
    assert [guest.name for guest in plan.basis.guests if guest.xml] == ["control", "database", "firewall", "router"]
    assert not plan.change_topology
    assert read_carried_plan(plan_json(plan), "plan.json") == plan


def test_a_plan_is_not_stale_on_the_host_that_it_was_made_for(answer: Answer, domains: Path) -> None:
    plan = read_carried_plan(plan_json(answer.plan), "plan.json")
    xml = {file.stem: xml_digests(file.read_bytes(), file.name) for file in sorted(domains.iterdir())}
    assert plan.basis is not None
    assert differences(plan.basis, basis_of(answer.snapshot, xml, plan)) == ()


def test_guests_whose_topology_may_change_are_asked_for_as_vnf_yaml_has_them(domains: Path) -> None:
    plan = answered(domains, change_topology=True).plan
    question = read_question(ROOT / "examples" / "vnf.yaml", Where(HOST, domains), host_profile=None)
    assert plan.change_topology
    assert plan.request == question.request


def test_no_secret_and_no_xml_is_in_a_plan(answer: Answer) -> None:
    text = plan_json(answer.plan)
    assert [secret for secret in SECRETS if secret in text] == []
    assert "<" not in text.replace("<numa>", "").replace("<topology>", "")


def test_a_plan_that_places_nobody_cannot_be_carried_out(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text("apiVersion: numaplan/v1\nvms: [{name: big, vcpus: 99, memory: 1GiB}]\n", encoding="utf-8")
    plan = place(read_question(vnf, Where(HOST), host_profile=None)).plan
    assert plan.status is Status.INFEASIBLE
    assert (plan.request, plan.basis) == (None, None)
    document = json.loads(plan_json(plan))
    assert (document["request"], document["basis"], document["change_guest_topology"]) == (None, None, False)
