"""What the kernel says of the CPUs' vulnerabilities (Documentation/ABI/testing/sysfs-devices-system-cpu)."""

import re
from typing import Final

from numaplan.inventory.cpus import CPU_ROOT
from numaplan.inventory.listed import read_listed
from numaplan.model.kernel import Vulnerability
from numaplan.sources.tree import HostTree

_FOLDER: Final = f"{CPU_ROOT}/vulnerabilities"
_NAME = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
_LONGEST_SENTENCE: Final = 512
# In the order in which they became known. All architectures show all of those that their kernel knows
# (drivers/base/cpu.c), and fixes are carried back in that order, so one in between that is absent went astray.
_BY_AGE: Final = (
    "meltdown",
    "spectre_v1",
    "spectre_v2",
    "spec_store_bypass",
    "l1tf",
    "mds",
    "tsx_async_abort",
    "itlb_multihit",
    "srbds",
    "mmio_stale_data",
    "retbleed",
    "gather_data_sampling",
    "spec_rstack_overflow",
    "reg_file_data_sampling",
    "indirect_target_selection",
    "tsa",
    "vmscape",
)


def read_vulnerabilities(tree: HostTree) -> tuple[Vulnerability, ...]:
    """/sys/devices/system/cpu/vulnerabilities, one file each, by name.

    A kernel that is itself a guest says "SMT Host state unknown": no leak is claimed then, and the sentence is kept.
    """
    found = []
    names = tree.names(_FOLDER)
    newest = max((age for age, name in enumerate(_BY_AGE) if name in names), default=0)
    for name in sorted({*names, *_BY_AGE[:newest]}):
        if _NAME.fullmatch(name) is None:
            tree.note(f"{_FOLDER}/{name}", "no name of a vulnerability")
            continue
        status = read_listed(tree, _FOLDER, name, parse_status, expected=True)
        if status is not None:
            found.append(Vulnerability(name, status, smt_vulnerable="SMT vulnerable" in status))
    return tuple(found)


def parse_status(text: str) -> str:
    """The kernel's sentence, which opens with a capital letter ("Not affected"); raises ValueError."""
    sentence = text.strip()
    if not sentence[:1].isascii() or not sentence[:1].isupper() or not sentence.isprintable():
        raise ValueError("no sentence")
    if len(sentence) > _LONGEST_SENTENCE:
        raise ValueError(f"longer than {_LONGEST_SENTENCE} characters")
    return sentence
