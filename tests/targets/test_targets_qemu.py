"""A part of a QEMU command line."""

from dataclasses import replace

from hypothesis import given, settings

from numaplan.cpuset import format_id_list, parse_id_list
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, GuestCell, GuestInterface, GuestTopology
from numaplan.model.plan import InterfacePlacement, Placement
from numaplan.model.request import CpuCache, DeviceLocality, GuestRequest, InterfaceRequest, InterfaceType
from numaplan.targets.asked import node_of
from numaplan.targets.qemu import render
from tests.requests import guest, vfs
from tests.targets.drawn import EXAMPLES, HOST, NAMES, functions, pins, plans, there
from tests.targets.small import placed
from tests.targets.words import commands, run_by_sh

QEMU = "qemu-system-x86_64"


def options(text: str) -> list[tuple[str, dict[str, list[str]]]]:
    """Each option of the command with its values by name, "" for the first word without one."""
    (words,) = commands(text)
    assert words[0] == QEMU
    return [(name, values(value)) for name, value in zip(words[1::2], words[2::2], strict=True)]


def values(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in text.replace(",,", "\0").split(","):
        name, equals, value = part.replace("\0", ",").partition("=")
        found.setdefault(name if equals else "", []).append(value if equals else name)
    return found


def of(text: str, name: str, first: str) -> list[dict[str, list[str]]]:
    """The options of that name and first word."""
    return [said for option, said in options(text) if option == name and said.get("", [""])[0] == first]


def comments(text: str) -> list[str]:
    return [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_the_memory_of_each_cell_is_bound_to_its_node_in_its_pages(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    text = render(request, placement, HOST, None).text
    backends = [said for name, said in options(text) if name == "-object" and "host-nodes" in said]
    assert [said["host-nodes"] for said in backends] == [[str(cell.memory_node)] for cell in placement.cells]
    for cell, said in zip(placement.cells, backends, strict=True):
        assert said["size"] == [f"{-(-cell.memory_kib // 1024)}M"]
        assert said.get("hugetlbsize", ["4k"]) == [f"{cell.page_size_kib}k"]
        assert said["policy"][0] in {"bind", "preferred"}
    nodes = of(text, "-numa", "node")
    if len(placement.cells) == 1:
        assert nodes == []
        assert options(text)[1][1]["memory-backend"] == backends[0]["id"]
    else:
        assert [said["memdev"] for said in nodes] == [said["id"] for said in backends]
        assert [",".join(said["cpus"]) for said in nodes] == [
            format_id_list(vcpu for vcpu, _ in cell.vcpus) for cell in placement.cells
        ]


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_every_function_is_passed_through_below_its_cell_where_there_are_several(
    plan: tuple[GuestRequest, Placement],
) -> None:
    request, placement = plan
    text = render(request, placement, HOST, None).text
    passed = of(text, "-device", "vfio-pci")
    assert sorted(said["host"][0] for said in passed) == sorted(str(address) for address in functions(placement))
    expanders = {said["id"][0]: said for said in of(text, "-device", "pxb-pcie")}
    ports = {said["id"][0]: said["bus"][0] for said in of(text, "-device", "pcie-root-port")}
    for said in passed:
        here = node_of(HOST, PciAddress.parse(said["host"][0]))
        if len(placement.cells) == 1 or here is None:
            assert said.get("bus", ["pcie.0"]) == ["pcie.0"]
        else:
            near = [cell.id for cell in placement.cells if cell.numa_node == here] or [placement.cells[0].id]
            assert expanders[ports[said["bus"][0]]]["numa_node"] == [str(near[0])]
    taken = [int(said["bus_nr"][0]) for said in expanders.values()]
    room = [1 + sum(bus == name for bus in ports.values()) for name in expanders]
    spans = [set(range(first, first + size)) for first, size in zip(taken, room, strict=True)]
    assert len(set().union(*spans)) == sum(room)
    assert max(set().union(*spans), default=0) < 256


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans())
def test_every_thread_has_its_pin_in_a_comment(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    rendered = render(request, placement, HOST, None)
    said = comments(rendered.text)
    assert f'taskset -a -cp {placement.emulator} "$PID"' in said
    for vcpu, own in pins(placement).items():
        assert f"taskset -cp {own} \"$(tid 'CPU {vcpu}/KVM')\"" in said
    for number, cpus in placement.iothreads:
        assert f"taskset -cp {cpus} \"$(tid 'IO iothread{number}')\"" in said
    assert sum(line.startswith("chrt") for line in said) == (
        0 if request.realtime is None else len(request.realtime.vcpus)
    )
    assert any(sentence.startswith("QEMU pins no thread") for sentence in rendered.cannot)


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(plans(NAMES.filter(lambda name: "\0" not in name and "\x01" not in name)))
def test_a_hostile_name_stays_one_word_and_one_value(plan: tuple[GuestRequest, Placement]) -> None:
    request, placement = plan
    text = render(request, placement, HOST, None).text
    ((_, first, name, *_),) = run_by_sh("qemu" + text.removeprefix(QEMU), ["qemu"])
    assert first == "-name"
    assert name == f"guest={request.name.replace(',', ',,')},debug-threads=on"


def test_cells_are_as_far_apart_as_their_nodes_or_as_the_guest_has_it() -> None:
    request = guest("db", [2, 2])
    placement = placed(request)
    text = render(request, placement, HOST, None).text
    assert [(s["src"], s["dst"], s["val"]) for s in of(text, "-numa", "dist")] == [
        (["0"], ["1"], ["21"]),
        (["1"], ["0"], ["21"]),
    ]
    cells = tuple(
        GuestCell(cell.id, tuple(v for v, _ in cell.vcpus), cell.memory_kib, 1, None, ((CellId(1 - cell.id), 15),))
        for cell in placement.cells
    )
    text = render(request, placement, HOST, there(request, placement, cells=cells)).text
    assert [s["val"] for s in of(text, "-numa", "dist")] == [["15"], ["15"]]


def test_cells_on_one_node_have_no_distance_that_a_guest_would_believe() -> None:
    request = guest("db", [2, 2])
    placement = placed(request)
    together = replace(
        placement, cells=tuple(replace(cell, numa_node=placement.cells[0].numa_node) for cell in placement.cells)
    )
    rendered = render(request, together, HOST, None)
    assert of(rendered.text, "-numa", "dist") == []
    assert "how far its cells are apart is not told to the guest: two of them are on one node" in rendered.cannot


def test_memory_is_shared_with_a_vhost_user_switch_and_its_socket_is_that_of_the_xml() -> None:
    port = InterfaceRequest("fast", InterfaceType.VHOSTUSER, bridge="br-dpdk", queues=4, mac="52:54:00:AA:00:01")
    request = replace(guest("fw", 2), interfaces=(port,))
    placement = placed(request)
    rendered = render(request, placement, HOST, None)
    assert of(rendered.text, "-object", "memory-backend-memfd")[0]["share"] == ["on"]
    assert any("does not know the socket" in sentence for sentence in rendered.cannot)
    known = GuestInterface("vhostuser", 1, mac="52:54:00:aa:00:01", socket="/run/a,b.sock")
    text = render(request, placement, HOST, there(request, placement, interfaces=(known,))).text
    assert of(text, "-chardev", "socket")[0]["path"] == ["/run/a,b.sock"]
    assert of(text, "-netdev", "vhost-user")[0]["queues"] == ["4"]
    assert of(text, "-device", "virtio-net-pci")[0]["vectors"] == ["10"]


def test_what_libvirt_does_to_a_vf_is_said_as_a_command() -> None:
    request = guest("fw", 2, interfaces=[replace(vfs("wan", "eth1"), mac="52:54:00:AA:00:01", vlan=7, trust=True)])
    second = next(device for device in HOST.pci if device.netdevs == ("eth1",)).sriov
    assert second is not None
    placement = replace(placed(request), interfaces=(InterfacePlacement("wan", (second.vfs[3],)),))
    cannot = render(request, placement, HOST, None).cannot
    assert cannot[-1].endswith(
        "QEMU sets nothing on a VF: ip link set dev eth1 vf 3 mac 52:54:00:aa:00:01 vlan 7 trust on"
    )


def test_a_guest_that_is_not_to_know_where_its_devices_are_has_no_expander() -> None:
    request = replace(guest("db", [2, 2], interfaces=[vfs("wan", "eth0")]), device_locality=DeviceLocality.NEVER)
    device = next(d for d in HOST.pci if d.physfn is not None)
    placement = replace(placed(request), interfaces=(InterfacePlacement("wan", (device.address,)),))
    text = render(request, placement, HOST, None).text
    assert of(text, "-device", "pxb-pcie") == []
    assert of(text, "-device", "vfio-pci")[0]["bus"] == ["pcie.0"]


def test_what_the_guests_xml_says_of_machine_and_program_is_kept() -> None:
    request = guest("fw", 4)
    placement = replace(placed(request), topology=GuestTopology(1, 2, 1, 2))
    existing = there(
        request,
        placement,
        machine="pc-i440fx-7.2",
        emulator="/usr/bin/kvm",
        cpu_mode="host-passthrough",
        memballoon="virtio",
    )
    text = render(replace(request, cpu_cache=CpuCache.EMULATE), placement, HOST, existing).text
    (words,) = commands(text)
    assert words[0] == "/usr/bin/kvm"
    assert "type=pc-i440fx-7.2,accel=kvm,memory-backend=ram0" in words
    assert "cpus=4,sockets=1,dies=2,cores=1,threads=2" in words
    assert "host,l3-cache=on" in words
    assert "virtio-balloon-pci" in words


def test_cells_that_the_guest_has_stay_visible_though_it_is_one() -> None:
    request = guest("fw", 2)
    placement = placed(request)
    cells = (GuestCell(CellId(0), request.cells[0].vcpus, placement.cells[0].memory_kib, 1),)
    (node,) = of(render(request, placement, HOST, there(request, placement, cells=cells)).text, "-numa", "node")
    assert parse_id_list(",".join(node["cpus"])) == {0, 1}
