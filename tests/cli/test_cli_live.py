"""The machine that runs the tests is read live, by whoever runs them and by nobody, and captured."""

import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from numaplan.api.capture import capture_host
from numaplan.api.inventory import take_inventory
from numaplan.api.where import Where
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json
from tests.cli.running import numaplan

NOBODY = 65534
T = TypeVar("T")


def as_nobody(action: Callable[[], T]) -> T:
    """What `action` gives in a process without any right; modules were loaded before the rights were dropped."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with os.fdopen(writable, "wb") as pipe:
                pickle.dump(action(), pipe)
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        result: T = pickle.load(pipe)  # noqa: S301 - our own child wrote it
    os.waitpid(child, 0)
    return result


def facts(document: dict[str, Any]) -> dict[str, Any]:
    """What does not change from one second to the next."""
    nodes = [
        # A virtual machine may be given memory while it runs.
        {key: value for key, value in node.items() if not key.endswith("_kib")}
        for node in document["numa_nodes"]
    ]
    return {key: document[key] for key in ("packages", "llcs", "cores", "cpus", "pci")} | {"numa_nodes": nodes}


def check(read: Snapshot) -> None:
    assert read.host.source is Source.LIVE
    assert read.host.hostname == os.uname().nodename
    assert read.host.kernel == os.uname().release
    assert len(read.cpus.online) == psutil.cpu_count()
    assert sum(len(node.cpus) for node in read.nodes) == len(read.cpus.online)
    assert {link.name for link in read.links} >= set(psutil.net_if_stats())


def test_the_live_host_is_read() -> None:
    check(take_inventory(Where()))


def test_nobody_reads_the_live_host_too_and_learns_what_is_hidden() -> None:
    read = as_nobody(lambda: take_inventory(Where()))
    check(read)
    assert all(gap.what and gap.why for gap in read.gaps)


def test_the_command_reads_the_live_host() -> None:
    done = numaplan("inventory", "-o", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["host"]["source"] == "live"


def test_a_capture_of_the_live_host_replays_to_the_same_but_for_its_source(tmp_path: Path) -> None:
    out = tmp_path / "host.tar.gz"
    captured = capture_host(None, out, anonymize=False)
    again = take_inventory(Where(out))
    assert again == captured.snapshot
    assert again.host.source is Source.CAPTURE
    live = json.loads(inventory_json(take_inventory(Where())))
    assert facts(json.loads(inventory_json(again))) == facts(live)


def test_nobody_captures_the_live_host_and_anybody_replays_it() -> None:
    # tmp_path lies in a folder that only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        out = Path(folder) / "host.tar.gz"
        captured = as_nobody(lambda: capture_host(None, out, anonymize=False))
        assert take_inventory(Where(out)) == captured.snapshot


def test_an_anonymous_capture_of_the_live_host_does_not_name_it(tmp_path: Path) -> None:
    out = tmp_path / "host.tar"
    capture_host(None, out, anonymize=True)
    data = out.read_bytes()
    macs = [link.mac for link in take_inventory(Where()).links if link.mac and link.mac != "00:00:00:00:00:00"]
    assert [mac for mac in macs if mac.encode() in data] == []
    assert take_inventory(Where(out)).host.hostname != os.uname().nodename


def test_capture_says_what_it_wrote(tmp_path: Path) -> None:
    done = numaplan("capture", "--out", str(tmp_path / "host.tar.gz"))
    assert done.code == 0
    assert done.out == ""
    assert "host.tar.gz: " in done.err
    assert numaplan("inventory", "--snapshot", str(tmp_path / "host.tar.gz")).code == 0


def test_capture_refuses_a_name_that_is_no_tar(tmp_path: Path) -> None:
    done = numaplan("capture", "--out", str(tmp_path / "host.zip"))
    assert done.code == 5
    assert "a capture is a tar" in done.err
    assert list(tmp_path.iterdir()) == []
