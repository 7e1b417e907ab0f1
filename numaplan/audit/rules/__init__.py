"""Every rule, one file each, in the order of their ids: NP1xx placement, NP2xx CPUs, NP3xx memory, NP4xx devices."""

from numaplan.audit.rule import Rule
from numaplan.audit.rules import (
    np101_cell_spans_nodes,
    np102_memory_elsewhere,
    np103_device_elsewhere,
    np104_missing_cpus,
    np201_cpu_pinned_twice,
    np202_core_shared,
    np203_emulator_on_dedicated,
    np204_vcpu_on_dedicated,
    np301_small_pages,
    np302_pool_too_small,
    np401_device_twice,
)

RULES: tuple[Rule, ...] = (
    np101_cell_spans_nodes.RULE,
    np102_memory_elsewhere.RULE,
    np103_device_elsewhere.RULE,
    np104_missing_cpus.RULE,
    np201_cpu_pinned_twice.RULE,
    np202_core_shared.RULE,
    np203_emulator_on_dedicated.RULE,
    np204_vcpu_on_dedicated.RULE,
    np301_small_pages.RULE,
    np302_pool_too_small.RULE,
    np401_device_twice.RULE,
)
