"""NP104: a guest names CPUs or memory nodes that the host does not have, or that are offline."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from numaplan.audit.host import Facts
from numaplan.audit.rule import Rule
from numaplan.audit.threads import GuestView, Thread
from numaplan.audit.wording import ONLINE, at, first, numbered, pin, threads
from numaplan.cpuset import CpuSet
from numaplan.model.finding import Evidence, Finding, NotChecked, Severity
from numaplan.model.guest import MemoryBinding


def check(facts: Facts) -> Iterator[Finding | NotChecked]:
    """A finding for each guest with such pins, and one for each with such memory."""
    if not facts.online:
        if facts.guests:
            yield NotChecked("NP104", "the host does not say which CPUs are online")
        return
    for view in facts.guests:
        yield from _pins(facts, view)
        yield from _memory(facts, view)


def _pins(facts: Facts, view: GuestView) -> Iterator[Finding]:
    groups: defaultdict[CpuSet, list[Thread]] = defaultdict(list)
    for thread in view.threads:
        if thread.affinity is not None and not thread.affinity <= facts.online:
            groups[thread.affinity].append(thread)
    if not groups:
        return
    stuck = [thread for affinity, group in groups.items() if not affinity & facts.online for thread in group]
    named = CpuSet(cpu for affinity in groups for cpu in affinity)
    wrong = [thread for group in groups.values() for thread in group]
    online = Evidence("online", numbered("CPU", facts.online), ONLINE)
    pins = [pin(view.guest, group, numbered("CPU", affinity)) for affinity, group in groups.items()]
    if not stuck:
        rest = "they crowd on the rest of their CPUs"
    elif len(stuck) == len(wrong):
        rest = "no online CPU is left to them"
    else:
        rest = f"no online CPU is left to {threads(stuck)}"
    yield Finding(
        rule="NP104",
        severity=Severity.ERROR if stuck else Severity.WARNING,
        guest=view.guest.name,
        subject="pins",
        message=f"pins of {threads(wrong)} name {_missing(facts, named)}; {rest}",
        evidence=first([online, *pins]),
        wanted=f"pins to online CPUs ({facts.online})",
        fix="pin to online CPUs, bring the CPUs online, or run `numaplan place`",
    )


def _missing(facts: Facts, named: CpuSet) -> str:
    offline = named & facts.snapshot.cpus.offline
    absent = named - facts.online - offline
    parts = []
    if offline:
        parts.append(f"offline {numbered('CPU', offline)}")
    if absent:
        parts.append(f"{numbered('CPU', absent)}, which the host does not have")
    return " and ".join(parts)


def _memory(facts: Facts, view: GuestView) -> Iterator[Finding]:
    bindings = [binding for binding in (view.guest.memory, *view.guest.memnodes) if binding is not None]
    wrong = [binding for binding in bindings if any(facts.lacks_node(node) for node in binding.nodes or ())]
    if not wrong:
        return
    nodes = {node for binding in wrong for node in binding.nodes or () if facts.lacks_node(node)}
    have = [node.id for node in facts.snapshot.nodes]
    yield Finding(
        rule="NP104",
        severity=Severity.ERROR,
        guest=view.guest.name,
        subject="memory",
        message=f"memory is bound to {numbered('node', nodes)}, but the host has {numbered('node', have)}",
        evidence=first(_bindings(view, wrong)),
        wanted=f"memory on {numbered('node', have)}",
        fix="bind the memory to a node that the host has, or run `numaplan place`",
    )


def _bindings(view: GuestView, wrong: Sequence[MemoryBinding]) -> Iterator[Evidence]:
    for binding in wrong:
        what = "memory" if binding.cell is None else f"memnode of cell {binding.cell}"
        yield Evidence(what, numbered("node", binding.nodes or ()), at(view.guest, binding.line))
    yield Evidence("nodes", "those of the host", "sys/devices/system/node/online")


RULE = Rule(
    id="NP104",
    name="missing-cpus",
    severity=Severity.ERROR,
    title="a guest names CPUs or memory nodes that are offline or that the host does not have",
    what="""Every pin of vCPUs, emulator and iothreads against the online CPUs of the host, and every nodeset of
<numatune> against its nodes. An error where a thread has no online CPU left, or a node is missing; a warning where
a thread still has other CPUs.""",
    why="""sched_setaffinity(2) gives EINVAL for a mask without an online CPU, and libvirt refuses to start a guest
whose memory nodes are missing. Such pins mostly come from another host, or from the time before SMT was switched
off. A thread that still has other CPUs is crowded on these.""",
    bad="""<!-- the host has CPUs 0-15 -->
<cputune>
  <vcpupin vcpu='0' cpuset='40'/>
</cputune>""",
    good="""<cputune>
  <vcpupin vcpu='0' cpuset='4'/>
</cputune>""",
    fix="""Pin to CPUs that are online (/sys/devices/system/cpu/online), or bring the others online (echo 1 >
/sys/devices/system/cpu/cpu40/online).""",
    check=check,
)
