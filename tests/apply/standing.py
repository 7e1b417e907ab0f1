"""A captured host that a plan was made for, and copies of it in which something was changed since."""

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numaplan.api.inventory import Taken, take_host
from numaplan.api.where import Where
from numaplan.apply.stale import differences
from numaplan.domxml.digest import xml_digests
from numaplan.model.plan import Basis, Plan, Status
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.fingerprint import basis_of
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.records.plan import plan_json, read_carried_plan
from numaplan.spec.vnf import parse_vnf

CAPTURE = Path(__file__).resolve().parents[2] / "fixtures" / "sysfs" / "16-2n4c2t-guests" / "capture.tar.gz"
BOOT_ID = "proc/sys/kernel/random/boot_id"
BOOT = "9b1c8a52-6d0e-4d3c-8f5a-0a1b2c3d4e5f"

# fw1 runs with a VF of eth0, spare1 is shut off, db1 stays where it is.
VNF = """\
apiVersion: numaplan/v1
host:
  shared_cpus: "2"
  reserved_cpus: "0-1,8-9"
  physnets: {near: [eth0], far: [eth1]}
vms:
  - name: fw1
    vcpus: 2
    memory: 64MiB
    page_size: 2MiB
    iothreads: {count: 1, policy: share}
    interfaces:
      - {name: data, type: sriov, physnet: near}
      - {name: mgmt, type: virtio, bridge: br1}
  - name: spare1
    vcpus: 2
    memory: 96MiB
    interfaces: [{name: data, type: sriov, physnet: far}]
"""


@dataclass(frozen=True)
class Host:
    """Host files that may be changed, and put back: what is replaced is kept in another directory."""

    root: Path
    kept: Path
    _changed: dict[str, bool] = field(default_factory=dict)

    def write(self, path: str, text: str) -> None:
        self.remove(path)
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{path} does not say {old}"
        self.write(path, text.replace(old, new))

    def link(self, path: str, target: str) -> None:
        self.remove(path)
        (self.root / path).symlink_to(target)

    def move(self, old: str, new: str) -> None:
        copied = self.root / new
        self._changed.setdefault(new, False)
        shutil.copytree(self.root / old, copied, symlinks=True)
        self.remove(old)

    def remove(self, path: str) -> None:
        file = self.root / path
        there = os.path.lexists(file)
        if path in self._changed:
            _delete(file)
        else:
            self._changed[path] = there
            if there:
                file.rename(self.kept / path.replace("/", "%"))

    def restore(self) -> None:
        for path, was_there in reversed(self._changed.items()):
            _delete(self.root / path)
            if was_there:
                (self.kept / path.replace("/", "%")).rename(self.root / path)
        self._changed.clear()

    def rows(self, name: str, change: Callable[[Any], object]) -> None:
        """Changes what a live source said, in place."""
        path = f"numaplan/{name}.json"
        document = json.loads((self.root / path).read_text(encoding="utf-8"))
        change(document)
        self.write(path, json.dumps(document))

    def domain(self, name: str, **changes: object) -> None:
        """Changes keys of libvirt's row of a guest."""
        self.rows("libvirt", lambda rows: _row(rows, name).update(changes))

    def definition(self, name: str, change: Callable[[str], str]) -> None:
        """Changes the XML that a guest starts from next time."""

        def changed(rows: Any) -> None:  # noqa: ANN401  # rows are JSON
            row = _row(rows, name)
            before = row["inactive_xml"]
            row["inactive_xml"] = change(before)
            assert row["inactive_xml"] != before

        self.rows("libvirt", changed)


def _delete(file: Path) -> None:
    if file.is_symlink() or file.is_file():
        file.unlink()
    elif file.is_dir():
        shutil.rmtree(file)


def _row(rows: Any, name: str) -> dict[str, Any]:  # noqa: ANN401  # rows are JSON
    found: dict[str, Any] = next(row for row in rows["domains"] if row["name"] == name)
    return found


@dataclass(frozen=True)
class Standing:
    """A host that a plan was made for; `plan` as it is read from its document."""

    host: Host
    plan: Plan

    def told(self) -> list[str]:
        """What is no longer as it was, as an operator reads it."""
        assert self.plan.basis is not None
        return [str(problem) for problem in differences(self.plan.basis, basis(self.host.root, self.plan))]


def standing_host(to: Path) -> Standing:
    """The capture in a directory, with a boot id, which it is too old to have."""
    root, kept = to / "host", to / "kept"
    kept.mkdir()
    with tarfile.open(CAPTURE) as tar:
        tar.extractall(root, filter="data")
    host = Host(root, kept)
    (root / BOOT_ID).write_text(f"{BOOT}\n", encoding="utf-8")
    return Standing(host, read_carried_plan(plan_json(planned(root)), "plan.json"))


def planned(root: Path, text: str = VNF) -> Plan:
    """A plan for the host with all that carrying it out takes."""
    taken = take_host(Where(root))
    known = frozenset(guest.name for guest in taken.snapshot.guests)
    asked = parse_vnf(text, "vnf.yaml", profiles={}, host_profile=None, known_guests=known)
    request, _ = keep_guest_topology(asked, taken.snapshot)
    plan = replace(solve(request, taken.snapshot, budget=Budget()), request=request)
    assert plan.status is Status.OPTIMAL
    return replace(plan, basis=_basis(taken, plan))


def basis(root: Path, plan: Plan) -> Basis:
    """What the plan rests on, as the host is now."""
    return _basis(take_host(Where(root)), plan)


def _basis(taken: Taken, plan: Plan) -> Basis:
    xml = {domain.guest.name: xml_digests(domain.data, str(domain.path)) for domain in taken.domains}
    return basis_of(taken.snapshot, xml, plan)
