"""Values as the documents write them: CPU lists and sizes. Nothing of numaplan is imported here."""

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]
Cpus = frozenset[int]

NOBODY: Cpus = frozenset()


def cpu_list(text: str | None) -> Cpus:
    """From the kernel's list form; None is no CPU."""
    found: set[int] = set()
    for part in (text or "").split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def list_text(cpus: Iterable[int]) -> str:
    """A CPU list without runs, which every reader of the kernel's form takes."""
    return ",".join(str(cpu) for cpu in sorted(cpus))


def size_kib(text: str) -> int:
    """A size of vnf.yaml such as 2GiB."""
    units = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20, "TiB": 1 << 30}
    return int(text[:-3]) * units[text[-3:]]
