"""``apply`` with plans, names, files and directories that nobody means: a clear answer, and all or nothing."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.apply.files import FilesTarget
from numaplan.errors import BackendError
from numaplan.records.plan import plan_json, read_plan
from tests.cli.applying import apply, texts
from tests.cli.running import DOMAINS, HOST, Ran, numaplan
from tests.depth import draws
from tests.patching import applied

ROUTER = (DOMAINS / "router.xml").read_text()
Document = dict[str, Any]


def refused(folder: Path, code: int, *extra: object) -> str:
    """What is said of it; nothing may have been written, not even a journal."""
    before = texts(folder)
    ran = apply(folder, *extra)
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert texts(folder) == before
    assert not (folder / "state").exists()
    return ran.err


def placement(document: Document, number: int = 0) -> Document:
    found: Document = document["placements"][number]
    return found


def cell(document: Document) -> Document:
    found: Document = placement(document)["cells"][0]
    return found


TAMPERED: dict[str, tuple[Callable[[Document], object], str]] = {
    "a CPU of another node": (lambda d: cell(d)["vcpus"].update({"0": "14"}), "is not on node 0"),
    "a CPU that is not there": (lambda d: cell(d)["vcpus"].update({"0": "999"}), "is not on the host"),
    "a CPU twice": (lambda d: cell(d)["vcpus"].update({"0": "3"}), "is given 2 times"),
    "no CPUs": (lambda d: cell(d)["vcpus"].clear(), "has vCPUs []"),
    "no cells": (lambda d: placement(d)["cells"].clear(), "has 0 cells"),
    "a cell twice": (lambda d: placement(d)["cells"].append(cell(d)), "has 2 cells"),
    "memory twice over": (lambda d: cell(d).update(memory_kib=2 << 20), "it needs 1048576 KiB"),
    "pages of 3 KiB": (lambda d: cell(d).update(page_size_kib=3), "has pages of 3 KiB"),
    "a node that is not there": (lambda d: cell(d).update(memory_node=7), "which the host does not have"),
    "an emulator on no CPU of the host": (lambda d: placement(d).update(emulator="500"), 'floats on CPUs "500"'),
    "iothreads that nobody asked for": (lambda d: placement(d).update(iothreads={"9": "3"}), "has iothreads [9]"),
    "a guest that the request does not name": (
        lambda d: d["placements"].append({**placement(d), "vm": "nobody"}),
        "the request does not name it",
    ),
    "a guest that is there and that the request does not name": (
        lambda d: d["request"].update(guests=d["request"]["guests"][:1]),
        "the request does not name it",
    ),
    "a placement twice": (lambda d: d["placements"].append(placement(d)), "has 2 placements"),
    "an interface of another name": (
        lambda d: placement(d)["interfaces"][0].update(name="x'/><evil a='"),
        "it was asked for 0 times",
    ),
    "no levels": (lambda d: d.update(levels=[]), "the plan has levels none"),
    "a VF that is not there": (
        lambda d: placement(d)["interfaces"][0].update(vfs=["0000:ff:1f.7", "0000:ff:1f.6"]),
        "0000:21:10.2 is gone",
    ),
    "another host": (lambda d: d["basis"]["host"].update({"host name": "elsewhere"}), "elsewhere"),
    "no guests in its basis": (lambda d: d["basis"].update(guests=[]), "came since the plan was made"),
    "nothing placed": (lambda d: d["placements"].clear(), ""),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_plan_that_is_wrong_is_refused_though_its_checksum_is_right(case: str, example: str, folder: Path) -> None:
    tamper, words = TAMPERED[case]
    document = json.loads(example)
    if case == "another host":
        document["basis"]["host"] = {
            key: "elsewhere" if value == document["host"]["hostname"] else value
            for key, value in document["basis"]["host"].items()
        }
    else:
        tamper(document)
    (folder / "plan.json").write_text(plan_json(read_plan(json.dumps(document), "plan.json")))
    assert words in refused(folder, 6)


UNREADABLE: dict[str, Callable[[str], bytes]] = {
    "empty": lambda _: b"",
    "no object": lambda _: b"null",
    "deep": lambda _: b"[" * 100_000,
    "cut off": lambda text: text.encode()[: len(text) // 2],
    "a key twice": lambda text: text.replace('"status"', '"status": "infeasible", "status"', 1).encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "a number of 5,000 digits": lambda text: text.replace('"numa_node": 0', f'"numa_node": {"9" * 5000}', 1).encode(),
    "10 MiB": lambda text: text.rstrip()[:-1].encode() + b', "x": "' + b"a" * (10 << 20) + b'"}',
    "more than is read": lambda text: text.encode() + b" " * (64 << 20),
    "infeasible": lambda text: text.replace('"optimal"', '"infeasible"').encode(),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_plan_that_is_none_is_bad_input(case: str, example: str, folder: Path) -> None:
    (folder / "plan.json").write_bytes(UNREADABLE[case](example))
    assert "plan.json" in refused(folder, 5)


def test_a_directory_and_nothing_at_all_are_no_plans(folder: Path) -> None:
    assert "no such file" in refused(folder, 5)
    (folder / "plan.json").mkdir()
    assert "it is a directory" in refused(folder, 5)


def values(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the numbers and CPU lists of a document stand."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(value, int) and not isinstance(value, bool):
            yield (*path, key)
        yield from values(value, (*path, key))


@settings(max_examples=draws(4), deadline=None, derandomize=True)
@given(st.data())
def test_whatever_number_of_a_placement_is_changed_nothing_is_written(data: st.DataObject) -> None:
    document = json.loads(EXAMPLE.read_text())
    places = list(values(document["placements"], ()))
    path = data.draw(st.sampled_from([each for each in places if "topology" not in each]))
    node: Any = document["placements"]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] += data.draw(st.sampled_from([1, 2, 1024, 1 << 20]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMAPLAN_STATE", str(EXAMPLE.parent / "state"))
        EXAMPLE.with_name("plan.json").write_text(plan_json(read_plan(json.dumps(document), "plan.json")))
        refused(EXAMPLE.parent, 6)


EXAMPLE = Path()


@pytest.fixture(scope="module", autouse=True)
def example_folder(example: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the drawn plans are tried: they leave it as it was, so that one is enough for all."""
    global EXAMPLE  # noqa: PLW0603 - hypothesis and fixtures of a function do not go together
    EXAMPLE = tmp_path_factory.mktemp("drawn") / "example.json"
    EXAMPLE.write_text(example)
    shutil.copytree(DOMAINS, EXAMPLE.parent / "domains")


def small(folder: Path, name: str, *, file: str = "g.xml", xml: str = ROUTER) -> bytes:
    """One guest in one file and the plan for it; the bytes of the file."""
    shutil.rmtree(folder / "domains")
    (folder / "domains").mkdir()
    data = xml.replace("<name>router</name>", f"<name>{escape(name)}</name>").encode()
    (folder / "domains" / file).write_bytes(data)
    vnf = {
        "apiVersion": "numaplan/v1",
        "host": {"reserved_cpus": "0-1", "shared_cpus": "8-9"},
        "vms": [{"name": name, "vcpus": 4, "memory": "1GiB", "page_size": "1GiB"}],
    }
    (folder / "vnf.yaml").write_text(json.dumps(vnf, ensure_ascii=False))
    placed = numaplan("place", folder / "vnf.yaml", "--snapshot", HOST, "--domains", folder / "domains",
                      "--out", folder / "plan.json")  # fmt: skip
    assert placed.code == 0, placed.err
    return data


NAMES = {
    "an option": "--yes",
    "as long as may be": "ü" * 127 + "n",
    "turned around": "a\u202eb",
    "quotes and angles": "a\"b'c&d<e>",
    "percent signs": "%s%n{0}",
}
FILES = {
    "a line break": "a\nb.xml",
    "an escape sequence": "a\x1b[31mb.xml",
    "no UTF-8": os.fsdecode(b"a\xff.xml"),
    "as long as may be": "f" * 251 + ".xml",
}


@pytest.mark.parametrize("case", [*NAMES, *(f"file: {case}" for case in FILES)])
def test_any_name_of_a_guest_or_its_file_is_applied_and_rolled_back(case: str, folder: Path) -> None:
    name, file = NAMES.get(case, "guest"), FILES.get(case.removeprefix("file: "), "g.xml")
    before = small(folder, name, file=file)
    ran = apply(folder, "-o", "json")
    assert ran.code == 0, ran.err
    assert (folder / "domains" / file).read_bytes() != before
    assert not any(control in ran.err for control in ("\x1b", "\u202e", "\r"))
    again = apply(folder)
    assert (again.code, again.out) == (0, "")
    for listed in (numaplan("rollback"), numaplan("rollback", json.loads(ran.out)["transaction"])):
        assert listed.code == 0, listed.err
        assert not any(control in listed.out for control in ("\x1b", "\u202e", "\r"))
    assert (folder / "domains" / file).read_bytes() == before
    assert len(list((folder / "domains").iterdir())) == 1


DRESSED = {
    "CRLF": ROUTER.replace("\n", "\r\n"),
    "CR": ROUTER.replace("\n", "\r"),
    "a byte-order mark": "\ufeff" + ROUTER,
    "a declaration": "<?xml version='1.0' encoding='UTF-8'?>\n" + ROUTER,
    "no line end": ROUTER.rstrip(),
    "comments inside": ROUTER.replace(
        "<vcpu>4</vcpu>",
        "<vcpu placement='auto'><!-- a -->4<!-- b --></vcpu>\n"
        "<cputune><!-- x --><vcpupin vcpu='0' cpuset='1'/></cputune>",
    ),
    "CDATA": ROUTER.replace("<vcpu>4</vcpu>", "<vcpu><![CDATA[4]]></vcpu>").replace(">1<", "><![CDATA[1]]><"),
    "references": ROUTER.replace("<vcpu>4</vcpu>", "<vcpu>&#52;</vcpu>").replace("'GiB'", "'&#71;iB'"),
    "automatic": ROUTER.replace(
        "<vcpu>4</vcpu>",
        "<vcpu placement='auto'>4</vcpu>\n  <numatune><memory mode='strict' placement='auto'/></numatune>",
    ),
    "comments around": f"<!-- first -->\n{ROUTER}<!-- last -->\n\n",
}


@pytest.mark.parametrize("case", DRESSED)
def test_every_byte_outside_of_the_diff_stays(case: str, folder: Path, tmp_path: Path) -> None:
    before = small(folder, "router", xml=DRESSED[case])
    ran = apply(folder, "-o", "json")
    assert ran.code == 0, ran.err
    diff = json.loads(ran.out)["guests"][0]["diff"]
    after = (folder / "domains" / "g.xml").read_bytes()
    (tmp_path / "patching").mkdir()
    assert applied("git", tmp_path / "patching", before, diff=diff, name="g.xml") == after
    gone = [line for line in before.splitlines(keepends=True) if line not in after.splitlines(keepends=True)]
    assert len(gone) <= 6
    assert not [line for line in gone if b"<os" in line or b"device" in line]


def test_two_files_of_one_guest_are_refused(folder: Path, example: str) -> None:
    (folder / "plan.json").write_text(example)
    shutil.copy(folder / "domains" / "router.xml", folder / "domains" / "second.xml")
    assert 'a second domain named "router"' in refused(folder, 5)


def test_a_directory_may_be_named_by_a_link_and_its_files_may_not(folder: Path, example: str) -> None:
    (folder / "plan.json").write_text(example)
    (folder / "link").symlink_to("domains")
    ran = apply(folder, "-o", "json", domains=folder / "link")
    assert ran.code == 0, ran.err
    assert numaplan("rollback", json.loads(ran.out)["transaction"]).code == 0
    shutil.rmtree(folder / "state")
    (folder / "domains" / "router.xml").rename(folder / "outside.xml")
    (folder / "domains" / "router.xml").symlink_to(folder / "outside.xml")
    before = (folder / "outside.xml").read_bytes()
    assert "it is a symbolic link" in refused(folder, 7)
    assert (folder / "outside.xml").read_bytes() == before


def test_another_name_of_a_file_keeps_what_it_had(folder: Path, example: str) -> None:
    (folder / "plan.json").write_text(example)
    os.link(folder / "domains" / "router.xml", folder / "twin.xml")
    before = (folder / "twin.xml").read_bytes()
    assert apply(folder).code == 0
    assert (folder / "twin.xml").read_bytes() == before


def test_a_guest_called_host_hides_nothing_of_the_host(folder: Path) -> None:
    small(folder, "host")
    assert apply(folder).code == 0
    document = json.loads((folder / "plan.json").read_text())
    document["basis"]["host"] = {
        key: "elsewhere" if value == document["host"]["hostname"] else value
        for key, value in document["basis"]["host"].items()
    }
    (folder / "plan.json").write_text(plan_json(read_plan(json.dumps(document), "plan.json")))
    assert apply(folder).code == 6


def test_what_is_done_is_told_with_its_id_though_it_cannot_be_read_back(
    folder: Path, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object) -> None:
        raise BackendError("libvirt has not answered for 5 s", "qemu:///system")

    monkeypatch.setattr("numaplan.api.apply._read_back", hang)
    (folder / "plan.json").write_text(example)
    ran = apply(folder)
    assert ran.code == 3
    assert "it cannot be read back: libvirt has not answered for 5 s" in ran.err
    assert "numaplan rollback " in ran.err


def test_a_plan_that_changes_after_it_was_shown_is_carried_out_as_shown(
    folder: Path, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = FilesTarget.write

    def exchanging(self: FilesTarget, guest: str, kind: Any, data: bytes) -> None:  # noqa: ANN401
        (folder / "plan.json").write_text("{}")
        write(self, guest, kind, data)

    monkeypatch.setattr(FilesTarget, "write", exchanging)
    (folder / "plan.json").write_text(example)
    assert apply(folder).code == 0


def test_rollback_goes_back_and_forth_as_often_as_asked(folder: Path, example: str) -> None:
    (folder / "plan.json").write_text(example)
    old = texts(folder)
    first = json.loads(apply(folder, "-o", "json").out)["transaction"]
    new = texts(folder)
    back = numaplan("rollback", first)
    assert (back.code, texts(folder)) == (0, old)
    assert "was rolled back already" in numaplan("rollback", first).out
    second = back.out.split()[-1]
    assert (numaplan("rollback", second).code, texts(folder)) == (0, new)
    assert (numaplan("rollback", first).code, texts(folder)) == (0, new)


def test_what_somebody_changed_since_is_not_rolled_back(folder: Path, example: str) -> None:
    (folder / "plan.json").write_text(example)
    identity = json.loads(apply(folder, "-o", "json").out)["transaction"]
    (folder / "domains" / "control.xml").unlink()
    with (folder / "domains" / "router.xml").open("a") as file:
        file.write("<!-- mine -->\n")
    before = texts(folder)
    ran = numaplan("rollback", identity)
    assert ran.code == 6
    assert 'guest "control" is gone' in ran.err
    assert 'the definition of guest "router" was changed by somebody else' in ran.err
    assert texts(folder) == before


@pytest.mark.parametrize("identity", ["nonsense", "../../etc", "", "a\x1b[31m", "x" * 5000])
def test_ids_that_are_none_are_bad_input(folder: Path, example: str, identity: str) -> None:
    (folder / "plan.json").write_text(example)
    assert apply(folder).code == 0
    for verb in (("rollback", identity), ("recover", "--accept", identity)):
        ran = numaplan(*verb)
        assert ran.code == 5
        assert "\x1b" not in ran.err
        assert len(ran.err) < 600


def test_recover_with_nothing_to_do_does_nothing(folder: Path) -> None:
    assert numaplan("recover") == Ran(0, "nothing to recover\n", "")
    assert numaplan("rollback") == Ran(0, "no transactions\n", "")
    assert not (folder / "state").exists()
