"""Breaks transactions at every call, in children of a small process with one thread; prints what it found as JSON.

python -m tests.apply.campaign crashes|errors|oddities|rollbacks|cuts|recoveries|rivals [--every]
"""

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from numaplan.errors import NumaplanError
from tests.apply.faults import COMBINATIONS, CRASHED, CRASHES, ERRORS, KINDS, Disk, Faults
from tests.apply.scene import Scene, quick_folder, recovered, rolled_back, text

BUG: Final = 1
RIVALS: Final = 50
ROUNDS: Final = 3
STRIDE: Final = 17


class Campaign:
    """Runs, and what was wrong with any."""

    def __init__(self, base: Path, *, every: bool) -> None:
        self.base = base
        self.every = every
        self.wrong: list[str] = []
        self.runs = 0
        self.codes: Counter[str] = Counter()
        self.points = 0
        self.cases = 0

    def scene(self) -> Scene:
        """A fresh one, in the place of the last."""
        shutil.rmtree(self.base)
        self.base.mkdir()
        return Scene(self.base / "s").make()

    def child(self, work: Callable[[], object], root: Path | None = None) -> int:
        """The exit code of `work` in a process of its own; BUG for an exception that is none of ours."""
        self.runs += 1
        number = os.fork()
        if number == 0:
            _live(work, Scene(root or self.base / "s"))
        _, status = os.waitpid(number, 0)
        return os.waitstatus_to_exitcode(status)

    def check(self, label: str, code: int, scene: Scene) -> None:
        """What may be on disk after a run, and what must be there after the recovery that follows."""
        self.check_code(label, code, scene.standing(), done="new", failed="old")
        self.check_recovery(label, scene, "new" if scene.committed() else "old")

    def check_code(self, label: str, code: int, standing: str, *, done: str, failed: str) -> None:
        """A run that tells how it ended tells the truth."""
        self.codes[str(code)] += 1
        if code not in {0, 7, 8, CRASHED} or (code != CRASHED and standing != (failed if code else done)):
            self.wrong.append(f"{label}: exit {code}, and on disk {standing}")

    def check_recovery(self, label: str, scene: Scene, expected: str) -> None:
        """A recovery that nothing disturbs leaves what is expected and nothing beside it."""
        if any(name.endswith((".tmp", ".open")) for name in scene.journals()):
            again = self.child(recovered, scene.root)
            if again != 0:
                self.wrong.append(f"{label}: recover exits {again}")
        standing = scene.standing()
        if standing != expected:
            self.wrong.append(f"{label}: after recovery {standing}, with {scene.journals()}")
        if found := scene.left_over():
            self.wrong.append(f"{label}: left over {found}")
        if scene.state.exists() and (found := scene.readable_by_others()):
            self.wrong.append(f"{label}: readable {found}")


def _live(work: Callable[[], object], scene: Scene) -> None:
    """Never returns: the child's stack is its parent's."""
    code = BUG
    try:
        scene.use()
        result = work()
        code = result if isinstance(result, int) else 0
    except NumaplanError as error:
        code = int(error.exit_code)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the child must end here
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(code)


def calls_of(campaign: Campaign, work: Callable[[], object], before: dict[int, str] | None = None) -> list[str]:
    """The calls that `work` makes, in order; `before`: faults on the way."""
    scene = Scene(campaign.base / "s")
    told = campaign.base / "calls"

    def counted() -> int:
        faults = Faults(before or {}).install()
        with suppress(NumaplanError):
            work()
        told.write_text(json.dumps(faults.calls))
        return 0

    campaign.child(counted, scene.root)
    found = json.loads(told.read_text())
    told.unlink()
    return list(found)


def broken(work: Callable[[], object], plan: dict[int, str]) -> Callable[[], object]:
    def run() -> object:
        Faults(plan).install()
        return work()

    return run


def crashes(campaign: Campaign) -> None:
    """The process dies before and after each call of an apply."""
    _at_every_call(campaign, CRASHES)


def errors(campaign: Campaign) -> None:
    """Each call fails, in three ways."""
    _at_every_call(campaign, tuple(ERRORS))


def oddities(campaign: Campaign) -> None:
    """Each call fails and has done it all the same, does half of it, or is the first to find the disk full."""
    _at_every_call(campaign, tuple(kind for kind in KINDS if kind not in {*CRASHES, *ERRORS}))


def _at_every_call(campaign: Campaign, kinds: tuple[str, ...]) -> None:
    scene = campaign.scene()
    calls = calls_of(campaign, scene.apply)
    campaign.points = len(calls)
    for at, name in enumerate(calls, 1):
        for kind in kinds:
            if kind == "short write" and name != "write":
                continue
            campaign.cases += 1
            scene = campaign.scene()
            code = campaign.child(broken(scene.apply, {at: kind}))
            campaign.check(f"{kind} at call {at} ({name})", code, scene)
            if found := scene.attributes_lost():
                campaign.wrong.append(f"{kind} at call {at} ({name}): {found}")


def rollbacks(campaign: Campaign) -> None:
    """The rollback of an apply that fails, and ``rollback ID``."""
    _crashes_while_rolling_back(campaign)
    _faults_while_taking_back(campaign)


def _crashes_while_rolling_back(campaign: Campaign) -> None:
    """The last guest cannot be written; then every call of the rollback is a crash."""
    calls = calls_of(campaign, campaign.scene().apply)
    late = max(number for number, name in enumerate(calls, 1) if name == "link")
    scene = campaign.scene()
    undoing = calls_of(campaign, scene.apply, {late: "EIO"})
    for at in range(late + 1, len(undoing) + 1):
        for kind in CRASHES:
            campaign.cases += 1
            scene = campaign.scene()
            code = campaign.child(broken(scene.apply, {late: "EIO", at: kind}))
            if code != CRASHED:
                campaign.wrong.append(f"{kind} at call {at} of the rollback: exit {code}")
            campaign.check(f"{kind} at call {at} of the rollback", code, scene)


def _faults_while_taking_back(campaign: Campaign) -> None:
    """``rollback ID`` is a transaction too: new guests become old ones, or stay new."""
    scene = campaign.scene()
    campaign.child(scene.apply)
    calls = calls_of(campaign, lambda: rolled_back(scene.journals()[0]))
    kinds = KINDS if campaign.every else ("crash before", "EIO")
    for at in range(1, len(calls) + 1, 1 if campaign.every else 3):
        for kind in kinds:
            campaign.cases += 1
            scene = campaign.scene()
            campaign.child(scene.apply)
            (first,) = scene.journals()
            code = campaign.child(broken(lambda first=first: rolled_back(first), {at: kind}))  # type: ignore[misc]  # bound now
            label = f"{kind} at call {at} ({calls[at - 1]}) of a rollback"
            campaign.check_code(label, code, scene.standing(), done="old", failed="new")
            others = [name for name in scene.journals() if not name.startswith(first)]
            back = any(not name.endswith((".tmp", ".open", ".undone")) for name in others)
            campaign.check_recovery(label, scene, "old" if back else "new")


def cuts(campaign: Campaign) -> None:
    """The power goes after each call: of an apply, of one that rolls back, and after an fsync that failed."""
    calls = calls_of(campaign, campaign.scene().apply)
    late = max(number for number, name in enumerate(calls, 1) if name == "link")
    undoing = calls_of(campaign, campaign.scene().apply, {late: "EIO"})
    thin = 1 if campaign.every else 3
    for at in range(1, len(calls) + 1, thin):
        _cut(campaign, f"power cut after call {at} ({calls[at - 1]})", {}, at)
    for at in range(2, len(calls) + 1, thin * 2):
        _cut(campaign, f"power cut after call {at} ({calls[at - 1]}), no hard links", {}, at, links=False)
    for at in range(late + 1, len(undoing) + 1, thin):
        _cut(campaign, f"power cut after call {at} of the rollback", {late: "EIO"}, at)
    synced = [number for number, name in enumerate(calls, 1) if name == "fsync"]
    for failed in synced[:: thin * 2]:
        for at in range(failed + 1, failed + 13, thin):
            _cut(campaign, f"fsync fails at call {failed}, power cut after {at}", {failed: "EIO"}, at)


def _cut(campaign: Campaign, label: str, plan: dict[int, str], at: int, *, links: bool = True) -> None:
    """The power goes after call `at`, or when the process ends before that."""
    scene = campaign.scene()

    def run() -> None:
        disk = Disk(scene.root)
        faults = Faults(plan | {at: "power cut"}, disk=disk, links=links).install()
        try:
            scene.apply()
        finally:
            faults.lose_power()

    if campaign.child(run) != CRASHED:
        campaign.wrong.append(f"{label}: there was no cut")
        return
    for number in range(COMBINATIONS):
        campaign.cases += 1
        shutil.rmtree(scene.root)
        Path(f"{scene.root}.cut{number}").rename(scene.root)
        campaign.check_recovery(f"{label}, combination {number}", scene, "new" if scene.committed() else "old")


def recoveries(campaign: Campaign) -> None:
    """A crash in an apply, then every fault at every call of its recovery, then a recovery that nothing disturbs."""
    scene = campaign.scene()
    calls = calls_of(campaign, scene.apply)
    points = range(1, len(calls) + 1) if campaign.every else [*range(1, len(calls), STRIDE), len(calls) - 1]
    for at in points:
        scene = campaign.scene()
        campaign.child(broken(scene.apply, {at: "crash after"}))
        recovery = calls_of(campaign, recovered)
        for then in range(1, len(recovery) + 1):
            # What is on disk after a call is what is there before the next one.
            for kind in ("crash before", "EIO")[: 1 + (campaign.every or then % 3 == 0)]:
                scene = campaign.scene()
                campaign.child(broken(scene.apply, {at: "crash after"}))
                committed = scene.committed()
                code = campaign.child(broken(recovered, {then: kind}))
                campaign.cases += 1
                label = f"crash after call {at} ({calls[at - 1]}), {kind} at call {then} of the recovery"
                if code not in {0, 7, 9, CRASHED}:
                    campaign.wrong.append(f"{label}: exit {code}")
                campaign.check_recovery(label, scene, "new" if committed else "old")


def rivals(campaign: Campaign) -> None:
    """Fifty processes at once want the same guests changed, each in its own way; every other one from another home."""
    scene = campaign.scene()
    base = "old"
    for number in range(ROUNDS):
        gate, start = os.pipe()
        children: dict[int, str] = {}
        for rival in range(RIVALS):
            wanted = f"round {number} rival {rival}"
            child = os.fork()
            if child == 0:
                os.close(start)
                _live(_rival(scene, gate, wanted, base, home=rival % 2), scene)
            children[child] = wanted
        os.close(gate)
        os.close(start)
        codes = {wanted: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, wanted in children.items()}
        campaign.runs += RIVALS
        campaign.cases += RIVALS
        campaign.codes.update(str(code) for code in codes.values())
        winners = [wanted for wanted, code in codes.items() if code == 0]
        if len(winners) != 1 or set(codes.values()) - {0, 6, 7}:
            campaign.wrong.append(f"round {number}: {len(winners)} won, exit codes {sorted(codes.values())}")
            return
        if scene.standing(winners[0], base) != "new":
            campaign.wrong.append(f"round {number}: {winners[0]} won, and on disk {scene.standing(winners[0], base)}")
        if found := scene.attributes_lost() + [path.name for path in scene.domains.glob(".*")]:
            campaign.wrong.append(f"round {number}: {found}")
        base = winners[0]
        # The texts that the next round starts from are those of the short form.
        for path, data in _as_old(scene, base):
            path.write_bytes(data)


def _rival(scene: Scene, gate: int, wanted: str, base: str, *, home: int) -> Callable[[], object]:
    def run() -> object:
        os.environ["NUMAPLAN_STATE"] = str(scene.root.parent / f"home{home}")
        os.read(gate, 1)
        return scene.apply(wanted, base)

    return run


def _as_old(scene: Scene, version: str) -> list[tuple[Path, bytes]]:
    return [(path, text(guest, version)) for guest, path in scene.files().items()]


CAMPAIGNS: Final = {each.__name__: each for each in (crashes, errors, oddities, rollbacks, cuts, recoveries, rivals)}


def _warm_up(campaign: Campaign) -> None:
    """What every child would else do again: imports, validators of documents."""
    scene = campaign.scene()
    scene.use()
    rolled_back(scene.apply().id)
    recovered()
    gc.collect()
    gc.freeze()


def main() -> int:
    """0 where nothing was wrong, 3 else."""
    parser = argparse.ArgumentParser(prog="python -m tests.apply.campaign", description=__doc__)
    parser.add_argument("which", choices=list(CAMPAIGNS))
    parser.add_argument("--every", action="store_true", help="every combination, not a choice of them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="numaplan-campaign-", dir=quick_folder()) as folder:
        campaign = Campaign(Path(folder) / "base", every=arguments.every)
        campaign.base.mkdir()
        _warm_up(campaign)
        CAMPAIGNS[arguments.which](campaign)
    found = {
        "cases": campaign.cases,
        "points": campaign.points,
        "runs": campaign.runs,
        "codes": dict(sorted(campaign.codes.items())),
    }
    print(json.dumps(found | {"wrong": campaign.wrong[:50], "count": len(campaign.wrong)}))  # noqa: T201
    return 3 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
