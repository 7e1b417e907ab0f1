"""The door to Open vSwitch, against daemons that answer as real ones did."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from numaplan.sources import ovs
from numaplan.sources.live import LiveStore
from numaplan.sources.ovs import COLUMNS, read_openvswitch_in
from numaplan.sources.store import UnreadableError, rows_path
from tests.inventory.trees import MadeStore
from tests.sources.switches import RECORDED, Script, Switch, answer, as_recorded, recorded_rows

Start = Callable[..., Path]

# More than a socket's buffer, with braces and letters of several bytes where parts may end.
LONG = "}\u20ac" * 50_000


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a switch in an own folder; the path of a Unix socket has 107 bytes, so it is a relative one."""
    monkeypatch.chdir(tmp_path)
    running: list[Switch] = []

    def run(database: Script = as_recorded, daemon: Script | None = as_recorded) -> Path:
        running.append(Switch(Path(), database, daemon))
        return Path()

    yield run
    for switch in running:
        switch.close()


def refused(folder: Path, *, time_limit_s: float = 5.0) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_openvswitch_in([folder], time_limit_s=time_limit_s)
    return caught.value.why


def test_a_real_switch_gives_its_tables_and_its_polling_threads(start: Start) -> None:
    rows = read_openvswitch_in([start()])
    assert isinstance(rows, dict)
    assert set(rows) == {"tables", "pmd_rxq_show"}
    assert rows["pmd_rxq_show"] == recorded_rows()["pmd_rxq_show"]
    assert {table: len(found) for table, found in rows["tables"].items()} == {
        "Open_vSwitch": 1,
        "Bridge": 3,
        "Port": 17,
        "Interface": 18,
    }
    assert all(set(row) == set(COLUMNS[table]) for table, found in rows["tables"].items() for row in found)
    vhu = next(row for row in rows["tables"]["Interface"] if row["name"] == "vhu1")
    assert ["vhost-server-path", "/var/lib/vhost_sockets/vhu1"] in vhu["options"][1]


def test_secrets_of_tunnels_and_names_of_the_site_stay_where_they_are(start: Start) -> None:
    assert "secret-key" in json.dumps(RECORDED)
    assert "secret" not in json.dumps(read_openvswitch_in([start()]))


def test_a_host_without_open_vswitch_says_nothing(tmp_path: Path) -> None:
    assert read_openvswitch_in([tmp_path, tmp_path / "absent"]) is None
    (tmp_path / "file").touch()
    assert read_openvswitch_in([tmp_path / "file"]) is None


def test_the_first_folder_with_a_database_is_asked(start: Start, tmp_path: Path) -> None:
    assert read_openvswitch_in([tmp_path / "absent", start()]) is not None


def test_the_door_asks_in_the_places_that_distributions_use(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ovs.RUN_FOLDERS[0] == Path("/run/openvswitch")
    monkeypatch.setattr(ovs, "RUN_FOLDERS", (start(),))
    store = LiveStore(MadeStore({}), {"openvswitch": ovs.read_openvswitch})
    document = json.loads(store.read(rows_path("openvswitch")))
    assert len(document["tables"]["Bridge"]) == 3


def test_columns_that_an_older_schema_lacks_are_not_asked_for(start: Start) -> None:
    asked: list[object] = []

    def database(method: str, number: object, params: list[object]) -> bytes:
        if method == "get_schema":
            schema = json.loads(json.dumps(RECORDED[method]))
            del schema["tables"]["Open_vSwitch"]["columns"]["dpdk_initialized"]
            return answer(number, schema)
        asked.extend(params[1:])
        return as_recorded(method, number, params)

    rows = read_openvswitch_in([start(database)])
    assert isinstance(rows, dict)
    assert "dpdk_initialized" not in rows["tables"]["Open_vSwitch"][0]
    assert len(asked) == len(COLUMNS)
    assert "dpdk_initialized" not in json.dumps(asked)


def test_the_other_sides_own_calls_are_no_answers(start: Start) -> None:
    def database(method: str, number: object, params: list[object]) -> bytes:
        echo = json.dumps({"method": "echo", "params": [], "id": number}).encode()
        late = answer("of another call", "x")
        return echo + b"\n" + late + b"  " + as_recorded(method, number, params)

    rows = read_openvswitch_in([start(database)])
    assert isinstance(rows, dict)
    assert len(rows["tables"]["Bridge"]) == 3


def test_an_answer_that_comes_in_parts_is_put_together(start: Start) -> None:
    def database(method: str, number: object, params: list[object]) -> bytes:
        if method != "transact":
            return as_recorded(method, number, params)
        padded = [{"rows": [{"name": LONG}]}] * len(COLUMNS)
        return json.dumps({"id": number, "result": padded}, ensure_ascii=False).encode()

    rows = read_openvswitch_in([start(database)])
    assert isinstance(rows, dict)
    assert rows["tables"]["Port"][0]["name"] == LONG


@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        (lambda _, number, __: answer(number, error="please specify an existing datapath\n"), "existing datapath"),
        (lambda _, number, __: answer(number, ["no", "text"]), "no text"),
        (lambda *_: b"{]}", "not JSON"),
        (None, "no such file"),
    ],
    ids=["no user space datapath", "no text", "not JSON", "no pid file"],
)
def test_polling_threads_that_nobody_tells_cost_themselves_alone(
    start: Start, daemon: Script | None, words: str
) -> None:
    rows = read_openvswitch_in([start(as_recorded, daemon)])
    assert isinstance(rows, dict)
    assert rows["pmd_rxq_show"] is None
    assert words in rows["pmd_rxq_fault"]
    assert len(rows["tables"]["Bridge"]) == 3


def test_a_pid_file_without_a_number_names_no_socket(start: Start) -> None:
    folder = start()
    (folder / "ovs-vswitchd.pid").write_text("../../evil\n", encoding="ascii")
    rows = read_openvswitch_in([folder])
    assert isinstance(rows, dict)
    assert "no process id" in rows["pmd_rxq_fault"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"hello", None),
        (b"hello}", "not JSON"),
        (b"[1]}", "not JSON"),
        (b'{"id": 1, }', "not JSON"),
        (b'{"a":' * 60_000 + b"}", "nested too deep"),
        (b"\xff\xfe}", "not JSON"),
        (b"", "breaks off"),
        (answer(1, error={"error": "unknown database"}), "refuses get_schema"),
        (answer(1, {"tables": {"Bridge": {"columns": {}}}}), "no table Open_vSwitch"),
        (answer(1, {"tables": []}), "no table Open_vSwitch"),
        (answer(1, "x"), "no table Open_vSwitch"),
    ],
    ids=lambda value: ascii(value[:24]) if isinstance(value, bytes) else None,
)
def test_a_broken_answer_is_told_in_plain_words(start: Start, reply: bytes, words: str | None) -> None:
    folder = start(lambda *_: reply)
    assert (words or "no answer in time") in refused(folder, time_limit_s=0.2 if words is None else 5.0)


@pytest.mark.parametrize(
    "result",
    [None, [], [{}] * 4, [{"rows": {}}] * 4, [{"rows": [1]}] * 4, [{"error": "resources exhausted"}] * 4],
    ids=ascii,
)
def test_rows_that_are_none_are_told_in_plain_words(start: Start, result: object) -> None:
    def database(method: str, number: object, params: list[object]) -> bytes:
        return answer(number, result) if method == "transact" else as_recorded(method, number, params)

    assert re.search(r"no answer to the selects|no rows of Open_vSwitch", refused(start(database)))


def test_a_silent_daemon_is_waited_for_no_longer_than_the_limit(start: Start) -> None:
    assert "no answer in time" in refused(start(lambda *_: None), time_limit_s=0.1)


def test_an_answer_without_end_is_cut_at_the_limit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovs, "ANSWER_LIMIT", 1 << 20)
    assert "more than 1 MiB" in refused(start(lambda *_: b'{"id": 1, "result": "' + b"x" * (3 << 20)))


def test_a_socket_that_nobody_listens_at_is_no_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("db.sock")
    assert "start Open vSwitch" in refused(Path())


@pytest.mark.parametrize("refusing", ["stat", "connect"])
def test_a_socket_that_may_not_be_used_asks_for_root(
    start: Start, monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    folder = start()

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    if refusing == "stat":
        monkeypatch.setattr(Path, "stat", forbidden)
    else:
        monkeypatch.setattr(socket.socket, "connect", forbidden)
    why = refused(folder)
    monkeypatch.undo()
    assert why == "db.sock: permission denied: run as root"
