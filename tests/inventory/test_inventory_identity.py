import pytest

from numaplan.inventory.identity import parse_architecture, parse_fields, parse_version, parse_word, read_identity
from numaplan.model.host import HostIdentity, Source
from tests.inventory.trees import To, gaps, tree

KERNEL = "proc/sys/kernel"


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
    assert not made.gaps


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
    made = tree({f"{KERNEL}/{name}": text})
    assert read_identity(made, device_groups=False) == HostIdentity(Source.CAPTURE)
    assert [what for what, _ in gaps(made)] == [f"{KERNEL}/{name}"]


@pytest.mark.parametrize("path", ["proc/cpuinfo", "proc/version", "proc/hwloc-nofile-info"])
@pytest.mark.parametrize("text", ["", "\0", "garbage\n", "-1\n"])
def test_a_broken_file_is_a_gap(path: str, text: str) -> None:
    made = tree({path: text})
    assert read_identity(made, device_groups=False) == HostIdentity(Source.CAPTURE)
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
