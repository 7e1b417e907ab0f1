"""NP204: vCPUs of a guest float onto CPUs that are dedicated to vCPUs of another."""

from collections.abc import Iterator

from numaplan.audit.host import Facts
from numaplan.audit.intrusion import Intrusion, find_intrusion
from numaplan.audit.rule import Rule
from numaplan.audit.threads import GuestView
from numaplan.audit.wording import first, numbered, quoted, threads
from numaplan.cpuset import CpuSet
from numaplan.model.finding import Finding, NotChecked, Severity


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each guest with such vCPUs."""
    if not facts.dedicated:
        return
    unknown = [index for index, view in enumerate(facts.guests) if not all(vcpu.known for vcpu in view.vcpus)]
    if unknown:
        yield NotChecked(
            "NP204", f'placement "auto": numad chooses the CPUs at the start of {quoted(facts.name, unknown)}'
        )
    for index, view in enumerate(facts.guests):
        floating = [vcpu for vcpu in view.vcpus if vcpu.cpu is None]
        if not floating:
            continue
        own = CpuSet(vcpu.cpu for vcpu in view.vcpus if vcpu.cpu is not None and facts.owners_of(vcpu.cpu) == {index})
        intrusion = find_intrusion(facts, floating, allowed=own)
        if intrusion is not None:
            yield _finding(facts, view, intrusion)


def _finding(facts: Facts, view: GuestView, intrusion: Intrusion) -> Finding:
    owners = [owner for owner in facts.owners(intrusion.cpus) if owner != view.emulator.guest]
    who = threads(intrusion.threads)
    spare = any(not vcpu.anywhere for vcpu in view.vcpus) and all(vcpu.anywhere for vcpu in intrusion.threads)
    message = f"{who} may run on {numbered('CPU', intrusion.cpus)}, dedicated to vCPUs of {quoted(facts.name, owners)}"
    if intrusion.isolated:
        message += "; these are isolated, so the kernel moves no thread there by itself"
    nodes = facts.nodes_of(vcpu for cell in view.cells for vcpu in cell.bound)
    target = facts.free_near(nodes, isolated=False) or "none is left"
    return Finding(
        rule="NP204",
        severity=Severity.INFO if intrusion.isolated or spare else Severity.WARNING,
        guest=view.guest.name,
        subject=who,
        message=message,
        evidence=first(intrusion.evidence(facts, view.guest)),
        wanted=f"{who} on CPUs that no vCPU of another guest holds",
        fix=f"pin {who} to CPUs that no vCPU holds ({target}), or run `numaplan place`",
    )


RULE = Rule(
    id="NP204",
    name="vcpu-on-dedicated",
    severity=Severity.WARNING,
    title="vCPUs of a guest float onto CPUs that are dedicated to vCPUs of another",
    what="""Where the vCPUs that are not pinned to one CPU may run: <vcpupin>, else <vcpu cpuset>, else every online
CPU, against the CPUs to which single vCPUs of other guests are pinned. Info where nothing holds them and the CPUs
are isolated (see NP203), or where the guest pins its other vCPUs: these may be there for hot-plugging.""",
    why="""A guest without pins runs wherever the scheduler puts it, and to the scheduler a CPU with one polling
thread is as good as any other busy one. Each time slice of some milliseconds that it takes is missing from the
dedicated vCPU: 10 GbE at 64 bytes brings 14,880 packets per millisecond. Nova's documentation asks to keep pinned
and unpinned instances on different hosts for this.""",
    bad="""<!-- guest a -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>
<!-- guest b: floats on all CPUs, CPU 4 among them -->
<vcpu placement='static'>2</vcpu>""",
    good="""<!-- guest a -->
<cputune><vcpupin vcpu='0' cpuset='4'/></cputune>
<!-- guest b -->
<vcpu placement='static' cpuset='0-3'>2</vcpu>""",
    fix="""Give guests without CPUs of their own a pool: <vcpu cpuset='0-3'>, or cpu_policy: shared and
host.shared_cpus in vnf.yaml. Or isolate the dedicated CPUs (isolcpus).""",
    check=check,
)
