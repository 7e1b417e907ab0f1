"""A file of a folder that is listed first: one that vanishes in between is a gap, one that never was there is none."""

from collections.abc import Callable
from typing import TypeVar

from numaplan.inventory.attribute import read_attribute
from numaplan.sources.tree import HostTree

_T = TypeVar("_T")


def read_listed(
    tree: HostTree, folder: str, name: str, parse: Callable[[str], _T], *, expected: bool = False
) -> _T | None:
    """What `parse` makes of a file; None, unread, where its folder does not list it, as on a kernel without it.

    `expected`: what else the folder has says that it must have this one too, and its absence is a gap.
    """
    if name not in tree.names(folder) and not expected:
        return None
    return read_attribute(tree, f"{folder}/{name}", parse, expected=expected)
