"""numaplan's own element in ``<metadata>``: what vnf.yaml said of a guest and libvirt's XML has no words for.

``<numaplan:guest xmlns:numaplan="urn:numaplan:1" thread_policy="isolate" shared_vcpus="4-7"
loose_devices="0000:3b:02.0"/>``: the thread policy; vCPUs that share their CPU with others; passed-through devices
that may be on another node than the guest. Beside it, the elements of managers tell who made the domain.
"""

from dataclasses import dataclass
from typing import Final

from numaplan.domxml.numbers import id_set
from numaplan.domxml.tree import Document, Element
from numaplan.model.devices import PciAddress
from numaplan.model.guest import Owner, VcpuId
from numaplan.model.request import ThreadPolicy

NAMESPACE: Final = "urn:numaplan:1"
ELEMENT: Final = f"{{{NAMESPACE}}}guest"

# The namespaces of the elements that managers put into the metadata of their domains, whatever version follows: Nova
# <instance> in nova/1.0, 1.1 (nova/virt/libvirt/config.py), oVirt <vm> in vm/1.0 and <qos> in vm/tune/1.0 (vdsm,
# virt/xmlconstants.py), KubeVirt <kubevirt> (pkg/virt-launcher/virtwrap/api/schema.go).
OWNERS: Final = (
    ("http://openstack.org/xmlns/libvirt/nova/", Owner.NOVA),
    ("http://ovirt.org/vm/", Owner.OVIRT),
    ("http://kubevirt.io", Owner.KUBEVIRT),
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the element says; all of it may be absent."""

    thread_policy: str | None = None
    shared_vcpus: tuple[VcpuId, ...] = ()
    loose_devices: tuple[PciAddress, ...] = ()


def metadata_element(document: Document) -> Element | None:
    """The element, where the domain has one."""
    metadata = document.root.child("metadata")
    return None if metadata is None else document.only(metadata, ELEMENT)


def owner_of(element: Element) -> Owner | None:
    """Whose element it is, by its namespace; None for anybody else's."""
    namespace = element.name[1:].partition("}")[0] if element.name.startswith("{") else ""
    return next((owner for start, owner in OWNERS if namespace.startswith(start)), None)


def read_owner(document: Document) -> Owner | None:
    """The manager that the domain's metadata names first."""
    metadata = document.root.child("metadata")
    owners = (owner_of(element) for element in (() if metadata is None else metadata.children))
    return next((owner for owner in owners if owner is not None), None)


def read_metadata(document: Document) -> Metadata:
    """What the element says; raises InputError on values that numaplan does not write."""
    element = metadata_element(document)
    if element is None:
        return Metadata()
    policy = element.get("thread_policy")
    if policy is not None and policy not in set(ThreadPolicy):
        expected = "expected prefer, require or isolate"
        raise document.error(element, f"thread_policy of <{element.tag}> is {policy[:80]!r}", expected)
    vcpus = id_set(document, element, "shared_vcpus") or frozenset()
    try:
        words = (element.get("loose_devices") or "").replace(",", " ").split()
        devices = tuple(sorted({PciAddress.parse(word) for word in words}))
    except ValueError as error:
        raise document.error(element, f"loose_devices of <{element.tag}>: {error}") from error
    return Metadata(policy, tuple(VcpuId(vcpu) for vcpu in sorted(vcpus)), devices)
