"""What libvirt may have made of a definition, and what somebody else must have."""

import pytest

from numaplan.domxml.resemble import may_come_from

OLD = "<domain><name>a</name><cputune>{pins}</cputune><numatune>{nodes}</numatune></domain>"


def xml(pins: str = "", nodes: str = "") -> bytes:
    return OLD.format(pins=pins, nodes=nodes).encode()


def pins(*pairs: tuple[int, str], name: str = "iothreadpin", by: str = "iothread") -> str:
    return "".join(f"<{name} {by}='{number}' cpuset='{cpus}'/>" for number, cpus in pairs)


def scheds(*vcpus: str, priority: int = 1) -> str:
    return "".join(f"<vcpusched vcpus='{each}' scheduler='fifo' priority='{priority}'/>" for each in vcpus)


def nodes(*pairs: tuple[int, int]) -> str:
    return "".join(f"<memnode cellid='{cell}' mode='strict' nodeset='{node}'/>" for cell, node in pairs)


@pytest.mark.parametrize(
    ("given", "now", "may"),
    [
        (xml(pins((3, "1"), (7, "2"))), xml(pins((7, "2"), (3, "1"))), True),
        (xml(pins((3, "1"), (7, "2"))), xml(pins((7, "1"), (3, "2"))), False),
        (xml(pins((3, "1"), (7, "2"))), xml(pins((7, "2"))), False),
        (xml(pins((3, "1"))), xml(pins((3, "1"), (7, "2"))), False),
        (xml(scheds("1-3")), xml(scheds("1", "2", "3")), True),
        (xml(scheds("1,3")), xml(scheds("1", "2", "3")), False),
        (xml(scheds("1-3")), xml(scheds("1", "2")), False),
        (xml(scheds("1-3")), xml(scheds("1", "2", "3", priority=2)), False),
        (xml(nodes=nodes((1, 0), (0, 1))), xml(nodes=nodes((0, 1), (1, 0))), True),
        (xml(nodes=nodes((1, 0), (0, 1))), xml(nodes=nodes((0, 0), (1, 1))), False),
    ],
)
def test_the_order_of_what_is_numbered_says_nothing_and_all_else_does(given: bytes, now: bytes, may: bool) -> None:  # noqa: FBT001
    assert may_come_from(now, old=xml(), given=given) is may
    assert may_come_from(now, old=given, given=given) is may
