from collections.abc import Mapping

import pytest

from numaplan.errors import InputError
from numaplan.model.request import (
    Costs,
    CpuPolicy,
    EmulatorPolicy,
    GuestRequest,
    HostPolicy,
    MemoryPolicy,
    PageSize,
    ThreadPolicy,
)
from tests.spec.reading import PROFILES, read, refused, vm

SHIPPED = {path.stem: path.read_text() for path in PROFILES.glob("*.yaml")}
HEAD = "apiVersion: numaplan/v1\nkind: {kind}\nspec:\n"


def from_profile(name: str) -> GuestRequest:
    (fw1,) = read(vm(f"profile: {name}"), profiles=SHIPPED).guests
    return fw1


def host_profile(spec: str) -> Mapping[str, str]:
    return {"site": HEAD.format(kind="HostProfile") + "".join(f"  {line}\n" for line in spec.splitlines())}


def test_these_profiles_are_shipped() -> None:
    assert sorted(SHIPPED) == ["control-plane", "dpdk-forwarder", "telco-compute", "two-cell-database"]


def test_a_dpdk_forwarder_has_whole_cores_and_gigabyte_pages() -> None:
    fw1 = from_profile("dpdk-forwarder")
    assert (fw1.cpu_policy, fw1.thread_policy) == (CpuPolicy.DEDICATED, ThreadPolicy.REQUIRE)
    assert fw1.cells[0].page_size is PageSize.HUGE_1G
    assert fw1.emulator is EmulatorPolicy.SHARE
    assert fw1.interfaces == ()


def test_a_control_plane_shares_cpus() -> None:
    fw1 = from_profile("control-plane")
    assert fw1.cpu_policy is CpuPolicy.SHARED
    assert (fw1.cells[0].page_size, fw1.cells[0].memory_policy) == (PageSize.SMALL, MemoryPolicy.PREFERRED)


def test_a_two_cell_database_has_two_cells_and_an_iothread() -> None:
    fw1 = from_profile("two-cell-database")
    assert [len(cell.vcpus) for cell in fw1.cells] == [4, 4]
    assert fw1.cells[0].page_size is PageSize.HUGE_2M
    assert (fw1.distinct_nodes, fw1.iothreads) == (True, 1)


def test_the_shipped_host_profile_names_no_cpus() -> None:
    request = read(vm(), profiles=SHIPPED, host_profile="telco-compute")
    assert request.policy == HostPolicy(reserved_memory_kib=4 << 20, shared_ratio=4, costs=Costs(10, 10, 1))


def test_every_shipped_profile_says_where_it_comes_from() -> None:
    for text in SHIPPED.values():
        assert "description: " in text
        assert "guide" in text.lower()
        assert "://" not in text


def test_host_has_its_own_keys_over_the_host_profile() -> None:
    profiles = host_profile("reserved_cpus: 0-3\nshared_ratio: 8\nphysnets: {a: [ens1], b: [ens2]}\ncosts: {vf: 3}")
    text = vm(host="{shared_ratio: 2, physnets: {b: [ens3]}, costs: {cell: 5}}")
    policy = read(text, profiles=dict(profiles), host_profile="site").policy
    assert str(policy.reserved_cpus) == "0-3"
    assert policy.shared_ratio == 2
    assert policy.physnets == (("a", ("ens1",)), ("b", ("ens3",)))
    assert policy.costs == Costs(3, 5, 1)


def test_physnets_of_the_host_profile_may_be_named() -> None:
    text = vm("interfaces: [{name: x, physnet: a}]")
    assert read(text, profiles=dict(host_profile("physnets: {a: [ens1]}")), host_profile="site").guests


def test_sets_that_overlap_across_the_two_are_refused_where_the_shared_one_stands() -> None:
    text = refused(
        vm(host="{reserved_cpus: 0-1}"), profiles=dict(host_profile("shared_cpus: 1-2")), host_profile="site"
    )
    assert text == (
        "site.yaml:4:16: spec.shared_cpus: CPU 1 is in reserved_cpus too; take it out of one\n"
        "  shared_cpus: 1-2\n"
        "               ^"
    )


def test_an_unknown_host_profile_is_refused_with_the_known_ones() -> None:
    assert refused(vm(), profiles=SHIPPED, host_profile="telco") == (
        "--host-profile: unknown profile 'telco'; known host profiles: telco-compute"
    )
    assert refused(vm(), host_profile="telco") == "--host-profile: unknown profile 'telco'; there are no host profiles"


def test_a_guest_profile_is_no_host_profile() -> None:
    assert refused(vm(), profiles=SHIPPED, host_profile="control-plane") == (
        "--host-profile: profile 'control-plane' is a GuestProfile, a HostProfile is needed here; "
        "known host profiles: telco-compute"
    )


def test_a_mistake_in_a_host_profile_is_told_beside_those_of_the_file() -> None:
    with pytest.raises(InputError) as caught:
        read(vm("vcpus: x"), profiles=dict(host_profile("shared_ratio: many")), host_profile="site")
    assert [problem.where for problem in caught.value.problems] == ["vnf.yaml:7:12", "site.yaml:4:17"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "p.yaml: expected a map of keys and values at the top of the file"),
        ("kind: GuestProfile", "p.yaml:1:1: apiVersion: is missing"),
        ("apiVersion: numaplan/v1", "p.yaml:1:1: kind: is missing"),
        (
            "apiVersion: numaplan/v1\nkind: Guest",
            "p.yaml:2:7: kind: expected GuestProfile or HostProfile, found 'Guest'",
        ),
        (HEAD.format(kind="GuestProfile") + "  name: x", "p.yaml:4:3: spec.name: unknown key"),
        (HEAD.format(kind="GuestProfile") + "  profile: x", "p.yaml:4:3: spec.profile: unknown key"),
        (
            HEAD.format(kind="GuestProfile") + "  - x",
            "p.yaml:4:3: spec: expected a map of keys and values, found a list",
        ),
        (
            HEAD.format(kind="GuestProfile") + "  vcpus: &a 4",
            "p.yaml:4:10: spec.vcpus: anchors (&name) are not allowed",
        ),
        (HEAD.format(kind="GuestProfile") + "  cells: 3", "p.yaml:4:10: spec.cells: 8 vCPUs and 16 GiB"),
    ],
)
def test_a_mistake_in_a_profile_is_told_where_it_stands(text: str, sentence: str) -> None:
    assert sentence in refused(vm("profile: p"), profiles={"p": text})


def test_a_profile_without_keys_changes_nothing() -> None:
    for spec in ("", "  {}\n"):
        assert read(vm("profile: p"), profiles={"p": HEAD.format(kind="GuestProfile") + spec}) == read(vm())


def test_a_broken_profile_that_nobody_names_breaks_nothing() -> None:
    assert read(vm(), profiles={"p": "]["}) == read(vm())


def test_an_undefined_physnet_of_a_profile_is_refused_there() -> None:
    profile = HEAD.format(kind="GuestProfile") + "  interfaces: [{name: a, physnet: x}]\n"
    assert "p.yaml:4:35: spec.interfaces[0].physnet: undefined physnet 'x'" in refused(
        vm("profile: p"), profiles={"p": profile}
    )
    assert read(vm("profile: p\ninterfaces: []"), profiles={"p": profile}).guests[0].interfaces == ()
