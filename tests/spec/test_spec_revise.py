"""A change of a request is a patch of the vnf.yaml as it is written, wherever the vm has its keys from."""

from numaplan.model.change import Drop, Edit
from numaplan.model.plan import Operation
from numaplan.spec.revise import VnfFile

PROFILE = """\
apiVersion: numaplan/v1
kind: GuestProfile
spec:
  page_size: 1GiB
  interfaces: [{name: data, physnet: phys0, vendor: 8086, device: "1889", count: 2}]
"""


def patch(text: str, *edits: Edit | Drop) -> tuple[Operation, ...]:
    return VnfFile(text, profiles={"fast": PROFILE}).patch(edits)


def file(*vms: str, head: str = "") -> str:
    return f"apiVersion: numaplan/v1\n{head}vms:\n" + "".join(f"  - {vm}\n" for vm in vms)


def test_a_key_that_the_vm_says_is_replaced_and_one_that_it_does_not_is_added() -> None:
    text = file("{name: a}", "{name: b, thread_policy: isolate}")
    edits = [Edit(vm, ("thread_policy",), "prefer") for vm in ("a", "b")]
    assert patch(text, *edits) == (
        Operation("add", "/vms/0/thread_policy", "prefer"),
        Operation("replace", "/vms/1/thread_policy", "prefer"),
    )


def test_an_interface_of_the_vm_itself_is_changed_in_its_place() -> None:
    text = file("{name: a, interfaces: [{name: x, pf: p}, {name: y, pf: p, affinity: socket}]}")
    edits = [Edit("a", ("interfaces", k, "affinity"), "preferred") for k in (0, 1)]
    assert patch(text, *edits) == (
        Operation("add", "/vms/0/interfaces/0/affinity", "preferred"),
        Operation("replace", "/vms/0/interfaces/1/affinity", "preferred"),
    )


def test_interfaces_of_a_profile_are_written_whole_at_the_vm_and_keep_what_they_say() -> None:
    edits = [Edit("a", ("interfaces", 0, key), value) for key, value in (("affinity", "socket"), ("count", 1))]
    assert patch(file("{name: a, profile: fast}"), *edits) == (
        Operation(
            "add",
            "/vms/0/interfaces",
            [{"name": "data", "physnet": "phys0", "vendor": 8086, "device": "1889", "count": 1, "affinity": "socket"}],
        ),
    )


def test_a_profile_that_defaults_name_counts_too_and_a_vm_can_do_without() -> None:
    head = "defaults: {profile: fast}\n"
    edit = Edit("a", ("interfaces", 0, "affinity"), "socket")
    (operation,) = patch(file("{name: a}", head=head), edit)
    assert operation.path == "/vms/0/interfaces"
    own = "{name: a, profile: null, interfaces: [{name: own, pf: p}]}"
    assert patch(file(own, head=head), edit) == (Operation("add", "/vms/0/interfaces/0/affinity", "socket"),)


def test_cells_that_say_their_page_size_themselves_are_changed_with_the_vm() -> None:
    cells = "[{vcpus: 2, memory: 1GiB, page_size: 1GiB}, {vcpus: 2, memory: 1GiB}]"
    assert patch(file(f"{{name: a, cells: {cells}}}"), Edit("a", ("page_size",), "any")) == (
        Operation("add", "/vms/0/page_size", "any"),
        Operation("replace", "/vms/0/cells/0/page_size", "any"),
    )


def test_a_number_of_cells_is_a_number_and_a_list_of_one_cell_becomes_one_of_two() -> None:
    assert patch(file("{name: a, vcpus: 4, memory: 2GiB}"), Edit("a", ("cells",), 2)) == (
        Operation("add", "/vms/0/cells", 2),
    )
    half = {"vcpus": 2, "memory": "1048576KiB", "page_size": "1GiB"}
    for vcpus in ("4", '"0-3"'):
        listed = file(f"{{name: a, cells: [{{vcpus: {vcpus}, memory: 2GiB, page_size: 1GiB}}]}}")
        assert patch(listed, Edit("a", ("cells",), 2)) == (Operation("replace", "/vms/0/cells", [half, half]),)


def test_partners_are_dropped_by_any_of_their_names_one_after_the_other() -> None:
    text = file("{name: a, affinity: [b, c-2, d]}")
    drops = [Drop("a", "affinity", ("c", "c-1", "c-2")), Drop("a", "affinity", ("b",))]
    assert patch(text, *drops) == (Operation("replace", "/vms/0/affinity", ["d"]),)


def test_the_policy_is_changed_under_host_which_is_made_where_there_is_none() -> None:
    edits = [Edit(None, ("reserved_cpus",), "0"), Edit(None, ("shared_ratio",), 8)]
    assert patch(file("{name: a}", head="host: {reserved_cpus: 0-1}\n"), *edits) == (
        Operation("replace", "/host/reserved_cpus", "0"),
        Operation("add", "/host/shared_ratio", 8),
    )
    assert patch(file("{name: a}"), *edits) == (Operation("add", "/host", {"reserved_cpus": "0", "shared_ratio": 8}),)
    assert patch(file("{name: a}", head="host:\n"), edits[0]) == (
        Operation("replace", "/host", {"reserved_cpus": "0"}),
    )


def test_plain_data_has_the_types_that_yaml_gives_and_ids_keep_their_zeros() -> None:
    text = file('{name: 12, count: 3, required: false, profile: ~, x: "8", vendor: 0123, mac: 52:54:00:00:00:01}')
    assert VnfFile(text, profiles={}).data == {
        "apiVersion": "numaplan/v1",
        "vms": [
            {
                "name": 12,
                "count": 3,
                "required": False,
                "profile": None,
                "x": "8",
                "vendor": "0123",
                "mac": "52:54:00:00:00:01",
            }
        ],
    }
