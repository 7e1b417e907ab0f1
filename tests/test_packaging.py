"""What a user installs: a wheel with the profiles, from requirements that name no index."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_the_profiles_and_the_types(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    profiles = {f"numaplan/profiles/{path.name}" for path in (ROOT / "profiles").glob("*.yaml")}
    assert len(profiles) >= 4
    assert profiles | {"numaplan/py.typed", "numaplan/cli/main.py"} <= names


def test_locked_requirements_have_hashes_and_name_no_host() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert "index" not in text
        pinned = [line for line in text.splitlines() if "==" in line and not line.startswith("    ")]
        assert pinned
        assert all(line.endswith("\\") for line in pinned), f"{path.name}: a requirement without a hash"
