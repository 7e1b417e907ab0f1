import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.parameters import (
    parse_boot_cpus,
    parse_isolcpus,
    parse_page_size_kib,
    parse_parameters,
    parse_passthrough,
    read_boot_cpus,
    read_isolcpus,
    read_parameters,
    values_of,
)
from numaplan.model.kernel import Isolcpus, Parameter
from tests.inventory.trees import fresh, gaps, tree

LAST = 79


def words(text: str) -> list[tuple[str, str | None]]:
    return [(parameter.name, parameter.value) for parameter in parse_parameters(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n", []),
        ("ro quiet\n", [("ro", None), ("quiet", None)]),
        ("  a=1 \t b=2 \n", [("a", "1"), ("b", "2")]),
        ("a= b==c\n", [("a", ""), ("b", "=c")]),
        ('dyndbg="file x +p; y" z\n', [("dyndbg", "file x +p; y"), ("z", None)]),
        ('"a b=c d" e\n', [("a b", "c d"), ("e", None)]),
        ('"alone word" e\n', [("alone word", None), ("e", None)]),
        ('a=x"y z"w b\n', [("a", 'x"y z"w'), ("b", None)]),
        ('a="open to the end\n', [("a", "open to the end\n")]),
        ('a=" b\n', [("a", " b\n")]),
        ('a="" b\n', [("a", ""), ("b", None)]),
        ("=a =b=c\n", [("=a", None), ("=b", "c")]),
        ("a -- b=1 quiet\n", [("a", None)]),
        ("a --x --=1 -- b\n", [("a", None), ("--x", None), ("--", "1")]),
    ],
)
def test_words_are_split_as_the_kernel_splits_them(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert words(text) == expected


def test_no_words_are_a_fact_and_no_bytes_are_none() -> None:
    made = tree({"proc/cmdline": "\n"})
    assert read_parameters(made) == ()
    assert not made.gaps
    made = tree({"proc/cmdline": ""})
    assert read_parameters(made) == ()
    assert [what for what, _ in gaps(made)] == ["proc/cmdline"]


def test_a_host_without_a_command_line_is_a_gap() -> None:
    made = tree({"sys": None})
    assert read_parameters(made) == ()
    assert gaps(made) == [("proc/cmdline", "not there")]


def test_a_word_that_cannot_be_printed_costs_that_word() -> None:
    made = tree({"proc/cmdline": "quiet \udcff\x1b[2J=1 iommu=pt label=größe\n"})
    assert [parameter.name for parameter in read_parameters(made)] == ["quiet", "iommu", "label"]
    assert [what for what, _ in gaps(made)] == ["proc/cmdline"]


def test_more_words_than_a_kernel_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="4096"):
        parse_parameters("a " * 5000)


def test_hyphens_are_underscores() -> None:
    parameters = parse_parameters("rcu-nocbs=1 rcu_nocbs=2 rcu_nocbs other=3\n")
    assert values_of(parameters, "rcu_nocbs") == ("1", "2")


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("1-3,7", "1-3,7"),
        ("all", "0-79"),
        ("ALL", "0-79"),
        ("78-N", "78-79"),
        ("N", "79"),
        ("0-9:2/5", "0-1,5-6"),
    ],
)
def test_cpus_at_boot_are_listed_as_the_kernel_documents_it(text: str, cpus: str) -> None:
    assert parse_boot_cpus(text, last=LAST) == CpuSet.parse(cpus)


@pytest.mark.parametrize("text", ["", "x", "3-1", "0-99999", "1;2", "-1", "all,1"])
def test_what_is_no_list_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_boot_cpus(text, last=LAST)


@pytest.mark.parametrize(
    ("value", "flags", "cpus"),
    [
        ("1-3", ("domain",), "1-3"),
        ("nohz,domain,1-3,8", ("nohz", "domain"), "1-3,8"),
        ("managed_irq,0-4,11-79", ("managed_irq",), "0-4,11-79"),
        ("from_the_future,2", ("domain",), "2"),
        ("domain,domain,2-N", ("domain",), "2-79"),
    ],
)
def test_isolcpus_has_flags_and_cpus(value: str, flags: tuple[str, ...], cpus: str) -> None:
    assert parse_isolcpus(value, last=LAST) == Isolcpus(flags, CpuSet.parse(cpus))


@pytest.mark.parametrize("value", ["", "domain", "domain,", "nohz;1", "domain1,3", "all", "1,domain", "N-3"])
def test_isolcpus_that_isolate_nothing_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_isolcpus(value, last=LAST)


def test_several_isolcpus_add_up_where_they_name_the_same_cpus() -> None:
    made = tree({"sys": None})
    parameters = parse_parameters("isolcpus=managed_irq,2-3 isolcpus=2,3 isolcpus=nohz,4\n")
    assert read_isolcpus(made, parameters, last=LAST) == Isolcpus(("managed_irq", "domain"), CpuSet.parse("2-3"))
    assert gaps(made) == [("proc/cmdline", "isolcpus=nohz,4: other CPUs than those of the first isolcpus=2-3")]


def test_a_broken_isolcpus_is_a_gap() -> None:
    made = tree({"sys": None})
    assert read_isolcpus(made, parse_parameters("isolcpus=5-3\n"), last=LAST) is None
    assert [what for what, _ in gaps(made)] == ["proc/cmdline"]


def test_the_last_list_of_cpus_counts() -> None:
    made = tree({"sys": None})
    parameters = parse_parameters("rcu_nocbs=1 rcu_nocbs=2-3 irqaffinity=x\n")
    assert read_boot_cpus(made, parameters, "rcu_nocbs", last=LAST) == CpuSet.parse("2-3")
    assert read_boot_cpus(made, parameters, "nohz_full", last=LAST) is None
    assert not made.gaps
    assert read_boot_cpus(made, parameters, "irqaffinity", last=LAST) is None
    assert [what for what, _ in gaps(made)] == ["proc/cmdline"]


@pytest.mark.parametrize(
    ("text", "size"), [("2M", 2048), ("1G", 1 << 20), ("64K", 64), ("2097152", 2048), ("16g", 1 << 24)]
)
def test_page_sizes_have_a_suffix(text: str, size: int) -> None:
    assert parse_page_size_kib(text) == size


@pytest.mark.parametrize("text", ["", "0", "x", "1X", "512", "-2M"])
def test_what_is_no_page_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="page size"):
        parse_page_size_kib(text)


@pytest.mark.parametrize(
    ("text", "passthrough"),
    [
        ("intel_iommu=on\n", None),
        ("intel_iommu=on iommu=pt\n", True),
        ("iommu=nopt\n", False),
        ("iommu=soft,pt\n", True),
        ("iommu.passthrough=1\n", True),
        ("iommu.passthrough=off\n", False),
        ("iommu=pt iommu.passthrough=0\n", False),
        ("iommu.passthrough=0 iommu=pt\n", True),
        ("iommu.passthrough=maybe\n", None),
        ("iommu.passthrough iommu\n", None),
    ],
)
def test_the_last_word_on_passthrough_counts(text: str, *, passthrough: bool | None) -> None:
    assert parse_passthrough(parse_parameters(text)) is passthrough


def test_a_captured_command_line_of_a_telco_host() -> None:
    parameters = read_parameters(fresh("ocp-bare-metal_worker1.internal"))
    assert values_of(parameters, "isolcpus") == ("managed_irq,0-4,11-79",)
    assert values_of(parameters, "default_hugepagesz") == ("1G",)
    assert [each for each in parameters if each.name == "tsc"] == [Parameter("tsc", "reliable")] * 2
    assert parse_passthrough(parameters)
