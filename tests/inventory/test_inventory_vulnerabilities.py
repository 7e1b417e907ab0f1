import pytest

from numaplan.inventory.vulnerabilities import parse_status, read_vulnerabilities
from numaplan.model.kernel import Vulnerability
from tests.inventory.trees import fresh, gaps, tree

FOLDER = "sys/devices/system/cpu/vulnerabilities"
OLDEST = ("meltdown", "spectre_v1", "spectre_v2", "spec_store_bypass", "l1tf")


def test_smt_is_a_leak_where_the_kernel_says_so_and_nowhere_else() -> None:
    statuses = dict.fromkeys(OLDEST, "Not affected") | {
        "l1tf": "Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable",
        "mds": "Vulnerable; SMT Host state unknown",
        "tsx_async_abort": "Mitigation: Clear CPU buffers; SMT mitigated",
    }
    made = tree({f"{FOLDER}/{name}": f"{status}\n" for name, status in statuses.items()})
    read = read_vulnerabilities(made)
    assert read == tuple(
        Vulnerability(name, status, smt_vulnerable=name == "l1tf") for name, status in sorted(statuses.items())
    )
    assert not made.gaps


def test_a_file_that_an_older_kernel_had_already_is_missed() -> None:
    made = tree({f"{FOLDER}/{name}": "Not affected\n" for name in OLDEST if name != "spectre_v2"})
    assert [each.name for each in read_vulnerabilities(made)] == ["l1tf", "meltdown", "spec_store_bypass", "spectre_v1"]
    assert gaps(made) == [(f"{FOLDER}/spectre_v2", "not there")]


def test_a_vulnerability_of_tomorrow_is_told_as_well() -> None:
    made = tree({f"{FOLDER}/tomorrow": "Vulnerable\n"})
    assert read_vulnerabilities(made) == (Vulnerability("tomorrow", "Vulnerable"),)
    assert not made.gaps


def test_a_name_that_is_none_is_a_gap() -> None:
    made = tree({f"{FOLDER}/\x1b[2J": "Vulnerable\n"})
    assert read_vulnerabilities(made) == ()
    assert [what for what, _ in gaps(made)] == [f"{FOLDER}/\x1b[2J"]


@pytest.mark.parametrize("text", ["", "-1\n", "0\n", "not affected\n", "Vuln\x1b[2J\n", "\0\0", "V" * 600])
def test_a_status_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_status(text)


@pytest.mark.parametrize(("name", "count"), [("host-flat", 17), ("qemu61-A", 17), ("lscpu-vmware_fpe", 6)])
def test_captured_kernels_show_all_that_they_know(name: str, count: int) -> None:
    read = fresh(name)
    assert len(read_vulnerabilities(read)) == count
    assert not read.gaps
