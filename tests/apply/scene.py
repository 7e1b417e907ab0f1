"""Four guests in a directory, a plan for them, and what is there afterwards."""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from numaplan.api.recover import open_target, recover_transactions, roll_back_transaction
from numaplan.apply.files import FilesTarget
from numaplan.apply.journal import open_store
from numaplan.apply.step import Kind, Step
from numaplan.apply.transaction import Transaction, carry_out
from numaplan.errors import NumaplanError

PASSWORD: Final = "correct horse battery"  # noqa: S105  # a canary
# File name, mode, and how much longer the new text is; a guest's name is no file name.
GUESTS: Final = {
    "fw1": ("fw1.xml", 0o600, 0),
    "router/../../etc": ("a router.xml", 0o640, 700),
    "db": ("zz-db.xml", 0o644, -1),
    "näme": ("n\udcffme.xml", 0o400, 9000),
}


def text(guest: str, version: str, *, longer: int = 0) -> bytes:
    """XML with what a careless writer would lose."""
    rest = "<!-- " + "x" * max(0, longer) + " -->" if longer > 0 else "<!-- kept -->"
    return (
        f"<!-- {guest}: by hand -->\r\n<domain type='kvm'>\n  <name>{guest}</name> {rest}\n"
        f"  <graphics type='vnc' passwd='{PASSWORD}'/>\n  <!-- {version} -->\n</domain>\n"
    ).encode()


@dataclass(frozen=True)
class Scene:
    """A root with domains/ and state/ in it, and something beside them that nobody may touch."""

    root: Path

    @property
    def domains(self) -> Path:
        return self.root / "domains"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def transactions(self) -> Path:
        return self.state / "transactions"

    def make(self, version: str = "old") -> "Scene":
        self.domains.mkdir(parents=True)
        (self.root / "outside.xml").write_bytes(b"not yours\n")
        for guest, (name, mode, _) in GUESTS.items():
            path = self.domains / name
            path.write_bytes(text(guest, version))
            with suppress(OSError):
                os.setxattr(path, "user.label", guest.encode())
            path.chmod(mode)
        return self

    def use(self) -> None:
        os.environ["NUMAPLAN_STATE"] = str(self.state)

    def files(self) -> dict[str, Path]:
        return {guest: self.domains / name for guest, (name, _, _) in GUESTS.items()}

    def target(self) -> FilesTarget:
        return FilesTarget(self.domains, self.files())

    def steps(self, new: str = "new", old: str = "old") -> tuple[Step, ...]:
        return tuple(
            Step(guest, Kind.DEFINITION, text(guest, old), text(guest, new, longer=longer))
            for guest, (_, _, longer) in GUESTS.items()
        )

    def apply(self, new: str = "new", old: str = "old", *, stop_after: int = 1000) -> Transaction:
        """Carries the plan out as the verb does; `stop_after` guests it is interrupted."""
        asked = iter(range(1000))
        store = open_store()
        target = self.target()
        with store.locked(timeout_s=0), target.locked(timeout_s=0):
            return carry_out(
                self.steps(new, old), target, store, interrupted=lambda: next(asked) >= stop_after, undoes=None
            )

    def standing(self, new: str = "new", old: str = "old") -> str:
        """``old``, ``new``, or what is mixed or torn."""
        found = {}
        for guest, (name, _, longer) in GUESTS.items():
            path = self.domains / name
            data = path.read_bytes() if path.exists() else None
            found[name] = {text(guest, old): "old", text(guest, new, longer=longer): "new"}.get(data or b"", "TORN")
        return next(iter(found.values())) if len(set(found.values())) == 1 else f"MIXED {found}"

    def left_over(self) -> list[str]:
        """Every name that should not be there, and every file with other attributes than it had."""
        named = {name for name, _, _ in GUESTS.values()}
        wrong = [path.name for path in self.domains.iterdir() if path.name not in named]
        for folder, _, names in os.walk(self.state):
            wrong += [f"{folder}/{name}" for name in names if name.endswith(".tmp")]
        if self.transactions.is_dir():
            wrong += [name for name in self.journals() if name.endswith((".tmp", ".open"))]
        if {path.name for path in self.root.iterdir()} - {"domains", "state", "outside.xml"}:
            wrong.append("something beside the directories")
        if (self.root / "outside.xml").read_bytes() != b"not yours\n":
            wrong.append("what is outside was written")
        return wrong

    def attributes_lost(self) -> list[str]:
        wrong = []
        for guest, (name, mode, _) in GUESTS.items():
            path = self.domains / name
            found = path.stat()
            if stat.S_IMODE(found.st_mode) != mode:
                wrong.append(f"{name} has mode {found.st_mode:o}")
            if labels() and (
                "user.label" not in os.listxattr(path) or os.getxattr(path, "user.label") != guest.encode()
            ):
                wrong.append(f"{name} has another label")
            if found.st_nlink != 1:
                wrong.append(f"{name} has {found.st_nlink} names")
        return wrong

    def journals(self) -> list[str]:
        return sorted(path.name for path in self.transactions.iterdir()) if self.transactions.is_dir() else []

    def committed(self) -> bool:
        return any(not name.endswith((".tmp", ".open", ".undone")) for name in self.journals())

    def readable_by_others(self) -> list[str]:
        """Whatever of the state directory somebody else may read, or enter."""
        paths = [self.state, *self.state.rglob("*")]
        return [str(path) for path in paths if path.lstat().st_mode & 0o077]


def labels() -> bool:
    """Whether the file system of the tests has extended attributes of users."""
    return _LABELS


def recovered() -> int:
    """What ``numaplan recover`` does, by its exit code."""
    found = recover_transactions(lock_timeout_s=0)
    return max((int(each.error.exit_code) for each in found if each.error is not None), default=0)


def rolled_back(identity: str) -> int:
    roll_back_transaction(identity, lock_timeout_s=0, interrupted=lambda: False)
    return 0


def code_of(error: NumaplanError) -> int:
    return int(error.exit_code)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def quick_folder() -> Path | None:
    """Memory, where an fsync costs nothing, if there is such a place."""
    memory = Path("/dev/shm")  # noqa: S108  # the name is the kernel's; what is made there has a random one
    return memory if os.access(memory, os.W_OK) else None


def _has_labels() -> bool:
    base = quick_folder()
    if base is None:
        return False
    path = base / f"numaplan-label-{os.getpid()}"
    path.write_bytes(b"")
    try:
        os.setxattr(path, "user.label", b"x")
    except OSError:
        return False
    else:
        return True
    finally:
        path.unlink()


_LABELS: Final = _has_labels()
__all__ = ["open_target"]
