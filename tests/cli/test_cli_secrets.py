"""Passwords and their like in domain XML: no output repeats them, and only their owner may read what keeps them."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from numaplan.apply.files import FilesTarget
from numaplan.domxml import patch as patching
from tests.cli.planted import CANARY, LAYOUTS, PLACES, found, plant, planted
from tests.cli.running import HOST, VNF, numaplan

DIFFS = ("diff", "table", "json")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Guests with canaries, and a plan for them."""
    folder = tmp_path_factory.mktemp("secrets")
    plan = folder / "plan.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMAPLAN_STATE", str(folder / "state"))
        domains = plant(folder / "domains")
        done = numaplan("place", VNF, *there(domains), "--out", plan)
        assert done.code == 0, done.err
        assert found(done.out, done.err, plan.read_text()) == []
        yield domains, plan


def there(domains: Path) -> tuple[object, ...]:
    return "--snapshot", HOST, "--domains", domains


def test_they_are_planted_in_many_places() -> None:
    assert PLACES > 25
    assert all(len(found(layout(planted("a", 1, 2)))) == PLACES + 1 for layout in LAYOUTS)


@pytest.mark.parametrize("form", [*DIFFS, "virsh", "virt-install", "qemu", "nova", "vmx"])
def test_place_shows_none(scene: tuple[Path, Path], form: str) -> None:
    ran = numaplan("place", VNF, *there(scene[0]), "-o", form)
    assert ran.code == 0, ran.err
    assert found(ran.out, ran.err) == []


@pytest.mark.parametrize("verb", ["inventory -o table --wide", "inventory -o json", "inventory -o svg",
                                  "inventory -o dot", "inventory -o graphml", "inventory -o node-link",
                                  "audit -o table", "audit -o json"])  # fmt: skip
def test_inventory_and_audit_show_none(scene: tuple[Path, Path], verb: str) -> None:
    name, *options = verb.split()
    ran = numaplan(name, *there(scene[0]), *options)
    assert ran.code in {0, 3}, ran.err
    assert found(ran.out, ran.err) == []


@pytest.mark.parametrize("form", DIFFS)
def test_a_dry_run_of_apply_shows_none(scene: tuple[Path, Path], form: str) -> None:
    domains, plan = scene
    ran = numaplan("apply", plan, *there(domains), "-o", form)
    assert ran.code == 0, ran.err
    assert found(ran.out, ran.err) == []


def test_apply_and_rollback_show_none_and_lose_none(scene: tuple[Path, Path]) -> None:
    domains, plan = scene
    before = texts(domains)
    ran = numaplan("apply", plan, *there(domains), "-o", "json", "--yes")
    assert ran.code == 0, ran.err
    assert {name: found(text) for name, text in texts(domains).items()} == {
        name: found(text) for name, text in before.items()
    }
    identity = re.search(r"rollback (\S+)", ran.err)
    assert identity is not None
    outputs = [ran, numaplan("rollback"), numaplan("rollback", identity[1]), numaplan("recover")]
    assert [each.code for each in outputs] == [0, 0, 0, 0]
    assert found(*(each.out + each.err for each in outputs)) == []
    assert texts(domains) == before


def test_a_line_that_changes_is_shown_with_its_secrets_masked(scene: tuple[Path, Path]) -> None:
    shown = numaplan("apply", scene[1], *there(scene[0])).out
    assert "passwd='***'" in shown
    assert "<policy>***</policy>" in shown


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


BROKEN = {
    "a tag that is not closed": ("<acpi/>", f"<acpi passwd='{CANARY}'>"),
    "a wrong end tag": ("</description>", "</descriptoin>"),
    "a stray ampersand": ("console: password=", "console & password="),
    "a quote too few": ("keymap='de'/>", "keymap='de/>"),
    "a doctype": ("<domain type", f"<!DOCTYPE domain [<!ENTITY p '{CANARY}'>]><domain type"),
    "a processing instruction": ("<features>", f"<?php password={CANARY} ?><features>"),
    "no number": ("<memory unit='GiB'>1<", f"<memory unit='GiB' passwd='{CANARY}'>x<"),
    "bytes after the end": ("</qemu:commandline>\n</domain>", f"</qemu:commandline>\n</domain>{CANARY}"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_about_broken_xml_repeat_none(scene: tuple[Path, Path], tmp_path: Path, case: str) -> None:
    old, new = BROKEN[case]
    xml = planted("router", 1, 4)
    assert old in xml
    (tmp_path / "router.xml").write_text(xml.replace(old, new, 1))
    for verb in (("place", VNF), ("apply", scene[1], "--yes"), ("audit",)):
        ran = numaplan(*verb, *there(tmp_path))
        assert ran.code == 5, ran.err
        assert found(ran.out, ran.err) == []


def test_what_a_bug_says_of_the_xml_in_hand_is_not_saved(
    scene: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(task: Any, *_: object) -> None:  # noqa: ANN401 - whatever it is given
        text = task.document.data.decode()
        error = KeyError(task.document.data)
        error.add_note(text)
        raise ExceptionGroup(f"passwd={CANARY}", [ValueError(text)]) from error

    monkeypatch.setattr(patching, "patch_numatune", bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    domains, plan = scene
    for verb in (("place", VNF), ("apply", plan)):
        ran = numaplan(*verb, *there(domains))
        assert ran.code == 1
        assert "this is a bug" in ran.err
        assert found(ran.out, ran.err) == []
    saved = list(tmp_path.iterdir())
    assert len(saved) == 2
    for path in saved:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "in patch_guest" in path.read_text()
        assert "builtins.KeyError: (" in path.read_text()
        assert "ExceptionGroup: (" in path.read_text()
        assert found(path.read_text()) == []


def test_where_a_bug_cannot_be_saved_it_is_told(
    scene: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("seven")

    monkeypatch.setattr(patching, "patch_numatune", bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    ran = numaplan("apply", scene[1], *there(scene[0]))
    assert ran.code == 1
    assert "builtins.RuntimeError: seven" in ran.err
    assert "please report it with the lines above" in ran.err


def test_a_bug_between_two_guests_shows_none_and_everything_is_as_it_was(
    scene: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = FilesTarget.write

    def broken(self: FilesTarget, guest: str, kind: Any, data: bytes) -> None:  # noqa: ANN401
        if guest == "firewall":
            raise ValueError(data)
        write(self, guest, kind, data)

    monkeypatch.setattr(FilesTarget, "write", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    domains, plan = scene
    before = texts(domains)
    ran = numaplan("apply", plan, *there(domains), "--yes")
    assert ran.code == 1
    assert found(ran.out, ran.err, *(path.read_text() for path in tmp_path.iterdir())) == []
    assert texts(domains) == before


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_whatever_the_umask_only_the_owner_may_read_what_is_kept(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMAPLAN_STATE", str(tmp_path / "a" / "state"))
    domains = plant(tmp_path / "domains")
    for path in domains.iterdir():
        path.chmod(0o640)
    before = os.umask(umask)
    try:
        plan, patched = tmp_path / "plan.json", tmp_path / "patched"
        placed = numaplan("place", VNF, *there(domains), "--out", plan, "--patched", patched)
        applied = numaplan("apply", plan, *there(domains), "--yes")
    finally:
        os.umask(before)
    assert (placed.code, applied.code) == (0, 0), placed.err + applied.err
    private = [patched, *patched.iterdir(), *(tmp_path / "a").rglob("*")]
    assert [str(path) for path in private if path.stat().st_mode & 0o077] == []
    assert {stat.S_IMODE(path.stat().st_mode) for path in domains.iterdir()} == {0o640}
    keepers = [path for path in tmp_path.rglob("*") if path.is_file() and found(path.read_text())]
    assert {path.relative_to(tmp_path).parts[0] for path in keepers} == {"a", "domains", "patched"}


@pytest.mark.libvirt
def test_what_libvirt_says_of_xml_that_it_refuses_repeats_none() -> None:
    library = pytest.importorskip("libvirt")
    from numaplan.errors import BackendError  # noqa: PLC0415
    from numaplan.sources.definitions import Definitions  # noqa: PLC0415

    connection = library.open("test:///default")
    head = "<domain type='test'>\n  <name>canary</name>\n  <memory>1024</memory>\n  <os><type>hvm</type></os>\n"
    connection.defineXML(f"{head}</domain>")
    try:
        door = Definitions("test:///default")
        for devices in REFUSED_BY_LIBVIRT:
            with pytest.raises(BackendError) as refused:
                door.define("canary", f"{head}  <devices>\n    {devices}\n  </devices>\n</domain>")
            assert CANARY not in str(refused.value)
            assert "libvirt refuses: " in str(refused.value)
    finally:
        connection.lookupByName("canary").undefine()
        connection.close()


REFUSED_BY_LIBVIRT = (
    f"<graphics type='vnc' passwd='{CANARY}'/><x></y>",
    f"<graphics type='vnc'\n passwd='{CANARY} & more'/>",
    f"<graphics type='vnc' passwd='x' passwdValidTo='{CANARY}'/>",
    (
        "<disk type='network'><source protocol='https' name='a'><host name='h'/><cookies>"
        f"<cookie name='{CANARY};'>{CANARY}</cookie></cookies></source><target dev='vda'/></disk>"
    ),
)
