"""A host as text: on one screen what placement turns on, and at full width everything that was read."""

from collections.abc import Sequence
from typing import Final

from numaplan.model.path import TrafficPath
from numaplan.model.snapshot import Snapshot
from numaplan.report.holding import holding
from numaplan.report.inventory_devices import functions, interrupts, links, others, virtual_functions
from numaplan.report.inventory_guests import guest_memory, guest_threads, guests
from numaplan.report.inventory_host import control_groups, host, kernel_settings, vulnerabilities
from numaplan.report.inventory_nodes import core_kinds, frequencies, llcs, memory_access, nodes
from numaplan.report.inventory_paths import traffic
from numaplan.report.inventory_switch import switch, switch_ports, switch_threads
from numaplan.report.text import clean, count, page

_GAPS_SHOWN: Final = 5


def inventory_table(snapshot: Snapshot, *, wide: bool, paths: Sequence[TrafficPath] = ()) -> str:
    """The host for an engineer's eyes; "?" is what the host does not say, "-" is none.

    `wide`: all of it, with the traffic `paths` of its guests.
    """
    held = holding(snapshot)
    if not wide:
        return page(
            [
                host(snapshot),
                nodes(snapshot, held),
                llcs(snapshot, every=False),
                functions(snapshot),
                guests(snapshot),
                _gaps(snapshot, most=_GAPS_SHOWN),
            ]
        )
    return page(
        [
            host(snapshot),
            kernel_settings(snapshot),
            vulnerabilities(snapshot),
            control_groups(snapshot),
            nodes(snapshot, held),
            memory_access(snapshot),
            core_kinds(snapshot),
            llcs(snapshot, every=True),
            frequencies(snapshot),
            functions(snapshot),
            virtual_functions(snapshot),
            others(snapshot),
            interrupts(snapshot),
            links(snapshot),
            switch(snapshot),
            switch_ports(snapshot),
            switch_threads(snapshot),
            guests(snapshot),
            guest_threads(snapshot),
            guest_memory(snapshot),
            traffic(paths),
            _gaps(snapshot, most=len(snapshot.gaps)),
        ]
    )


def _gaps(snapshot: Snapshot, *, most: int) -> str:
    gaps = snapshot.gaps
    if not gaps:
        return ""
    lines = [f"{count(len(gaps), 'gap')} (what could not be read or made sense of):"]
    lines += [f"  {clean(gap.what)}: {clean(gap.why)}" for gap in gaps[:most]]
    if len(gaps) > most:
        lines.append(f"  and {len(gaps) - most} more; the JSON form has them all")
    return "\n".join(lines)
