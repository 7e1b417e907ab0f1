"""The writing door to libvirt: what it asks, what it does when libvirt refuses or keeps silent."""

import threading

import pytest

from numaplan.cpuset import CpuSet
from numaplan.errors import BackendError, InputError
from numaplan.sources.definitions import Definitions
from tests.apply.made_libvirt import LibvirtError, MadeGuest, MadeLibvirt, any_library

XML = "<domain><name>a</name><graphics type='vnc' passwd='geheim'/></domain>"
URI = "qemu:///system"


def door(made: MadeLibvirt, patience_s: float = 5.0) -> Definitions:
    return Definitions(URI, any_library(made), patience_s=patience_s)


def test_a_definition_is_read_with_its_secrets() -> None:
    assert door(MadeLibvirt({"a": MadeGuest(XML)})).definition("a") == XML


def test_a_guest_that_is_not_there_or_transient_has_no_definition() -> None:
    made = MadeLibvirt({"t": MadeGuest(XML, running=True, persistent=False)})
    assert door(made).definition("b") is None
    assert door(made).definition("t") is None


def test_a_definition_is_checked_against_the_schema() -> None:
    made = MadeLibvirt({"a": MadeGuest(XML)})
    definitions = door(made)
    definitions.define("a", XML.replace("vnc", "spice"))
    assert "spice" in made.guests["a"].xml
    assert "define" not in made.calls
    assert not definitions.unchecked


def test_what_the_schema_refuses_is_not_defined() -> None:
    made = MadeLibvirt({"a": MadeGuest(XML)}, valid=lambda xml: "spice" not in xml)
    definitions = door(made)
    with pytest.raises(BackendError, match="failed to validate"):
        definitions.define("a", XML.replace("vnc", "spice"))
    assert made.guests["a"].xml == XML


def test_where_the_old_definition_is_invalid_too_the_new_one_is_taken_unchecked() -> None:
    made = MadeLibvirt({"a": MadeGuest(XML)}, valid=lambda _xml: False)
    definitions = door(made)
    definitions.define("a", XML.replace("vnc", "spice"))
    assert "spice" in made.guests["a"].xml
    assert definitions.unchecked


def test_a_guest_that_is_gone_is_not_defined_again() -> None:
    made = MadeLibvirt()
    with pytest.raises(BackendError, match='no guest "a"'):
        door(made).define("a", XML)
    assert made.guests == {}


def test_a_daemon_that_hangs_costs_the_answer_and_a_new_connection_helps() -> None:
    stuck = threading.Event()
    hangs = [True]

    def before(call: str) -> None:
        if call == "XMLDesc" and hangs[0]:
            stuck.wait(30)

    made = MadeLibvirt({"a": MadeGuest(XML)}, before=before)
    definitions = door(made, patience_s=0.05)
    for _ in range(2):
        with pytest.raises(BackendError, match=r"has not answered for 0\.05 s"):
            definitions.definition("a")
    hangs[0] = False
    definitions.reopen()
    assert definitions.definition("a") == XML
    assert made.opened == 2
    stuck.set()


def test_a_refusal_names_the_connection_and_no_secret() -> None:
    def before(call: str) -> None:
        if call.startswith("define"):
            raise LibvirtError("XML error: passwd='geheim' is too long\n in <graphics>")

    definitions = door(MadeLibvirt({"a": MadeGuest(XML)}, before=before))
    with pytest.raises(BackendError) as refused:
        definitions.define("a", XML)
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert str(refused.value).startswith("qemu:///system: libvirt refuses: XML error: passwd=***")


def test_without_rights_it_says_whom_to_ask() -> None:
    def before(call: str) -> None:
        if call == "open":
            raise LibvirtError("authentication unavailable", 80)

    with pytest.raises(BackendError, match="member of the group libvirt"):
        door(MadeLibvirt(before=before))


def test_a_uri_that_could_run_a_program_is_never_opened() -> None:
    made = MadeLibvirt()
    with pytest.raises(InputError):
        Definitions("qemu+ssh://host/system?command=/bin/sh", any_library(made))
    assert made.calls == []


def test_pins_are_set_thread_by_thread_and_read_back() -> None:
    made = MadeLibvirt({"a": MadeGuest(XML, running=True, live={"vcpu0": [True] * 16, "iothread1": [True] * 16})})
    definitions = door(made)
    definitions.pin("a", {0: CpuSet([3])}, CpuSet([0, 1]), {1: CpuSet([2])})
    assert definitions.pins("a") == {"vcpus": {"0": "3"}, "emulator": "0-1", "iothreads": {"1": "2"}}


def test_a_driver_without_flags_for_pins_is_asked_by_the_older_call(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MadeLibvirt({"a": MadeGuest(XML, running=True, live={"vcpu0": [True] * 16})})
    asked = []

    def refuse(*_arguments: object) -> int:
        raise LibvirtError("unsupported flags (0x1)", 8)

    monkeypatch.setattr("tests.apply.made_libvirt.MadeDomain.pinVcpuFlags", refuse)
    monkeypatch.setattr(
        "tests.apply.made_libvirt.MadeDomain.pinVcpu",
        lambda _self, vcpu, cpumap: asked.append((vcpu, list(cpumap))),
        raising=False,
    )
    door(made).pin("a", {0: CpuSet([1])}, CpuSet([0]), {})
    assert asked == [(0, [False, True])]


def test_a_guest_that_does_not_run_has_no_pins() -> None:
    assert door(MadeLibvirt({"a": MadeGuest(XML)})).pins("a") is None
