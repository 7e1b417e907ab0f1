"""What a shell makes of a script: the commands that it would run, each as its words."""

import shlex
import subprocess
from collections.abc import Iterable

_END = "\x01"


def commands(script: str) -> list[list[str]]:
    """The words of each command, comments and continued lines as a shell has them; no name with a line break."""
    lines = script.replace(" \\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_by_sh(script: str, programs: Iterable[str]) -> list[list[str]]:
    """What /bin/sh gives to each of `programs`, which are functions here that say their words."""
    head = "".join(f"{name}() {{ printf '%s\\0' '{name}' \"$@\"; printf '\\001'; }}\n" for name in programs)
    ran = subprocess.run(["/bin/sh", "-c", head + script], capture_output=True, check=True, env={"PATH": ""})
    assert ran.stderr == b""
    calls = ran.stdout.decode().split(_END)
    assert calls.pop() == ""
    return [call.split("\0")[:-1] for call in calls]


def options(words: list[str]) -> dict[str, str]:
    """The options of `virsh`: --name value, or --name alone."""
    found: dict[str, str] = {}
    rest = words[2:]
    while rest:
        name = rest.pop(0)
        assert name.startswith("--"), words
        found[name] = "" if name == "--live" else rest.pop(0)
    return found
