"""Writes a host into one tar that replays to the identical inventory."""

import io
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from numaplan import __version__
from numaplan.api.inventory import read_tree
from numaplan.errors import ExitCode, NumaplanError
from numaplan.inventory.anonymize import anonymized
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.archive import read_archive
from numaplan.sources.capture import Origin, capture_bytes, compressor_of, replaying, write_capture
from numaplan.sources.opening import open_store
from numaplan.sources.recording import Recording, RecordingStore
from numaplan.sources.tree import HostTree


class UnfaithfulCaptureError(NumaplanError):
    """Our own capture replays to another inventory than the host gave: a bug, and nothing is written."""

    exit_code = ExitCode.BUG


@dataclass(frozen=True, slots=True)
class Captured:
    """What was written: how many files of the host, and the inventory that they replay to."""

    files: int
    snapshot: Snapshot


def capture_host(source: Path | None, out: Path, *, anonymize: bool) -> Captured:
    """Captures the host of `source` (None: the live one) to `out`, whose name tells the compression.

    Just what the inventory reads is kept, and replayed before it is written. Raises InputError, BackendError.
    """
    compressor_of(out)  # a name that does not say is refused before the work, not after it
    store, origin = open_store(source)
    recorder = RecordingStore(store)
    taken = read_tree(HostTree(recorder, origin)).snapshot
    recording = recorder.recording()
    if anonymize:
        recording = anonymized(recording, key=secrets.token_bytes(32))
    replayed = _replay(recording)
    if not anonymize and replayed != replace(taken, host=replace(taken.host, source=Source.CAPTURE)):
        raise UnfaithfulCaptureError("the capture replays to another inventory than the host gave", str(out))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_capture(out, recording, Origin(now, __version__, anonymize))
    return Captured(len(recording.files), replayed)


def _replay(recording: Recording) -> Snapshot:
    store = read_archive(io.BytesIO(capture_bytes(recording, Origin())))
    return read_tree(HostTree(replaying(store), Source.CAPTURE)).snapshot
