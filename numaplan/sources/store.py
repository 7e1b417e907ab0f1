"""What a `HostTree` asks of the place its files come from: one look at one path, no link followed."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

FILE_LIMIT: Final = 1 << 20
# What netlink, libvirt and their kin say of a host stands beside sys/ and proc/ in a capture, one file a source.
ROWS_FOLDER: Final = "numaplan"
ROWS_LIMIT: Final = 16 << 20
# With its flags a CPU takes up to 4 KiB there, and hosts of 2,048 CPUs are sold.
CPUINFO_LIMIT: Final = 8 << 20
NAMES_LIMIT: Final = 200_000

# Must-gathers nest a node's files about six folders deep; a search without a bound would walk a home directory.
_ROOT_DEPTH: Final = 12
_ROOT_FOLDERS: Final = 20_000
_CPUS: Final = "sys/devices/system/cpu"


class Kind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


class UnreadableError(Exception):
    """A file that is there, but whose text is refused by our own rules; `why` in plain words."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Store(Protocol):
    """Host files by relative path ("sys/devices"), "" for the root.

    The folders of a path are real ones: whoever asks has followed the links. Every method raises OSError as the
    kernel would.
    """

    def kind(self, path: str) -> Kind:
        """What stands there, a link unfollowed."""
        ...

    def target(self, path: str) -> str:
        """The text of a symbolic link."""
        ...

    def names(self, path: str) -> Sequence[str]:
        """The entries of a folder, in any order; UnreadableError above NAMES_LIMIT."""
        ...

    def read(self, path: str) -> bytes:
        """The bytes of a file; UnreadableError above its `limit_of` and for what is no file, ELOOP for a link."""
        ...

    def below(self, path: str) -> "Store":
        """The same files with `path` as the root."""
        ...


@runtime_checkable
class AheadStore(Store, Protocol):
    """A store that reads several files of a folder in fewer steps than one by one."""

    def read_ahead(self, folder: str, names: Iterable[str]) -> Mapping[str, bytes]:
        """Attributes of a real folder that was listed before, by path: those of `names` that are small regular files.

        All else is left out, faults too: `read` says what is the matter with it.
        """
        ...


def find_roots(store: Store) -> list[str]:
    """The shallowest folders that hold the `sys/` of a host, with its CPUs, in order; else the first with any `sys/`.

    A `proc/sys` does not make `proc` a root. Links are not followed, folders that may not be read are passed over.
    """
    level = [""]
    seen = 0
    others: list[str] = []
    for _ in range(_ROOT_DEPTH):
        roots = [path for path in level if not f"/{path}".endswith("/proc") and _is_folder(store, join(path, "sys"))]
        if hosts := sorted(path for path in roots if _is_folder(store, join(path, _CPUS))):
            return hosts
        others = others or sorted(roots)[:1]
        seen += len(level)
        if seen > _ROOT_FOLDERS:
            break
        level = [child for path in level for child in _folders(store, path)]
    return others


def rows_path(name: str) -> str:
    """Where the rows of a source ("netlink") stand in a host's tree."""
    return f"{ROWS_FOLDER}/{name}.json"


def limit_of(path: str) -> int:
    """How many bytes of that file are read at most; `path` may stand below other folders, as in an archive."""
    if f"/{path}".endswith("/proc/cpuinfo"):
        return CPUINFO_LIMIT
    return ROWS_LIMIT if f"/{path}".rpartition("/")[0].endswith(f"/{ROWS_FOLDER}") else FILE_LIMIT


def join(folder: str, name: str) -> str:
    """A path below a folder, "" being the root."""
    return f"{folder}/{name}" if folder else name


def _folders(store: Store, path: str) -> list[str]:
    try:
        names = store.names(path)
    except (OSError, UnreadableError):
        return []
    return [child for child in (join(path, name) for name in names) if _is_folder(store, child)]


def _is_folder(store: Store, path: str) -> bool:
    try:
        return store.kind(path) is Kind.FOLDER
    except OSError:
        return False
