"""What changes by itself, or changes nothing that a plan rests on, raises no alarm."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from numaplan.apply.stale import differences
from numaplan.model.plan import Basis, GuestFacts
from tests.apply.standing import BOOT_ID, Host, Standing, standing_host

NODE = "sys/devices/system/node"
CPU = "sys/devices/system/cpu"
PF = "sys/devices/pci0000:20/0000:20:00.0/0000:21:00.0"
LEFT_VF = "sys/devices/pci0000:20/0000:20:00.0/0000:21:10.4"
DISPLAY = "<graphics type='vnc' port='-1' passwd='sesame' passwdValidTo='2031-01-01T00:00:00'/></devices>"

Edit = Callable[[Host], object]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    return standing_host(tmp_path_factory.mktemp("standing"))


@pytest.fixture
def standing(prepared: Standing) -> Iterator[Standing]:
    yield prepared
    prepared.host.restore()


def rows(name: str, change: Callable[[Any], object]) -> Edit:
    return lambda host: host.rows(name, change)


def surplus(host: Host) -> None:
    pool = f"{NODE}/node1/hugepages/hugepages-2048kB"
    host.write(f"{pool}/nr_hugepages", "260\n")
    host.write(f"{pool}/surplus_hugepages", "4\n")


def other_macs(document: Any) -> None:  # noqa: ANN401  # rows are JSON
    for number, link in enumerate(document["links"]):
        link["mac"] = f"02:00:00:00:00:{number:02x}"
        for vf in link.get("vfs", ()):
            vf["mac"] = f"02:00:00:00:01:{number:02x}"


def slower(document: Any) -> None:  # noqa: ANN401  # rows are JSON
    for link in document["links"]:
        link.update(mtu=9000, operstate="DOWN")


def other_threads(document: Any) -> None:  # noqa: ANN401  # rows are JSON
    for process in document["processes"]:
        for thread in process["threads"]:
            if thread["tid"] != process["pid"]:
                thread["tid"] += 1000


def titled(document: Any) -> None:  # noqa: ANN401  # rows are JSON
    """db1 stays where it is: only what it holds matters."""
    row = next(row for row in document["domains"] if row["name"] == "db1")
    for key in ("xml", "inactive_xml"):
        row[key] = row[key].replace(
            "<memory ", "<title>billing</title><description>do not stop</description><memory ", 1
        )


def autostarted(document: Any) -> None:  # noqa: ANN401  # rows are JSON
    for row in document["domains"]:
        row["autostart"] = True
        row["xml"] = row["xml"] and re.sub(r" id='\d+'", " id='77'", row["xml"], count=1)


def rewritten(xml: str) -> str:
    """The same domain as another program would write it."""
    xml = re.sub(r"(\w+)='([^'\"]*)'", r'\1="\2"', xml)
    xml = xml.replace('vcpu="0" cpuset="4"', "cpuset='4'   vcpu='0'").replace("\n", "\r\n")
    xml = xml.replace("<cputune>", "<!-- pinned by hand --><cputune>\t").replace("<name>fw1<", "<name><![CDATA[fw1]]><")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml


QUIET: dict[str, Edit] = {
    "free memory": lambda host: host.edit(f"{NODE}/node1/meminfo", "2291852 kB", "291852 kB"),
    "free huge pages": lambda host: host.write(f"{NODE}/node1/hugepages/hugepages-2048kB/free_hugepages", "3\n"),
    "surplus huge pages": surplus,
    "the size of a node's memory to the KiB": lambda host: host.edit(
        f"{NODE}/node1/meminfo", "4123512 kB", "4123500 kB"
    ),
    "MAC addresses": rows("netlink", other_macs),
    "links that are down": rows("netlink", slower),
    "the speed of a link": lambda host: host.write(f"{PF}/net/eth1/speed", "-1\n"),
    "counters of a link": lambda host: host.write(f"{PF}/net/eth1/statistics/rx_packets", "123456789\n"),
    "where interrupts are served": lambda host: host.write("proc/irq/59/smp_affinity_list", "3\n"),
    "frequencies": lambda host: host.write(f"{CPU}/cpufreq/policy0/scaling_cur_freq", "800000\n"),
    "ids of threads": rows("processes", other_threads),
    "where memory lies": lambda host: host.edit("proc/673/numa_maps", "N0=", "N1="),
    "autostart, and ids of domains": rows("libvirt", autostarted),
    "the title of a guest that stays": rows("libvirt", titled),
    "the definition of a guest that stays": lambda host: host.definition(
        "db1", lambda xml: xml.replace("model='qemu-xhci'", "model='ich9-ehci1'")
    ),
    "how the XML of a guest of the plan is written": lambda host: host.definition("fw1", rewritten),
    "the driver of a VF that the plan leaves": lambda host: host.link(
        f"{LEFT_VF}/driver", "../../../../bus/pci/drivers/vfio-pci"
    ),
    "samepage merging": lambda host: host.write("sys/kernel/mm/ksm/pages_sharing", "5000\n"),
}


@pytest.mark.parametrize("what", QUIET)
def test_no_alarm_is_raised_by(what: str, standing: Standing) -> None:
    QUIET[what](standing.host)
    assert standing.told() == []


def test_a_fact_that_was_not_known_and_is_now_is_no_difference(standing: Standing) -> None:
    planned = standing.plan.basis
    assert planned is not None
    known = dict(planned.host)
    less = replace(planned, host=tuple(pair for pair in planned.host if pair[0] not in {"boot id", "hostname"}))
    assert differences(less, planned) == ()
    assert len(differences(planned, less)) == 2
    assert known["boot id"]


def test_a_guest_of_which_only_the_xml_was_known_may_run(standing: Standing) -> None:
    """A plan made of a directory of XML files, and carried out on libvirt."""
    planned = standing.plan.basis
    assert planned is not None
    told_by_libvirt = {"running", "persistent", "managed save"}
    guests = tuple(
        replace(guest, facts=tuple(pair for pair in guest.facts if pair[0] not in told_by_libvirt))
        for guest in planned.guests
    )
    assert differences(replace(planned, guests=guests), planned) == ()


def test_the_xml_of_a_guest_that_can_no_longer_be_read_is_told() -> None:
    planned = Basis((), (GuestFacts("fw1", (), (("@", "1"),)),))
    now = Basis((), (GuestFacts("fw1", ()),))
    assert [str(problem) for problem in differences(planned, now)] == ["fw1: its XML can no longer be read"]


def test_who_may_not_see_secrets_finds_the_same_guest(standing: Standing) -> None:
    standing.host.definition("fw1", lambda xml: xml.replace("</devices>", DISPLAY))
    with_secrets = standing.told()
    standing.host.definition("fw1", lambda xml: xml.replace(" passwd='sesame'", ""))
    assert standing.told() == with_secrets == ["fw1: <graphics> was added to its XML"]


def test_a_host_that_has_no_boot_id_any_more_is_not_the_same(standing: Standing) -> None:
    standing.host.write(BOOT_ID, "not a UUID\n")
    assert standing.told() == [
        "host: boot id: was 9b1c8a52-6d0e-4d3c-8f5a-0a1b2c3d4e5f, and can no longer be read",
    ]
