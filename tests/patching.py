"""Applies unified diffs: by git and patch where they are installed, and always by the letter of the format."""

import re
import shutil
import subprocess
from pathlib import Path

_PATH = "/usr/bin:/bin"
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n")
_COMMANDS = {"git": ["git", "apply", "-p1"], "patch": ["patch", "-p1", "--binary", "-s"]}

INSTALLED = tuple(tool for tool in _COMMANDS if shutil.which(tool, path=_PATH))
TOOLS = ("the letter", *INSTALLED)


def applied(tool: str, tmp_path: Path, old: bytes, *, diff: str, name: str) -> bytes:
    """What `tool`, one of TOOLS, makes of the diff of one file, in a directory of its own."""
    if tool == "the letter":
        return _by_the_letter(old, diff)
    (tmp_path / name).write_bytes(old)
    environment = {"PATH": _PATH, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent), "HOME": str(tmp_path)}
    text = diff.encode("utf-8", "surrogateescape")
    subprocess.run(_COMMANDS[tool], cwd=tmp_path, input=text, env=environment, check=True, capture_output=True)
    return (tmp_path / name).read_bytes()


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _by_the_letter(old: bytes, diff: str) -> bytes:
    """Every hunk exactly where it says that it is; an AssertionError where it does not fit."""
    before = _lines(old.decode("utf-8", "surrogateescape"))
    header, *body = re.split(r"(?m)^(?=@@ )", diff)
    assert re.fullmatch(r"--- [^\n]+\n\+\+\+ [^\n]+\n", header)
    after: list[str] = []
    position = 0
    for hunk in body:
        found = _HUNK.match(hunk)
        assert found is not None, hunk
        start, count = int(found[1]), int(found[2] or 1)
        first = start - 1 if count else start
        after += before[position:first]
        position = first
        assert len(after) == (int(found[3]) - 1 if int(found[4] or 1) else int(found[3]))
        lines = _lines(hunk[found.end() :])
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            # "\\ No newline at end of file" speaks of the line before it.
            text = line[1:-1] if following.startswith("\\") else line[1:]
            if line[0] in " -":
                assert before[position] == text
                position += 1
            if line[0] in " +":
                after.append(text)
        assert position == first + count
    return "".join(after + before[position:]).encode("utf-8", "surrogateescape")
