"""/proc/cpuinfo: what it says of the first CPU, and the flags that all CPUs have."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Every field that is wanted stands with the first CPU, or in a smaller file; only the flags of all CPUs are compared.
_HEAD: Final = 1 << 16
_LONGEST_VALUE: Final = 256
# "flags" on x86, "Features" on ARM and LoongArch, "features" on s390.
_FLAGS = re.compile(r"^(?:flags|[Ff]eatures)[ \t]*:(.*)$", re.ASCII | re.MULTILINE)

_HOSTING: Final = ("vmx", "svm", "ept", "vpid", "npt", "avic", "x2avic", "sie", "hypervisor")
_CLOCKS: Final = ("constant_tsc", "nonstop_tsc", "tsc_known_freq", "tsc_deadline_timer", "tsc_scale", "art", "arat")
_ARM_CLOCKS: Final = ("evtstrm", "ecv", "wfxt")
# Pages of 1 GiB on x86, of 1 MiB and 2 GiB on s390; x2apic: more than 255 CPUs.
_PAGES: Final = ("pdpe1gb", "la57", "pcid", "edat", "edat2", "x2apic")
# What packet processing is compiled for, and what a guest misses after a migration to a host without it.
_VECTORS: Final = ("aes", "avx2", "avx512f", "avx512vl", "amx_tile", "vaes", "vpclmulqdq", "gfni", "vx")
_ARM_VECTORS: Final = ("asimd", "atomics", "pmull", "sve", "sve2")
_POLLING: Final = ("movdir64b", "enqcmd", "waitpkg")
# Speed in the hardware's own hands; shares of caches and of memory bandwidth.
_CONTROL: Final = ("hwp", "cppc", "cat_l3", "cdp_l3", "mba", "cqm_llc")
_ENCRYPTION: Final = ("sme", "sev", "sev_es", "sev_snp", "tme", "tdx_host_platform", "tdx_guest")
FLAGS: Final = frozenset(
    (
        *_HOSTING,
        *_CLOCKS,
        *_ARM_CLOCKS,
        *_PAGES,
        *_VECTORS,
        *_ARM_VECTORS,
        *_POLLING,
        *_CONTROL,
        *_ENCRYPTION,
    )
)


@dataclass(frozen=True, slots=True)
class Processor:
    """The first value of each field, and those of `FLAGS` that every CPU has, sorted."""

    fields: Mapping[str, str]
    flags: tuple[str, ...] = ()

    @property
    def x86(self) -> bool:
        """Whether an x86 kernel wrote it: no other one says "flags"."""
        return "flags" in self.fields


def parse_processor(text: str) -> Processor:
    """/proc/cpuinfo; raises ValueError where it has no fields."""
    fields = parse_fields(text[:_HEAD])
    lines = set(_FLAGS.findall(text))
    shared = frozenset.intersection(*(FLAGS & frozenset(line.split()) for line in lines)) if lines else ()
    return Processor(fields, tuple(sorted(shared)))


def parse_fields(text: str) -> Mapping[str, str]:
    """The first value of each ``key : value`` line, blanks folded, empty ones left out; ValueError without any."""
    fields: dict[str, str] = {}
    known: set[str] = set()
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if key in known:
            continue
        folded = " ".join(value.split())
        if colon and folded and folded.isprintable():
            known.add(key)
            fields.setdefault(key.strip(), folded[:_LONGEST_VALUE])
    if not fields:
        raise ValueError("no fields")
    return fields
