"""A run directory of Open vSwitch whose daemons answer as a real 3.1 did, or as a test wants them to."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

# What ovsdb-server and ovs-vswitchd 3.1.0 said of a switch of ours (schema: names of columns alone).
RECORDED: Mapping[str, object] = json.loads((Path(__file__).parent / "openvswitch-3.1.json").read_text("utf-8"))
TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
PID = 4711

# Given a call's method, id and params: the bytes to send, or None to say nothing and keep the line open.
Script = Callable[[str, object, list[object]], bytes | None]


def recorded_rows() -> dict[str, object]:
    """The rows as the door gives them."""
    answers = RECORDED["transact"]
    assert isinstance(answers, list)
    tables = {table: answer["rows"] for table, answer in zip(TABLES, answers, strict=True)}
    return {"tables": tables, "pmd_rxq_show": RECORDED["dpif-netdev/pmd-rxq-show"]}


def as_recorded(method: str, number: object, params: list[object]) -> bytes:
    """The recorded answer, cut to the columns that are asked for; an error for what was not recorded."""
    result = RECORDED.get(method)
    if result is None:
        return answer(number, error=f'"{method}" is not a valid command\n')
    if method == "transact":
        assert isinstance(result, list)
        result = [_cut(table, select) for table, select in zip(result, params[1:], strict=True)]
    return answer(number, result)


def answer(number: object, result: object = None, error: object = None) -> bytes:
    return json.dumps({"id": number, "result": result, "error": error}, separators=(",", ":")).encode()


def _cut(table: dict[str, list[dict[str, object]]], select: object) -> object:
    assert isinstance(select, dict)
    return {"rows": [{column: row[column] for column in select["columns"]} for row in table["rows"]]}


class Switch:
    """A folder with the two sockets, served by a thread each until the test ends."""

    def __init__(self, folder: Path, database: Script = as_recorded, daemon: Script | None = as_recorded) -> None:
        self.folder = folder
        self._sockets: list[socket.socket] = []
        self._serve(folder / "db.sock", database)
        if daemon is not None:
            (folder / "ovs-vswitchd.pid").write_text(f"{PID}\n", encoding="ascii")
            self._serve(folder / f"ovs-vswitchd.{PID}.ctl", daemon)

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, path: Path, script: Script) -> None:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        listening.listen(1)
        self._sockets.append(listening)
        threading.Thread(target=self._answer, args=(listening, script), daemon=True).start()

    def _answer(self, listening: socket.socket, script: Script) -> None:
        with suppress(OSError):
            line, _ = listening.accept()
            self._sockets.append(line)
            buffer = ""
            while chunk := line.recv(1 << 16):
                buffer += chunk.decode()
                with suppress(json.JSONDecodeError):
                    call = json.loads(buffer)
                    buffer = ""
                    reply = script(call["method"], call["id"], call["params"])
                    if reply is not None:
                        line.sendall(reply)
                    if reply == b"":
                        line.close()
                        return
