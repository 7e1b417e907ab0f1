"""Runs in the lab host: carries out the scenarios that were asked for and leaves what they saw as JSON lines."""

import fcntl
import json
import os
import sys
import time
import traceback
from pathlib import Path

from numaplan.cpuset import parse_id_list
from tests.lab.forked import load
from tests.lab.lab import Lab
from tests.lab.scenarios import SCENARIOS
from tests.lab.topologies import TOPOLOGIES

# include/uapi/linux/kvm.h
KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_CREATE_IRQCHIP = 0xAE01, 0xAE41, 0xAE60
RESULTS = Path("/mnt/results")


def main() -> int:
    topology, *names = (RESULTS / "scenarios").read_text().split()
    lab = Lab(TOPOLOGIES[topology], RESULTS)
    for cpu in parse_id_list(lab.topology.offline):
        Path(f"/sys/devices/system/cpu/cpu{cpu}/online").write_text("0")
    held = _a_machine()
    start = time.monotonic()
    load()
    print(f"loaded in {time.monotonic() - start:.0f} s", flush=True)  # noqa: T201
    failed = False
    with (RESULTS / "rows.jsonl").open("w") as file:
        for name in names:
            start = time.monotonic()
            count = 0
            try:
                for row in SCENARIOS[name](lab):
                    print(json.dumps({"scenario": name, **row}), file=file, flush=True)
                    count += 1
            except Exception:  # noqa: BLE001 - the others still have something to say
                traceback.print_exc()
                failed = True
            print(f"{name}: {count} rows in {time.monotonic() - start:.0f} s", flush=True)  # noqa: T201
    for descriptor in held:
        os.close(descriptor)
    return int(failed)


def _a_machine() -> tuple[int, ...]:
    """A machine of KVM's that does nothing, held open, so that no guest is the first one to come or the last to go.

    With these KVM patches the kernel's code while it runs, the scheduler's too (preempt_notifier_key,
    apic_sw_disabled), and emulated CPUs trip over that.
    """
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    machine = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    fcntl.ioctl(machine, KVM_CREATE_IRQCHIP)
    return fcntl.ioctl(machine, KVM_CREATE_VCPU, 0), machine, kvm


if __name__ == "__main__":
    sys.exit(main())
