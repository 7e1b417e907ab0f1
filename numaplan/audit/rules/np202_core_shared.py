"""NP202: the threads of one core are pinned by two guests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import CellView, Thread, ThreadKind
from numaplan.audit.wording import counted, first, listed, numbered, pin, quoted
from numaplan.cpuset import CpuId
from numaplan.model.finding import Evidence, Finding, NotChecked, Severity
from numaplan.model.host import Core
from numaplan.model.request import ThreadPolicy


@dataclass(frozen=True, slots=True)
class _Sharing:
    """Who shares cores with whom: `guests`, of which `wronged` were promised whole cores or lone ones."""

    guests: tuple[int, ...]
    wronged: tuple[int, ...]


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each set of guests that share cores."""
    if facts.guests and not facts.snapshot.cores:
        yield NotChecked("NP202", "the host does not show which CPUs are threads of one core")
    broken = _broken_promises(facts)
    groups: defaultdict[_Sharing, list[Core]] = defaultdict(list)
    for core in facts.snapshot.cores:
        held = [facts.holders[cpu] for cpu in core.cpus if cpu in facts.holders]
        guests = {thread.guest for holders in held for thread in holders}
        if len(held) > 1 and len(guests) > 1:
            groups[_Sharing(tuple(sorted(guests)), _wronged(held, broken))].append(core)
    for sharing, cores in groups.items():
        yield _finding(facts, sharing, cores)


def _dedicated(holders: Iterable[Thread]) -> list[Thread]:
    return [thread for thread in holders if thread.kind is ThreadKind.VCPU and not thread.shared]


def _wronged(held: Sequence[Sequence[Thread]], broken: Mapping[int, frozenset[CpuId]]) -> tuple[int, ...]:
    """Guests with a vCPU here that must not have a vCPU of another guest on a sibling.

    Emulators and iothreads do not count: they may float on a pool that is one CPU wide, and then look pinned.
    """
    vcpus = [vcpu for holders in held for vcpu in _dedicated(holders)]
    by_cpu = {(vcpu.cpu, vcpu.guest) for vcpu in vcpus}
    return tuple(
        sorted(
            {
                guest
                for cpu, guest in by_cpu
                if cpu in broken.get(guest, ()) and any(c != cpu and g != guest for c, g in by_cpu)
            }
        )
    )


def _broken_promises(facts: Facts) -> dict[int, frozenset[CpuId]]:
    """By guest, the CPUs of its vCPUs whose siblings should be its own (require) or idle (isolate)."""
    promised: dict[int, frozenset[CpuId]] = {}
    for index, view in enumerate(facts.guests):
        match view.guest.thread_policy:
            case ThreadPolicy.ISOLATE:
                cells = view.cells
            case ThreadPolicy.REQUIRE:
                cells = tuple(cell for cell in view.cells if not _keeps_whole_cores(facts, cell))
            case _:
                continue
        promised[index] = frozenset(
            vcpu.cpu for cell in cells for vcpu in _dedicated(cell.vcpus) if vcpu.cpu is not None
        )
    return promised


def _keeps_whole_cores(facts: Facts, cell: CellView) -> bool:
    """Whether a cell under ``require`` has what it was promised: whole cores, and the rest of its CPUs on one more.

    That last core may be shared, so a cell of 5 CPUs with two threads a core shares one core and no more.
    """
    vcpus = _dedicated(cell.vcpus)
    cores = {core for vcpu in vcpus if vcpu.cpu is not None and (core := facts.core(vcpu.cpu)) is not None}
    if not cores:
        return True
    guest = vcpus[0].guest
    width = max(len(core.cpus) for core in cores)
    whole = [core for core in cores if all(_only(facts, cpu, guest) for cpu in core.cpus)]
    return len(whole) >= len(vcpus) // width and len(cores) - len(whole) <= 1


def _only(facts: Facts, cpu: CpuId, guest: int) -> bool:
    return {thread.guest for thread in facts.holders.get(cpu, ())} == {guest}


def _finding(facts: Facts, sharing: _Sharing, cores: Sequence[Core]) -> Finding:
    threads_of = listed([str(core.cpus) for core in cores], noun="core")
    policies = [f'"{facts.name(guest)}" says {facts.guests[guest].guest.thread_policy}' for guest in sharing.wronged]
    subject = numbered("core", (core.name for core in cores))
    return Finding(
        rule="NP202",
        severity=Severity.WARNING if sharing.wronged else Severity.INFO,
        guest=facts.name((sharing.wronged or sharing.guests)[0]),
        subject=subject,
        message=f"{counted(len(cores), 'core')} (CPUs {threads_of}) shared by {len(sharing.guests)} guests:"
        f" {quoted(facts.name, sharing.guests)}" + (f"; {listed(policies, noun='guest')}" if policies else ""),
        evidence=first(_evidence(facts, sharing, cores)),
        wanted="the threads of a core pinned by one guest",
        fix="pin one of the guests to cores of its own, or run `numaplan place`",
    )


def _evidence(facts: Facts, sharing: _Sharing, cores: Sequence[Core]) -> Iterator[Evidence]:
    members = {cpu for core in cores for cpu in core.cpus}
    by_guest: defaultdict[int, list[Thread]] = defaultdict(list)
    for cpu in sorted(members):
        for thread in facts.holders.get(cpu, ()):
            by_guest[thread.guest].append(thread)
    first_core = cores[0]
    yield Evidence(
        f"core {first_core.name}",
        numbered("CPU", first_core.cpus),
        f"sys/devices/system/cpu/cpu{first_core.name}/topology/thread_siblings_list",
    )
    for guest in sharing.guests:
        found = pin(facts.guests[guest].guest, by_guest[guest])
        yield Evidence(f'{found.what} of "{facts.name(guest)}"', found.value, found.where)


RULE = Rule(
    id="NP202",
    name="core-shared",
    severity=Severity.WARNING,
    title="the threads of one core are pinned by two guests",
    what="""The sibling threads of each core that bear vCPUs, emulators or iothreads pinned to one CPU each, of
different guests. Info, as this is what many a plan wants; a warning where the numaplan metadata of a guest says
thread_policy isolate, or require and it has fewer whole cores than its vCPUs make up (the last of an odd number of
vCPUs may share its core), and a vCPU of another guest runs on the sibling.""",
    why="""The threads of a core share its execution units and its L1 and L2 cache. Intel gave up to 30 % more
throughput for two threads of a core than for one (Intel Technology Journal, first quarter of 2002): with a busy
neighbour a thread does the work of about 0.65 of a core, and how much depends on the neighbour. Side channels
between guests (L1TF, MDS) cross siblings as well.""",
    bad="""<!-- CPUs 4 and 36 are one core. Guest a, thread_policy isolate -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>
<!-- guest b -->
<cputune><vcpupin vcpu='0' cpuset='36'/></cputune>""",
    good="""<!-- guest a -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>
<!-- guest b -->
<cputune><vcpupin vcpu='0' cpuset='37'/></cputune>""",
    fix="""Pin one of the guests to other cores; say thread_policy: require (whole cores) or isolate (one thread of
each) in vnf.yaml and let `numaplan place` find them.""",
    check=check,
)
