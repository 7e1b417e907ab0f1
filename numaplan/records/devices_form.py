"""PCI functions, IOMMU groups and network links as the inventory document has them, and the nouns that they make."""

import re
from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciDevice, PcieLink, Sriov, VfSettings
from numaplan.model.host import NodeId
from numaplan.records.document import Form
from numaplan.records.fields import Address, Id, Size, Text

_HEX: Final = re.compile("[0-9a-f]+", re.ASCII | re.IGNORECASE)


class SriovForm(Form):
    """``pci[].sriov``."""

    total: Id
    configured: Id
    vfs: list[Address] = Field(default_factory=list)


class VfForm(Form):
    """``pci[].vf``: what the PF's driver says of this VF."""

    index: Id
    mac: Text | None = None
    vlan: Id | None = None
    qos: Id | None = None
    trust: bool | None = None
    spoof_check: bool | None = None
    link_state: Text | None = None
    min_rate_mbps: Size | None = None
    max_rate_mbps: Size | None = None


class PcieLinkForm(Form):
    """``pci[].link``."""

    speed_mtps: Size | None = None
    width: Id | None = None
    max_speed_mtps: Size | None = None
    max_width: Id | None = None


class PciForm(Form):
    """An entry of ``pci``. Its ``guests`` are written for the eye: they follow from the guests themselves."""

    address: Address
    vendor: Text
    device: Text
    pci_class: Annotated[Text, Field(alias="class")]
    name: Text | None = None
    numa_node: Id | None = None
    driver: Text | None = None
    iommu_group: Id | None = None
    netdevs: list[Text] = Field(default_factory=list)
    sriov: SriovForm | None = None
    physfn: Address | None = None
    vf: VfForm | None = None
    link: PcieLinkForm | None = None
    resets: list[Text] = Field(default_factory=list)
    guests: Annotated[object, WithJsonSchema({"type": "array", "items": {"type": "string"}})] = None


class IommuGroupForm(Form):
    """An entry of ``iommu_groups``."""

    id: Id
    devices: list[Address] = Field(default_factory=list)


class LinkForm(Form):
    """An entry of ``links``."""

    name: Text
    kind: Text | None = None
    pci: Address | None = None
    speed_mbps: Id | None = None
    master: Text | None = None
    lowers: list[Text] = Field(default_factory=list)
    addresses: bool | None = None
    mac: Text | None = None
    mtu: Id | None = None
    up: bool | None = None
    vlan: Id | None = None
    peer: Text | None = None


def to_devices(forms: list[PciForm], groups: list[IommuGroupForm]) -> tuple[PciDevice, ...]:
    """Functions in order; where a function does not name its IOMMU group, the group that lists it says it."""
    listed = {address: group.id for group in groups for address in group.devices}
    devices = (_to_pci(form, listed.get(form.address)) for form in forms)
    return tuple(sorted(devices, key=lambda device: device.address))


def to_groups(forms: list[IommuGroupForm]) -> tuple[IommuGroup, ...]:
    """The nouns of ``iommu_groups``, by id."""
    groups = (IommuGroup(IommuGroupId(form.id), tuple(sorted(form.devices))) for form in forms)
    return tuple(sorted(groups, key=lambda group: group.id))


def to_links(forms: list[LinkForm]) -> tuple[Link, ...]:
    """The nouns of ``links``, by name."""
    return tuple(sorted(map(_to_link, forms), key=lambda link: link.name))


def _lower_hex(text: str) -> str:
    return text.lower() if _HEX.fullmatch(text) else text


def _to_pci(form: PciForm, listed: int | None) -> PciDevice:
    group = listed if form.iommu_group is None else form.iommu_group
    return PciDevice(
        form.address,
        _lower_hex(form.vendor),
        _lower_hex(form.device),
        _lower_hex(form.pci_class),
        numa_node=None if form.numa_node is None else NodeId(form.numa_node),
        driver=form.driver,
        iommu_group=None if group is None else IommuGroupId(group),
        netdevs=tuple(form.netdevs),
        sriov=None if form.sriov is None else _to_sriov(form.sriov),
        physfn=form.physfn,
        link=None if form.link is None else _to_pcie_link(form.link),
        resets=tuple(form.resets),
        name=form.name,
        vf=None if form.vf is None else _to_vf(form.vf),
    )


def _to_sriov(form: SriovForm) -> Sriov:
    return Sriov(form.total, form.configured, tuple(form.vfs))


def _to_vf(form: VfForm) -> VfSettings:
    return VfSettings(
        form.index,
        mac=form.mac,
        vlan=form.vlan,
        qos=form.qos,
        trust=form.trust,
        spoof_check=form.spoof_check,
        link_state=form.link_state,
        min_rate_mbps=form.min_rate_mbps,
        max_rate_mbps=form.max_rate_mbps,
    )


def _to_pcie_link(form: PcieLinkForm) -> PcieLink:
    return PcieLink(form.speed_mtps, form.width, form.max_speed_mtps, form.max_width)


def _to_link(form: LinkForm) -> Link:
    return Link(
        form.name,
        kind=form.kind,
        pci=form.pci,
        speed_mbps=form.speed_mbps,
        master=form.master,
        lowers=tuple(form.lowers),
        addresses=form.addresses,
        mac=form.mac,
        mtu=form.mtu,
        up=form.up,
        vlan=form.vlan,
        peer=form.peer,
    )
