"""What the host could have more of: VFs up to those of a range, PFs that stay whole, pages that others take first."""

from dataclasses import replace

from numaplan.model.host import NodeId
from numaplan.model.switch import OpenVswitch, SocketMemory
from tests.hosts import GIB, Nic, host
from tests.placement.test_fixes import sentences, vm


def test_a_range_past_the_configured_vfs_takes_those_before_it_too() -> None:
    snapshot = host("1n:12c:1t", nics=[Nic("ens0", 0, 4)])
    last = vm("a", interfaces=[{"name": "data", "pf": "ens0#6-7", "count": 2}])
    assert sentences(snapshot, last)[0] == "configure 4 more VFs on ens0: cost 20"
    first = vm("b", interfaces=[{"name": "data", "pf": "ens0#0-3", "count": 4}])
    sixth = vm("c", interfaces=[{"name": "data", "pf": "ens0#5"}])
    assert sentences(snapshot, first, sixth)[0] == "configure 2 more VFs on ens0: cost 10"
    others = vm("d", interfaces=[{"name": "data", "pf": "ens0", "count": 3}])
    assert sentences(snapshot, first, sixth, others)[0] == "configure 4 more VFs on ens0: cost 20"


def test_a_pf_that_never_had_vfs_and_whose_model_nobody_shows_gets_some_that_no_ids_name() -> None:
    snapshot = host("2n:4c:1t", nics=[Nic("ens0", 0, 0), Nic("ens1", 1, 0)])
    plain = {"name": "data", "pf": "ens0", "count": 2, "affinity": "required"}
    assert sentences(snapshot, vm("a", interfaces=[plain]))[0] == "configure 2 more VFs on ens0: cost 10"
    by_id = {"name": "data", "physnet": "p", "vendor": "8086", "device": "154c"}
    said = sentences(snapshot, vm("a", interfaces=[by_id]), physnets={"p": ["ens0"]})
    assert not any("ens0" in each for each in said)
    # No more than it can have.
    many = vm("a", interfaces=[plain | {"count": 65}])
    assert not any("VF" in each for each in sentences(snapshot, many))


def test_a_pf_that_a_guest_has_whole_gets_no_vfs_and_others_do() -> None:
    nics = [Nic("ens0", 0, 0), Nic("ens1", 0, 2)]
    data = vm("a", interfaces=[{"name": "data", "physnet": "p", "count": 3}])
    by_address, by_id = {"address": "0000:10:00.0"}, {"vendor": "8086", "device": "1572"}
    for wanted in (by_address, by_id):
        whole = vm("b", devices=[{"name": "whole", **wanted}])
        said = sentences(host("1n:8c:1t", nics=nics), whole, data, physnets={"p": ["ens0", "ens1"]})
        assert said[0] == "configure 1 more VF on ens1: cost 5"
        assert not any("ens0" in each for each in said)


def test_of_two_pfs_one_of_which_stays_whole_either_gets_vfs() -> None:
    snapshot = host("1n:8c:1t", nics=[Nic("ens0", 0, 0), Nic("ens1", 0, 0), Nic("ens2", 0, 1)])
    whole = vm("b", devices=[{"name": "whole", "vendor": "8086", "device": "1572"}])
    data = vm("a", interfaces=[{"name": "data", "physnet": "p", "count": 2}])
    assert sentences(snapshot, whole, data, physnets={"p": ["ens0", "ens1"]})[:2] == [
        "configure 2 more VFs on ens0: cost 10",
        "configure 2 more VFs on ens1: cost 10",
    ]


def test_memory_that_is_preferred_elsewhere_is_not_made_into_pages() -> None:
    cells = [{"vcpus": 1, "memory": "4GiB"}] * 2
    apart = {"name": "b", "memory_policy": "preferred", "cells": cells}
    snapshot = host("2n:4c:1t", pages={"1GiB": 0}, memory_gib=10)
    nodes = tuple(replace(node, free_kib=0, available_kib=0) if node.id == 0 else node for node in snapshot.nodes)
    said = sentences(replace(snapshot, nodes=nodes), vm("a", memory="6GiB", page_size="1GiB"), apart)
    assert said[0] == "reserve 6 more 1 GiB pages on node 1 (which needs 4 GiB more memory there): cost 46"
    assert said[1] == "reserve 6 more 1 GiB pages on node 0 (which needs 6 GiB more memory there): cost 66"


def test_pages_that_a_switch_takes_first_are_reserved_too() -> None:
    snapshot = host("2n:4c:1t", pages={"1GiB": 0, "2MiB": [600, 0]}, memory_gib=10)
    memory = (SocketMemory(NodeId(0), 1536 << 10), SocketMemory(NodeId(1), GIB))
    switch = OpenVswitch(dpdk=False, dpdk_init=True, socket_memory=memory)
    asked = vm("a", memory="2GiB", page_size="1GiB")
    said = sentences(replace(snapshot, openvswitch=switch), asked)
    assert said[:2] == [
        "reserve 3 more 1 GiB pages on node 0: cost 3",
        "reserve 3 more 1 GiB pages on node 1: cost 3",
    ]
    running = replace(switch, dpdk=True)
    assert sentences(replace(snapshot, openvswitch=running), asked)[0] == "reserve 2 more 1 GiB pages on node 0: cost 2"


def test_memory_that_a_guest_wants_who_may_be_left_out_is_not_made_into_pages() -> None:
    snapshot = host("1n:6c:1t", pages={"1GiB": 2}, memory_gib=14)
    huge = vm("a", memory="8GiB", page_size="1GiB")
    said = sentences(snapshot, huge, vm("b", memory="12GiB", required=False), guest_overhead="0KiB")
    assert "reserve 6 more 1 GiB pages on node 0 (which needs 4 GiB more memory there): cost 46" in said
