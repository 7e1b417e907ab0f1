"""Runs in the lab host: carries out the scenarios that were asked for and leaves what they saw as JSON lines."""

import json
import sys
import time
import traceback
from pathlib import Path

from numaplan.cpuset import parse_id_list
from tests.lab.forked import load
from tests.lab.lab import Lab
from tests.lab.scenarios import SCENARIOS
from tests.lab.topologies import TOPOLOGIES

RESULTS = Path("/mnt/results")


def main() -> int:
    topology, *names = (RESULTS / "scenarios").read_text().split()
    lab = Lab(TOPOLOGIES[topology], RESULTS)
    for cpu in parse_id_list(lab.topology.offline):
        Path(f"/sys/devices/system/cpu/cpu{cpu}/online").write_text("0")
    start = time.monotonic()
    load()
    print(f"loaded in {time.monotonic() - start:.0f} s", flush=True)  # noqa: T201
    failed = False
    with (RESULTS / "rows.jsonl").open("w") as file:
        for name in names:
            start = time.monotonic()
            try:
                rows = list(SCENARIOS[name](lab))
            except Exception:  # noqa: BLE001 - the others still have something to say
                traceback.print_exc()
                failed = True
                continue
            for row in rows:
                file.write(json.dumps({"scenario": name, **row}) + "\n")
            print(f"{name}: {len(rows)} rows in {time.monotonic() - start:.0f} s", flush=True)  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
