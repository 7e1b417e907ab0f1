"""Where a host's files come from: the live host, a directory, a tar."""

import io
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from numaplan.errors import BackendError, InputError
from numaplan.model.host import Source
from numaplan.sources.archive import open_archive, read_archive
from numaplan.sources.capture import CAPTURE_SUFFIXES, replaying
from numaplan.sources.directory import DirectoryStore
from numaplan.sources.files import read_refusal
from numaplan.sources.live import LiveStore
from numaplan.sources.store import Kind, Store, UnreadableError, find_roots
from numaplan.units import format_few

# A tar ends with two blocks of zeros; an empty one is nothing else.
_BLOCKS: Final = 2
_MOST_NAMED: Final = 4


def open_store(path: Path | None) -> tuple[Store, Source]:
    """The live host for None; else a directory, or a tar (plain, gz, bz2, xz, zst), that holds `sys/` at any depth.

    Raises InputError where there is no such capture, BackendError where it may not be read.
    """
    if path is None:
        if not Path("/sys").is_dir():
            raise BackendError("there is no /sys on this host", "/sys", "mount sysfs, or read a capture")
        return LiveStore(DirectoryStore(Path("/"))), Source.LIVE
    try:
        store: Store = DirectoryStore(path.resolve(strict=True)) if path.is_dir() else open_archive(path)
        store.names("")
    except UnreadableError as error:
        raise InputError(f"capture cannot be read: {error.why}", str(path)) from error
    except RuntimeError as error:
        raise InputError("capture cannot be read: symbolic links go in a circle", str(path)) from error
    except ValueError as error:
        raise InputError("capture cannot be read: a file name cannot hold a NUL", str(path)) from error
    except OSError as error:
        raise read_refusal(error, where=str(path), what="capture") from error
    roots = find_roots(store)
    if not roots:
        raise InputError("there is no folder sys/ in it", str(path), _hint(store))
    if len(roots) > 1:
        what = f"it holds {len(roots)} hosts: {format_few(roots, _MOST_NAMED)}"
        raise InputError(what, str(path), "name the folder of one of them, or pack each by itself")
    return replaying(store.below(roots[0])), Source.CAPTURE


def empty_store() -> Store:
    """A host that has no files."""
    return read_archive(io.BytesIO(bytes(_BLOCKS * tarfile.BLOCKSIZE)))


def _hint(store: Store) -> str:
    with suppress(OSError):
        if store.kind("devices/system") is Kind.FOLDER:
            return "this looks like the inside of sys/: name the folder that holds it"
    with suppress(OSError):
        tars = sorted(name for name in store.names("") if name.endswith(CAPTURE_SUFFIXES))
        if tars:
            return f"{tars[0]!r} in it looks like a capture: name that file"
    return "a capture holds sys/ and proc/ as they are on the host; name the folder in which they stand"
