import pytest

from numaplan.inventory.identity import parse_architecture, parse_version, parse_word, parse_yes, read_identity
from numaplan.inventory.processor import Processor, parse_fields, parse_processor
from numaplan.model.host import HostIdentity, Source
from numaplan.sources.store import limit_of
from tests.inventory.trees import To, fresh, gaps, tree

KERNEL = "proc/sys/kernel"
# Every kernel has these two, so their absence is a gap of its own.
CPUINFO = {"proc/cpuinfo": "processor\t: 0\n"}
VERSION = {"proc/version": "Linux version 6.12.0 (x)\n"}
X86 = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vmx\n"}


def read(files: dict[str, str | To | None], *, device_groups: bool = False) -> HostIdentity:
    return read_identity(tree(files), device_groups=device_groups)


def test_the_kernel_names_itself() -> None:
    identity = read(
        {
            f"{KERNEL}/hostname": "kvm01\n",
            f"{KERNEL}/osrelease": "6.12.0-1-amd64\n",
            f"{KERNEL}/arch": "x86_64\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t:   Intel(R)  Xeon(R)   Gold\nmodel name\t: other\n",
            "proc/version": "Linux version 0.0.1 (x)\n",
        }
    )
    assert identity == HostIdentity(
        Source.CAPTURE,
        hostname="kvm01",
        kernel="6.12.0-1-amd64",
        architecture="x86_64",
        cpu_model="Intel(R) Xeon(R) Gold",
    )


def test_a_tree_that_says_nothing_is_believed() -> None:
    made = tree({"sys": None})
    assert read_identity(made, device_groups=False) == HostIdentity(Source.CAPTURE)
    assert gaps(made) == [("proc/cpuinfo", "not there"), ("proc/version", "not there")]


def test_the_version_file_and_the_note_of_hwloc_tell_too() -> None:
    gathered = "OSName: Linux\nOSRelease: 5.18.0-rc4\nHostName: efi\nArchitecture: ppc64le\n"
    identity = read({"proc/hwloc-nofile-info": gathered})
    assert (identity.hostname, identity.kernel, identity.architecture) == ("efi", "5.18.0-rc4", "ppc64le")
    assert read({"proc/version": "Linux version 5.15.0-rc1+ (u@h)\n"}).kernel == "5.15.0-rc1+"


@pytest.mark.parametrize(
    ("files", "kvm"),
    [
        ({"sys": None}, None),
        ({"sys/module": None}, False),
        ({"sys/module/kvm": None}, True),
        ({"sys": None, "dev/kvm": ""}, True),
        ({"sys/class/misc/kvm": To("../../devices/virtual/misc/kvm"), "sys/devices/virtual/misc/kvm": None}, True),
        ({"sys/class/misc": None, "sys/module/kvm": None, "sys/module/kvm_intel": None}, False),
        ({**X86, "sys/module/kvm": None, "sys/module/kvm_intel": None}, True),
        ({**X86, "sys/module/kvm/holders/kvm_amd": To("../../kvm_amd")}, True),
        ({**X86, "sys/module/kvm/holders": None}, False),
        ({**X86, "sys/module/kvm": None}, None),
        ({**CPUINFO, f"{KERNEL}/arch": "x86_64\n", "sys/module/kvm": None}, None),
        ({**CPUINFO, f"{KERNEL}/arch": "aarch64\n", "sys/module/kvm": None}, True),
    ],
)
def test_kvm_is_unknown_where_no_modules_were_captured(files: dict[str, str | To | None], *, kvm: bool | None) -> None:
    assert read(files).kvm is kvm


@pytest.mark.parametrize(
    ("files", "device_groups", "iommu"),
    [
        ({"sys": None}, False, None),
        ({"sys": None}, True, True),
        ({"sys/kernel/iommu_groups": None}, False, False),
        ({"sys/kernel/iommu_groups/0/devices": None}, False, True),
    ],
)
def test_an_iommu_shows_by_its_groups(
    files: dict[str, str | To | None], *, device_groups: bool, iommu: bool | None
) -> None:
    assert read(files, device_groups=device_groups).iommu is iommu


@pytest.mark.parametrize("name", ["hostname", "osrelease", "arch"])
@pytest.mark.parametrize("text", ["", "\0", "a b\n", "\x1b[2J\n", "x" * 300])
def test_what_is_no_word_is_a_gap(name: str, text: str) -> None:
    made = tree({f"{KERNEL}/{name}": text, **CPUINFO, **VERSION})
    assert read_identity(made, device_groups=False) == HostIdentity(Source.CAPTURE, kernel="6.12.0")
    assert [what for what, _ in gaps(made)] == [f"{KERNEL}/{name}"]


@pytest.mark.parametrize("path", ["proc/cpuinfo", "proc/version", "proc/hwloc-nofile-info"])
@pytest.mark.parametrize("text", ["", "\0", "garbage\n", "-1\n"])
def test_a_broken_file_is_a_gap(path: str, text: str) -> None:
    made = tree({**CPUINFO, **VERSION, path: text})
    kernel = None if path == "proc/version" else "6.12.0"
    assert read_identity(made, device_groups=False) == HostIdentity(Source.CAPTURE, kernel=kernel)
    assert [what for what, _ in gaps(made)] == [path]


@pytest.mark.parametrize(
    ("release", "isa", "architecture"),
    [
        ("5.14.0-427.59.1.el9_4.x86_64+rt", "", "x86_64"),
        ("3.10.0-1160.15.2.el7.x86_64", "", "x86_64"),
        ("6.1.0-13-arm64", "", "aarch64"),
        ("6.12.95+deb12-rt-amd64", "", "x86_64"),
        ("6.1.0", "rv64imafdcv", "riscv64"),
        ("5.18.0-rc4", "", None),
        ("", "", None),
    ],
)
def test_the_architecture_is_told_only_beyond_doubt(release: str, isa: str, architecture: str | None) -> None:
    assert parse_architecture(release, isa) == architecture


def test_fields_are_the_first_of_their_name_and_printable() -> None:
    assert parse_fields("a : 1\na: 2\nb:\nc: \x1bx\n") == {"a": "1"}


def test_a_version_is_that_of_linux() -> None:
    with pytest.raises(ValueError, match="Linux"):
        parse_version("FreeBSD 14\n")


def test_a_word_stands_alone() -> None:
    assert parse_word("kvm01.example\n") == "kvm01.example"


@pytest.mark.parametrize("name", ["hostname", "osrelease", "arch"])
def test_a_name_that_vanishes_is_a_gap(name: str) -> None:
    made = tree({**CPUINFO, **VERSION, f"{KERNEL}/{name}": To("nowhere")})
    assert read_identity(made, device_groups=False) == HostIdentity(Source.CAPTURE, kernel="6.12.0")
    assert gaps(made) == [(f"{KERNEL}/{name}", "listed, but not there (ENOENT)")]


@pytest.mark.parametrize(
    ("files", "nested"),
    [
        ({"sys/module/kvm": None}, None),
        ({"sys/module/kvm_intel/parameters/nested": "Y\n"}, True),
        ({"sys/module/kvm_intel/parameters/nested": "N\n"}, False),
        ({"sys/module/kvm_amd/parameters/nested": "1\n"}, True),
        ({"sys/module/kvm_amd/parameters/npt": "Y\n"}, None),
        ({"sys/module/kvm/parameters/nested": "0\n"}, False),
    ],
)
def test_guests_may_be_hosts_where_the_module_says_so(
    files: dict[str, str | To | None], *, nested: bool | None
) -> None:
    assert read(files).nested is nested


@pytest.mark.parametrize("text", ["", "maybe\n", "-1\n", "\0"])
def test_a_module_that_says_neither_yes_nor_no_is_a_gap(text: str) -> None:
    made = tree({**CPUINFO, **VERSION, "sys/module/kvm_intel/parameters/nested": text})
    assert read_identity(made, device_groups=False).nested is None
    assert [what for what, _ in gaps(made)] == ["sys/module/kvm_intel/parameters/nested"]


def test_flags_are_those_that_every_cpu_has_and_that_matter() -> None:
    text = "processor : 0\nflags : fpu vmx pdpe1gb constant_tsc\n\nprocessor : 1\nflags : fpu constant_tsc vmx\n"
    assert parse_processor(text) == Processor(
        {"processor": "0", "flags": "fpu vmx pdpe1gb constant_tsc"}, ("constant_tsc", "vmx")
    )


def test_what_the_vmx_can_do_is_no_flag_of_the_cpu() -> None:
    assert parse_processor("flags : fpu\nvmx flags : ept vpid\n").flags == ()


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (
            "hwloc-32intel64-2p8co2t+8ve",
            {"vmx", "constant_tsc", "nonstop_tsc", "tsc_deadline_timer", "pdpe1gb", "x2apic"},
        ),
        ("host-flat", {"svm", "hypervisor", "pdpe1gb"}),
        ("lscpu-arm-A510-A710-A715-X3", {"atomics", "asimd", "evtstrm"}),
        ("lscpu-s390-lpar", set()),
    ],
)
def test_captured_cpus_have_the_flags_that_guests_ask_for(name: str, flags: set[str]) -> None:
    assert flags <= set(read_identity(fresh(name), device_groups=False).cpu_flags)


def test_a_machine_whose_kvm_module_has_no_vendor_module_runs_no_guests() -> None:
    assert read_identity(fresh("host-flat"), device_groups=False).kvm is False


def test_a_thousand_cpus_are_read_whole() -> None:
    block = "processor\t: {}\nmodel name\t: X\nflags\t\t: " + "flag_number_of_cpu " * 130 + "svm\nbugs\t\t: none\n\n"
    text = "".join(block.format(cpu) for cpu in range(1024))
    assert 2 << 20 < len(text) < limit_of("proc/cpuinfo") == limit_of("host/proc/cpuinfo")
    assert limit_of("proc/meminfo") < len(text)
    assert parse_processor(text).flags == ("svm",)
    assert parse_processor(text.replace("svm", "vmx", 1)).flags == ()


def test_a_switch_is_yes_or_no() -> None:
    assert [parse_yes(text) for text in ("Y\n", "1\n", "N\n", "0\n")] == [True, True, False, False]
