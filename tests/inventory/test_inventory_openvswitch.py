"""Open vSwitch, from rows that a real one gave and from made ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numaplan.cpuset import CpuSet
from numaplan.inventory.openvswitch import (
    parse_devargs,
    parse_interface,
    parse_pmd_rxq_show,
    parse_socket_memory,
    read_openvswitch,
)
from numaplan.inventory.ovsdb import OvsdbRow
from numaplan.model.devices import Link, PciAddress
from numaplan.model.switch import (
    OpenVswitch,
    OvsBridge,
    OvsInterface,
    OvsPort,
    PmdQueue,
    PmdThread,
    SocketMemory,
)
from tests.inventory.trees import gaps, tree
from tests.sources.switches import recorded_rows

PORT = PciAddress(0, 0x3B, 0, 0)

# As Open vSwitch printed it: 2.6 with the queues of a port on one line, 2.9 with their load, 3.1 with everything.
SHOW_2_6 = """\
pmd thread numa_id 0 core_id 3:
\tisolated : false
\tport: dpdk0\tqueue-id: 0 1
\tport: vhu with blanks\tqueue-id: 0
pmd thread numa_id 1 core_id 12:
\tisolated : true
"""
SHOW_2_9 = """\
pmd thread numa_id 0 core_id 3:
\tisolated : false
\tport: dpdk0           \tqueue-id: 10\tpmd usage:  3 %
\tport: dpdk0           \tqueue-id:  9\tpmd usage: NOT AVAIL
"""


def rows(**changes: object) -> dict[str, object]:
    """Tables with one bridge and one port, with some of them changed."""
    tables: dict[str, object] = {
        "Open_vSwitch": [{"ovs_version": "3.3.1"}],
        "Bridge": [{"_uuid": ["uuid", "b"], "name": "br0", "datapath_type": "netdev", "ports": ["uuid", "p"]}],
        "Port": [{"_uuid": ["uuid", "p"], "name": "a", "interfaces": ["uuid", "i"], "tag": ["set", []]}],
        "Interface": [{"_uuid": ["uuid", "i"], "name": "a", "type": "dpdk"}],
    }
    return {"tables": tables | changes, "pmd_rxq_show": ""}


def read(document: object, *links: Link) -> tuple[OpenVswitch | None, list[tuple[str, str]]]:
    made = tree({"numaplan/openvswitch.json": json.dumps(document)})
    return read_openvswitch(made, links), gaps(made)


def told(document: object, *links: Link) -> OpenVswitch:
    """What is read where nothing is amiss."""
    switch, noted = read(document, *links)
    assert switch is not None
    assert noted == []
    return switch


def settings(**other_config: str) -> dict[str, object]:
    pairs = [[key.replace("_", "-"), value] for key, value in other_config.items()]
    return rows(Open_vSwitch=[{"other_config": ["map", pairs]}])


def test_a_real_switch() -> None:
    switch = told(recorded_rows())
    assert (switch.version, switch.dpdk, switch.hardware_offload) == ("3.1.0", False, True)
    assert switch.dpdk_init is True
    assert (switch.pmd_cpus, switch.lcore_cpus) == (CpuSet.parse("0-3"), CpuSet.parse("1"))
    assert switch.socket_memory == (SocketMemory(0, 1024 * 1024), SocketMemory(1, 512 * 1024))  # type: ignore[arg-type]  # ids are ints
    assert [(bridge.name, bridge.datapath) for bridge in switch.bridges] == [
        ("br-ex", "dummy"),
        ("br-sys", "system"),
        ("br0", "dummy"),
    ]
    assert switch.bridges[0].ports[0] == OvsPort("bond0", ("eth1", "eth2"))
    assert switch.bridges[1].ports[2] == OvsPort("vnet0", ("vnet0",), 7)


def test_interfaces_of_a_real_switch() -> None:
    interfaces = {interface.name: interface for interface in told(recorded_rows()).interfaces}
    assert list(interfaces) == sorted(interfaces)
    assert interfaces["dpdk0"] == OvsInterface("dpdk0", "dummy-pmd", pci=PORT, rx_queues=2)
    assert interfaces["dpdk1"].pci is None
    assert interfaces["dpdk2"] == OvsInterface("dpdk2", "dpdk", pci=PciAddress(0, 0x5E, 0, 1), rx_queues=4)
    assert interfaces["vhu3"].socket == "/var/run/openvswitch/vhost/vhu3"
    assert interfaces["vhu4"].socket == "/var/lib/vhost_sockets/vhu4"
    assert interfaces["patch-ex"] == OvsInterface("patch-ex", "patch", peer="patch-int")
    assert interfaces["vx0"] == OvsInterface("vx0", "vxlan", remote="192.0.2.9")
    assert interfaces["ens1f0"] == OvsInterface("ens1f0")


def test_polling_threads_of_a_real_switch() -> None:
    switch = told(recorded_rows())
    assert [(pmd.cpu, pmd.node, pmd.isolated, len(pmd.queues)) for pmd in switch.pmds] == [
        (0, 0, True, 1),
        (1, 0, False, 0),
        (2, 1, True, 1),
        (3, 1, False, 3),
    ]
    assert switch.pmds[3].queues == (PmdQueue("vhu1", 0), PmdQueue("vhu1", 1), PmdQueue("vhu2", 0))
    assert switch.polling_cpus == CpuSet.parse("0-3")


def test_a_host_without_open_vswitch_has_none() -> None:
    made = tree({"sys": None})
    assert read_openvswitch(made) is None
    assert not made.gaps


def test_a_port_that_is_named_by_its_mac_is_the_function_of_that_link() -> None:
    links = (Link("e0", mac="00:11:22:33:44:55", pci=PORT), Link("v", mac="00:11:22:33:44:55"))
    named = next(entry for entry in told(recorded_rows(), *links).interfaces if entry.name == "dpdk1")
    assert named.pci == PORT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0000:3b:00.0", PORT),
        ("3b:00.0", PORT),
        (" 0000:3b:00.0 ,n_rxq_desc=2048", PORT),
        ("pci:0000:3b:00.0", PORT),
        ("0000:3b:00.0,representor=[0-3]", PORT),
        ("class=eth,mac=00:11:22:33:44:55", PORT),
        ("class=eth,mac=00:11:22:33:44:55,representor=[1]", PORT),
        ("class=eth,mac=00:11:22:33:44:AA", PciAddress(0, 0x5E, 0, 0)),
        ("class=eth,mac=00:11:22:33:44:66", None),
        ("class=eth,mac=00:11:22:33:44:77", None),
        ("net_tap0,iface=tap0", None),
        ("eth_bond0,mode=1,slave=0000:3b:00.0", None),
        ("", None),
    ],
)
def test_arguments_of_a_dpdk_port_name_its_function(text: str, expected: PciAddress | None) -> None:
    links = (
        Link("a", mac="00:11:22:33:44:55", pci=PORT),
        Link("b", mac="00:11:22:33:44:aa", pci=PciAddress(0, 0x5E, 0, 0)),
        # Two ports of a bond have one address.
        Link("c", mac="00:11:22:33:44:66", pci=PORT),
        Link("d", mac="00:11:22:33:44:66", pci=PciAddress(0, 0x5E, 0, 1)),
        Link("e", mac="00:11:22:33:44:77"),
    )
    assert parse_devargs(text, links) == expected


@pytest.mark.parametrize(
    ("status", "options", "node", "queues"),
    [
        ([["numa_id", "1"], ["n_rxq", "4"]], [["n_rxq", "2"]], 1, 4),
        ([["numa", "0"]], [["n_rxq", "2"]], 0, 2),
        ([["numa_id", "-1"]], [], None, None),
        ([], [["numa_id", "1"]], None, None),
    ],
)
def test_what_a_port_is_goes_before_what_it_was_asked_to_be(
    status: list[list[str]], options: list[list[str]], node: int | None, queues: int | None
) -> None:
    row = OvsdbRow({"name": "a", "type": "dpdk", "status": ["map", status], "options": ["map", options]})
    interface = parse_interface(row)
    assert (interface.node, interface.rx_queues) == (node, queues)


def test_a_vhost_user_server_without_a_run_directory_has_no_known_socket() -> None:
    assert parse_interface(OvsdbRow({"name": "v", "type": "dpdkvhostuser"})).socket is None
    with_folder = parse_interface(OvsdbRow({"name": "v", "type": "dpdkvhostuser"}), sockets="/run/ovs")
    assert with_folder.socket == "/run/ovs/v"


def test_queues_stand_on_one_line_in_old_versions() -> None:
    first, second = parse_pmd_rxq_show(SHOW_2_6)
    assert first.queues == (PmdQueue("dpdk0", 0), PmdQueue("dpdk0", 1), PmdQueue("vhu with blanks", 0))
    assert (second.cpu, second.node, second.isolated, second.queues) == (12, 1, True, ())


def test_queues_come_by_number_not_by_spelling() -> None:
    (thread,) = parse_pmd_rxq_show(SHOW_2_9)
    assert thread.queues == (PmdQueue("dpdk0", 9), PmdQueue("dpdk0", 10))


def test_a_node_that_open_vswitch_does_not_know_is_none() -> None:
    text = "pmd thread numa_id 2147483647 core_id 1:\npmd thread numa_id -1 core_id 2:\n"
    assert parse_pmd_rxq_show(text) == (PmdThread(1), PmdThread(2))  # type: ignore[arg-type]  # ids are ints


def test_a_switch_without_threads_says_nothing() -> None:
    assert parse_pmd_rxq_show("Displaying last 60 seconds pmd usage %\n") == ()
    assert parse_pmd_rxq_show("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "pmd thread numa_id x core_id 1:\n",
        "pmd thread numa_id 0 core_id 8192:\n",
        "pmd thread numa_id 0 core_id 1:\n  port: a\n",
        "pmd thread numa_id 0 core_id 1:\n  port: a queue-id: x\n",
        "pmd thread\n",
    ],
)
def test_threads_that_cannot_be_made_sense_of_are_a_gap(text: str) -> None:
    with pytest.raises(ValueError, match=r"no thread|no port"):
        parse_pmd_rxq_show(text)
    switch, noted = read(rows() | {"pmd_rxq_show": text})
    assert switch is not None
    assert switch.pmds == ()
    assert [what for what, _ in noted] == ["openvswitch"]


def test_threads_that_nobody_tells_are_a_gap_where_a_bridge_is_in_user_space() -> None:
    fault = {"pmd_rxq_show": None, "pmd_rxq_fault": "permission denied"}
    switch, noted = read(rows() | fault)
    assert switch is not None
    assert noted == [("openvswitch", "polling threads are not known: permission denied")]
    kernel = [{"name": "br0", "datapath_type": "", "ports": ["set", []]}]
    assert told(rows(Bridge=kernel) | fault).bridges == (OvsBridge("br0", "system", ()),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0x5", "0,2"), ("5", "0,2"), ("0X1F", "0-4"), ("8000000000000000", "63"), ("0", ""), ("1" + "0" * 32, "128")],
)
def test_masks_of_any_length(text: str, expected: str) -> None:
    assert told(settings(pmd_cpu_mask=text)).pmd_cpus == CpuSet.parse(expected)


@pytest.mark.parametrize("text", ["", "0x", "x", "-1", "1,2", "1" * 2049, "\u0661"])
def test_what_is_no_mask_is_a_gap(text: str) -> None:
    switch, noted = read(settings(pmd_cpu_mask=text, dpdk_lcore_mask="2"))
    assert switch is not None
    assert (switch.pmd_cpus, switch.lcore_cpus) == (None, CpuSet.parse("1"))
    assert "pmd-cpu-mask" in noted[0][1]


@pytest.mark.parametrize(
    ("text", "asked"), [("true", True), ("TRUE", True), ("try", True), ("false", False), (" False", False)]
)
def test_dpdk_is_asked_for_or_not(text: str, *, asked: bool) -> None:
    assert told(settings(dpdk_init=text)).dpdk_init is asked
    assert told(settings(pmd_cpu_mask="1")).dpdk_init is None


def test_a_wish_for_dpdk_that_is_no_word_of_it_is_a_gap() -> None:
    switch, noted = read(settings(dpdk_init="maybe"))
    assert switch is not None
    assert switch.dpdk_init is None
    assert noted == [("openvswitch", "dpdk-init: expected true, try or false, found 'maybe'")]


def test_the_mask_polls_only_where_there_is_dpdk() -> None:
    assert told(settings(pmd_cpu_mask="3", dpdk_init="true")).polling_cpus == CpuSet.parse("0-1")
    assert told(settings(pmd_cpu_mask="3", dpdk_init="false")).polling_cpus == CpuSet()
    assert told(settings(pmd_cpu_mask="3")).polling_cpus == CpuSet()


def test_memory_is_by_node_and_none_where_it_is_nought() -> None:
    assert [(memory.node, memory.size_kib) for memory in parse_socket_memory("1024,0,2048")] == [
        (0, 1024 * 1024),
        (2, 2048 * 1024),
    ]
    assert parse_socket_memory("") == ()


@pytest.mark.parametrize("text", ["x", "1,,2", "-1", "1" * 13, ",".join(["1"] * 1025)])
def test_what_is_no_memory_is_a_gap(text: str) -> None:
    switch, noted = read(settings(dpdk_socket_mem=text))
    assert switch is not None
    assert switch.socket_memory == ()
    assert "dpdk-socket-mem" in noted[0][1]


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("false", False), ("maybe", None)])
def test_hardware_offload_is_said_in_words(text: str, expected: bool | None) -> None:  # noqa: FBT001 - a value of a table
    assert told(settings(hw_offload=text)).hardware_offload is expected
    assert told(rows()).hardware_offload is None


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        ("Interface", {"name": 1}, "name: expected a string"),
        ("Interface", {}, "name: expected a name"),
        ("Interface", {"name": "x", "options": ["set", []]}, "options: expected a map"),
        ("Interface", {"name": "x", "options": ["map", [["n_rxq"]]]}, "options: expected a pair"),
        ("Interface", {"name": "x", "options": ["map", [["n_rxq", "-1"]]]}, "n_rxq: expected a number"),
        ("Interface", {"name": "x", "status": ["map", [["numa_id", "1024"]]]}, "numa_id: expected a number"),
        ("Interface", {"name": "x", "type": ["set", ["a", "b"]]}, "type: expected one value"),
        ("Port", {"name": "x", "tag": 4096}, "tag: expected a whole number"),
        ("Port", {"name": "x", "tag": True}, "tag: expected a whole number"),
        ("Port", {"name": "x", "interfaces": ["set", ["i"]]}, "interfaces: expected ids"),
        ("Bridge", {"name": "x", "ports": {"set": []}}, "ports: expected a set"),
        ("Bridge", "x", "expected a row"),
    ],
)
def test_a_bad_row_costs_that_row(table: str, row: object, words: str) -> None:
    document = rows()
    tables = document["tables"]
    assert isinstance(tables, dict)
    tables[table] = [row, *tables[table]]
    switch, noted = read(document)
    assert switch is not None
    assert switch.bridges == (OvsBridge("br0", "netdev", (OvsPort("a", ("a",)),)),)
    assert switch.interfaces == (OvsInterface("a", "dpdk"),)
    ((what, why),) = noted
    assert what == "openvswitch"
    assert why.startswith(f"{table}: ")
    assert words in why


@pytest.mark.parametrize("document", [[], {}, {"tables": []}, "x"], ids=ascii)
def test_rows_without_tables_are_a_gap(document: object) -> None:
    switch, noted = read(document)
    assert switch is None
    assert noted[0] == ("openvswitch", "expected an object with tables")


def test_a_missing_table_is_a_gap() -> None:
    switch, noted = read(rows(Port=None))
    assert switch is not None
    assert switch.bridges[0].ports == ()
    assert noted == [("openvswitch", "Port: expected a list of rows")]


def test_a_name_that_stands_twice_is_taken_once() -> None:
    switch, noted = read(rows(Interface=[{"name": "a"}, {"name": "a", "type": "dpdk"}]))
    assert switch is not None
    assert switch.interfaces == (OvsInterface("a"),)
    assert noted == [("openvswitch", "'a' is named twice")]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["set", "map", "uuid", "i"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    column=st.sampled_from(
        ["_uuid", "name", "type", "options", "status", "tag", "interfaces", "ports", "other_config"]
    ),
    value=_JSON,
)
def test_no_value_of_a_column_breaks_the_reader(column: str, value: object) -> None:
    document = rows()
    tables = document["tables"]
    assert isinstance(tables, dict)
    for table in tables.values():
        table[0][column] = value
    assert isinstance(read(document)[0], OpenVswitch)
