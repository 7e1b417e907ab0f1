"""Bad input: one clear line, the right exit code, nothing written."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import DOMAINS, HOST, ROOT, VNF, Ran, numaplan, spawned, tar_of


def refused(tmp_path: Path, *arguments: object) -> Ran:
    """Runs `place` with places to write to, and demands that nothing was written."""
    out, patched = tmp_path / "plan.json", tmp_path / "patched"
    ran = numaplan("place", *arguments, "--out", out, "--patched", patched)
    assert not out.exists()
    assert not patched.exists()
    assert ran.out == ""
    assert "Traceback" not in ran.err
    return ran


def copied(tmp_path: Path, **changed: bytes) -> Path:
    """The example's domains with some of them changed."""
    directory = tmp_path / "domains"
    directory.mkdir()
    for file in DOMAINS.iterdir():
        (directory / file.name).write_bytes(changed.get(file.stem, file.read_bytes()))
    return directory


def test_a_yaml_mistake_is_shown_where_it_stands(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(VNF.read_text().replace("vcpus: 2", "vcpu: 4x"))
    ran = refused(tmp_path, vnf, "--snapshot", HOST)
    assert ran.code == 5
    line = 1 + VNF.read_text()[: VNF.read_text().index("vcpus: 2")].count("\n")
    assert f"{vnf}:{line}:5: " in ran.err
    assert "did you mean 'vcpus'?" in ran.err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<domain type='kvm'><name>router</name><memory>1", "router.xml:1:"),
        (b"<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>", "DOCTYPE"),
        (b"", "router.xml"),
        (b"\xff\xfe<\0d\0", "router.xml"),
        (b"<network><name>router</name></network>", "<domain>"),
        (b"<domain><name>router</name><vcpu>4x</vcpu></domain>", "4x"),
    ],
    ids=["truncated", "doctype", "empty", "utf-16", "other root", "no number"],
)
def test_a_broken_domain_xml_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    ran = refused(tmp_path, VNF, "--snapshot", HOST, "--domains", copied(tmp_path, router=data))
    assert ran.code == 5
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_two_files_with_one_domain_are_refused(tmp_path: Path) -> None:
    domains = copied(tmp_path, control=(DOMAINS / "router.xml").read_bytes())
    ran = refused(tmp_path, VNF, "--snapshot", HOST, "--domains", domains)
    assert ran.code == 5
    assert 'a second domain named "router"' in ran.err


def test_all_broken_files_of_a_directory_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    two = b"<domain><name>a</name><memory>1x</memory><vcpu>4x</vcpu></domain>"
    domains = copied(tmp_path, router=b"<network/>", control=two)
    (domains / "zz.xml").write_bytes((DOMAINS / "database.xml").read_bytes())
    ran = refused(tmp_path, VNF, "--snapshot", HOST, "--domains", domains)
    assert ran.code == 5
    said = ran.err.splitlines()
    places = [line.split(f"{domains}/")[1].split(":")[0] for line in said]
    assert places == ["control.xml", "control.xml", "router.xml", "zz.xml"]
    assert f'a second domain named "database"; {domains}/database.xml has the first' in said[-1]


def test_of_many_broken_files_the_first_are_told_and_how_many_more_there_are(tmp_path: Path) -> None:
    for number in range(23):
        (tmp_path / f"{number:02}.xml").write_bytes(b"<network/>")
    ran = refused(tmp_path, VNF, "--snapshot", HOST, "--domains", tmp_path)
    assert ran.code == 5
    *told, rest = ran.err.splitlines()
    assert [f"{number:02}.xml:1:" in line for number, line in enumerate(told)] == [True] * 20
    assert f"{tmp_path}: and 3 more files that cannot be used" in rest


def test_an_unknown_guest_is_exit_5(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(VNF.read_text() + "    affinity: [ruter]\n")
    ran = refused(tmp_path, vnf, "--snapshot", HOST, "--domains", DOMAINS)
    assert ran.code == 5
    assert "ruter" in ran.err
    assert "router" in ran.err


@pytest.mark.parametrize("missing", ["--snapshot", "--domains"])
def test_what_is_not_there_is_exit_5(tmp_path: Path, missing: str) -> None:
    where = {"--snapshot": HOST, "--domains": DOMAINS, missing: tmp_path / "nowhere"}
    ran = refused(tmp_path, VNF, *(word for pair in where.items() for word in pair))
    assert ran.code == 5
    assert "nowhere" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["../escape", "sys/../../escape", "/etc/escape"])
def test_a_tar_that_leaves_its_root_is_refused(tmp_path: Path, name: str) -> None:
    tar = tar_of(tmp_path / "host.tar.gz", {"sys/devices/system/cpu/online": b"0-3\n", name: b"x"})
    ran = refused(tmp_path, VNF, "--snapshot", tar)
    assert ran.code == 5
    assert name in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path.parent / "escape").exists()


def test_a_pf_that_the_host_lacks_is_exit_4(tmp_path: Path) -> None:
    vnf = tmp_path / "vnf.yaml"
    vnf.write_text(VNF.read_text().replace("wan: [eth1]", "wan: [ens9f9]"))
    ran = numaplan("place", vnf, "--snapshot", HOST)
    assert ran.code == 4
    assert "ens9f9" in ran.err


def test_an_option_that_does_not_exist_is_exit_2() -> None:
    assert numaplan("place", VNF, "--nonsense").code == 2


def test_a_plan_that_cannot_be_written_is_exit_7(tmp_path: Path) -> None:
    ran = numaplan("place", VNF, "--snapshot", HOST, "--out", tmp_path / "no" / "plan.json")
    assert ran.code == 7
    assert "plan.json" in ran.err


@pytest.mark.parametrize("option", ["--snapshot", "--domains", "--patched"])
def test_a_folder_without_a_name_is_not_the_current_one(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of a shell that is not set would make the guests that are there vanish, or write over some."""
    monkeypatch.chdir(tmp_path)
    options = {"--snapshot": str(HOST), "--domains": str(DOMAINS)} | {option: ""}
    ran = numaplan("place", VNF, *(word for pair in options.items() for word in pair))
    assert (ran.code, ran.out) == (2, "")
    assert f"Error: Invalid value for '{option}': the name is empty; . is the current directory" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_strict_makes_a_gap_exit_10(tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "host.tar.gz", {"sys/devices/system/cpu/online": b"0-3\n"})
    assert numaplan("inventory", "--snapshot", tar).code == 0
    assert numaplan("inventory", "--snapshot", tar, "--strict").code == 10


def test_a_closed_pipe_is_silent() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from numaplan.cli.main import run; run()", "inventory", "--snapshot", str(HOST)]
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, "")


@pytest.fixture(params=["full", "broken"])
def nowhere(request: pytest.FixtureRequest) -> Iterator[int]:
    """A descriptor on a full disk, and one of a pipe that nobody reads."""
    if request.param == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    yield descriptor
    os.close(descriptor)


COMMAND = (sys.executable, "-c", "from numaplan.cli.main import run; run()")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["place", "--help"], ["inventory", "--snapshot", HOST]]
)
def test_data_that_cannot_be_written_is_told(arguments: list[str], nowhere: int) -> None:
    command = [*COMMAND, *arguments]
    ran = subprocess.run(command, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    assert (ran.returncode, ran.stderr) in [
        (7, "numaplan: the output cannot be written: No space left on device\n"),
        (141, ""),
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["place", VNF, "--snapshot", HOST, "--domains", DOMAINS], 0),
        (["place", VNF, "--snapshot", "/nowhere"], 5),
        (["nonsense"], 2),
        (["place"], 2),
        (["inventory", "--no-such-option"], 2),
    ],
)
def test_notes_that_cannot_be_written_change_nothing(arguments: list[str], code: int, nowhere: int) -> None:
    ran = subprocess.run(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=nowhere, text=True, check=False, cwd=ROOT
    )
    assert (ran.returncode, bool(ran.stdout)) == (code, code == 0)


def test_ascii_terminals_get_escapes_and_no_error() -> None:
    ran = spawned("inventory", "--snapshot", HOST, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_interrupting_is_exit_130() -> None:
    code = (
        "import os, signal\n"
        "import numaplan.api.inventory as inventory\n"
        "inventory.take_inventory = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "from numaplan.cli.main import run\n"
        "import sys; sys.argv = ['numaplan', 'inventory']\n"
        "run()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 128 + signal.SIGINT
    assert "interrupted" in ran.stderr


def test_a_bug_is_one_line_and_a_file_with_the_traceback() -> None:
    code = (
        "import numaplan.api.inventory as inventory\n"
        "def broken(*_): raise LookupError('deep inside')\n"
        "inventory.take_inventory = broken\n"
        "from numaplan.cli.main import run\n"
        "import sys; sys.argv = ['numaplan', 'inventory']\n"
        "run()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    saved = Path(ran.stderr.rsplit(" ", 1)[1].strip())
    assert "deep inside" in saved.read_text()
    saved.unlink()


@pytest.mark.parametrize("seconds", ["inf", "-inf", "nan", "0"])
def test_a_time_limit_that_is_no_number_of_seconds_is_a_usage_error(tmp_path: Path, seconds: str) -> None:
    ran = refused(tmp_path, VNF, "--snapshot", HOST, "--time-limit", seconds)
    assert ran.code == 2
    assert "--time-limit" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["place", "-", "--snapshot", "-"], "VNF.YAML and --snapshot"),
        (["place", VNF, "--snapshot", "-", "--snapshot", HOST, "--snapshot", "-"], "--snapshot and --snapshot"),
        (["capacity", "-", "--snapshot", "/dev/stdin"], "VNF.YAML and --snapshot"),
        (["rebalance", "-", "--snapshot", "-"], "VNF.YAML and --snapshot"),
        (["verify", "-", "-", "--snapshot", HOST], "PLAN.JSON and VNF.YAML"),
        (["verify", "-", "-", "--snapshot", "-"], "PLAN.JSON, VNF.YAML and --snapshot"),
        (["apply", "-", "--snapshot", "-"], "PLAN.JSON and --snapshot"),
    ],
    ids=lambda value: "".join(map(str, value[:3])) if isinstance(value, list) else None,
)
def test_standard_input_that_would_be_read_twice_is_a_usage_error(arguments: list[object], words: str) -> None:
    ran = numaplan(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert f"only one of {words} can be read from standard input" in " ".join(ran.err.split())


def test_standard_input_is_read_for_vnf_yaml_beside_a_host_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of a host does not count then."""
    monkeypatch.setenv("NUMAPLAN_SNAPSHOT", "-")
    for verb in ("place", "capacity"):
        ran = numaplan(verb, "-", "--synthetic", "2 nodes, 64 cores, 2 threads, 384GiB")
        assert ran.code == 5
        assert "-: expected a map" in ran.err


def test_a_folder_in_which_no_cpu_is_online_is_no_host(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "sys").mkdir(parents=True)
    ran = refused(tmp_path, VNF, "--snapshot", bare)
    assert ran.code == 5
    assert ran.err == f"numaplan: {bare}: no CPU is online there: this is no host for guests; see numaplan inventory\n"


@pytest.mark.parametrize(
    "verb", [["inventory"], ["audit"], ["capacity", VNF], ["rebalance"], ["verify", VNF, VNF]], ids=str
)
@pytest.mark.parametrize("option", ["--snapshot", "--domains", "--connect"])
def test_a_verb_about_one_host_does_not_quietly_take_the_last_of_two(verb: list[object], option: str) -> None:
    ran = numaplan(*verb, option, HOST, option, DOMAINS)
    assert (ran.code, ran.out) == (2, "")
    assert f"{option} is given 2 times; this takes one" in " ".join(ran.err.split())


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    vnf, host, domains = tmp_path / "vnf.yaml", tmp_path / "host.json", copied(tmp_path)
    vnf.write_bytes(VNF.read_bytes())
    assert numaplan("inventory", "--snapshot", HOST, "--out", host, "-o", "json").code == 0
    (tmp_path / "link").symlink_to(vnf)
    capture = tmp_path / "capture"
    (capture / "sys" / "kernel").mkdir(parents=True)
    (capture / "sys" / "kernel" / "osrelease").write_text("6.1")
    inputs = ("--snapshot", host, "--domains", domains)
    before = {file: file.read_bytes() for file in (vnf, host, *domains.iterdir())}
    for arguments in (
        ["place", vnf, *inputs, "--out", vnf],
        ["place", tmp_path / "link", *inputs, "--out", tmp_path / "domains" / ".." / "vnf.yaml"],
        ["place", vnf, *inputs, "--out", host],
        ["inventory", "--snapshot", capture, "--out", capture / "sys" / "kernel" / "osrelease"],
        ["inventory", *inputs, "--out", host],
        ["capture", "--snapshot", host, "--out", host],
    ):
        ran = numaplan(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert "would overwrite what is read" in " ".join(ran.err.split())
        assert {file: file.read_bytes() for file in (vnf, host, *domains.iterdir())} == before
    for name in ("router.xml", "new.xml"):
        ran = numaplan("place", vnf, *inputs, "--out", domains / name)
        assert (ran.code, ran.out) == (2, "")
        assert "would be a guest of --domains" in " ".join(ran.err.split())
    assert {file: file.read_bytes() for file in before} == before
    assert numaplan("place", vnf, *inputs, "--out", domains / "plan.json").code == 0


def test_whether_a_file_can_be_read_shows_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look beforehand would make what the system refuses a matter of usage."""
    out = tmp_path / "plan.json"
    assert numaplan("place", VNF, "--snapshot", HOST, "--out", out).code == 0
    monkeypatch.setattr(os, "access", lambda *_: False)
    for verb in (["place", VNF, "--out", out], ["verify", out, VNF], ["inventory", "--out", out], ["rebalance", VNF]):
        assert numaplan(*verb, "--snapshot", HOST).code != 2
