"""Diffs that git and patch take, and that show no secrets."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml.diff import unified_diff
from numaplan.model.request import Memballoon
from tests.depth import draws
from tests.domxml.plans import TWO_VCPUS, domain, patched, placed, sriov
from tests.patching import TOOLS, applied
from tests.requests import guest

CANARY = "canary"


def test_equal_documents_have_no_diff() -> None:
    assert unified_diff(b"<a/>", b"<a/>", "f") == ""


def test_a_diff_reads_as_others_do() -> None:
    old = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    new = b"1\n2\n3\n4\nfive\n6\n7\n8\n9\nten"
    assert unified_diff(old, new, "fw1.xml") == (
        "--- a/fw1.xml\n+++ b/fw1.xml\n@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+ten\n"
        "\\ No newline at end of file\n"
    )


CHANGES = {
    "in the middle": (b"a\nb\nc\nd\ne\nf\ng\n", b"a\nb\nc\nD\ne\nf\ng\n"),
    "at both ends": (b"a\nb\nc\nd\ne\nf\ng\nh\ni\n", b"A\nb\nc\nd\ne\nf\ng\nh\nI\n"),
    "newline lost": (b"a\nb\n", b"a\nb"),
    "newline won": (b"a\nb", b"a\nb\n"),
    "no newline": (b"a\nb\nc\nd\nz", b"a\nx\nc\nd\nz"),
    "one line": (b"<a>1</a>", b"<a>2</a>"),
    "crlf": (b"a\r\nb\r\nc\r\nd\r\n", b"a\r\nb\r\nX\r\nd\r\n"),
    "mixed line ends": (b"a\r\nb\nc\rc\nd\r\n", b"a\r\nB\nc\rc\nd\r\n"),
    "non-ascii": ("ä\nö\n".encode(), "ä\nü\n".encode()),
    "lines added": (b"a\nb\n", b"a\nn\nm\nb\n"),
    "lines gone": (b"a\nb\nc\nd\n", b"a\nd\n"),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", ["fw1.xml", "my guest.xml", "gäst.xml", 'a"b\\c.xml'])
@pytest.mark.parametrize("change", CHANGES)
def test_git_and_patch_apply_it(change: str, tool: str, name: str, tmp_path: Path) -> None:
    old, new = CHANGES[change]
    assert applied(tool, tmp_path, old, diff=unified_diff(old, new, name), name=name) == new


def many_lines(values: list[int]) -> bytes:
    return b"".join(b"<a%d/>\n" % value for value in values)


@settings(max_examples=draws(20), deadline=None)
@given(st.lists(st.integers(0, 5), max_size=40), st.data())
def test_any_two_documents_are_turned_into_each_other(values: list[int], data: st.DataObject) -> None:
    other = list(values)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(other)))
        other[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.integers(0, 5), max_size=3))
    diff = unified_diff(many_lines(values), many_lines(other), "f")
    assert rebuilt(many_lines(values), diff) == many_lines(other)


def rebuilt(old: bytes, diff: str) -> bytes:
    """A strict patch: every line of context and every count has to be right."""
    source = old.decode().splitlines(keepends=True)
    result: list[str] = []
    position = 0
    lines = diff.splitlines(keepends=True)[2:]
    while lines:
        head = lines.pop(0).split(" ")
        start, count = ([int(n) for n in head[1][1:].split(",")] + [1])[:2]
        new_count = ([int(n) for n in head[2][1:].split(",")] + [1])[1]
        start = start if count == 0 else start - 1
        result += source[position:start]
        position, before = start, len(result)
        while lines and not lines[0].startswith("@@"):
            mark, text = lines[0][0], lines.pop(0)[1:]
            if mark in " -":
                assert source[position] == text
                position += 1
            if mark in " +":
                result.append(text)
        assert (position - start, len(result) - before) == (count, new_count)
    return "".join(result + source[position:]).encode()


SECRETS = {
    "graphics": f"<graphics type='vnc' passwd='{CANARY}'/>",
    "tag over lines": f"<graphics type='vnc'\n  port='1'\n  passwd='{CANARY}'/>",
    "auth": f"<auth username='{CANARY}'>\n<secret type='ceph' uuid='{CANARY}'/>\n</auth>",
    "sysinfo": f"<sysinfo type='fwcfg'>\n<entry name='opt/x'>\n{CANARY}\n</entry>\n</sysinfo>",
    "commandline": f"<q:commandline xmlns:q='u'>\n<q:arg value='-x'/>\n<q:arg value='{CANARY}'/>\n</q:commandline>",
    "comment": f"<!-- the old password was {CANARY} -->",
    "encryption": f"<encryption format='luks'><secret type='passphrase' uuid='{CANARY}'/></encryption>",
}


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_no_context_and_the_diff_applies_all_the_same(kind: str, place: int, tmp_path: Path) -> None:
    devices = ["<a/>", "<interface type='bridge'>", "  <source bridge='b'/>", "</interface>", "<z/>"]
    devices[place:place] = SECRETS[kind].split("\n")
    old = domain("<title>t</title>", *TWO_VCPUS, devices=devices)
    plan = placed(["4", "5"], page_kib=2048, vfs={"data": ["0000:3b:02.0"]})
    request = replace(guest("fw1", 2, interfaces=(sriov("data"),)), memballoon=Memballoon.KEEP)
    new = patched(old, plan, request).data
    diff = unified_diff(old, new, "f.xml")
    assert CANARY not in diff
    assert "ua-data" in diff
    for tool in TOOLS:
        assert applied(tool, tmp_path, old, diff=diff, name="f.xml") == new


def test_serials_behind_what_is_added_are_no_context(tmp_path: Path) -> None:
    entry = f"<system><entry name='serial'>{CANARY}</entry></system>"
    old = domain(*TWO_VCPUS, "<sysinfo type='smbios'>", f"  {entry}", "</sysinfo>", "<os><type>hvm</type></os>")
    new = patched(old).data
    diff = unified_diff(old, new, "f.xml")
    assert CANARY not in diff
    assert diff.endswith("+  </numatune>\n   <sysinfo type='smbios'>\n")
    for tool in TOOLS:
        assert applied(tool, tmp_path, old, diff=diff, name="f.xml") == new


def test_a_secret_right_behind_a_change_leaves_a_hunk_without_context_for_patch(tmp_path: Path) -> None:
    old = domain("<memory unit='GiB'>1</memory>", "<vcpu>4</vcpu>", SECRETS["comment"], "<!-- a -->", *TUNED)
    new = patched(old).data
    diff = unified_diff(old, new, "f.xml")
    assert diff.endswith("@@ -4 +4 @@\n-  <vcpu>4</vcpu>\n+  <vcpu>2</vcpu>\n")
    # git wants --unidiff-zero for such a hunk.
    for tool in TOOLS:
        if tool != "git":
            assert applied(tool, tmp_path, old, diff=diff, name="f.xml") == new


TUNED = (
    "<cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5'/><emulatorpin cpuset='0-1'/></cputune>",
    "<numatune><memory mode='strict' nodeset='0'/></numatune>",
)


def test_in_a_line_that_changes_itself_secrets_are_masked() -> None:
    old = domain(*TWO_VCPUS, devices=(SECRETS["graphics"], f'<x password = "{CANARY}"/>', f"<secret>{CANARY}</secret>"))
    one_line = old.replace(b"\n", b"")
    diff = unified_diff(one_line, patched(one_line).data, "f.xml")
    assert CANARY not in diff
    assert diff.count("passwd='***'") == 2
    assert "vcpupin" in diff
