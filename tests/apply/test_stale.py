"""One fact changes between plan and apply: it is found and told, once, with both its values."""

import re
from collections.abc import Iterator

import pytest

from tests.apply.edits import (
    CPU,
    PF,
    VF,
    Edit,
    arrived,
    arrived_pinned,
    cache_shared,
    configured,
    domains,
    handed,
    pf_renamed,
    pinned_to,
    plugged,
    removed,
    renamed,
    repinned,
    several,
    started,
    stopped,
    unplugged,
    vcpu_moved,
    vf_gone,
)
from tests.apply.standing import BOOT, BOOT_ID, Standing, standing_host

NODE = "sys/devices/system/node"
# The VF that fw1 has and keeps.
HELD = "sys/devices/pci0000:60/0000:60:00.0/0000:61:10.0"
DRIVERS = "../../../../bus/pci/drivers"

SPARE = "cb20ecc5-4305-4a1c-8f03-80e6e01efe27"
OTHER_UUID = "00000000-0000-4000-8000-000000000001"
OTHER_VFS = (
    "host: eth1 (0000:21:00.0) has other VFs beside those of the plan: were 3 VFs, sha256 DIGEST,"
    " are 3 VFs, sha256 DIGEST"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    return standing_host(tmp_path_factory.mktemp("standing"))


@pytest.fixture
def standing(prepared: Standing) -> Iterator[Standing]:
    yield prepared
    prepared.host.restore()


CHANGES: dict[str, tuple[Edit, list[str]]] = {
    "a CPU goes offline": (
        several(
            lambda host: host.write(f"{CPU}/online", "0-13,15\n"),
            lambda host: host.write(f"{NODE}/node1/cpulist", "8-13,15\n"),
            lambda host: host.remove(f"{CPU}/cpu14/topology"),
            lambda host: host.remove(f"{CPU}/cpu14/cache"),
            lambda host: host.write(f"{CPU}/cpu15/topology/core_cpus_list", "15\n"),
        ),
        ["host: CPU 14 went offline: online CPUs were 0-15, are 0-13,15"],
    ),
    "other CPUs are isolated": (
        lambda host: host.write(f"{CPU}/isolated", "4-7\n"),
        ["host: isolated CPUs were 4-7,12-15, are 4-7"],
    ),
    "a CPU is of another node": (
        several(
            lambda host: host.write(f"{NODE}/node0/cpulist", "0-6\n"),
            lambda host: host.write(f"{NODE}/node1/cpulist", "7-15\n"),
        ),
        ["host: node 0 has CPUs 0-6, had 0-7", "host: node 1 has CPUs 7-15, had 8-15"],
    ),
    "there are fewer huge pages": (
        several(
            lambda host: host.write(f"{NODE}/node1/hugepages/hugepages-2048kB/nr_hugepages", "240\n"),
            lambda host: host.write(f"{NODE}/node1/hugepages/hugepages-2048kB/free_hugepages", "240\n"),
        ),
        ["host: node 1 has 240 pages of 2 MiB, had 256"],
    ),
    "a pool of huge pages is gone": (
        lambda host: host.remove(f"{NODE}/node0/hugepages/hugepages-1048576kB"),
        ["host: node 0: pages of 1 GiB: was 1, and can no longer be read"],
    ),
    "the memory of a node is gone": (
        lambda host: host.write(f"{NODE}/node1/meminfo", "Node 1 MemTotal: 0 kB\nNode 1 MemFree: 0 kB\n"),
        ["host: node 1 has no memory any more"],
    ),
    "nodes are farther from each other": (
        lambda host: host.write(f"{NODE}/node0/distance", "10 31\n"),
        [
            "host: node 0 has other distances: were 10 to node 0, 21 to node 1, are 10 to node 0, 31 to node 1",
        ],
    ),
    "caches are shared otherwise": (
        several(*(cache_shared(cpu, "0-3" if cpu < 4 else "4-7") for cpu in range(8))),
        ["host: last-level caches were L3 of 0-7, L3 of 8-15, are L3 of 0-3, L3 of 4-7, L3 of 8-15"],
    ),
    "the host was booted again": (
        lambda host: host.write(BOOT_ID, f"{OTHER_UUID}\n"),
        [f"host: the host was booted again: its boot id was {BOOT}, is {OTHER_UUID}"],
    ),
    "the boot id cannot be read": (
        lambda host: host.remove(BOOT_ID),
        [f"host: boot id: was {BOOT}, and can no longer be read"],
    ),
    "it is another host": (
        lambda host: host.write("proc/sys/kernel/hostname", "atlas8\n"),
        ["host: the plan was made for the host atlas7, this is atlas8"],
    ),
    "a VF of the plan is gone": (
        vf_gone,
        ["host: eth1 (0000:21:00.0) has 3 of 7 VFs, had 4 of 7", "host: 0000:21:10.0 is gone"],
    ),
    "a VF of the plan is bound to vfio-pci, and no guest was started": (
        lambda host: host.link(f"{VF}/driver", f"{DRIVERS}/vfio-pci"),
        ["host: 0000:21:10.0 is bound to vfio-pci, was bound to igbvf"],
    ),
    "a VF of the plan is bound for DPDK on the host": (
        lambda host: host.link(f"{VF}/driver", f"{DRIVERS}/uio_pci_generic"),
        [
            "host: 0000:21:10.0 is bound to uio_pci_generic, was bound to igbvf",
            "host: 0000:21:10.0 is bound to uio_pci_generic for DPDK on the host, and was not used by the host",
        ],
    ),
    "a VF of the plan is bound to nothing": (
        lambda host: host.remove(f"{VF}/driver"),
        ["host: 0000:21:10.0 is bound to no driver, was bound to igbvf"],
    ),
    "a VF of the plan is another device": (
        lambda host: host.write(f"{VF}/device", "0x1520\n"),
        ["host: 0000:21:10.0 is another device: was 8086:10ca, is 8086:1520"],
    ),
    "a VF of the plan is a member of a bond": (
        plugged(VF, "eth2", "bond0"),
        ["host: 0000:21:10.0 is eth2, a member of bond0, and was not used by the host"],
    ),
    "VFs are numbered otherwise": (
        several(
            lambda host: host.link(f"{PF}/virtfn0", "../0000:21:10.2"),
            lambda host: host.link(f"{PF}/virtfn1", "../0000:21:10.0"),
        ),
        [
            OTHER_VFS,
            "host: 0000:21:10.0 is a VF of 0000:21:00.0, VF 1, was one of 0000:21:00.0, VF 0",
        ],
    ),
    "a VF that the plan leaves is another device": (
        lambda host: host.write(f"{VF.replace('10.0', '10.4')}/device", "0x1520\n"),
        [
            OTHER_VFS,
        ],
    ),
    "a PF has another name": (pf_renamed, ["host: eth1 (0000:21:00.0) is called ens1f0 now"]),
    "a PF has another driver": (
        lambda host: host.link(f"{PF}/driver", f"{DRIVERS}/igb_uio"),
        ["host: eth1 (0000:21:00.0) is bound to igb_uio, was bound to igb"],
    ),
    "a PF is on another node": (
        lambda host: host.write(f"{PF}/numa_node", "1\n"),
        [
            "host: eth1 (0000:21:00.0) is on node 1, was on node 0",
            "host: 0000:21:10.0 is on node 1, was on node 0",
        ],
    ),
    "a bridge leads out elsewhere": (
        several(
            unplugged,
            plugged(VF.replace("10.0", "10.2"), "eth3", "br0"),
        ),
        [
            "host: bridge br1 leads to physical ports on node 0, led to some on node 1",
        ],
    ),
    "a bridge leads nowhere": (
        unplugged,
        ["host: bridge br1 leads to no physical ports that are known to be on one node, led to some on node 1"],
    ),
    "Open vSwitch polls on more CPUs": (
        configured(dpdk_init="true", pmd_cpu_mask="c0"),
        ["host: CPUs that Open vSwitch with DPDK polls on were none, are 6-7"],
    ),
    "Open vSwitch wants huge pages": (
        configured(dpdk_socket_mem="1024,0"),
        ["host: memory of Open vSwitch with DPDK: was none, is 1 GiB of node 0"],
    ),
    "a guest of the plan was edited": (
        lambda host: host.definition(
            "spare1",
            lambda xml: pinned_to(12, 13)(xml).replace("<memballoon model='none'/>", "<memballoon model='virtio'/>"),
        ),
        [
            "spare1: its vCPUs are pinned otherwise: were 0-1 on 8-11, are 0 on 12, 1 on 13",
            "spare1: <memballoon> was changed in its XML",
            "spare1: <cputune> was added to its XML",
        ],
    ),
    "the definition of a guest that runs was edited": (
        lambda host: host.definition("fw1", lambda xml: xml.replace("cpuset='4'", "cpuset='6'")),
        ["fw1: <cputune> was changed in its XML"],
    ),
    "a guest of the plan has other vCPUs": (
        lambda host: host.definition("fw1", lambda xml: xml.replace(">2</vcpu>", ">4</vcpu>")),
        ["fw1: <vcpu> was changed in its XML"],
    ),
    "a guest of the plan lost an interface": (
        lambda host: host.definition(
            "fw1",
            lambda xml: re.sub(
                r"<interface type='bridge'>(?:(?!</interface>).)*br-int.*?</interface>", "", xml, flags=re.DOTALL
            ),
        ),
        ["fw1: <interface> 3 was removed from its XML"],
    ),
    "a guest of the plan was renamed": (renamed("spare1", "spare2"), ["spare1: the guest was renamed to spare2"]),
    "a guest of the plan was undefined": (removed("spare1"), ["spare1: the guest is gone"]),
    "a guest of the plan was started": (started("spare1"), ["spare1: it was shut off, and runs now"]),
    "a guest of the plan was stopped, or migrated away": (stopped("fw1"), ["fw1: it ran, and is shut off now"]),
    "a guest of the plan stopped, and its VF is the host's again": (
        several(stopped("fw1"), lambda host: host.link(f"{HELD}/driver", f"{DRIVERS}/igbvf")),
        ["fw1: it ran, and is shut off now"],
    ),
    "a guest of the plan is transient": (
        lambda host: host.domain("fw1", persistent=False),
        ["fw1: it was persistent, and is transient now: it is gone when it stops"],
    ),
    "a guest of the plan was saved": (
        lambda host: host.domain("spare1", managed_save=True),
        ["spare1: its state was saved (managed save): its next start resumes that, whatever its XML says by then"],
    ),
    "another guest bears the name": (
        lambda host: host.definition("spare1", lambda xml: xml.replace(SPARE, OTHER_UUID)),
        [f"spare1: another guest bears its name: its UUID was {SPARE}, is {OTHER_UUID}"],
    ),
    "a vCPU of a guest of the plan was moved": (
        vcpu_moved("fw1", 1, "6"),
        ["fw1: its vCPUs are pinned otherwise: were 0 on 4, 1 on 5, are 0 on 4, 1 on 6"],
    ),
    "a guest came that holds CPUs": (
        arrived_pinned,
        ["db9: the guest came since the plan was made: it holds CPUs 6-7"],
    ),
    "a guest came that holds nothing": (
        arrived("db9"),
        ["db9: the guest came since the plan was made: it holds no CPU and no device of its own"],
    ),
    "a guest that stays was pinned to a CPU": (
        vcpu_moved("db1", 0, "12"),
        ["db1: its vCPUs are pinned otherwise: were 0-1 on 8-11, are 0 on 12, 1 on 8-11"],
    ),
    "the emulator of a guest that stays was pinned": (
        several(lambda host: host.domain("db1", emulator_pin="10"), repinned("db1", "qemu-system-x86_64", "10")),
        ["db1: its emulator is pinned otherwise: was on 8-11, is on 10"],
    ),
    "a guest that stays got a VF": (
        handed("db1", 0x21, 0x10),
        ["db1: its devices were none, are 0000:21:10.2"],
    ),
    "a guest that stays is bound to another node's memory": (
        domains(
            lambda rows: rows[0].update(
                xml=rows[0]["xml"].replace("<os>", "<numatune><memory mode='strict' nodeset='0'/></numatune><os>", 1)
            )
        ),
        ["db1: its memory is bound otherwise: was none, is strict on node 0"],
    ),
    "a guest that stays was stopped": (stopped("db1"), ["db1: it ran, and is shut off now"]),
    "a guest that stays is gone": (
        several(stopped("db1"), removed("db1")),
        ["db1: the guest is gone"],
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_told_once_with_both_values(what: str, standing: Standing) -> None:
    edit, wanted = CHANGES[what]
    edit(standing.host)
    assert [re.sub(r"(?<=sha256 )[0-9a-f]{16}", "DIGEST", told) for told in standing.told()] == wanted


def test_nothing_is_told_of_a_host_that_is_as_it_was(standing: Standing) -> None:
    assert standing.told() == []
