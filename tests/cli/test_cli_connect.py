"""``--connect``: guests of a libvirt, here of its test driver, which needs no daemon; and what is refused, and how."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.running import DOMAINS, HOST, numaplan

URI = "test:///default"
VNF = """\
apiVersion: numaplan/v1
vms:
  - {name: test, vcpus: 2, memory: 128MiB}
"""

needs_libvirt = pytest.mark.libvirt


def guests_of(*arguments: object) -> dict[str, dict[str, object]]:
    done = numaplan("inventory", *arguments, "-o", "json")
    assert done.code == 0, done.err
    return {guest["name"]: guest for guest in json.loads(done.out)["guests"]}


@needs_libvirt
def test_guests_come_from_the_connection_beside_a_captured_host() -> None:
    guest = guests_of("--snapshot", HOST, "--connect", URI)["test"]
    assert (guest["running"], guest["state"], guest["vcpus"]) == (True, "running", 2)


@needs_libvirt
def test_guests_come_from_the_connection_beside_inventory_json(tmp_path: Path) -> None:
    inventory = tmp_path / "host.json"
    done = numaplan("inventory", "--snapshot", HOST, "--domains", DOMAINS, "-o", "json", "--out", inventory)
    assert done.code == 0, done.err
    known = guests_of("--snapshot", inventory)
    assert known
    assert guests_of("--snapshot", inventory, "--connect", URI).keys() == {*known, "test"}


def test_what_a_connection_cannot_tell_is_a_gap_beside_inventory_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = tmp_path / "host.json"
    assert numaplan("inventory", "--snapshot", HOST, "-o", "json", "--out", inventory).code == 0
    rows = {"domains": [{"name": "fw1", "active": True, "state": "running", "xml": "<domain"}]}
    monkeypatch.setattr("numaplan.api.inventory.read_hypervisor", lambda _uri: rows)
    done = numaplan("inventory", "--snapshot", inventory, "--connect", URI, "-o", "json")
    assert done.code == 0, done.err
    assert [gap["what"] for gap in json.loads(done.out)["gaps"]] == ["libvirt"]


@needs_libvirt
def test_the_short_form_is_the_same() -> None:
    assert guests_of("--snapshot", HOST, "-c", URI) == guests_of("--snapshot", HOST, "--connect", URI)


@needs_libvirt
@pytest.mark.parametrize("verb", ["inventory", "audit"])
def test_every_verb_that_reads_guests_takes_a_connection(verb: str) -> None:
    done = numaplan(verb, "--snapshot", HOST, "--connect", URI)
    assert done.code in {0, 3}, done.err
    assert done.err == ""


@needs_libvirt
def test_place_shows_the_patch_to_the_xml_of_the_connection(tmp_path: Path) -> None:
    vnf, new, plan = tmp_path / "vnf.yaml", tmp_path / "new", tmp_path / "plan.json"
    vnf.write_text(VNF, encoding="utf-8")
    arguments = (vnf, "--snapshot", HOST, "--connect", URI)
    done = numaplan("place", *arguments, "--patched", new, "--out", plan)
    assert done.code == 0, done.err
    assert done.out.startswith("--- a/test.xml\n+++ b/test.xml\n")
    assert "+    <vcpupin vcpu='0' cpuset=" in done.out
    assert [path.name for path in new.iterdir()] == ["test.xml"]
    assert numaplan("verify", plan, *arguments).code == 0


@pytest.mark.parametrize("verb", ["inventory", "audit"])
def test_guests_from_two_places_are_a_usage_error(verb: str) -> None:
    done = numaplan(verb, "--snapshot", HOST, "--domains", DOMAINS, "--connect", URI)
    assert (done.code, done.out) == (2, "")
    assert "not from both" in done.err


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "--connect: the connection URI is empty"),
        ("nonsense", "a connection of this kind is not made"),
        ("qemu+tcp://host/system", "a connection of this kind is not made"),
        ("qemu:///elsewhere", "the path is '/elsewhere'"),
        ("qemu+ssh://root:secret@host/system", "a connection URI holds no password"),
        ("qemu+ssh://host/system?command=/bin/sh", "the parameter 'command' is not let through"),
        ("test:///default\n", "no connection URI"),
    ],
)
def test_a_uri_that_libvirt_should_not_be_given_is_exit_5(uri: str, words: str) -> None:
    done = numaplan("inventory", "--snapshot", HOST, "--connect", uri)
    assert (done.code, done.out) == (5, "")
    assert words in done.err
    assert "secret" not in done.err
    assert "Traceback" not in done.err


@needs_libvirt
def test_a_connection_that_fails_is_exit_7() -> None:
    done = numaplan("inventory", "--snapshot", HOST, "--connect", "qemu:///system?socket=/nonexistent/socket")
    assert (done.code, done.out) == (7, "")
    assert done.err.startswith("numaplan: qemu:///system")


def test_without_the_binding_a_connection_is_exit_7_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    done = numaplan("inventory", "--snapshot", HOST, "--connect", URI)
    assert (done.code, done.out) == (7, "")
    assert "pip install 'numaplan[libvirt]'" in done.err


def test_without_a_connection_the_binding_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    assert numaplan("inventory", "--snapshot", HOST).code == 0
