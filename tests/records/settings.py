"""What a kernel and a switch are set to: everything, and strings that would break careless output."""

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.kernel import (
    Cpuset,
    FrequencyPolicy,
    Isolcpus,
    Kernel,
    Ksm,
    Parameter,
    Smt,
    TransparentHugepages,
    Vulnerability,
)
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort, PmdQueue, PmdThread, SocketMemory
from tests.hosts import GIB


def full_kernel() -> Kernel:
    """A kernel that says everything."""
    return Kernel(
        parameters=(Parameter("quiet"), Parameter("isolcpus", "managed_irq,2-7"), Parameter("iommu", "pt")),
        isolcpus=Isolcpus(("managed_irq",), CpuSet.parse("2-7")),
        rcu_nocbs=CpuSet.parse("2-7"),
        irq_affinity=CpuSet.parse("0-1,8-9"),
        default_hugepage_kib=GIB,
        iommu="intel",
        iommu_passthrough=True,
        smt=Smt("on", active=True),
        transparent_hugepages=TransparentHugepages("madvise", "defer"),
        ksm=Ksm(run=1, merge_across_nodes=False, pages_sharing=12),
        numa_balancing=1,
        zone_reclaim_mode=0,
        overcommit_memory=2,
        vulnerabilities=(Vulnerability("mds", "Mitigation: Clear CPU buffers; SMT vulnerable", smt_vulnerable=True),),
        cpusets=(
            Cpuset("/", CpuSet.parse("0-15"), (NodeId(0), NodeId(1)), "root"),
            Cpuset("/machine.slice"),
        ),
        frequencies=(
            FrequencyPolicy(
                CpuSet.parse("0-15"),
                driver="intel_pstate",
                governor="powersave",
                min_khz=800_000,
                max_khz=3_200_000,
                hardware_min_khz=800_000,
                hardware_max_khz=3_500_000,
                base_khz=2_100_000,
                energy_preference="balance_performance",
            ),
        ),
    )


def full_switch() -> OpenVswitch:
    """A switch with DPDK, a bond, a tunnel and two bridges that are patched together."""
    return OpenVswitch(
        version="3.3.1",
        dpdk=True,
        dpdk_init=True,
        pmd_cpus=CpuSet.parse("5,13"),
        lcore_cpus=CpuSet.parse("4"),
        socket_memory=(SocketMemory(NodeId(0), 1024 * 1024), SocketMemory(NodeId(1), 2048 * 1024)),
        hardware_offload=False,
        bridges=(
            OvsBridge("br-int", "netdev", (OvsPort("vhu1", ("vhu1",), 100), OvsPort("patch-phy", ("patch-phy",)))),
            OvsBridge("br-phy", "netdev", (OvsPort("bond0", ("dpdk0", "dpdk1")), OvsPort("vx", ("vx",)))),
        ),
        interfaces=(
            OvsInterface("dpdk0", "dpdk", pci=PciAddress(0, 0x20, 0, 0), rx_queues=2, node=NodeId(1)),
            OvsInterface("dpdk1", "dpdk"),
            OvsInterface("patch-phy", "patch", peer="patch-int"),
            OvsInterface("vhu1", "dpdkvhostuserclient", socket="/run/openvswitch/vhu1"),
            OvsInterface("vx", "vxlan", remote="192.0.2.7"),
        ),
        pmds=(
            PmdThread(CpuId(5), NodeId(1), isolated=True, queues=(PmdQueue("dpdk0", 0), PmdQueue("vhu1", 0))),
            PmdThread(CpuId(13)),
        ),
    )


def evil_kernel(text: str) -> Kernel:
    """A kernel that says `text` wherever it can say a string."""
    return Kernel(
        parameters=(Parameter(text, text),),
        isolcpus=Isolcpus((text,), EMPTY),
        iommu=text,
        smt=Smt(text),
        transparent_hugepages=TransparentHugepages(text, text),
        vulnerabilities=(Vulnerability(text, text),),
        cpusets=(Cpuset(text, partition=text),),
        frequencies=(FrequencyPolicy(EMPTY, driver=text, governor=text, energy_preference=text),),
    )


def evil_switch(text: str) -> OpenVswitch:
    """A switch that says `text` wherever it can say a string."""
    return OpenVswitch(
        version=text,
        bridges=(OvsBridge(text, text, (OvsPort(text, (text,)),)),),
        interfaces=(OvsInterface(text, text, socket=text, peer=text, remote=text),),
        pmds=(PmdThread(CpuId(1), queues=(PmdQueue(text, 0),)),),
    )
