"""Every call to libvirt fails once, in each way, while four guests are changed: afterwards all are old, or all new."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from numaplan.apply.journal import open_store
from numaplan.apply.libvirt import LibvirtTarget
from numaplan.apply.recover import recover
from numaplan.apply.step import Kind, Step
from numaplan.apply.transaction import carry_out
from numaplan.errors import ApplyError, BackendError, NumaplanError, RollbackError, StaleError
from numaplan.sources.definitions import Definitions
from tests.apply.made_libvirt import LibvirtError, MadeGuest, MadeLibvirt, any_library, normalized

URI = "qemu:///system"
NAMES = ("a", "b", "c", "d")
OLD = """\
<domain type='kvm'>
  <name>{name}</name>
  <vcpu placement='static'>1</vcpu>
  <devices>
    <graphics type='vnc' passwd='geheim'/>
    <interface type='hostdev' managed='yes'><source><address/></source></interface>
  </devices>
</domain>
"""
# As our patch has it: pins, and an interface that libvirt will give an address.
PINS = "<cputune><vcpupin vcpu='0' cpuset='3'/></cputune>\n  <devices>\n    <interface type='hostdev' managed='yes'/>"
LIVE = {"vcpu0": [True] * 16}


class CrashError(BaseException):
    """Nothing runs after it."""


def old(name: str) -> str:
    return normalized(OLD.format(name=name))


def new(name: str) -> str:
    return old(name).replace("<devices>", PINS)


def host() -> MadeLibvirt:
    return MadeLibvirt({name: MadeGuest(old(name), running=True, live=dict(LIVE)) for name in NAMES})


def target(made: MadeLibvirt) -> LibvirtTarget:
    return LibvirtTarget(Definitions(URI, any_library(made), patience_s=30))


def steps(kind: Kind) -> list[Step]:
    if kind is Kind.DEFINITION:
        return [Step(name, kind, old(name).encode(), new(name).encode()) for name in NAMES]
    before = target(host())
    pins = b'{"vcpus": {"0": "3"}, "emulator": "1", "iothreads": {}}'
    return [Step(name, kind, before.read(name, kind) or b"", pins) for name in NAMES]


def standing(made: MadeLibvirt, kind: Kind) -> str:
    """Whether all guests are old or new; anything else is wrong."""
    if kind is Kind.DEFINITION:
        states = {
            {old(name): "old", normalized(new(name)): "new"}.get(guest.xml, guest.xml)
            for name, guest in made.guests.items()
        }
    else:
        reader = target(replace(made, before=lambda _call: None, after=lambda _call: None))
        states = {str(reader.read(name, kind)) for name in NAMES}
        known = {str(step.old): "old" for step in steps(kind)} | {str(step.new): "new" for step in steps(kind)}
        states = {known.get(state, state) for state in states}
    assert len(states) == 1, states
    return states.pop()


class Fault:
    """Strikes at the call of that number, once; or at it and every one after it until somebody connects anew."""

    def __init__(self, at: int, error: BaseException, *, lasting: bool, late: bool) -> None:
        self.at, self.error, self.lasting, self.late = at, error, lasting, late
        self.count = 0
        self.struck = False

    def before(self, call: str) -> None:
        self.count += 1
        if self.late:
            return
        if self.count == self.at or (self.lasting and self.struck and call != "open"):
            self.struck = True
            raise self.error
        if call == "open":
            self.struck = False

    def after(self, _call: str) -> None:
        """The change was made, and the answer gets lost."""
        if self.late and self.count >= self.at and not self.struck:
            self.struck = True
            raise self.error


FAULTS: dict[str, Callable[[int], Fault]] = {
    "refused": lambda at: Fault(at, LibvirtError("internal error"), lasting=False, late=False),
    "disconnected": lambda at: Fault(at, LibvirtError("client socket is closed"), lasting=True, late=False),
    "answer lost": lambda at: Fault(at, LibvirtError("end of file while reading"), lasting=False, late=True),
    "crash": lambda at: Fault(at, CrashError(), lasting=False, late=False),
    "crash after it": lambda at: Fault(at, CrashError(), lasting=False, late=True),
}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a real disk a journal is synced dozens of times a run; that it is shows elsewhere.
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setenv("NUMAPLAN_STATE", str(tmp_path / "state"))


def calls(kind: Kind) -> int:
    """How many calls it takes where nothing fails."""
    made = host()
    attempt(made, kind)
    return len(made.calls)


def attempt(made: MadeLibvirt, kind: Kind) -> BaseException | None:
    """What an apply ended with; None where it was committed."""
    try:
        store = open_store()
        with store.locked(timeout_s=0):
            carry_out(steps(kind), target(made), store, interrupted=lambda: False)
    except (NumaplanError, CrashError) as error:
        return error
    return None


def recovered(made: MadeLibvirt) -> None:
    healthy = replace(made, before=lambda _call: None, after=lambda _call: None)
    store = open_store()
    with store.locked(timeout_s=0):
        outcomes = recover(store, lambda _address: target(healthy), lock_timeout_s=0)
    assert [outcome.error for outcome in outcomes if outcome.error is not None] == []


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_all_guests_are_old_or_all_are_new(fault: str, kind: Kind) -> None:
    most = calls(kind)
    assert most >= 4 * 5
    for at in range(1, most + 1):
        made = host()
        striking = FAULTS[fault](at)
        made.before, made.after = striking.before, striking.after
        error = attempt(made, kind)
        if isinstance(error, ApplyError | BackendError | StaleError):
            # It says that nothing is changed: so it must be, before anybody recovers anything.
            assert standing(made, kind) == "old", (at, error)
        elif isinstance(error, RollbackError | CrashError):
            recovered(made)
            assert standing(made, kind) == "old", (at, error)
        else:
            assert error is None
            assert standing(made, kind) == "new", at
        recovered(made)


def test_nothing_fails_and_all_are_new() -> None:
    for kind in Kind:
        made = host()
        assert attempt(made, kind) is None
        assert standing(made, kind) == "new"


def test_an_edit_of_somebody_else_in_the_middle_survives() -> None:
    made = host()
    theirs = old("a").replace("<vcpu", "<description>mine</description><vcpu")

    def before(call: str) -> None:
        if call == "define, checked" and made.calls.count(call) == 3:
            made.guests["a"].xml = theirs
            raise LibvirtError("internal error")

    made.before = before
    error = attempt(made, Kind.DEFINITION)
    assert isinstance(error, RollbackError)
    assert made.guests["a"].xml == theirs
    assert {made.guests[name].xml for name in "bcd"} == {old(name) for name in "bcd"}
