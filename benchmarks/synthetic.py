"""Hosts of any size as folders of files, laid out as Linux 6.12 on x86-64 shows them: what benchmarks read."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from numaplan.cpuset import format_id_list

CACHES = ((1, "Data", 48), (1, "Instruction", 32), (2, "Unified", 2048), (3, "Unified", 32768))
LLC_CORES = 8
PFS = 16
VECTORS = 64
NVMES = 8
# As many functions of the chips themselves as a host with two packages has, and more with more nodes.
UNCORE_PER_NODE = 16


@dataclass(frozen=True)
class Shape:
    """`cpus` are threads, two a core; `vfs` are shared out evenly over the PFs."""

    cpus: int
    nodes: int
    vfs: int

    @property
    def name(self) -> str:
        """For a row of a table."""
        return f"{self.cpus} CPUs, {self.nodes} nodes, {self.vfs} VFs"


class HostFolder:
    """A folder that is filled with files and links; folders are made on the way."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._made: set[str] = set()

    def file(self, path: str, text: object) -> None:
        """One line."""
        with Path(self._at(path)).open("w", encoding="ascii") as file:
            file.write(f"{text}\n")

    def files(self, folder: str, **texts: object) -> None:
        """One line each."""
        for name, text in texts.items():
            self.file(f"{folder}/{name}", text)

    def link(self, path: str, target: str) -> None:
        """A relative link to a path of the tree, which need not be there."""
        where = self._at(path)
        os.symlink(os.path.relpath(target, os.path.dirname(path)), where)  # noqa: PTH120, PTH211 - as text

    def folder(self, path: str) -> None:
        """An empty one."""
        self._at(f"{path}/x")

    def _at(self, path: str) -> str:
        where = f"{self._root}/{path}"
        parent = where.rpartition("/")[0]
        if parent not in self._made:
            Path(parent).mkdir(parents=True, exist_ok=True)
            self._made.add(parent)
        return where


@dataclass(frozen=True)
class _Layout:
    """Which CPU is where: siblings are half the host apart, and nodes and caches follow the numbers."""

    shape: Shape

    @property
    def cores(self) -> int:
        return self.shape.cpus // 2

    def siblings(self, cpu: int) -> list[int]:
        core = cpu % self.cores
        return [core, core + self.cores]

    def block(self, cpu: int, size: int) -> list[int]:
        first = cpu % self.cores // size * size
        return [base + i for base in (0, self.cores) for i in range(first, first + size)]

    def node_of(self, cpu: int) -> int:
        return cpu % self.cores * self.shape.nodes // self.cores

    def node_cpus(self, node: int) -> list[int]:
        return self.block(node * self.cores // self.shape.nodes, self.cores // self.shape.nodes)


def make_host(root: Path, shape: Shape) -> None:
    """Fills `root` with sys/ and proc/ of a host of that shape."""
    host, layout = HostFolder(root), _Layout(shape)
    _make_cpus(host, layout)
    _make_nodes(host, layout)
    _make_proc(host, shape)
    _PciBus(host, layout).make()


def _mask(cpus: Iterable[int], width: int) -> str:
    digits = f"{sum(1 << cpu for cpu in cpus):0{max(width // 4, 8)}x}"
    return ",".join(digits[i : i + 8] for i in range(0, len(digits), 8))


def _make_cpus(host: HostFolder, layout: _Layout) -> None:
    root, count = "sys/devices/system/cpu", layout.shape.cpus
    everything = format_id_list(range(count))
    host.files(root, present=everything, online=everything, possible=everything, offline="", isolated="", nohz_full="")
    package = layout.cores // 2
    for cpu in range(count):
        folder = f"{root}/cpu{cpu}"
        host.file(f"{folder}/online", 1)
        names = {
            "core_cpus": layout.siblings(cpu),
            "thread_siblings": layout.siblings(cpu),
            "package_cpus": layout.block(cpu, package),
            "core_siblings": layout.block(cpu, package),
            "die_cpus": layout.block(cpu, package),
        }
        for name, cpus in names.items():
            host.file(f"{folder}/topology/{name}", _mask(cpus, count))
            host.file(f"{folder}/topology/{name}_list", format_id_list(cpus))
        ids = {"physical_package_id": cpu % layout.cores // package, "die_id": 0, "core_id": cpu % package}
        host.files(f"{folder}/topology", **ids)
        for index, (level, kind, size_kib) in enumerate(CACHES):
            sharers = layout.block(cpu, LLC_CORES) if level == 3 else layout.siblings(cpu)  # noqa: PLR2004 - L3
            host.files(
                f"{folder}/cache/index{index}",
                level=level,
                type=kind,
                size=f"{size_kib}K",
                shared_cpu_map=_mask(sharers, count),
                shared_cpu_list=format_id_list(sharers),
                id=cpu % layout.cores // LLC_CORES,
                coherency_line_size=64,
                ways_of_associativity=16,
            )


def _make_nodes(host: HostFolder, layout: _Layout) -> None:
    root, count = "sys/devices/system/node", layout.shape.nodes
    host.files(root, online=format_id_list(range(count)), possible=format_id_list(range(count)))
    for node in range(count):
        folder = f"{root}/node{node}"
        cpus = layout.node_cpus(node)
        fields = {"MemTotal": 1 << 28, "MemFree": 1 << 27, "MemUsed": 1 << 27, "Active(file)": 1 << 22}
        fields |= {"Inactive(file)": 1 << 22, "FilePages": 1 << 23, "SReclaimable": 1 << 20, "HugePages_Total": 512}
        host.file(f"{folder}/meminfo", "\n".join(f"Node {node} {key}: {value:15} kB" for key, value in fields.items()))
        host.files(
            folder,
            cpulist=format_id_list(cpus),
            cpumap=_mask(cpus, layout.shape.cpus),
            distance=" ".join(str(10 if other == node else 21) for other in range(count)),
        )
        for cpu in cpus:
            host.link(f"{folder}/cpu{cpu}", f"sys/devices/system/cpu/cpu{cpu}")
            host.link(f"sys/devices/system/cpu/cpu{cpu}/node{node}", folder)
        for size_kib in (2048, 1048576):
            pool = f"{folder}/hugepages/hugepages-{size_kib}kB"
            host.files(pool, nr_hugepages=64, free_hugepages=32, surplus_hugepages=0)


def _make_proc(host: HostFolder, shape: Shape) -> None:
    host.file("proc/version", "Linux version 6.12.0-55.el10.x86_64 (gcc) #1 SMP PREEMPT_DYNAMIC")
    host.file("proc/cmdline", "ro intel_iommu=on iommu=pt hugepagesz=1G hugepages=64")
    host.files("proc/sys/kernel", osrelease="6.12.0-55.el10.x86_64", hostname="synthetic")
    host.file("proc/meminfo", f"MemTotal: {shape.nodes << 28} kB\nMemFree: {shape.nodes << 27} kB")
    keys = {"vendor_id": "GenuineIntel", "model name": "Synthetic", "flags": " ".join(f"flag{i}" for i in range(140))}
    cpu = "\n".join(f"{key}\t: {value}" for key, value in keys.items())
    # The kernel's own is larger than the bound of a file from about 600 CPUs on.
    host.file("proc/cpuinfo", "\n\n".join(f"processor\t: {i}\n{cpu}" for i in range(min(shape.cpus, 500))))
    host.folder("sys/module/kvm")


class _PciBus:
    """Functions below root ports, two PFs a card, with their VFs, groups, interfaces and interrupts."""

    def __init__(self, host: HostFolder, layout: _Layout) -> None:
        self._host = host
        self._layout = layout
        self._groups = 0
        self._irq = 24

    def make(self) -> None:
        shape = self._layout.shape
        for pf in range(PFS):
            node = pf * shape.nodes // PFS
            self._pf(pf, node=node, vfs=shape.vfs // PFS)
        for nvme in range(NVMES):
            bus = 0xC0 + 2 * nvme
            root = f"sys/devices/pci0000:{bus:02x}"
            self._function(f"{root}/0000:{bus:02x}:01.0", "060400", node=0, driver="pcieport", vectors=1)
            folder = f"{root}/0000:{bus:02x}:01.0/0000:{bus + 1:02x}:00.0"
            vectors = min(2 * VECTORS, shape.cpus) + 1
            self._function(folder, "010802", node=nvme * shape.nodes // NVMES, driver="nvme", vectors=vectors)
        for i in range(UNCORE_PER_NODE * shape.nodes):
            address = f"0000:fe:{i // 8:02x}.{i % 8}"
            self._function(f"sys/devices/pci0000:fe/{address}", "088000", node=0, driver=None, link=False)

    def _pf(self, index: int, *, node: int, vfs: int) -> None:
        domain, bus = index // 2, 0x10
        root = f"sys/devices/pci{domain:04x}:{bus:02x}"
        port = f"{root}/{domain:04x}:{bus:02x}:01.0"
        if index % 2 == 0:
            self._function(port, "060400", node=node, driver="pcieport", vectors=1)
        pf = f"{port}/{domain:04x}:{bus + 1:02x}:00.{index % 2}"
        self._function(pf, "020000", node=node, driver="ice", vectors=min(VECTORS, self._layout.shape.cpus) + 1)
        self._interface(pf, f"ens{domain}f{index % 2}")
        self._host.files(
            pf, sriov_totalvfs=128, sriov_numvfs=vfs, sriov_offset=8, sriov_stride=1, sriov_drivers_autoprobe=1
        )
        for vf in range(vfs):
            number = 8 + vfs * (index % 2) + vf
            address = f"{domain:04x}:{bus + 1 + number // 256:02x}:{number % 256 // 8:02x}.{number % 8}"
            folder = f"{port}/{address}"
            ours = vf % 4 == 0  # the rest is for guests
            self._function(
                folder, "020000", node=node, driver="iavf" if ours else "vfio-pci", vectors=5 if ours else 0, link=False
            )
            self._host.link(f"{folder}/physfn", pf)
            self._host.link(f"{pf}/virtfn{vf}", folder)
            if ours:
                self._interface(folder, f"ens{domain}f{index % 2}v{vf}")

    def _function(
        self, folder: str, class_: str, *, node: int, driver: str | None, vectors: int = 0, link: bool = True
    ) -> None:
        host, address = self._host, folder.rpartition("/")[2]
        cpus = self._layout.node_cpus(node)
        host.files(
            folder,
            vendor="0x8086",
            device="0x1889",
            **{"class": f"0x{class_}"},
            revision="0x02",
            subsystem_vendor="0x8086",
            subsystem_device="0x0001",
            irq=0,
            numa_node=node,
            local_cpulist=format_id_list(cpus),
            local_cpus=_mask(cpus, self._layout.shape.cpus),
            modalias="pci:v00008086d00001889sv00008086sd00000001bc02sc00i00",
            uevent=f"DRIVER={driver}\nPCI_CLASS={class_}\nPCI_ID=8086:1889\nPCI_SLOT_NAME={address}",
            resource="0x0000000000000000 0x0000000000000000 0x0000000000000000",
            enable=1,
            msi_bus=1,
            dma_mask_bits=64,
            consistent_dma_mask_bits=64,
            broken_parity_status=0,
            ari_enabled=1,
            d3cold_allowed=1,
            power_state="D0",
            driver_override="(null)",
            reset_method="flr bus",
            current_link_speed="16.0 GT/s PCIe" if link else "Unknown",
            current_link_width=16 if link else 0,
            max_link_speed="16.0 GT/s PCIe" if link else "Unknown",
            max_link_width=16 if link else 255,
        )
        host.link(f"sys/bus/pci/devices/{address}", folder)
        host.link(f"{folder}/subsystem", "sys/bus/pci")
        if driver is not None:
            host.link(f"{folder}/driver", f"sys/bus/pci/drivers/{driver}")
        group = f"sys/kernel/iommu_groups/{self._groups}"
        self._groups += 1
        host.link(f"{folder}/iommu_group", group)
        host.link(f"{group}/devices/{address}", folder)
        host.files(group, type="identity", reserved_regions="0x00000000fee00000 0x00000000feefffff msi")
        for vector in range(vectors):
            self._interrupt(folder, f"{driver}-{address}-{vector}", cpu=cpus[vector % len(cpus)], node=node)

    def _interrupt(self, folder: str, handler: str, *, cpu: int, node: int) -> None:
        host, irq = self._host, f"proc/irq/{self._irq}"
        host.file(f"{folder}/msi_irqs/{self._irq}", "msix")
        mask = _mask([cpu], self._layout.shape.cpus)
        host.files(
            irq,
            smp_affinity=mask,
            smp_affinity_list=cpu,
            effective_affinity=mask,
            effective_affinity_list=cpu,
            affinity_hint=mask,
            node=node,
            spurious="count 0\nunhandled 0\nlast_unhandled 0 ms",
        )
        host.folder(f"{irq}/{handler}")
        self._irq += 1

    def _interface(self, folder: str, name: str) -> None:
        interface = f"{folder}/net/{name}"
        self._host.files(
            interface,
            type=1,
            speed=100000,
            mtu=1500,
            address="02:00:00:00:00:01",
            operstate="up",
            carrier=1,
            flags="0x1003",
            iflink=2,
            ifindex=2,
            uevent=f"INTERFACE={name}\nIFINDEX=2",
        )
        self._host.link(f"{interface}/device", folder)
        self._host.link(f"sys/class/net/{name}", interface)
