"""`place -o virsh|virt-install|qemu|nova|vmx`: text on stdout, what it cannot say on stderr, nothing loaded in vain."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from numaplan.api.place import Answer
from numaplan.api.targets import render_plan
from numaplan.cli.main import app
from numaplan.model.plan import Limit, Plan, Status
from numaplan.model.request import GuestRequest, HostPolicy, Request
from tests.requests import guest
from tests.targets.drawn import HOST
from tests.targets.small import placed
from tests.test_startup import modules_after

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = [
    "place",
    str(ROOT / "examples" / "vnf.yaml"),
    "--snapshot",
    str(ROOT / "fixtures" / "sysfs" / "16-2n4c2t-sriov"),
]
TARGETS = ("virsh", "virt-install", "qemu", "nova", "vmx")


def answer(*guests: GuestRequest) -> Answer:
    plan = Plan(
        Status.OPTIMAL,
        Limit.NONE,
        None,
        "",
        placements=tuple(placed(guest) for guest in guests),
        request=Request(HostPolicy(), guests),
    )
    return Answer(plan, HOST, ())


@pytest.mark.parametrize("target", TARGETS)
def test_each_guest_stands_below_a_comment_with_its_name_and_a_name_cannot_leave_it(target: str) -> None:
    text = render_plan(answer(guest("fw", 2), guest("db\nreboot", 2)), target).text
    assert [line for line in text.splitlines() if line in {"# fw", r"# db\nreboot"}] == ["# fw", r"# db\nreboot"]
    assert "reboot" not in text.splitlines()


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_plan_gives_the_same_text(target: str) -> None:
    guests = [guest(f"g{number}", [2, 2], iothreads=2) for number in range(3)]
    assert render_plan(answer(*guests), target) == render_plan(answer(*guests), target)


def test_a_sentence_that_holds_for_several_guests_is_said_once() -> None:
    cannot = render_plan(answer(*(guest(f"g{number}", 2) for number in range(6))), "virsh").cannot
    sentence = "libvirt has no such guest to pin: -o virt-install or -o xml is for a new one"
    assert cannot == (f"g0, g1, g2, g3 and 2 more: {sentence}",)


@pytest.mark.parametrize("target", TARGETS)
def test_no_plan_is_no_text(target: str) -> None:
    nothing = replace(answer().plan, status=Status.INFEASIBLE)
    assert render_plan(Answer(nothing, HOST, ()), target).text == ""


@pytest.mark.parametrize("target", TARGETS)
def test_place_prints_it_and_says_what_it_cannot_on_stderr(target: str) -> None:
    ran = CliRunner().invoke(app, [*ARGUMENTS, "-o", target])
    assert ran.exit_code == 0
    assert [line for line in ran.stdout.splitlines() if line.startswith("# ") and line[2:].isalpha()] == [
        "# router",
        "# firewall",
        "# control",
        "# database",
    ]
    assert f"  not in {target}: " in ran.stderr
    assert "not in" not in ran.stdout


def test_a_target_is_loaded_for_its_form_alone() -> None:
    assert "numaplan.targets.virsh" in modules_after(*ARGUMENTS, "-o", "virsh")
    assert not any(name.startswith("numaplan.targets") for name in modules_after(*ARGUMENTS, "-o", "diff"))
