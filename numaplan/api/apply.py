"""Carries a plan out: on domain XML files, or on a libvirt; all of its guests, or none."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from numaplan.api.inventory import Taken, take_host
from numaplan.api.verify import PLAN_LIMIT
from numaplan.api.where import Where
from numaplan.apply.files import FilesTarget
from numaplan.apply.journal import open_store
from numaplan.apply.libvirt import LibvirtTarget
from numaplan.apply.live import beyond_pins
from numaplan.apply.pins import decode_pins, planned_pins
from numaplan.apply.readback import running_checks
from numaplan.apply.stale import differences
from numaplan.apply.step import Kind, Step, Target
from numaplan.apply.transaction import carry_out as carry_out_steps
from numaplan.domxml.diff import unified_diff
from numaplan.domxml.digest import xml_digests
from numaplan.domxml.patch import Patched, patch_guest
from numaplan.domxml.read import read_guest
from numaplan.errors import BackendError, InputError, NumaplanError, Problem, StaleError
from numaplan.model.applied import Application, Check, GuestChange
from numaplan.model.fact import GuestFact
from numaplan.model.guest import Guest
from numaplan.model.plan import Basis, Placement, Plan
from numaplan.model.request import GuestRequest
from numaplan.placement.fingerprint import basis_of, fingerprint
from numaplan.placement.verify import verify
from numaplan.records.plan import read_carried_plan
from numaplan.sources.definitions import Definitions
from numaplan.sources.files import read_text
from numaplan.sources.hypervisor import own_uri
from numaplan.sources.store import UnreadableError
from numaplan.sources.uri import is_local, redact


class Mode(StrEnum):
    """What is changed: what guests start from next time, where the threads of running ones may run now, or both."""

    CONFIG = "config"
    LIVE = "live"
    BOTH = "both"

    @property
    def defines(self) -> bool:
        """Whether definitions are changed."""
        return self is not Mode.LIVE

    @property
    def pins(self) -> bool:
        """Whether running guests are pinned anew."""
        return self is not Mode.CONFIG


@dataclass(frozen=True, slots=True)
class Carrying:
    """How a plan is to be carried out; `force`: guests too that another manager made."""

    plan: Path
    where: Where
    mode: Mode = Mode.CONFIG
    force: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that fits the host as it is now, and what it would change. `steps` hold the XML with its secrets."""

    plan: Plan
    target: Target
    steps: tuple[Step, ...]
    shown: Application


def prepare(carrying: Carrying) -> Prepared:
    """Looks at everything again and works out what to change; changes nothing.

    Raises StaleError where the plan is for another host or another state of it, InputError where the plan or a guest
    is not fit for it, BackendError where libvirt or the file system refuses.
    """
    plan = read_carried_plan(read_text(carrying.plan, limit=PLAN_LIMIT, what="plan"), str(carrying.plan))
    return _prepare(carrying, plan, None)


def await_turn(*, lock_timeout_s: float) -> None:
    """Returns once no other run is at work with this state directory, so that guests are not looked at half done.

    Raises BackendError where one still is after that time.
    """
    with open_store().locked(timeout_s=lock_timeout_s):
        pass


def carry_out(
    prepared: Prepared, carrying: Carrying, *, lock_timeout_s: float, interrupted: Callable[[], bool]
) -> Application:
    """Does what was prepared, under the lock and after one more look.

    Raises StaleError where anything changed since, ApplyError where it failed and was undone, RollbackError where it
    could not be undone.
    """
    store, target = open_store(), prepared.target
    with store.locked(timeout_s=lock_timeout_s), target.locked(timeout_s=lock_timeout_s):
        # The plan that was shown: standard input can be read once, and a file may be another one by now.
        again = _prepare(carrying, prepared.plan, target)
        if again.steps != prepared.steps:
            raise StaleError("guests or the host changed since the patch was shown", str(carrying.plan), "apply again")
        done = carry_out_steps(again.steps, target, store, interrupted=interrupted)
    notes = (*again.shown.notes, *(target.notes if isinstance(target, LibvirtTarget) else ()))
    try:
        checks = _read_back(again, carrying)
    except NumaplanError as error:
        # It is done all the same, and whoever did it must hear by which id it is undone.
        unread = " ".join(problem.what for problem in error.problems)
        checks = (Check("", "what became of it", "as planned", f"it cannot be read back: {unread}", "numaplan"),)
    return replace(again.shown, transaction=done.id, checks=checks, notes=notes)


def _prepare(carrying: Carrying, plan: Plan, target: Target | None) -> Prepared:
    """`target`: one that is open already."""
    taken = take_host(carrying.where)
    return _Preparation(carrying, plan, taken, target or _open_target(carrying.where, taken)).prepared()


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done for one guest."""

    change: GuestChange
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


class _Preparation:
    """A plan on its way to steps."""

    def __init__(self, carrying: Carrying, plan: Plan, taken: Taken, target: Target) -> None:
        self._carrying = carrying
        self._plan = plan
        self._taken = taken
        self._target = target
        self._guests = {guest.name: guest for guest in taken.snapshot.guests}
        self._files = {domain.guest.name: domain.path.name for domain in taken.domains}
        self._texts = {p.vm: target.read(p.vm, Kind.DEFINITION) for p in plan.placements if p.vm in self._guests}
        request = plan.request
        self._asked: dict[str, GuestRequest] = {} if request is None else {each.name: each for each in request.guests}

    def prepared(self) -> Prepared:
        """All of it; raises NumaplanError for the first kind of reason not to."""
        if isinstance(self._target, LibvirtTarget) and self._carrying.where.source is not None:
            # The host was read from a capture: nothing but its name ties it to the one that is connected to.
            refuse_other_host(self._plan.hostname, self._target)
        self._refuse_stale()
        self._refuse_unfit()
        work = [self._work(placement) for placement in self._plan.placements]
        return Prepared(
            self._plan,
            self._target,
            tuple(step for each in work for step in each.steps),
            Application(
                tuple(each.change for each in work if each.steps),
                notes=tuple(f"{each.change.guest}: {note}" for each in work for note in each.notes),
            ),
        )

    def _refuse_stale(self) -> None:
        plan, snapshot = self._plan, self._taken.snapshot
        if plan.basis is None or plan.request is None:
            raise InputError("this plan cannot be carried out", str(self._carrying.plan), "place again with --out")
        digests = {name: xml_digests(text, self._file(name)) for name, text in self._texts.items() if text is not None}
        same_host = plan.fingerprint == fingerprint(snapshot)
        violations = verify(plan.request, snapshot, plan, same_host=same_host)
        # What was not proven is not patched into anything, not even to look at it.
        done: frozenset[str] = frozenset() if violations else self._done(plan.basis)
        problems = differences(plan.basis, basis_of(snapshot, digests, plan), done=done)
        if not problems:
            where = str(self._carrying.plan)
            problems = tuple(Problem(f"the plan does not fit any more: {each.sentence}", where) for each in violations)
        if problems:
            raise StaleError.of((*problems[:-1], replace(problems[-1], hint="place again with --out")))

    def _done(self, basis: Basis) -> frozenset[str]:
        """The guests whose XML says already what the plan wants: they changed to just that, and may run by now."""
        uuids = {guest.name: dict(guest.facts).get(GuestFact.UUID) for guest in basis.guests}
        done = set()
        for placement in self._plan.placements:
            text, guest = self._texts.get(placement.vm), self._guests.get(placement.vm)
            if text is None or guest is None or uuids.get(guest.name) not in {None, guest.uuid}:
                continue
            try:
                if self._patched(placement, text).data == text:
                    done.add(guest.name)
            except InputError:
                continue
        return frozenset(done)

    def _refuse_unfit(self) -> None:
        problems = []
        for placement in self._plan.placements:
            guest = self._guests.get(placement.vm)
            problems += [] if guest is None else self._unfit(guest)
            if guest is None or (self._texts.get(placement.vm) is None and guest.persistent is not False):
                problems.append(
                    Problem(
                        "it has no definition here",
                        placement.vm,
                        "define it first: place -o xml and -o virt-install print what it needs",
                    )
                )
        if problems:
            raise InputError.of(tuple(problems))

    def _unfit(self, guest: Guest) -> list[Problem]:
        mode, found = self._carrying.mode, []
        if guest.owner is not None and not self._carrying.force:
            what = f"{guest.owner.value} made this guest and writes its XML anew at will"
            found.append(Problem(what, guest.name, "give the plan to that manager, or say --force"))
        if guest.persistent is False and mode.defines:
            found.append(Problem("it is transient: it has no definition to change", guest.name, "--live re-pins it"))
        if not guest.running and mode is Mode.LIVE:
            found.append(Problem("it does not run, so there is nothing to re-pin", guest.name, "--config defines it"))
        return found

    def _work(self, placement: Placement) -> _Work:
        guest, text = self._guests[placement.vm], self._texts[placement.vm]
        mode, diff = self._carrying.mode, ""
        steps: list[Step] = []
        notes: list[str] = []
        pins: tuple[str, ...] = ()
        if mode.defines and text is not None:
            patched = self._patched(placement, text)
            notes += patched.remarks
            diff = unified_diff(text, patched.data, self._file(guest.name))
            if patched.data != text:
                steps.append(Step(guest.name, Kind.DEFINITION, text, patched.data))
            if guest.managed_save:
                notes.append("its next start resumes a saved image, whatever its XML says: virsh managedsave-remove")
        if mode.pins and guest.running:
            step = self._pin_step(placement, guest)
            if step is not None:
                steps.append(step)
                pins = decode_pins(step.old).changes_to(decode_pins(step.new))
        return _Work(GuestChange(guest.name, diff, pins, self._effect(guest)), tuple(steps), tuple(notes))

    def _pin_step(self, placement: Placement, guest: Guest) -> Step | None:
        """The step that re-pins a running guest; raises InputError where pins are not all that it needs."""
        if not isinstance(self._target, LibvirtTarget):
            raise InputError(
                "files do not run: there is nothing to re-pin", self._target.address, "--config, or --connect"
            )
        xml = self._target.running_xml(guest.name)
        old = self._target.read(guest.name, Kind.PINS)
        if xml is None or old is None:
            raise StaleError("it does not run any more", guest.name, "place again")
        file = self._file(guest.name)
        planned = read_guest(self._patched(placement, xml).data, file)
        more = beyond_pins(read_guest(xml, file), planned, placement, guest.live)
        if more:
            hint = "--config: its next start has all of it"
            raise InputError(f"the plan wants more of it than pins: {'; '.join(more)}", guest.name, hint)
        pins = decode_pins(old)
        new = planned_pins(placement, vcpus=dict(pins.vcpus), iothreads=dict(pins.iothreads))
        return None if new == pins else Step(guest.name, Kind.PINS, old, new.encode())

    def _patched(self, placement: Placement, text: bytes) -> Patched:
        return patch_guest(
            text,
            self._file(placement.vm),
            request=self._asked[placement.vm],
            placement=placement,
            change_topology=self._plan.change_topology,
            host=self._taken.snapshot,
        )

    def _file(self, name: str) -> str:
        return self._files.get(name, f"{name}.xml")

    def _effect(self, guest: Guest) -> str:
        match self._carrying.mode:
            case Mode.LIVE:
                return "now, until it stops"
            case Mode.BOTH if guest.running:
                return "now, and at its next start"
            case _:
                return "at its next start" + (", it runs as it is until then" if guest.running else "")


def refuse_other_host(planned: str | None, target: LibvirtTarget) -> None:
    """Raises StaleError where a connection leads to another host than the one that was planned for.

    Names with and without a domain are one host's; libvirt's test driver has no host of its own.
    """
    if planned is None or target.address.startswith("test:"):
        return
    connected = target.hostname()
    if connected.partition(".")[0].lower() != planned.partition(".")[0].lower():
        what = f"the plan was made for the host {planned}, this connection leads to {connected}"
        raise StaleError(what, redact(target.address), "connect to that host, or place again")


def _open_target(where: Where, taken: Taken) -> Target:
    if where.domains is not None:
        return FilesTarget(where.domains, {domain.guest.name: domain.path for domain in taken.domains})
    uri = where.connect
    if uri is None and where.source is None and where.synthetic is None:
        try:
            uri = own_uri()
        except UnreadableError as error:
            raise BackendError(error.why, "libvirt") from error
    if uri is None:
        raise InputError(
            "there are no guests here that could be changed", str(where.source or where.synthetic or "this host"),
            "give --domains DIR or --connect URI",
        )  # fmt: skip
    if not is_local(uri) and where.source is None:
        raise InputError(
            "this connection leads to another host than the one that would be read", redact(uri),
            "run numaplan there, or give a fresh capture of it with --snapshot",
        )  # fmt: skip
    return LibvirtTarget(Definitions(uri))


def _read_back(prepared: Prepared, carrying: Carrying) -> tuple[Check, ...]:
    """What libvirt and, for guests that run, the kernel say now; for files their bytes were compared already."""
    target = prepared.target
    if not isinstance(target, LibvirtTarget):
        return ()
    changed = {step.guest for step in prepared.steps}
    checks: list[Check] = []
    for placement in prepared.plan.placements:
        if placement.vm in changed and carrying.mode.defines:
            checks += target.read_back(placement)
    if carrying.mode.pins:
        live = {guest.name: guest.live for guest in take_host(carrying.where).snapshot.guests}
        for placement in prepared.plan.placements:
            running = live.get(placement.vm)
            if placement.vm in changed and running is not None:
                checks += running_checks(placement, running)
    return tuple(checks)
