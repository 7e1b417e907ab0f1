"""A recorded host to a tar, and back: `sys/`, `proc/`, the rows of live sources, and a manifest of what failed."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from numaplan.errors import InputError
from numaplan.sources.files import write_bytes
from numaplan.sources.recording import NUMBERS, Beside, Call, Fault, Recording, ReplayingStore
from numaplan.sources.store import Store, UnreadableError, rows_path

CAPTURE_SCHEMA: Final = "numaplan/capture/1"
MANIFEST: Final = rows_path("capture")
# Host data and guests' XML are nobody else's business.
_PRIVATE: Final = 0o600

_COMPRESSORS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    ".tar": lambda data: data,
    ".tar.gz": lambda data: gzip.compress(data, mtime=0),
    ".tgz": lambda data: gzip.compress(data, mtime=0),
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".tar.zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


CAPTURE_SUFFIXES: Final = tuple(_COMPRESSORS)


def compressor_of(path: Path) -> Callable[[bytes], bytes]:
    """How a capture of that name is compressed ("-": gz); raises InputError for a name that does not say."""
    name = path.name
    if str(path) == "-":
        return _COMPRESSORS[".tar.gz"]
    for suffix, compress in _COMPRESSORS.items():
        if name.endswith(suffix):
            return compress
    raise InputError("a capture is a tar", str(path), f"let its name end in one of {', '.join(sorted(_COMPRESSORS))}")


@dataclass(frozen=True, slots=True)
class Origin:
    """When and by which version a capture was made, the time in words."""

    taken: str = ""
    version: str = ""
    anonymized: bool = False


def write_capture(path: Path, recording: Recording, origin: Origin) -> None:
    """Writes a capture, readable by its owner alone; raises InputError, BackendError."""
    compress = compressor_of(path)
    write_bytes(path, compress(capture_bytes(recording, origin)), mode=_PRIVATE)


def capture_bytes(recording: Recording, origin: Origin) -> bytes:
    """A capture as a plain tar: owned by nobody, without times, in the order of the paths."""
    buffer = io.BytesIO()
    files = {**recording.files, MANIFEST: manifest_of(recording, origin)}
    parents = {parent for path in (*files, *recording.links) for parent in _parents(path)}
    folders = (recording.folders | parents) - {""}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for path in sorted({*files, *recording.links, *folders}):
            member = tarfile.TarInfo(path)
            member.mode = 0o644
            if path in recording.links:
                member.type, member.linkname = tarfile.SYMTYPE, recording.links[path]
                tar.addfile(member)
            elif path in folders:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                member.size = len(files[path])
                tar.addfile(member, io.BytesIO(files[path]))
    return buffer.getvalue()


def manifest_of(recording: Recording, origin: Origin) -> bytes:
    """The file numaplan/capture.json of a capture."""
    faults = [
        {"call": call.value, "path": path, **({"why": fault.why} if fault.errno is None else {"errno": fault.errno})}
        for (call, path), fault in sorted(recording.faults.items())
    ]
    # A PCI function's folder holds much the same files as its neighbour's.
    alike: dict[frozenset[str], list[str]] = {}
    for folder, names in recording.unread.items():
        alike.setdefault(names, []).append(folder)
    document = {
        "schema": CAPTURE_SCHEMA,
        "numaplan": origin.version,
        "taken": origin.taken,
        "anonymized": origin.anonymized,
        "faults": faults,
        "unread": [
            {"folders": sorted(folders), "names": sorted(names)}
            for names, folders in sorted(alike.items(), key=lambda pair: min(pair[1]))
        ],
        "empty": sorted(recording.empty),
    }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def replaying(store: Store) -> Store:
    """A capture's store, failing where the host failed if the capture says where; raises InputError.

    Captures that other tools made have no manifest and are taken as they are.
    """
    try:
        text = store.read(MANIFEST)
    except (OSError, UnreadableError):
        return store
    try:
        beside = parse_manifest(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"no manifest of a capture: {error}", MANIFEST, "take the capture anew") from error
    return ReplayingStore(store, beside)


def parse_manifest(text: str) -> Beside:
    """A manifest; raises ValueError."""
    match json.loads(text):
        case {
            "schema": schema,
            "faults": list(faults),
            "unread": list(unread),
            "empty": list(empty),
        } if schema == CAPTURE_SCHEMA and all(isinstance(folder, str) for folder in empty):
            names = {folder: names for entry in unread for folder, names in _unread(entry)}
            return Beside(dict(map(_fault, faults)), names, frozenset(empty))
    raise ValueError(f"expected the schema {CAPTURE_SCHEMA} with faults, unread and empty")


def _unread(entry: object) -> list[tuple[str, frozenset[str]]]:
    match entry:
        case {"folders": list(folders), "names": list(names)} if all(isinstance(text, str) for text in folders + names):
            shared = frozenset(names)
            return [(folder, shared) for folder in folders]
    raise ValueError(f"no folders and names: {json.dumps(entry)[:80]}")


def _fault(entry: object) -> tuple[tuple[Call, str], Fault]:
    match entry:
        case {"call": str(call), "path": str(path), "errno": str(name)} if name in NUMBERS:
            return (Call(call), path), Fault(errno=name)
        # What something is, and where a link leads, fails with an errno or not at all.
        case {"call": ("read" | "names") as call, "path": str(path), "why": str(why)}:
            return (Call(call), path), Fault(why=why)
    raise ValueError(f"no fault: {json.dumps(entry)[:80]}")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]
