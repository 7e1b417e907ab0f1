"""How large drawn cases are, and how often they have what is unusual."""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

GIB: Final = 1 << 20

# What a case wants more of than there is, so that one constraint decides; "any": whatever comes.
THEMES: Final = (
    "any", "any", "any", "cores", "pool", "links", "groups", "partners", "floating", "memory", "overhead", "network",
    "dpdk", "pages", "choice",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How large a host and a request may be: for trying everything, or beyond that; `theme`: what is scarce."""

    nodes: int = 3
    cpus: int = 12
    guests: int = 4
    vcpus: int = 8
    theme: str = "any"


def rarely() -> st.SearchStrategy[bool]:
    return st.sampled_from([False, False, False, True])


def seldom() -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * 9 + [True])


def often(value: str, *others: str) -> st.SearchStrategy[str]:
    return st.sampled_from([value] * (2 * len(others)) + list(others))
