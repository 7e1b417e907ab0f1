from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.errors import InputError
from numaplan.spec.nodes import PROBLEM_LIMIT
from tests.spec.reading import PROFILES, read, refused, vm

CASES = Path(__file__).parent / "refused"

TROUBLE = {
    "dpdk-forwarder": (PROFILES / "dpdk-forwarder.yaml").read_text(),
    "telco": "apiVersion: numaplan/v1\nkind: HostProfile\nname: telco\nspec: {}\n",
    "broken": "apiVersion: numaplan/v1\nkind: GuestProfile\nname: other\nspec:\n  cpu_policy: pinned\n  count: 2\n",
}


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_every_mistake_is_told_at_its_place_in_an_engineers_words(
    case: str, golden: Callable[[Path, str], None]
) -> None:
    golden(CASES / f"{case}.txt", refused((CASES / f"{case}.yaml").read_text(), profiles=TROUBLE) + "\n")


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_no_word_of_the_libraries_reaches_the_user(case: str) -> None:
    text = refused((CASES / f"{case}.yaml").read_text(), profiles=TROUBLE).lower()
    for word in ("input should", "pydantic", "validat", "extra inputs", "field required", "<unicode string>", "dict"):
        assert word not in text


def test_problems_are_in_the_order_of_the_file_and_told_once() -> None:
    with pytest.raises(InputError) as caught:
        read((CASES / "many-mistakes.yaml").read_text())
    places = [tuple(int(part) for part in problem.where.split(":")[1:]) for problem in caught.value.problems]
    assert places == sorted(places)
    assert len({(problem.where, problem.what) for problem in caught.value.problems}) == len(places)


def test_a_mistake_in_defaults_is_told_once_however_many_vms_have_it() -> None:
    text = vm(defaults="{thread_policy: x}") + "".join(
        f"  - {{name: v{i}, vcpus: 1, memory: 1GiB}}\n" for i in range(9)
    )
    assert refused(text).count("defaults.thread_policy: expected") == 1


def test_problems_past_the_limit_are_counted() -> None:
    text = vm() + "".join(
        f"  - {{name: v{i}, vcpus: 1, memory: 1GiB, affinity: [x]}}\n" for i in range(PROBLEM_LIMIT + 5)
    )
    with pytest.raises(InputError) as caught:
        read(text)
    assert len(caught.value.problems) == PROBLEM_LIMIT + 1
    assert caught.value.problems[-1].what == "5 more problems like these"


@pytest.mark.parametrize(
    ("keys", "cells"),
    [
        ("vcpus: 5\nmemory: 3GiB\ncells: 2", "[{vcpus: 3, memory: 1536MiB}, {vcpus: 2, memory: 1536MiB}]"),
        ("vcpus: 5\nmemory: 3GiB\npage_size: 1GiB\ncells: 2", "[{vcpus: 3, memory: 2GiB}, {vcpus: 2, memory: 1GiB}]"),
        ("vcpus: 4\nmemory: 4097KiB\ncells: 2", "[{vcpus: 2, memory: 2049KiB}, {vcpus: 2, memory: 2MiB}]"),
        ("vcpus: 1\nmemory: 1GiB\npage_size: large\ncells: 9", "[{vcpus: 1, memory: 1GiB}]"),
        ("vcpus: 3\nmemory: 1KiB\ncells: 2", "[{vcpus: 3, memory: 1KiB}]"),
    ],
)
def test_what_does_not_divide_is_told_with_a_list_that_is_accepted(keys: str, cells: str) -> None:
    *_, hint = refused(vm(keys)).split("\n", 1)[0].split("; ")
    assert hint == f"give a list, such as {cells}"
    said, _, _ = keys.rpartition("\n")
    assert read(vm(f"{said}\ncells: {cells}"))


def test_no_list_too_long_to_read_is_told() -> None:
    assert "give a list of {vcpus: ..., memory: ...}, one for each cell\n" in refused(vm("vcpus: 65\ncells: 64"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: fw2\nvms: []", "vms: at least one vm is needed"),
        ("apiVersion: numaplan/v2\nvms: []", "apiVersion: expected numaplan/v1, found 'numaplan/v2'"),
        ("apiVersion: numaplan/v1", "vms: at least one vm is needed"),
        ("apiVersion: numaplan/v1\nvms:", "vms: at least one vm is needed"),
        ("apiVersion: numaplan/v1\nvms: fw1", "vms: expected a list of vms"),
        ("apiVersion: numaplan/v1\nvms: {name: fw1}", "vms: expected a list of vms"),
        (vm(host="[]"), "host: expected a map of keys and values, found a list"),
        (vm(defaults="5"), "defaults: expected a map of keys and values, found '5'"),
        (vm("count: 0"), "vms[0].count: expected a whole number of 1 or more, found '0'"),
        (vm("vcpus: 4097"), "vms[0].vcpus: expected a whole number of at most 4096, found '4097'"),
        (vm("vcpus: " + "9" * 5000), "vms[0].vcpus: expected a whole number of at most 4096, found"),
        (vm("vcpus: 0x8"), "expected a whole number of 1 or more, found '0x8'"),
        (vm("vcpus: 8.0"), "expected a whole number of 1 or more, found '8.0'"),
        (vm("vcpus: [8]"), "expected a whole number of 1 or more, found a list"),
        (vm("vcpus:"), "vms[0].vcpus: is missing; give it here, in the profile or in defaults"),
        (vm('vcpus: "8"'), "found '8' in quotes; take the quotes away"),
        (vm('required: "true"'), "found 'true' in quotes; take the quotes away"),
        (vm("memory: 1.5GiB"), "found '1.5GiB'; give a whole number of the next smaller unit"),
        (vm("memory: 9999999TiB"), "expected a size of at most 4096TiB"),
        (vm(f"memory: {10**30}GiB"), "expected a size of at most 4096TiB"),
        (vm("memory: 0"), "add the unit"),
        (vm("cells: 65"), "expected a whole number of at most 64, found '65'"),
        (vm("interfaces: data"), "expected a list, found 'data'; write [data]"),
        (vm("affinity: fw1"), "expected a list, found 'fw1'; write [fw1]"),
        (vm("affinity: [[fw1]]"), "vms[0].affinity[0]: expected a guest's name, found a list"),
        (vm("priority: -1"), "expected a whole number of 0 or more, found '-1'"),
        (vm("name: b"), "this key is given twice, on lines 5 and 8"),
        (vm(host="{reserved_cpus: [0, 1]}"), "expected a CPU list such as 0-1,64-65, found a list"),
        (vm(host="{reserved_cpus: 5-3}"), "range runs backwards"),
        (vm(host="{reserved_cpus: 0-9000}"), "id 9000 is 8192 or more"),
        (vm(host="{reserved_cpus: 0-1,64-65}"), "host.64-65: unknown key; within { } a CPU list needs quotes"),
        (vm(host="{reserved_cpus: '" + "0-1," * 9000 + "0'}"), "in at most 32,768 characters"),
        (vm("interfaces: [{name: a, pf: 'e#" + "0-1," * 9000 + "0'}]"), "expected a PF such as ens1f0"),
        (vm("cells: [" + "{vcpus: 1, memory: 1GiB}," * 65 + "]"), "vms[0].cells: has more than 64 entries"),
        (vm("vcpus: 101\ncount: 10000"), "vms[0]: this makes more than 1,000,000 vCPUs"),
        (vm(host="{shared_ratio: 0}"), "expected a whole number of 1 or more, found '0'"),
        (vm(host="{physnets: {p: ['']}}"), "expected a PF such as ens1f0 or 0000:3b:00.0"),
        (vm(host="{physnets: [p]}"), "host.physnets: expected a map of keys and values, found a list"),
        (vm("count: 2").replace("fw1", "x" * 254), "has a name of more than 255 bytes"),
        (vm().replace("fw1", "x" * 256), "a guest's name of at most 255 bytes"),
    ],
)
def test_a_mistake_is_named(text: str, sentence: str) -> None:
    assert sentence in refused(text)


def test_no_physnet_is_undefined_where_physnets_cannot_be_read() -> None:
    assert "undefined" not in refused(vm("interfaces: [{name: a, physnet: p}]", host="{physnets: [p]}"))


def test_no_guest_is_unknown_where_a_name_cannot_be_read() -> None:
    assert "unknown guest" not in refused(vm("affinity: [b-2]") + "  - {name: b, count: x, vcpus: 1, memory: 1GiB}\n")
