"""The keys of ``interfaces`` and ``devices``: what selects a VF or device, and what the guest gets it as."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from numaplan.model.devices import PciAddress
from numaplan.model.request import Affinity, InterfaceType
from numaplan.spec.forms import Keys
from numaplan.spec.pf import Pf, PfSelector
from numaplan.spec.scalars import Address, Choice, Flaw, HexId, Mac, Name, Truth, Whole, flaws_error

VF_LIMIT: Final = 256
MBPS_LIMIT: Final = 10_000_000

_ITEM_NAME: Final = Name("a name", r"[A-Za-z0-9_.-]+", "of letters, digits, '_', '-' and '.' (it becomes an alias)")
_SRIOV_ONLY: Final = ("physnet", "pf", "vendor", "device", "mbps", "distinct_pfs", "vlan", "trust")
_PORT_ONLY: Final = ("bridge", "queues")
_PORT_TYPES: Final = " or ".join(kind.value for kind in InterfaceType if kind.is_port)


class InterfaceKeys(Keys):
    """A network interface: SR-IOV virtual functions, or a port of a bridge, virtio or vhost-user."""

    name: Annotated[str, _ITEM_NAME, Field(description="Unique within the vm.")]
    type: Annotated[
        InterfaceType,
        Choice(InterfaceType),
        Field(description="sriov: VFs; virtio: a port of a bridge; vhostuser: one of Open vSwitch with DPDK."),
    ] = InterfaceType.SRIOV
    physnet: Annotated[
        str | None, Name("a physnet"), Field(description="VFs of any PF of this physnet (host.physnets).")
    ] = None
    pf: Annotated[PfSelector | None, Pf(), Field(description="VFs of a PF: ens1f0, ens1f0#0-7, 0000:3b:00.0.")] = None
    vendor: Annotated[str | None, HexId(), Field(description="VFs of this PCI vendor, such as 8086.")] = None
    device: Annotated[str | None, HexId(), Field(description="VFs of this PCI device id, such as 1889.")] = None
    count: Annotated[int, Whole(1, VF_LIMIT), Field(description="How many VFs.")] = 1
    affinity: Annotated[
        Affinity | None,
        Choice(Affinity),
        Field(
            description="required: the PF, or the bridge's physical port, is on a node of the guest; socket: in its"
            " package; preferred: at a cost. Of sriov required, else preferred, if not given."
        ),
    ] = None
    mbps: Annotated[
        int, Whole(0, MBPS_LIMIT), Field(description="What each VF needs of the link's speed; 0: nothing.")
    ] = 0
    distinct_pfs: Annotated[bool, Truth(), Field(description="Each VF from a PF of its own.")] = False
    mac: Annotated[str | None, Mac(), Field(description="The guest's MAC address; finds the interface in its XML.")] = (
        None
    )
    # libvirt takes 4095 too, which IEEE 802.1Q reserves.
    vlan: Annotated[int | None, Whole(0, 4094), Field(description="The VLAN that the VF is put in.")] = None
    trust: Annotated[bool | None, Truth(), Field(description="Whether the guest may change the VF's filters.")] = None
    bridge: Annotated[str | None, Name("a bridge"), Field(description="virtio, vhostuser: the host's bridge.")] = None
    queues: Annotated[int | None, Whole(1, 256), Field(description="virtio, vhostuser: how many queue pairs.")] = None

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> Self:
        foreign, other = (_SRIOV_ONLY, InterfaceType.SRIOV.value) if self.type.is_port else (_PORT_ONLY, _PORT_TYPES)
        flaws = [
            Flaw(f"is for interfaces of type {other}, this one has type {self.type}", key=key)
            for key in foreign
            if key in self.model_fields_set
        ]
        flaws += _port_flaws(self) if self.type.is_port else _selector_flaws(self)
        if self.mac is not None and self.count > 1:
            flaws.append(Flaw(f"one MAC address cannot be that of {self.count} VFs", "give one entry for each", "mac"))
        if flaws:
            raise flaws_error(flaws)
        return self


def _port_flaws(interface: InterfaceKeys) -> list[Flaw]:
    flaws = []
    if interface.count > 1:
        what = f"an interface of type {interface.type} is one port"
        flaws.append(Flaw(what, "give one entry for each", "count"))
    if interface.affinity is not None and interface.bridge is None:
        what = "is nearness to the physical port of a bridge, this interface names none"
        flaws.append(Flaw(what, "add bridge", "affinity"))
    return flaws


def _selector_flaws(interface: InterfaceKeys) -> list[Flaw]:
    if interface.physnet is not None and interface.pf is not None:
        return [Flaw("give physnet or pf, not both", key="pf")]
    if interface.physnet is None and interface.pf is None:
        if interface.vendor is None and interface.device is None:
            return [Flaw("an interface of type sriov needs physnet, pf, or vendor and device")]
        return _pair_flaws(interface.vendor, interface.device)
    return []


def _pair_flaws(vendor: str | None, device: str | None) -> list[Flaw]:
    if (vendor is None) == (device is None):
        return []
    given, missing = ("vendor", "device") if device is None else ("device", "vendor")
    return [Flaw(f"{given} alone names no device", f"add {missing}", given)]


class DeviceKeys(Keys):
    """A passed-through device that is no VF of an interface."""

    name: Annotated[str, _ITEM_NAME, Field(description="Unique within the vm.")]
    vendor: Annotated[str | None, HexId(), Field(description="Any device of this vendor and device id.")] = None
    device: Annotated[str | None, HexId(), Field(description="Any device of this vendor and device id.")] = None
    address: Annotated[PciAddress | None, Address(), Field(description="This device, such as 0000:3b:00.0.")] = None
    affinity: Annotated[
        Affinity,
        Choice(Affinity),
        Field(description="required: on a node of the guest; socket: in its package; preferred: at a cost."),
    ] = Affinity.REQUIRED

    @model_validator(mode="after")
    def _one_selector(self) -> Self:
        by_id = self.vendor is not None or self.device is not None
        if self.address is not None and by_id:
            raise flaws_error([Flaw("give address, or vendor and device, not both", key="address")])
        if self.address is None and not by_id:
            raise flaws_error([Flaw("a device needs address, or vendor and device")])
        if flaws := _pair_flaws(self.vendor, self.device):
            raise flaws_error(flaws)
        return self
