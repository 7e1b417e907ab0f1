import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.cpuset import CpuSet, format_id_list
from numaplan.errors import InputError
from numaplan.model.devices import PciAddress
from numaplan.spec import yaml
from numaplan.spec.yaml import DEPTH_LIMIT, SIZE_LIMIT
from tests.depth import draws
from tests.spec.reading import TINY, guest, interface, read, refused, vm
from tests.spec.test_spec_vnf import CONTRACT

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]\n" for i in range(1, 9)
)

HOSTILE = {
    "a bomb of aliases": (BOMB, "aliases (*name) are not allowed"),
    "a list that holds itself": (TINY + "defaults: &a [*a]\n", "aliases (*name) are not allowed"),
    "an anchor that nobody uses": (TINY.replace("vms:", "vms: &v"), "anchors (&name) are not allowed"),
    "a tag that makes Python objects": (
        TINY + "defaults: !!python/object/apply:os.system ['true']\n",
        "tags (!name) are not allowed",
    ),
    "a tag of our own": (TINY.replace("8", "!x 8"), "tags (!name) are not allowed"),
    "the tag that says nothing": (TINY.replace("8", "! 8"), "tags (!name) are not allowed"),
    "a merge key": (TINY + "defaults: {<<: {vcpus: 1}}\n", "merge keys (<<) are not allowed"),
    "a key given twice": (TINY + "vms: []\n", "this key is given twice, on lines 4 and 8"),
    "two documents": (TINY + "---\n" + TINY, "a second document in one file"),
    "a root that is a list": ("- a\n- b\n", "expected a map of keys and values at the top of the file"),
    "a root that is a text": ("numaplan\n", "expected a map of keys and values at the top of the file"),
    "nothing": ("", "expected a map of keys and values at the top of the file"),
    "comments alone": ("# nothing\n---\n# here\n", "expected a map of keys and values at the top of the file"),
    "20,000 levels of brackets": ("a: " + "[" * 20_000, f"nested more than {DEPTH_LIMIT} levels deep"),
    "20,000 levels of dashes": ("- " * 20_000, f"nested more than {DEPTH_LIMIT} levels deep"),
    "more than a mebibyte": ("a: " + "x" * SIZE_LIMIT, "larger than 1 MiB"),
    "a NUL": (TINY.replace("fw1", "f\0w"), "control character U+0000"),
    "a NUL by escape": (TINY.replace("fw1", r'"f\0w"'), "control character U+0000"),
    "an ESC": (TINY.replace("fw1", "\x1b[2J"), "control character U+001B"),
    "an ESC in a comment": (TINY + "# \x1b[2J\n", "control character U+001B"),
    "a lone surrogate": (TINY.replace("fw1", "\udcff"), "control character U+DCFF"),
    "a lone surrogate by escape": (TINY.replace("fw1", r'"\ud800"'), "control character U+D800"),
    "a character that does not exist": (TINY.replace("fw1", r'"\UFFFFFFFF"'), "not valid YAML"),
    "a line end of old Macs": (TINY.replace("\n", "\r"), "control character U+000D"),
    "a quote never closed": (TINY.replace("fw1", '"fw1'), "a quote that is opened and never closed"),
    "a bracket never closed": (TINY + "defaults: {", "not valid YAML"),
    "a tab as indent": (TINY.replace("    vcpus", "\tvcpus"), "a tab where YAML allows only spaces"),
    "a tag of a mebibyte": ("a: " + "!" * 1_000_000, "a word of more than 1,024 characters"),
    "a YAML version of 5,000 digits": ("%YAML 1." + "1" * 5000 + "\n---\n" + TINY, "not valid YAML"),
    "half a map": ("a: b: c\n", "a ': ' where no key can stand"),
    "an alias as a key": ("a: &x b\n*x : c\n", "aliases (*name) are not allowed"),
    "a list as a key": ("? [a]\n: b\n", "a list or map where a key must stand"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_vnf_yaml_has_no_use_for_is_refused(case: str) -> None:
    text, sentence = HOSTILE[case]
    assert sentence in refused(text)


def test_more_values_than_a_request_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The limit itself takes its time to reach.
    monkeypatch.setattr(yaml, "NODE_LIMIT", 1_000)
    assert "more than 1,000 values in one file" in refused("a: [" + "1," * 1_000 + "]")


@pytest.mark.parametrize("depth", [DEPTH_LIMIT - 1, DEPTH_LIMIT, DEPTH_LIMIT + 1])
def test_the_limit_of_depth_is_exact(depth: int) -> None:
    # The root map is the first level, and the value of `a` starts the second.
    text = refused("a: " + "[" * (depth - 1) + "]" * (depth - 1))
    assert ("nested more than" in text) == (depth > DEPTH_LIMIT)


@pytest.mark.parametrize("size", [SIZE_LIMIT - 1, SIZE_LIMIT, SIZE_LIMIT + 1])
def test_the_limit_of_size_is_exact_and_in_bytes(size: int) -> None:
    text = TINY + "#ü"
    text += "x" * (size - len(text.encode()))
    if size <= SIZE_LIMIT:
        assert read(text) == read(TINY)
    else:
        assert refused(text) == "vnf.yaml: larger than 1 MiB"


def test_a_byte_order_mark_and_line_ends_of_windows_change_nothing() -> None:
    assert read("\ufeff" + TINY.replace("\n", "\r\n")) == read(TINY)
    assert refused(TINY.replace("8", "8x").replace("\n", "\r\n")) == refused(TINY.replace("8", "8x"))


def test_json_is_yaml() -> None:
    body = {"apiVersion": "numaplan/v1", "vms": [{"name": "fw1", "vcpus": 8, "memory": "16GiB", "required": False}]}
    assert read(json.dumps(body, indent=1)) == read(vm("required: false"))
    assert read(json.dumps(body)) == read(vm("required: false"))


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_version_of_yaml_changes_no_value(version: str) -> None:
    text = vm("interfaces: [{name: a, pf: ens1, mac: 52:54:00:12:34:56}]\npriority: 010")
    assert read(f"%YAML {version}\n---\n{text}") == read(text)
    assert read(text).guests[0].priority == 10


def test_values_that_yaml_1_1_would_turn_into_numbers_stay_what_they_are() -> None:
    assert guest("devices: [{name: a, address: 0000:05:00.1}]").devices[0].address == PciAddress(0, 5, 0, 1)
    assert guest("devices: [{name: a, address: 05:00.1}]").devices[0].address == PciAddress(0, 5, 0, 1)
    assert interface("pf: ens1, mac: 52:54:00:12:34:56").mac == "52:54:00:12:34:56"
    assert interface("vendor: 8086, device: 0x1889").vendor == "8086"
    assert interface("vendor: 8086, device: 0x1889").device == "1889"
    assert interface("vendor: 0010, device: 10e8").vendor == "0010"
    assert interface("vendor: 0010, device: 10e8").device == "10e8"
    assert read(vm(host="{reserved_cpus: 0}")).policy.reserved_cpus == CpuSet.parse("0")
    assert read(vm(host="{physnets: {1: [2], no: [on]}}")).policy.physnets == (("1", ("2",)), ("no", ("on",)))


@pytest.mark.parametrize("name", ["no", "on", "1e3", "0x10", "12:30", "2001-12-14", "1_000", "true", ".5", "="])
def test_a_name_is_its_text_whatever_it_looks_like(name: str) -> None:
    assert read(vm().replace("fw1", name)).guests[0].name == name
    assert read(vm().replace("fw1", f"'{name}'")).guests[0].name == name


@pytest.mark.parametrize("word", ["true", "True", "TRUE"])
def test_true_has_the_three_spellings_of_yaml_1_2(word: str) -> None:
    assert guest(f"required: {word}").required is True


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "n", "1", "0", "tRue"])
def test_other_words_for_true_and_false_are_refused(word: str) -> None:
    assert f"expected true or false, found '{word}'" in refused(vm(f"required: {word}"))


@settings(max_examples=draws(25), deadline=None)
@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7))
def test_a_pci_address_means_the_same_with_and_without_quotes(domain: int, bus: int, slot: int, function: int) -> None:
    address = PciAddress(domain, bus, slot, function)
    for text in (str(address), f"'{address}'", f'"{str(address).upper()}"'):
        assert guest(f"devices: [{{name: a, address: {text}}}]").devices[0].address == address
        assert guest(f"devices:\n- name: a\n  address: {text}").devices[0].address == address


@settings(max_examples=draws(25), deadline=None)
@given(st.lists(st.integers(0, 255), min_size=6, max_size=6))
def test_a_mac_means_the_same_with_and_without_quotes(octets: list[int]) -> None:
    octets[0] &= 0xFE
    octets[5] |= 1
    mac = ":".join(f"{octet:02x}" for octet in octets)
    for text in (mac, f"'{mac}'", mac.upper(), f'"{mac.upper()}"'):
        assert interface(f"pf: ens1, mac: {text}").mac == mac


@settings(max_examples=draws(50), deadline=None)
@given(st.frozensets(st.integers(0, 8191), min_size=1, max_size=12))
def test_a_cpu_list_means_the_same_with_and_without_quotes(ids: frozenset[int]) -> None:
    text = format_id_list(ids)
    plain = read(vm().replace("host: {}", f"host:\n  reserved_cpus: {text}"))
    quoted = read(vm(host=f'{{reserved_cpus: "{text}"}}'))
    assert plain.policy.reserved_cpus == quoted.policy.reserved_cpus == CpuSet(ids)


@settings(max_examples=draws(25), deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_pci_id_means_the_same_with_and_without_quotes(vendor: int, device: int) -> None:
    for form in ("{:04x}", "'{:04x}'", "0x{:04x}", '"{:04X}"'):
        found = interface(f"vendor: {form.format(vendor)}, device: {form.format(device)}")
        assert (found.vendor, found.device) == (f"{vendor:04x}", f"{device:04x}")


def is_read(text: str) -> bool:
    """Whether it is read; any other outcome than that and a refusal fails the test."""
    try:
        read(text)
    except InputError as error:
        shown = str(error).replace("\n", "").replace("\t", "")
        if not error.problems or not all(problem.where.startswith("vnf.yaml") for problem in error.problems):
            raise AssertionError(f"a problem without a place: {shown}") from error
        if not shown.isprintable():
            raise AssertionError(f"characters that a terminal obeys: {shown!r}") from error
        return False
    return True


@pytest.mark.timeout(60)
def test_a_broken_file_is_read_or_refused_and_nothing_else() -> None:
    rng = random.Random(7)  # noqa: S311 - the same mutations each time
    data = CONTRACT.replace("    profile: dpdk-forwarder\n", "").encode()
    outcomes: list[bool] = []
    for _ in range(500):
        mutated = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            _mutate(mutated, rng)
        outcomes.append(is_read(mutated.decode("utf-8", "surrogateescape")))
    assert {True, False} == set(outcomes)


def _mutate(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            data[at] = rng.randrange(256)
        case 1:
            del data[at : at + rng.randrange(1, 9)]
        case 2:
            data[at:at] = bytes(rng.choice(b" \t\n:-[]{},#&*!|>'\"%@`?~0123456789") for _ in range(rng.randrange(1, 5)))
        case 3:
            piece = data[at : at + rng.randrange(1, 40)]
            data[at:at] = piece
        case 4:
            data[at] ^= 1 << rng.randrange(8)
        case _:
            other = rng.randrange(len(data))
            data[at], data[other] = data[other], data[at]


def test_every_beginning_of_a_file_is_read_or_refused() -> None:
    text = CONTRACT.replace("    profile: dpdk-forwarder\n", "")
    outcomes = [is_read(text[:end]) for end in range(0, len(text) + 1, 7)]
    assert not outcomes[0]
    assert outcomes[-1]
