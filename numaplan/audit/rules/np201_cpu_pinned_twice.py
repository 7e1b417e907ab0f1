"""NP201: one CPU is pinned by two guests, or by two vCPUs of one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import Thread, ThreadKind
from numaplan.audit.wording import first, numbered, pin, quoted, threads
from numaplan.cpuset import CpuId
from numaplan.model.finding import Evidence, Finding, Severity


def check(facts: Facts) -> Iterator[Finding]:
    """A finding for each set of guests that hold the same CPUs."""
    groups: defaultdict[tuple[tuple[int, ...], Severity], list[CpuId]] = defaultdict(list)
    for cpu, holders in facts.holders.items():
        severity = _severity(holders)
        if severity is not None:
            groups[tuple(sorted({thread.guest for thread in holders})), severity].append(cpu)
    for (guests, severity), cpus in groups.items():
        yield _finding(facts, guests, cpus, severity=severity)


def _severity(holders: Sequence[Thread]) -> Severity | None:
    """An error as soon as one of them is a vCPU that should have the CPU for itself."""
    vcpus = [thread for thread in holders if thread.kind is ThreadKind.VCPU]
    dedicated = any(not vcpu.shared for vcpu in vcpus)
    if len({thread.guest for thread in holders}) > 1:
        return Severity.ERROR if dedicated else Severity.INFO
    return Severity.ERROR if dedicated and len(vcpus) > 1 else None


def _finding(facts: Facts, guests: tuple[int, ...], cpus: Sequence[CpuId], *, severity: Severity) -> Finding:
    by_guest: defaultdict[int, list[Thread]] = defaultdict(list)
    for cpu in cpus:
        for thread in facts.holders[cpu]:
            by_guest[thread.guest].append(thread)
    subject = numbered("CPU", cpus)
    who = quoted(facts.name, guests)
    verb = "is" if len(cpus) == 1 else "are"
    if len(guests) == 1:
        message = f"{subject} {verb} pinned by several vCPUs of one guest: {threads(by_guest[guests[0]])} of {who}"
    elif severity is Severity.ERROR:
        message = f"{subject} {verb} pinned by {len(guests)} guests: {who}"
    else:
        message = f"{subject} {verb} shared by emulators, iothreads or shared vCPUs of {len(guests)} guests: {who}"
    free = f"free ones: {facts.free}" if facts.free else "none is free"
    return Finding(
        rule="NP201",
        severity=severity,
        guest=facts.name(guests[0]),
        subject=subject,
        message=message,
        evidence=first(_evidence(facts, by_guest)),
        wanted="each CPU pinned by one vCPU alone",
        fix=f"pin {_mover(facts, by_guest, guests)} to other CPUs ({free}), or run `numaplan place`"
        if severity is Severity.ERROR
        else None,
    )


def _mover(facts: Facts, by_guest: dict[int, list[Thread]], guests: tuple[int, ...]) -> str:
    if len(guests) == 1:
        return "all but one of them"
    return f'{threads(by_guest[guests[-1]])} of "{facts.name(guests[-1])}"'


def _evidence(facts: Facts, by_guest: dict[int, list[Thread]]) -> Iterator[Evidence]:
    for guest, group in sorted(by_guest.items()):
        found = pin(facts.guests[guest].guest, group)
        yield Evidence(f'{found.what} of "{facts.name(guest)}"', found.value, found.where)


RULE = Rule(
    id="NP201",
    name="cpu-pinned-twice",
    severity=Severity.ERROR,
    title="one CPU is pinned by two guests, or by two vCPUs of one guest",
    what="""The CPUs to which vCPUs, emulators and iothreads are pinned one by one (a pin to several CPUs takes
none), of all guests, running or not. Two vCPUs of the same guest on one CPU count too; its emulator there is NP203.
Info where no vCPU is among them, for emulators and iothreads may well share a housekeeping CPU, or where the
numaplan metadata says that the vCPUs share their CPU.""",
    why="""A DPDK thread polls and never sleeps, so two of them on one CPU get half of it each, in turns of some
milliseconds. At 64 bytes, 10 GbE brings 14,880 packets per millisecond; a receive ring of usual size holds 512 to
4,096. Guests that were resized or migrated keep pins of their old place, and no other tool compares them.""",
    bad="""<!-- guest a -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>
<!-- guest b -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>""",
    good="""<!-- guest a -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>
<!-- guest b -->
<cputune><vcpupin vcpu='0' cpuset='5'/></cputune>""",
    fix="""Pin one of the guests elsewhere; `numaplan place` with that guest in vnf.yaml finds free CPUs and keeps
the others where they are.""",
    check=check,
)
