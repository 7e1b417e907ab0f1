"""`numaplan capacity` and hosts in words, as a user meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.records.capacity_form import CapacityForm
from numaplan.records.document import load
from tests.cli.running import DOMAINS, HOST, VNF, numaplan, spawned

HERE = Path(__file__).parent
WORDS = "2 packages, 2 nodes, 16 cores, 2 threads, 32GiB; 1GiB=8, 2MiB=512; eth1@0: 4 VFs; eth0@1: 4 VFs"
SMALL = """
apiVersion: numaplan/v1
host: {reserved_cpus: "0", reserved_memory: 0KiB}
vms:
  - {name: fw, vcpus: 4, memory: 1GiB%s}
"""


def vnf_of(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "vnf.yaml"
    path.write_text(SMALL % more)
    return path


def test_the_table_has_the_number_first_and_what_is_short_last(golden: Callable[[Path, str], None]) -> None:
    ran = numaplan("capacity", VNF, "--vm", "firewall", "--snapshot", HOST, "--domains", DOMAINS)
    assert ran.code == 0
    golden(HERE / "capacity-firewall.txt", ran.out)


def test_the_document_is_as_its_schema_says() -> None:
    ran = numaplan("capacity", VNF, "--vm", "control", "--synthetic", WORDS, "-o", "json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert list(document)[:5] == ["schema", "vm", "fit", "proven", "next"]
    form = load(ran.out, "capacity.json", form=CapacityForm, schema="numaplan/capacity/1")
    assert (form.vm, form.fit, form.proven) == ("control", document["fit"], True)
    assert [row.need > row.have for row in form.next.short] == [True]
    schema = json.loads(numaplan("schema", "capacity").out)
    assert schema["$id"] == "numaplan/capacity/1"


def test_the_only_vm_needs_no_name(tmp_path: Path) -> None:
    ran = numaplan("capacity", vnf_of(tmp_path), "--synthetic", "8 cores, 64GiB")
    assert ran.code == 0
    assert ran.out.startswith("fw: 1 copy fits (proven)\n")


def test_of_several_vms_one_must_be_named() -> None:
    ran = numaplan("capacity", VNF, "--synthetic", WORDS)
    assert ran.code == 2
    assert "has 4 vms" in ran.err
    assert "router, firewall, control, database" in ran.err


def test_an_unknown_vm_is_refused_with_the_nearest_name() -> None:
    ran = numaplan("capacity", VNF, "--vm", "firewal", "--synthetic", WORDS)
    assert ran.code == 2
    assert "did you mean 'firewall'?" in ran.err


@pytest.mark.parametrize("more", ["", ", count: 2", ", count: 7"])
def test_the_count_means_nothing(tmp_path: Path, more: str) -> None:
    ran = numaplan("capacity", vnf_of(tmp_path, more), "--synthetic", "2 nodes, 16 cores, 64GiB")
    assert ran.out.startswith("fw: 3 copies fit (proven)\n")


@pytest.mark.parametrize("more", ["", ", count: 3"])
def test_a_vm_that_names_itself_keeps_its_copies_apart_whatever_the_count(tmp_path: Path, more: str) -> None:
    vnf = vnf_of(tmp_path, f"{more}, anti_affinity: [fw]")
    assert numaplan("capacity", vnf, "--synthetic", "2 nodes, 16 cores, 64GiB").out.startswith("fw: 2 copies fit")


def test_where_the_others_have_no_place_the_reason_is_told(tmp_path: Path) -> None:
    vnf = vnf_of(tmp_path, "}\n  - {name: big, vcpus: 64, memory: 1GiB")
    ran = numaplan("capacity", vnf, "--vm", "fw", "--synthetic", "2 nodes, 16 cores, 64GiB")
    assert ran.code == 4
    assert ran.out == ""
    assert "big: no node can take it" in ran.err


def test_a_mistake_in_the_words_is_shown_at_its_column(tmp_path: Path) -> None:
    ran = numaplan("capacity", vnf_of(tmp_path), "--synthetic", "2 nodes, 15 cores")
    assert ran.code == 5
    assert ran.err.startswith("numaplan: --synthetic:1:10: 15 cores in all are not shared out evenly by 2 nodes")


@pytest.mark.parametrize("other", [("--snapshot", HOST), ("--connect", "test:///default")], ids=["capture", "libvirt"])
def test_a_host_is_in_words_or_it_is_read(tmp_path: Path, other: tuple[object, ...]) -> None:
    ran = numaplan("capacity", vnf_of(tmp_path), "--synthetic", "8 cores", *other)
    assert ran.code == 2
    assert "not both" in ran.err


def test_guests_in_files_lie_on_a_host_in_words() -> None:
    ran = numaplan("capacity", VNF, "--vm", "control", "--synthetic", WORDS, "--domains", DOMAINS, "-o", "json")
    assert "1 copy of control is on the host already (control)" in ran.out


def test_a_host_in_words_comes_before_the_one_that_the_environment_names(tmp_path: Path) -> None:
    vnf = vnf_of(tmp_path)
    for verb in (("capacity", vnf), ("place", vnf, "-o", "table"), ("inventory",)):
        ran = spawned(*verb, "--synthetic", WORDS, NUMAPLAN_SNAPSHOT=str(HOST))
        assert (ran.returncode, "atlas7" in ran.stdout) == (0, False), ran.stderr
