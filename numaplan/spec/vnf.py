"""vnf.yaml, with the profiles that it names, to a Request with every default filled in."""

from collections.abc import Mapping
from typing import Final

from numaplan.model.request import Costs, GuestRequest, HostPolicy, Request
from numaplan.spec.cells import check_size
from numaplan.spec.check import validate
from numaplan.spec.guests import guests_of
from numaplan.spec.layers import merge
from numaplan.spec.models import DefaultsKeys, HostKeys, RootKeys, VmKeys
from numaplan.spec.names import Names, check_references, collect_names
from numaplan.spec.nodes import Mistake, YamlList, YamlMap, YamlNode, count_values, input_error
from numaplan.spec.profiles import Profiles, layered
from numaplan.spec.yaml import read_yaml

# 10,000 copies that each name all others would be 100 million names.
PARTNER_LIMIT: Final = 1_000_000
# A host has at most 8,192 CPUs.
VCPU_TOTAL_LIMIT: Final = 1_000_000
# Long defaults count again for every vm that has them.
MERGED_LIMIT: Final = 500_000


def parse_vnf(
    text: str,
    file: str,
    *,
    profiles: Mapping[str, str],
    host_profile: str | None,
    known_guests: frozenset[str],
    may_ask_for_none: bool = False,
) -> Request:
    """The request that a vnf.yaml makes; raises InputError with all problems, each at its file:line:column.

    `profiles` are the texts of all profiles by name, `host_profile` the name of the one under ``host``,
    `known_guests` the guests of the host, which affinity may name. `file` is only what messages call it. An empty list
    of vms is one of the problems, unless the request `may_ask_for_none`.
    """
    mistakes: list[Mistake] = []
    known = Profiles(profiles)
    below = None if host_profile is None else known.host(host_profile, mistakes)
    root = read_yaml(text, file, mistakes)
    if root is None:
        raise input_error(mistakes)
    validate(RootKeys, root, mistakes)
    host = _host_node(below, root)
    policy = _policy(host, mistakes)
    vms = _merged_vms(root, known, mistakes, may_be_none=may_ask_for_none)
    names = collect_names(vms, known_guests, mistakes)
    guests = _guests(vms, names, _physnet_names(host), mistakes)
    if mistakes or policy is None:
        raise input_error(mistakes)
    return Request(policy, guests)


def _host_node(below: YamlMap | None, root: YamlMap) -> YamlNode:
    """What ``host`` says over the host profile below it; an empty map where neither says anything."""
    below = below or YamlMap(root.mark, "host", {})
    own = root.get("host")
    if own is None:
        return below
    return merge(below, own) if isinstance(own, YamlMap) else own


def _policy(node: YamlNode, mistakes: list[Mistake]) -> HostPolicy | None:
    keys = validate(HostKeys, node, mistakes)
    if keys is None or not isinstance(node, YamlMap):
        return None
    reserved, shared = keys.reserved_cpus, keys.shared_cpus
    if reserved is not None and shared is not None and (both := reserved & shared):
        what = f"CPU {both} is in reserved_cpus too"
        mistakes.append(Mistake(node.mark_of("shared_cpus"), node.path_of("shared_cpus"), what, "take it out of one"))
    return HostPolicy(
        reserved_cpus=reserved,
        shared_cpus=shared,
        shared_ratio=keys.shared_ratio,
        reserved_memory_kib=keys.reserved_memory,
        physnets=tuple(sorted((name, tuple(dict.fromkeys(pfs))) for name, pfs in keys.physnets.items())),
        costs=Costs(keys.costs.vf, keys.costs.cell, keys.costs.memory_gib),
        guest_overhead_kib=keys.guest_overhead,
    )


def _physnet_names(host: YamlNode) -> frozenset[str] | None:
    """None where ``physnets`` is no map, which is told already."""
    if not isinstance(host, YamlMap):
        return None
    physnets = host.get("physnets")
    if physnets is None:
        return frozenset()
    return frozenset(physnets.entries) if isinstance(physnets, YamlMap) else None


def _merged_vms(root: YamlMap, known: Profiles, mistakes: list[Mistake], *, may_be_none: bool) -> list[YamlMap]:
    """Each vm over its profile over ``defaults``; what is no map is told and left out."""
    defaults = root.get("defaults")
    if defaults is not None:
        validate(DefaultsKeys, defaults, mistakes)
    vms = root.get("vms")
    if vms is None or (isinstance(vms, YamlList) and not vms.items and not may_be_none):
        mistakes.append(Mistake(root.mark_of("vms"), "vms", "at least one vm is needed"))
    elif not isinstance(vms, YamlList):
        mistakes.append(Mistake(vms.mark, "vms", "expected a list of vms", "start each with '- name: ...'"))
    merged: list[YamlMap] = []
    for vm in vms.items if isinstance(vms, YamlList) else ():
        if not isinstance(vm, YamlMap):
            validate(VmKeys, vm, mistakes)
            continue
        merged.append(layered(vm, defaults if isinstance(defaults, YamlMap) else None, known, mistakes))
    return merged


def _guests(
    vms: list[YamlMap], names: Names, physnets: frozenset[str] | None, mistakes: list[Mistake]
) -> tuple[GuestRequest, ...]:
    guests: list[GuestRequest] = []
    partners = vcpus = values = 0
    for node in vms:
        values += count_values(node)
        if values > MERGED_LIMIT:
            what = f"with what they have from defaults and profiles, the vms say more than {MERGED_LIMIT:,} values"
            mistakes.append(Mistake(node.mark, node.path, what))
            break
        check_size(node, mistakes)
        check_references(node, names, physnets, mistakes)
        vm = validate(VmKeys, node, mistakes)
        # Where the file has a mistake already, only further mistakes matter: one copy shows them all.
        if vm is None or names.counts.get(vm.name) != vm.count:
            continue
        partners += vm.count * (names.partner_count(vm.affinity) + names.partner_count(vm.anti_affinity))
        if partners > PARTNER_LIMIT:
            what = f"affinity and anti_affinity make more than {PARTNER_LIMIT:,} pairs of guests"
            mistakes.append(Mistake(node.mark, node.path, what, "name fewer vms, or make fewer copies"))
            break
        copies = guests_of(vm, node, names, mistakes)
        vcpus += sum(copy.vcpus for copy in copies[:1]) * len(copies)
        if vcpus > VCPU_TOTAL_LIMIT:
            mistakes.append(Mistake(node.mark, node.path, f"this makes more than {VCPU_TOTAL_LIMIT:,} vCPUs"))
            break
        guests += copies
    return tuple(guests)
