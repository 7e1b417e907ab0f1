"""What carrying a plan out later costs the plan: milliseconds of CPU time and KiB, on the largest host that there is.

Usage: .venv/bin/python benchmarks/basis.py [RUNS]. 1,024 CPUs, 2,048 VFs, 60 guests with 120 VFs; least of RUNS (5).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from numaplan.apply.stale import differences
from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.plan import InterfacePlacement, Limit, Placement, Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.fingerprint import basis_of, fingerprint
from numaplan.records.plan import plan_json, read_carried_plan
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

PFS: Final = 32
GUESTS: Final = 60

_T = TypeVar("_T")


def main() -> None:
    """Prints a line for each step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=int, nargs="?", default=5)
    runs = parser.parse_args().runs
    large = _real(host("16n:32c:2t", nics=[Nic(f"ens{i}f0", i % 16, 64) for i in range(PFS)], llcs_per_node=4))
    request = ask(*(guest(f"g{i}", 8, interfaces=(vfs("data", f"ens{i % PFS}f0", 2),)) for i in range(GUESTS)))
    bare = _handed_out(request, large)
    asked = replace(bare, request=request)
    basis = _timed("basis", runs, lambda: basis_of(large, {}, asked))
    whole = replace(asked, basis=basis)
    _timed("fingerprint", runs, lambda: fingerprint(large))
    small = _timed("plan JSON without", runs, lambda: plan_json(bare))
    text = _timed("plan JSON", runs, lambda: plan_json(whole))
    _timed("read to be carried out", runs, lambda: read_carried_plan(text, "plan.json"))
    _timed("differences", runs, lambda: differences(basis, basis))
    only_request = len(plan_json(asked)) - len(small)
    print(f"KiB: request {only_request / 1024:.1f}, basis {(len(text) - len(small) - only_request) / 1024:.1f}")


def _timed(what: str, runs: int, work: Callable[[], _T]) -> _T:
    least = float("inf")
    for _ in range(runs):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    print(f"{what:<24}{least * 1000:8.1f} ms")
    return result


def _handed_out(request: Request, snapshot: Snapshot) -> Plan:
    """VFs as they come: what else a placement says is not looked at."""
    free = {pf.netdevs[0]: list(pf.sriov.vfs) for pf in snapshot.pci if pf.sriov is not None}
    placements = tuple(
        Placement(asked.name, (), CpuSet(), interfaces=(InterfacePlacement("data", (vf.pop(0), vf.pop(0))),))
        for asked in request.guests
        if (vf := free[asked.interfaces[0].pf or ""])
    )
    return Plan(Status.FEASIBLE, Limit.WORK, "large", "", placements=placements)


def _real(snapshot: Snapshot) -> Snapshot:
    """The host with the bus numbers beyond 255 in further PCI domains."""

    def moved(address: PciAddress) -> PciAddress:
        return address._replace(domain=address.bus >> 8, bus=address.bus & 0xFF)

    pci = tuple(
        replace(
            device,
            address=moved(device.address),
            physfn=device.physfn and moved(device.physfn),
            sriov=device.sriov and replace(device.sriov, vfs=tuple(map(moved, device.sriov.vfs))),
        )
        for device in snapshot.pci
    )
    groups = tuple(replace(group, devices=tuple(map(moved, group.devices))) for group in snapshot.iommu_groups)
    links = tuple(replace(link, pci=link.pci and moved(link.pci)) for link in snapshot.links)
    return replace(snapshot, pci=pci, iommu_groups=groups, links=links)


if __name__ == "__main__":
    main()
