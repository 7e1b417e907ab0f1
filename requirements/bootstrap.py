"""Sets up a virtual environment from a hash-locked requirements file: by uv where it can be had, else by pip.

Needs nothing but Python 3.11 or newer with venv. Usage: bootstrap.py VENV REQUIREMENTS
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(venv: Path, requirements: Path) -> int:
    """Exit status 0 when everything is installed; else one line says what to do."""
    if sys.version_info < (3, 11):
        return fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11 ...")
    if not (venv / "bin" / "pip").exists() and run(sys.executable, "-m", "venv", "--clear", str(venv)):
        return fail("python3 -m venv does not work here; on Debian and Ubuntu: apt-get install python3-venv")
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if run(*pip, "--require-hashes", "-r", str(HERE / "build.txt")):
        return fail("pip could not install the build tools (is there a package index to be reached?)")
    uv = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python, "--compile-bytecode"]
    locked = ["--require-hashes", "-r", str(requirements)]
    # uv is an optional speed-up: the hashes are the same, so pip takes over where it does not run.
    if (run(*pip, "--require-hashes", "-r", str(HERE / "uv.txt")) or run(*uv, *locked)) and run(*pip, *locked):
        return fail(f"could not install {requirements}")
    if run(*pip, "--no-deps", "--no-build-isolation", "--editable", str(HERE.parent)):
        return fail("could not install numaplan itself")
    return 0


def run(*argv: str) -> int:
    """The command's exit status."""
    return subprocess.run(argv, check=False).returncode


def fail(message: str) -> int:
    """Says so."""
    sys.stderr.write(f"set-up: {message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
