"""What a picture of a host nests in what: packages, nodes in them, groups of cores in those.

On real hosts a node may span packages, a package nodes, a cache both, and firmware may contradict itself. So packages
and nodes that have anything in common stand in one `Outer`, each core in exactly one node, each online CPU in one core.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.host import Core, CoreKind, LlcDomain, NodeId, NumaNode, Package
from numaplan.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class CoreGroup:
    """Cores of a node that share a last-level cache, a package and a kind; None: none, or all the same."""

    cores: tuple[Core, ...]
    llc: LlcDomain | None
    package: Package | None
    kind: CoreKind | None


@dataclass(frozen=True, slots=True)
class NodePart:
    """A node and its cores; `node` None: cores of no node."""

    node: NumaNode | None
    groups: tuple[CoreGroup, ...]

    @property
    def cores(self) -> tuple[Core, ...]:
        """All cores, group by group."""
        return tuple(core for group in self.groups for core in group.cores)


@dataclass(frozen=True, slots=True)
class Outer:
    """Packages and the nodes that have cores in them; no packages: nodes of none, such as those of memory alone."""

    packages: tuple[Package, ...]
    parts: tuple[NodePart, ...]


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a core goes: places of its package and its last-level cache in the snapshot, and its node."""

    core: Core
    package: int | None
    llc: int | None
    node: NodeId | None


# What is joined to one Outer: ("package", place), ("node", id) and ("none", place of a package, or -1).
_Key = tuple[str, int]


def outers(snapshot: Snapshot) -> tuple[Outer, ...]:
    """The whole host, packages in their order, what belongs to none at the end."""
    homes = list(_homes(snapshot))
    places = {id_: place for place, id_ in enumerate(package.id for package in snapshot.packages) if id_ is not None}
    near = {node.id for node in snapshot.nodes}
    pairs: list[tuple[_Key, _Key]] = [
        (_part_key(home), _package_key(home)) for home in homes if home.package is not None
    ]
    pairs += [(("node", n.id), ("package", places[p])) for n in snapshot.nodes for p in n.packages if p in places]
    pairs += [
        (("node", n), ("package", place))
        for place, p in enumerate(snapshot.packages)
        for n in p.numa_nodes
        if n in near
    ]
    keys: list[_Key] = [("package", place) for place in range(len(snapshot.packages))]
    keys += [("node", node.id) for node in snapshot.nodes]
    keys += [_part_key(home) for home in homes]
    joined = _joined(keys, pairs)
    with_package = [members for members in joined if any(kind == "package" for kind, _ in members)]
    rest = [key for members in joined if members not in with_package for key in members]
    by_part: dict[_Key, list[_Home]] = {}
    for home in homes:
        by_part.setdefault(_part_key(home), []).append(home)
    return tuple(_outer(snapshot, members, by_part) for members in [*with_package, *([rest] if rest else [])])


def _part_key(home: _Home) -> _Key:
    if home.node is not None:
        return ("node", home.node)
    return ("none", -1 if home.package is None else home.package)


def _package_key(home: _Home) -> _Key:
    return ("package", -1 if home.package is None else home.package)


def _homes(snapshot: Snapshot) -> Iterator[_Home]:
    """Each core once; an online CPU of no core is drawn as a core of its own."""
    packages = _first(package.cpus for package in snapshot.packages)
    llcs = _first(llc.cpus for llc in snapshot.llcs)
    nodes = _first(node.cpus for node in snapshot.nodes)
    ids = [node.id for node in snapshot.nodes]
    known = frozenset(ids)
    seen: set[CpuId] = set()
    cores: list[Core] = []
    for core in snapshot.cores:
        own = CpuSet(cpu for cpu in core.cpus if cpu not in seen)
        seen.update(own)
        if own:
            cores.append(Core(own, core.package, core.numa_node, core.core_id, core.die_id, core.kind, core.capacity))
    cores += [Core(CpuSet([cpu]), None, None, None, None) for cpu in snapshot.cpus.online if cpu not in seen]
    named = {package.id: place for place, package in reversed(list(enumerate(snapshot.packages)))}
    for core in sorted(cores, key=lambda core: core.name):
        package = packages.get(core.name)
        if package is None and core.package is not None:
            package = named.get(core.package)
        node = core.numa_node if core.numa_node in known else None
        if node is None and core.name in nodes:
            node = ids[nodes[core.name]]
        yield _Home(core, package, llcs.get(core.name), node)


def _first(sets: Iterable[CpuSet]) -> Mapping[CpuId, int]:
    """The place of the first set that a CPU is in."""
    found: dict[CpuId, int] = {}
    for place, cpus in enumerate(sets):
        for cpu in cpus:
            found.setdefault(cpu, place)
    return found


def _joined(keys: Sequence[_Key], pairs: Iterable[tuple[_Key, _Key]]) -> list[list[_Key]]:
    """Connected keys together, in the order of `keys`."""
    leader = {key: key for key in keys}

    def find(key: _Key) -> _Key:
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for one, other in pairs:
        leader[find(other)] = find(one)
    found: dict[_Key, list[_Key]] = {}
    for key in dict.fromkeys(keys):
        found.setdefault(find(key), []).append(key)
    return list(found.values())


def _outer(snapshot: Snapshot, members: Sequence[_Key], homes: Mapping[_Key, Sequence[_Home]]) -> Outer:
    packages = tuple(snapshot.packages[place] for kind, place in members if kind == "package")
    wanted = {place for kind, place in members if kind == "node"}
    parts = [
        NodePart(node, _groups(snapshot, homes.get(("node", node.id), ()), several=len(packages) > 1))
        for node in snapshot.nodes
        if node.id in wanted
    ]
    parts += [
        NodePart(None, _groups(snapshot, homes.get(key, ()), several=len(packages) > 1))
        for key in members
        if key[0] == "none"
    ]
    return Outer(packages, tuple(parts))


def _groups(snapshot: Snapshot, homes: Sequence[_Home], *, several: bool) -> tuple[CoreGroup, ...]:
    found: dict[tuple[int | None, int | None, CoreKind | None], list[Core]] = {}
    for home in homes:
        found.setdefault((home.package if several else None, home.llc, home.core.kind), []).append(home.core)
    return tuple(
        CoreGroup(
            tuple(cores),
            None if llc is None else snapshot.llcs[llc],
            None if package is None else snapshot.packages[package],
            kind,
        )
        for (package, llc, kind), cores in found.items()
    )
