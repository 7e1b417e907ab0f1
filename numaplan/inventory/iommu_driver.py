"""Which IOMMU driver is at work, and whether it translates for the host's own devices (/sys/class/iommu)."""

from collections.abc import Sequence
from typing import Final

from numaplan.inventory.identity import IOMMU_GROUPS, parse_word
from numaplan.inventory.listed import read_listed
from numaplan.inventory.parameters import parse_passthrough, values_of
from numaplan.model.kernel import Parameter
from numaplan.sources.tree import HostTree

_CLASS: Final = "sys/class/iommu"
# As each driver names its units: drivers/iommu/{intel/dmar.c,amd/init.c,arm/arm-smmu-v3/arm-smmu-v3.c}.
_UNITS: Final = (("dmar", "intel"), ("ivhd", "amd"), ("smmu3.", "arm-smmu-v3"))
_OTHER: Final = "iommu"
# Documentation/ABI/testing/sysfs-kernel-iommu_groups: the type of a group's default domain.
_TYPES: Final = frozenset({"identity", "DMA", "DMA-FQ", "unmanaged", "blocked", "auto"})


def read_iommu_driver(tree: HostTree, parameters: Sequence[Parameter]) -> str | None:
    """The driver of the units in /sys/class/iommu; None where it has none.

    A capture without that folder, and without groups that would disprove it, tells by its command line alone.
    """
    units = tree.names(_CLASS)
    for prefix, driver in _UNITS:
        if any(unit.startswith(prefix) for unit in units):
            return driver
    if units:
        return _OTHER
    if tree.exists(_CLASS) or (tree.exists(IOMMU_GROUPS) and not tree.names(IOMMU_GROUPS)):
        return None
    words = {word for value in values_of(parameters, "intel_iommu") for word in value.split(",")}
    return "intel" if "on" in words and "off" not in words else None


def read_passthrough(tree: HostTree, parameters: Sequence[Parameter], *, driver: str | None) -> bool | None:
    """Whether the host's own devices go untranslated; None where no IOMMU is at work.

    The command line decides; where it says nothing, so does the kernel's configuration, which shows by the groups'
    types: one that is translated settles it, so that as a rule one file is read.
    """
    if driver is None:
        return None
    asked = parse_passthrough(parameters)
    if asked is not None:
        return asked
    untranslated: bool | None = None
    for group in sorted(tree.names(IOMMU_GROUPS), key=lambda name: (len(name), name)):
        kind = read_listed(tree, f"{IOMMU_GROUPS}/{group}", "type", parse_type)
        if kind in {"DMA", "DMA-FQ"}:
            return False
        if kind == "identity":
            untranslated = True
    return untranslated


def parse_type(text: str) -> str:
    """The type of a group's default domain; raises ValueError."""
    word = parse_word(text)
    if word not in _TYPES:
        raise ValueError("no type of a domain")
    return word
