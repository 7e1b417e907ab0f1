"""Compiles libvirt-python, of which there is no wheel, into a virtual environment; root on Debian gets the headers too.

Usage: binding.py VENV [--optional]. Optional: what cannot be had is left out with one line that says what to do.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from bootstrap import HERE, fail, run

APT = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends"]
APT_LIMIT_S = 300


def main(venv: Path) -> int:
    """Exit status 0 when the binding is installed; else one line says what is missing."""
    if not has_headers() and os.geteuid() == 0 and shutil.which("apt-get"):
        sys.stderr.write(f"set-up: apt-get install {' '.join(missing())}\n")
        install_headers()
    if not has_headers():
        return fail(f"libvirt-python cannot be compiled; on Debian and Ubuntu: apt-get install {' '.join(missing())}")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = [*pip, "--require-hashes", "--no-build-isolation"]
    # One after the other: the second is built with what the first installs.
    for name in ("libvirt-build.txt", "libvirt.txt"):
        if run(*locked, "-r", str(HERE / name)):
            return fail(f"could not install requirements/{name}")
    return 0


def has_headers() -> bool:
    """Whether nothing is missing that Debian's packages would bring."""
    return not missing()


def missing() -> list[str]:
    """Debian's packages of what is not here."""
    lacking = []
    if not shutil.which("pkg-config"):
        lacking += ["pkg-config", "libvirt-dev"]
    elif run("pkg-config", "--exists", "libvirt"):
        lacking.append("libvirt-dev")
    if not shutil.which("gcc"):
        lacking += ["gcc", "libc6-dev"]
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        lacking.append("python3-dev")
    return lacking


def install_headers() -> None:
    """By apt-get, whose package lists a fresh machine may not have yet; whether it worked is seen by looking again."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ([*APT, *missing()], ["apt-get", "update", "--quiet=2"], [*APT, *missing()]):
        try:
            done = subprocess.run(command, check=False, env=environment, timeout=APT_LIMIT_S, capture_output=True)
        except subprocess.TimeoutExpired:
            return
        if done.returncode == 0 and has_headers():
            return


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    if status and "--optional" in sys.argv[2:]:
        sys.stderr.write("set-up: libvirt-python is left out, and the tests that need it; then: make libvirt\n")
        status = 0
    sys.exit(status)
