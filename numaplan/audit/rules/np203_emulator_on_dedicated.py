"""NP203: the emulator or iothreads of a guest may run on CPUs that are dedicated to vCPUs."""

from collections.abc import Iterator

from numaplan.audit.host import Facts
from numaplan.audit.intrusion import Intrusion, find_intrusion
from numaplan.audit.rule import Rule
from numaplan.audit.threads import GuestView, ThreadKind
from numaplan.audit.wording import first, numbered, quoted, threads
from numaplan.model.finding import Finding, NotChecked, Severity

_PINS = {ThreadKind.EMULATOR: "<emulatorpin>", ThreadKind.IOTHREAD: "<iothreadpin>"}


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each guest with such threads."""
    unknown = [index for index, view in enumerate(facts.guests) if not view.emulator.known]
    if unknown and facts.dedicated:
        yield NotChecked(
            "NP203", f'placement "auto": numad chooses the CPUs at the start of {quoted(facts.name, unknown)}'
        )
    if not facts.dedicated:
        return
    for view in facts.guests:
        intrusion = find_intrusion(facts, (view.emulator, *view.iothreads))
        if intrusion is not None:
            yield _finding(facts, view, intrusion)


def _finding(facts: Facts, view: GuestView, intrusion: Intrusion) -> Finding:
    owners = facts.owners(intrusion.cpus)
    own = owners == (view.emulator.guest,)
    whose = "its own vCPUs" if own else f"vCPUs of {quoted(facts.name, owners)}"
    who = threads(intrusion.threads)
    message = f"{who} may run on {numbered('CPU', intrusion.cpus)}, dedicated to {whose}"
    if intrusion.isolated:
        message += "; these are isolated, so the kernel moves no thread there by itself"
    nodes = facts.nodes_of(vcpu for cell in view.cells for vcpu in cell.bound)
    target = facts.free_near(nodes, isolated=False) or "none is left"
    pins = " and ".join(sorted({_PINS[thread.kind] for thread in intrusion.threads}))
    return Finding(
        rule="NP203",
        severity=Severity.INFO if intrusion.isolated else Severity.WARNING,
        guest=view.guest.name,
        subject=who,
        message=message,
        evidence=first(intrusion.evidence(facts, view.guest)),
        wanted=f"{who} on CPUs that no vCPU holds",
        fix=f"pin {who} by {pins} to CPUs that no vCPU holds ({target}), or run `numaplan place`",
    )


RULE = Rule(
    id="NP203",
    name="emulator-on-dedicated",
    severity=Severity.WARNING,
    title="the emulator or iothreads of a guest may run on CPUs that are dedicated to vCPUs",
    what="""Where the emulator and the iothreads of each guest may run: <emulatorpin> and <iothreadpin>, else <vcpu
cpuset>, else every online CPU, against the CPUs to which single vCPUs are pinned, of the same guest or another.
Info where nothing holds the threads and all CPUs in question are isolated (isolcpus): libvirt sets their affinity
to all online CPUs, but the kernel does not balance load onto isolated CPUs, so a thread gets there only when
someone moves it. A pin that names isolated CPUs is a warning: the kernel may put the thread there, and then it
stays.""",
    why="""The emulator serves the monitor, timers and disks. When it wakes up on the CPU of a polling vCPU, that
vCPU stands still for a time slice of some milliseconds, in each of which 10 GbE brings 14,880 packets of 64 bytes.
Nova has hw:emulator_threads_policy for this.""",
    bad="""<vcpu placement='static'>2</vcpu>
<cputune>
  <vcpupin vcpu='0' cpuset='4'/>
  <vcpupin vcpu='1' cpuset='5'/>
  <!-- no emulatorpin: it may run on CPUs 4 and 5 -->
</cputune>""",
    good="""<vcpu placement='static'>2</vcpu>
<cputune>
  <vcpupin vcpu='0' cpuset='4'/>
  <vcpupin vcpu='1' cpuset='5'/>
  <emulatorpin cpuset='0-1'/>
</cputune>""",
    fix="""Pin the emulator and the iothreads to housekeeping CPUs of the guest's node, the same for all guests
there (vnf.yaml: host.shared_cpus), or to a CPU of their own (emulator: {policy: isolate}).""",
    check=check,
)
