"""Plans of the same request with one wish less, or on a host with one thing more: most break one meaning alone."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Final

from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.compare import plan_of, question
from tests.placement.exhaustive.reading import Json

# What a vm, one of its interfaces or one of its devices asks for, and what asks for nothing there (None: no such key).
_OF_A_VM: Final = {
    "affinity": None,
    "anti_affinity": None,
    "thread_policy": None,
    "page_size": "any",
    "memory_policy": "preferred",
    "distinct_nodes": False,
}
_OF_A_PART: Final = {"affinity": "preferred", "mbps": None, "distinct_pfs": None, "vendor": None, "pf": None}


def plans_of_less(case: Case) -> Iterator[list[Json]]:
    """The placements of each of them, in the form of the plan document."""
    for easier in (*_less_asked(case), *_more_there(case)):
        _, document = plan_of(question(easier))
        if document["placements"]:
            yield document["placements"]


def _less_asked(case: Case) -> Iterator[Case]:
    for i, vm in enumerate(case.vnf["vms"]):
        for key, value in _OF_A_VM.items():
            if vm.get(key, value) != value or (key == "distinct_nodes" and "cells" in vm and key not in vm):
                vnf = deepcopy(case.vnf)
                _put(vnf["vms"][i], key, value)
                yield Case(case.inventory, vnf)
        for parts in ("interfaces", "devices"):
            for j, part in enumerate(vm.get(parts, ())):
                for key, value in _OF_A_PART.items():
                    if part.get(key, value) != value and not (parts == "devices" and key == "vendor"):
                        vnf = deepcopy(case.vnf)
                        _put(vnf["vms"][i][parts][j], key, value)
                        yield Case(case.inventory, vnf)


def _put(part: Json, key: str, value: object) -> None:
    """Another value for a key; what only goes with that key goes as well."""
    part.pop(key, None)
    if value is not None:
        part[key] = value
    elif key == "vendor":
        part.pop("device", None)
        part["physnet"] = "all"
    elif key == "pf":
        part["physnet"] = "all"


def _more_there(case: Case) -> Iterator[Case]:
    for change in _MORE:
        easier = deepcopy(case)
        change(easier)
        if easier != case:
            yield easier


def _nobody_stays(case: Case) -> None:
    asked = {vm["name"] for vm in case.vnf["vms"]}
    case.inventory["guests"] = [guest for guest in case.inventory["guests"] if guest["name"].split("-")[0] in asked]
    for vm in case.vnf["vms"]:
        for key in ("affinity", "anti_affinity"):
            if key in vm:
                vm[key] = [name for name in vm[key] if name != "stays"]


def _links_without_limit(case: Case) -> None:
    for link in case.inventory["links"]:
        link.pop("speed_mbps", None)


def _no_groups(case: Case) -> None:
    case.inventory["iommu_groups"] = []
    for device in case.inventory["pci"]:
        device.pop("iommu_group", None)


def _wide_pools(case: Case) -> None:
    case.vnf["host"]["shared_ratio"] = 64


def _more_memory(case: Case) -> None:
    case.vnf["host"].pop("guest_overhead", None)
    case.vnf["host"]["reserved_memory"] = "0KiB"
    for node in case.inventory["numa_nodes"]:
        node["available_kib"] = node["memory_kib"]


_MORE: Final[tuple[Callable[[Case], None], ...]] = (
    _nobody_stays,
    _links_without_limit,
    _no_groups,
    _wide_pools,
    _more_memory,
)
