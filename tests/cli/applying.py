"""``numaplan apply`` on the guests of a folder, by its plan."""

from pathlib import Path

from tests.cli.running import HOST, Ran, numaplan


def apply(folder: Path, *extra: object, domains: Path | None = None, yes: bool = True) -> Ran:
    where = folder / "domains" if domains is None else domains
    plan = folder / "plan.json"
    ran = numaplan("apply", plan, "--snapshot", HOST, "--domains", where, *(["--yes"] if yes else []), *extra)
    assert "Traceback" not in ran.err
    return ran


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "domains").iterdir())}
