"""Open vSwitch's own word: its database over a Unix socket (RFC 7047), and what its daemon says of polling threads.

No meaning is made of the rows here; `inventory/openvswitch.py` does that. Keys that nobody reads, such as the secrets
of tunnels, stay where they are.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from numaplan.sources.store import UnreadableError

# The run directory of distributions, and that of a build from source (ovs-ctl(8), "OVS_RUNDIR").
RUN_FOLDERS: Final = (Path("/run/openvswitch"), Path("/var/run/openvswitch"), Path("/usr/local/var/run/openvswitch"))
ANSWER_LIMIT: Final = 8 << 20
TIME_LIMIT_S: Final = 5.0

_DATABASE: Final = "Open_vSwitch"
_PMD_COMMAND: Final = "dpif-netdev/pmd-rxq-show"
_CHUNK: Final = 1 << 16
_PID_LIMIT: Final = 32
# Blanks that may follow an object.
_TAIL: Final = 64

# ovs-vswitchd.conf.db(5); a column of a newer schema than the host's is left out of the question.
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "Open_vSwitch": ("ovs_version", "dpdk_initialized", "other_config", "external_ids"),
    "Bridge": ("_uuid", "name", "datapath_type", "ports"),
    "Port": ("_uuid", "name", "tag", "interfaces"),
    "Interface": ("_uuid", "name", "type", "options", "status"),
}
_KEYS: Final = frozenset(
    {
        *("dpdk-init", "pmd-cpu-mask", "dpdk-lcore-mask", "dpdk-socket-mem", "hw-offload", "vhost-sock-dir", "rundir"),
        *("dpdk-devargs", "vhost-server-path", "peer", "remote_ip", "n_rxq", "numa_id", "numa"),
    }
)

_WORDS: Final = {
    errno.EACCES: "permission denied: run as root",
    errno.EPERM: "permission denied: run as root",
    errno.ECONNREFUSED: "nobody answers: start Open vSwitch",
    errno.EAGAIN: "too busy to answer: try again",
}


def read_openvswitch() -> object | None:
    """The tables of Open vSwitch and its polling threads; None where none runs. Raises UnreadableError."""
    return read_openvswitch_in(RUN_FOLDERS)


def read_openvswitch_in(folders: Sequence[Path], *, time_limit_s: float = TIME_LIMIT_S) -> object | None:
    """The same from the first of the run directories that has a database's socket; each talk has the time limit.

    ``{"tables": {table: [row]}, "pmd_rxq_show": text}``, rows in OVSDB's notation. Where the daemon does not say,
    ``pmd_rxq_show`` is null and ``pmd_rxq_fault`` says why.
    """
    folder = _run_folder(folders)
    if folder is None:
        return None
    result: dict[str, object] = {"tables": _read_tables(folder / "db.sock", time_limit_s)}
    try:
        result["pmd_rxq_show"] = _read_polling(folder, time_limit_s)
    except UnreadableError as error:
        result |= {"pmd_rxq_show": None, "pmd_rxq_fault": error.why}
    return result


def _run_folder(folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        try:
            (folder / "db.sock").stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _refused(folder / "db.sock", error) from error
        return folder
    return None


def _read_tables(path: Path, time_limit_s: float) -> dict[str, list[object]]:
    with _Talk(path, time_limit_s) as talk:
        known = _known_columns(talk.ask("get_schema", [_DATABASE]))
        wanted = {table: [name for name in names if name in known[table]] for table, names in COLUMNS.items()}
        selects = [
            {"op": "select", "table": table, "where": [], "columns": columns} for table, columns in wanted.items()
        ]
        answers = talk.ask("transact", [_DATABASE, *selects])
    if not isinstance(answers, list) or len(answers) < len(wanted):
        raise UnreadableError(f"{path}: no answer to the selects")
    return {table: _rows(path, table, answer) for table, answer in zip(wanted, answers, strict=False)}


def _known_columns(schema: object) -> dict[str, set[str]]:
    """What the schema has of each table (RFC 7047, section 3.2); every row has a _uuid besides."""
    known = {}
    for table in COLUMNS:
        match schema:
            case {"tables": {**tables}} if isinstance(entry := tables.get(table), dict):
                known[table] = {"_uuid", *_names(entry.get("columns"))}
            case _:
                raise UnreadableError(f"the database has no table {table}")
    return known


def _names(columns: object) -> list[str]:
    return list(columns) if isinstance(columns, dict) else []


def _rows(path: Path, table: str, answer: object) -> list[object]:
    match answer:
        case {"rows": list(rows)} if all(isinstance(row, dict) for row in rows):
            return [{column: _kept(value) for column, value in row.items()} for row in rows]
    raise UnreadableError(f"{path}: no rows of {table}: {json.dumps(answer)[:80]}")


def _kept(value: object) -> object:
    """A map without the keys that nobody reads; anything else as it is."""
    match value:
        case ["map", list(pairs)]:
            return ["map", [pair for pair in pairs if isinstance(pair, list) and pair and pair[0] in _KEYS]]
    return value


def _read_polling(folder: Path, time_limit_s: float) -> str:
    """ovs-appctl(8): the daemon's control socket bears its process id, which stands in its pid file."""
    try:
        with (folder / "ovs-vswitchd.pid").open("rb") as file:
            pid = file.read(_PID_LIMIT).strip()
    except OSError as error:
        raise _refused(folder / "ovs-vswitchd.pid", error) from error
    if not pid.isdigit():
        raise UnreadableError(f"{folder / 'ovs-vswitchd.pid'}: no process id")
    with _Talk(folder / f"ovs-vswitchd.{pid.decode('ascii')}.ctl", time_limit_s) as talk:
        text = talk.ask(_PMD_COMMAND, [])
    if not isinstance(text, str):
        raise UnreadableError(f"no text as the answer to {_PMD_COMMAND}")
    return text


class _Talk:
    """JSON-RPC 1.0 on a stream: objects one after the other, nothing between them (RFC 7047, section 4)."""

    def __init__(self, path: Path, time_limit_s: float) -> None:
        self._path = path
        self._deadline = time.monotonic() + time_limit_s
        self._buffer = bytearray()
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(self._left())
            self._socket.connect(os.fspath(path))
        except OSError as error:
            self._socket.close()
            raise _refused(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, method: str, params: Sequence[object]) -> object:
        """The result of a call; raises UnreadableError for an error in its place, and for what is no answer."""
        self._number += 1
        request = {"method": method, "params": params, "id": self._number}
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(json.dumps(request).encode("ascii"))
            answer = self._answer()
        except OSError as error:
            raise _refused(self._path, error) from error
        if answer.get("error") is not None:
            raise UnreadableError(f"{self._path} refuses {method}: {json.dumps(answer['error'])[:80]}")
        return answer.get("result")

    def _answer(self) -> dict[str, object]:
        """Skips what is no answer to the call, such as the other side's own "echo"."""
        while True:
            # An answer ends in a brace; to parse at every one that a chunk happens to end in is cheap enough.
            while self._buffer[-_TAIL:].rstrip().endswith(b"}"):
                message = self._message()
                if message is None:
                    break
                if message.get("id") == self._number and "method" not in message:
                    return message
            self._socket.settimeout(self._left())
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise UnreadableError(f"{self._path}: the answer breaks off")
            self._buffer += chunk
            if len(self._buffer) > ANSWER_LIMIT:
                raise UnreadableError(f"{self._path}: an answer of more than {ANSWER_LIMIT >> 20} MiB")

    def _message(self) -> dict[str, object] | None:
        """Takes the first object out of the buffer; None while its end is missing."""
        text = ""
        with suppress(UnicodeDecodeError):
            text = self._buffer.decode("utf-8").lstrip()
        if not text.startswith("{"):
            raise UnreadableError(f"{self._path}: not JSON")
        try:
            message, end = json.JSONDecoder().raw_decode(text)
        except RecursionError as error:
            raise UnreadableError(f"{self._path}: JSON nested too deep") from error
        except json.JSONDecodeError as error:
            if error.pos >= len(text) or error.msg.startswith("Unterminated"):
                return None
            raise UnreadableError(f"{self._path}: not JSON: {error}") from error
        self._buffer = bytearray(text[end:], "utf-8")
        return dict(message)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return left


def _refused(path: Path, error: OSError) -> UnreadableError:
    if isinstance(error, TimeoutError):
        return UnreadableError(f"{path}: no answer in time: is Open vSwitch hung?")
    words = _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return UnreadableError(f"{path}: {words}")
