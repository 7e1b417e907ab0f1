"""Names that vnf.yaml gives and uses: guests and their copies, affinity partners, physnets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from numaplan.spec.models import GUEST_LIMIT
from numaplan.spec.nodes import PROBLEM_LIMIT, Mistake, YamlList, YamlMap, YamlScalar, closest, hint_for
from numaplan.spec.scalars import GuestName, Reader, Whole


@dataclass(frozen=True, slots=True)
class Names:
    """How many copies each vm has, by its name, and the guests that the host has already.

    `complete` is False where a vm's name or count cannot be read: then an unknown partner may be one of its copies.
    """

    counts: Mapping[str, int]
    on_host: frozenset[str] = frozenset()
    complete: bool = True

    def copies(self, vm: str) -> tuple[str, ...]:
        """NAME for one copy, NAME-1 to NAME-n for more."""
        return copy_names(vm, self.counts[vm])

    def partner_count(self, names: Iterable[str]) -> int:
        """How many guests these names mean at most."""
        return sum(self.counts.get(name, 1) for name in set(names))

    def partners(self, names: Iterable[str]) -> tuple[str, ...]:
        """The guests that these names mean, each once, in their order; a vm's name means all its copies."""
        partners: dict[str, None] = {}
        for name in dict.fromkeys(names):
            partners.update(dict.fromkeys(self.copies(name) if name in self.counts else (name,)))
        return tuple(partners)


def copy_names(vm: str, count: int) -> tuple[str, ...]:
    """NAME for one copy, NAME-1 to NAME-n for more."""
    return (vm,) if count == 1 else tuple(f"{vm}-{number}" for number in range(1, count + 1))


def collect_names(vms: Iterable[YamlMap], on_host: frozenset[str], mistakes: list[Mistake]) -> Names:
    """The names of all vms, merged ones; a name that two guests would have is a mistake."""
    counts: dict[str, int] = {}
    owners: dict[str, YamlScalar] = {}
    complete = True
    total = 0
    for node in vms:
        name, count = _read(GuestName(), node, "name"), _read(Whole(1, GUEST_LIMIT), node, "count", default=1)
        at = node.get("name")
        if not isinstance(name, str) or not isinstance(count, int) or not isinstance(at, YamlScalar):
            complete = False
            continue
        total += count
        if total > GUEST_LIMIT:
            what = f"this makes more than {GUEST_LIMIT:,} guests"
            mistakes.append(Mistake(node.mark_of("count"), node.path_of("count"), what))
            return Names(counts, on_host, complete=False)
        if clash := _first_clash(name, count, owners):
            mistakes.append(_clash(at, clash, owners[clash]))
            continue
        counts[name] = count
        owners.update(dict.fromkeys((name, *copy_names(name, count)), at))
        longest = copy_names(name, count)[-1]
        if len(longest.encode()) > GuestName().limit:
            what = f"the copy {longest[-20:]!r} has a name of more than {GuestName().limit} bytes"
            mistakes.append(Mistake(at.mark, at.path, what))
    return Names(counts, on_host, complete)


def check_references(node: YamlMap, names: Names, physnets: frozenset[str] | None, mistakes: list[Mistake]) -> None:
    """Every partner and physnet that a merged vm names must exist; `physnets` None: not known."""
    if names.complete:
        for key in ("affinity", "anti_affinity"):
            for item in _scalars(node, key):
                _check_partner(item, names, mistakes)
    if physnets is None:
        return
    interfaces = node.get("interfaces")
    for interface in interfaces.items if isinstance(interfaces, YamlList) else ():
        physnet = interface.get("physnet") if isinstance(interface, YamlMap) else None
        if isinstance(physnet, YamlScalar) and physnet.text not in physnets:
            hint = hint_for(physnet.text, label="physnets in host.physnets", known=physnets)
            mistakes.append(Mistake(physnet.mark, physnet.path, f"undefined physnet {physnet.text!r}", hint))


def _check_partner(item: YamlScalar, names: Names, mistakes: list[Mistake]) -> None:
    name = item.text
    if name in names.counts or name in names.on_host:
        return
    vm, _, number = name.rpartition("-")
    count = names.counts.get(vm, 1)
    # Without a leading zero and without reading 5,000 digits: only "fw-2" itself names a copy.
    if count > 1 and len(number) <= len(str(count)) and number in {str(copy) for copy in range(1, count + 1)}:
        return
    hint = None
    if len(mistakes) < PROBLEM_LIMIT:
        hint = closest(name, names.counts.keys() | names.on_host) or "name a vm of this file, or a guest of the host"
    if count > 1 and number.isdecimal():
        hint = f"{vm} has the copies {vm}-1 to {vm}-{count}"
    mistakes.append(Mistake(item.mark, item.path, f"unknown guest {name!r}", hint))


def _first_clash(name: str, count: int, owners: Mapping[str, YamlScalar]) -> str | None:
    return next((each for each in (name, *copy_names(name, count)) if each in owners), None)


def _clash(at: YamlScalar, name: str, owner: YamlScalar) -> Mistake:
    if name == at.text == owner.text:
        return Mistake(at.mark, at.path, f"the name {name!r} is taken already, on line {owner.mark.line}")
    whose = f"copies of {at.text!r}" if name != at.text else f"copies of {owner.text!r}"
    what = f"two guests would be called {name!r}: see the {whose} and line {owner.mark.line}"
    return Mistake(at.mark, at.path, what, "choose another name or count")


def _scalars(node: YamlMap, key: str) -> tuple[YamlScalar, ...]:
    items = node.get(key)
    found = items.items if isinstance(items, YamlList) else ()
    return tuple(item for item in found if isinstance(item, YamlScalar) and not item.is_null)


def _read(reader: Reader, node: YamlMap, key: str, *, default: object = None) -> object:
    value = node.get(key)
    if value is None:
        return default
    try:
        return reader.read(value)
    except PydanticCustomError:
        return None
