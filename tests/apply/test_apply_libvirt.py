"""``apply`` on a libvirt: the real library with its own test driver, whose guests live as long as one connection."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import HOST, Ran, numaplan

pytestmark = pytest.mark.libvirt

URI = "test:///default"
SECURE_INACTIVE = 3
# The driver's host has CPUs 0 to 7.
VNF = """\
apiVersion: numaplan/v1
host: {reserved_cpus: "0-1,8-15"}
vms:
  - {name: fw1, vcpus: 2, memory: 256MiB, page_size: 2MiB, iothreads: {count: 1, policy: dedicated}}
  - {name: fw2, vcpus: 2, memory: 256MiB, page_size: 2MiB}
"""
XML = """\
<domain type='test'>
  <name>{name}</name>
  <metadata>
    <site:note xmlns:site='urn:site'>keep <!-- not --> me</site:note>
  </metadata>
  <memory unit='MiB'>256</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <graphics type='vnc' passwd='geheim12'/>
  </devices>
</domain>
"""


@pytest.fixture
def libvirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A connection with two guests that do not run; while it is open, others see them too."""
    library = pytest.importorskip("libvirt")
    monkeypatch.setenv("NUMAPLAN_STATE", str(tmp_path / "state"))
    connection = library.open(URI)
    for name in ("fw1", "fw2"):
        connection.defineXML(XML.format(name=name))
    yield connection
    # Where a test has failed its traceback keeps the connection, and with it the guests.
    for domain in connection.listAllDomains():
        persistent = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        if persistent:
            domain.undefine()
    connection.close()


@pytest.fixture
def plan(tmp_path: Path, libvirt: Any) -> Path:  # noqa: ANN401, ARG001 - the library has no types; the guests are needed
    vnf, path = tmp_path / "vnf.yaml", tmp_path / "plan.json"
    vnf.write_text(VNF)
    done = numaplan("place", vnf, *there(), "--out", path)
    assert done.code == 0, done.err
    return path


def there() -> tuple[object, ...]:
    return "--snapshot", HOST, "--connect", URI


def definitions(connection: Any) -> dict[str, str]:  # noqa: ANN401
    return {domain.name(): domain.XMLDesc(SECURE_INACTIVE) for domain in connection.listAllDomains()}


def apply(plan: Path, *extra: object) -> Ran:
    return numaplan("apply", plan, *there(), "--yes", *extra)


def test_guests_are_defined_as_planned_and_read_back_as_such(libvirt: Any, plan: Path) -> None:  # noqa: ANN401
    done = apply(plan, "-o", "json")
    assert done.code == 0, done.err
    checks = json.loads(done.out)["checks"]
    assert {check["source"] for check in checks} == {"libvirt", "definition"}
    assert [check for check in checks if not check["holds"]] == []
    planned = {place["vm"]: place for place in json.loads(plan.read_text())["placements"]}
    for name, text in definitions(libvirt).items():
        if name in planned:
            cpus = planned[name]["cells"][0]["vcpus"]
            assert all(f"<vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>" in text for vcpu, cpu in cpus.items())
            assert "passwd='geheim12'" in text
            assert "<site:note" in text


def test_placing_again_after_it_is_an_empty_diff(libvirt: Any, plan: Path, tmp_path: Path) -> None:  # noqa: ANN401
    assert apply(plan).code == 0
    before = definitions(libvirt)
    again = numaplan("place", tmp_path / "vnf.yaml", *there())
    assert (again.code, again.out) == (0, "")
    nothing = apply(plan)
    assert (nothing.code, nothing.out) == (0, "")
    assert definitions(libvirt) == before


def test_rollback_gives_every_guest_its_definition_back_secrets_included(libvirt: Any, plan: Path) -> None:  # noqa: ANN401
    before = definitions(libvirt)
    identity = json.loads(apply(plan, "-o", "json").out)["transaction"]
    assert definitions(libvirt) != before
    undone = numaplan("rollback", identity)
    assert undone.code == 0, undone.err
    assert definitions(libvirt) == before


def test_a_guest_that_libvirt_refuses_leaves_all_as_they_were(
    libvirt: Any, plan: Path, monkeypatch: pytest.MonkeyPatch  # noqa: ANN401
) -> None:  # fmt: skip
    from numaplan.sources.definitions import Definitions  # noqa: PLC0415

    define = Definitions.define

    def breaking(self: Definitions, guest: str, xml: str) -> None:
        define(self, guest, xml.replace("</vcpu>", "</vcpu><vcpu>x</vcpu>") if guest == "fw2" else xml)

    monkeypatch.setattr(Definitions, "define", breaking)
    before = definitions(libvirt)
    failed = apply(plan)
    assert failed.code == 8, failed.err
    assert "everything is as it was" in failed.err
    assert "geheim12" not in failed.err
    assert definitions(libvirt) == before


def test_running_guests_are_pinned_anew_and_nothing_else(libvirt: Any, plan: Path, tmp_path: Path) -> None:  # noqa: ANN401
    assert apply(plan).code == 0
    domain = libvirt.lookupByName("fw1")
    domain.create()
    planned = next(place for place in json.loads(plan.read_text())["placements"] if place["vm"] == "fw1")
    domain.pinVcpu(0, (True,))
    before = definitions(libvirt)
    running = tmp_path / "running.yaml"
    running.write_text("".join(line for line in VNF.splitlines(keepends=True) if "fw2" not in line))
    again = tmp_path / "again.json"
    placed = numaplan("place", running, *there(), "--out", again)
    assert placed.code == 0, placed.err
    done = apply(again, "--live", "-o", "json")
    assert done.code in {0, 3}, done.err
    wanted = planned["cells"][0]["vcpus"]["0"]
    assert [cpu for cpu, on in enumerate(domain.vcpuPinInfo()[0]) if on] == [int(wanted)]
    assert definitions(libvirt) == before


def test_pins_of_iothreads_come_in_the_order_in_which_libvirt_lists_these(libvirt: Any, tmp_path: Path) -> None:  # noqa: ANN401
    ids = "<iothreads>2</iothreads><iothreadids><iothread id='7'/><iothread id='3'/></iothreadids>"
    libvirt.defineXML(XML.format(name="io").replace("</vcpu>", f"</vcpu>{ids}"))
    vnf, plan = tmp_path / "io.yaml", tmp_path / "io.json"
    vnf.write_text(
        VNF.partition("vms:")[0]
        + "vms: [{name: io, vcpus: 2, memory: 256MiB, iothreads: {count: 2, policy: dedicated}}]\n"
    )
    assert numaplan("place", vnf, *there(), "--out", plan).code == 0
    done = apply(plan)
    assert done.code == 0, done.err
    pins = [line.strip() for line in definitions(libvirt)["io"].splitlines() if "iothreadpin" in line]
    assert [pin[:27] for pin in pins] == ["<iothreadpin iothread='7' c", "<iothreadpin iothread='3' c"]


@pytest.mark.parametrize("there_already", ["", "<vcpusched vcpus='0-2' scheduler='rr' priority='5'/>"])
def test_realtime_vcpus_are_defined_though_libvirt_prints_each_by_itself(
    libvirt: Any, tmp_path: Path, there_already: str  # noqa: ANN401
) -> None:  # fmt: skip
    xml = XML.format(name="ran").replace("<vcpu>2</vcpu>", f"<vcpu>4</vcpu><cputune>{there_already}</cputune>")
    libvirt.defineXML(xml)
    vnf, plan = tmp_path / "ran.yaml", tmp_path / "ran.json"
    vnf.write_text(VNF.partition("vms:")[0] + "vms: [{name: ran, vcpus: 4, memory: 256MiB, realtime: {vcpus: 1-3}}]\n")
    assert numaplan("place", vnf, *there(), "--out", plan).code == 0
    done = apply(plan)
    assert done.code == 0, done.err
    lines = [line.strip() for line in definitions(libvirt)["ran"].splitlines()]
    assert [line for line in lines if "vcpusched" in line] == [
        f"<vcpusched vcpus='{vcpu}' scheduler='fifo' priority='1'/>" for vcpu in (1, 2, 3)
    ]
    again = numaplan("place", vnf, *there())
    assert (again.code, again.out) == (0, "")


def test_a_transient_guest_has_no_definition_to_change(libvirt: Any, plan: Path) -> None:  # noqa: ANN401
    domain = libvirt.lookupByName("fw1")
    domain.create()
    domain.undefine()
    refused = apply(plan)
    assert refused.code == 6
    assert "it was persistent, and is transient now" in refused.err
