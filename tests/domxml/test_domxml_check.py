"""What no patch gets past: changes of elements that it may add, but not touch, or touch with leave alone."""

from collections.abc import Callable

import pytest

from numaplan.domxml.check import Permit, carry_out
from numaplan.domxml.edit import Edits
from numaplan.domxml.element import New
from numaplan.domxml.tree import Document, Element, parse
from numaplan.errors import InputError

DATA = b"""<domain type='kvm'>
  <memtune>
    <hard_limit unit='KiB'>1</hard_limit>
    <soft_limit unit='KiB'>1</soft_limit>
  </memtune>
  <memoryBacking>
    <nosharepages/>
    <source type='file'/>
    <allocation mode='immediate' threads='2'/>
  </memoryBacking>
  <cpu mode='host-passthrough'>
    <cache level='3' mode='emulate'/>
  </cpu>
  <devices>
    <controller type='pci' index='1' model='pcie-root-port'/>
    <interface type='hostdev'>
      <source>
        <address type='pci' bus='0x3b'/>
      </source>
      <address type='pci' bus='0x01'/>
    </interface>
    <interface type='bridge'>
      <address type='pci' bus='0x02'/>
    </interface>
    <memballoon model='virtio'>
      <stats period='5'/>
    </memballoon>
  </devices>
</domain>
"""

Change = Callable[[Edits, Callable[[str], Element]], None]


def at(document: Document, path: str) -> Element:
    """The first element at a path below the domain."""
    element = document.root
    for name in path.split("/"):
        found = element.child(name)
        assert found is not None
        element = found
    return element


def outcome(change: Change, permit: Permit | None = None, *, moves: str = "") -> str:
    """What the document is then; raises InputError where that is refused."""
    document = parse(DATA, "f")
    edits = Edits(document)
    change(edits, lambda path: at(document, path))
    own = Permit(frozenset({at(document, moves)})) if moves else Permit()
    return carry_out(edits, permit or own).decode()


def no_balloon(edits: Edits, find: Callable[[str], Element]) -> None:
    edits.set_attribute(find("devices/memballoon"), "model", "none")
    edits.empty(find("devices/memballoon"))


ALLOWED: dict[str, Change] = {
    "a limit": lambda edits, find: edits.set_text(find("memtune/hard_limit"), "2"),
    "a source": lambda edits, find: edits.set_attribute(find("memoryBacking/source"), "type", "memfd"),
    "no source": lambda edits, find: edits.remove(find("memoryBacking/source")),
    "how it is allocated": lambda edits, find: edits.drop_attribute(find("memoryBacking/allocation"), "mode"),
    "locked": lambda edits, find: edits.insert(find("memoryBacking"), New("locked"), after=None),
    "a cache": lambda edits, find: edits.set_attribute(find("cpu/cache"), "mode", "disable"),
    "a controller": lambda edits, find: edits.insert(find("devices"), New("controller", (("a", "b"),)), after=None),
}
REFUSED: dict[str, Change] = {
    "another limit": lambda edits, find: edits.set_text(find("memtune/soft_limit"), "2"),
    "no soft limit": lambda edits, find: edits.remove(find("memtune/soft_limit")),
    "pages are shared": lambda edits, find: edits.remove(find("memoryBacking/nosharepages")),
    "no allocation": lambda edits, find: edits.remove(find("memoryBacking/allocation")),
    "the cpu's mode": lambda edits, find: edits.set_attribute(find("cpu"), "mode", "custom"),
    "no controller": lambda edits, find: edits.remove(find("devices/controller")),
    "another controller": lambda edits, find: edits.set_attribute(find("devices/controller"), "index", "2"),
    "a moved device": lambda edits, find: edits.set_attribute(find("devices/interface/address"), "bus", "0x09"),
    "no balloon": no_balloon,
    "another device": lambda edits, find: edits.insert(find("devices"), New("video"), after=None),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_every_patch_may_do_is_done(name: str) -> None:
    assert outcome(ALLOWED[name]) != DATA.decode()


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_patch_may_do_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be edited safely: elements other than the planned ones"):
        outcome(REFUSED[name])


def test_a_device_moves_only_where_it_is_the_one_that_moves() -> None:
    def second(edits: Edits, find: Callable[[str], Element]) -> None:
        address = find("devices").all("interface")[1].child("address")
        assert address is not None
        edits.set_attribute(address, "bus", "0x09")

    def both(edits: Edits, find: Callable[[str], Element]) -> None:
        # What stands before it shifts it.
        edits.set_text(find("memtune/hard_limit"), "1000000")
        REFUSED["a moved device"](edits, find)

    assert "bus='0x09'" in outcome(both, moves="devices/interface")
    with pytest.raises(InputError):
        outcome(second, moves="devices/interface")


def test_a_balloon_goes_with_leave_and_leaves_nothing() -> None:
    assert "<memballoon model='none'/>" in outcome(no_balloon, Permit(takes_balloon=True))

    def half(edits: Edits, find: Callable[[str], Element]) -> None:
        edits.set_attribute(find("devices/memballoon"), "model", "none")

    def other(edits: Edits, find: Callable[[str], Element]) -> None:
        edits.set_attribute(find("devices/memballoon"), "model", "xen")
        edits.empty(find("devices/memballoon"))

    for change in (half, other):
        with pytest.raises(InputError):
            outcome(change, Permit(takes_balloon=True))
