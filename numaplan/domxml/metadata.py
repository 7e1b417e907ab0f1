"""numaplan's own element in ``<metadata>``: what vnf.yaml said of a guest and libvirt's XML has no words for.

``<numaplan:guest xmlns:numaplan="urn:numaplan:1" thread_policy="isolate" shared_vcpus="4-7"
loose_devices="0000:3b:02.0"/>``: the thread policy; vCPUs that share their CPU with others; passed-through devices
that may be on another node than the guest.
"""

from dataclasses import dataclass
from typing import Final

from numaplan.domxml.numbers import id_set
from numaplan.domxml.tree import Document, Element
from numaplan.model.devices import PciAddress
from numaplan.model.guest import VcpuId
from numaplan.model.request import ThreadPolicy

NAMESPACE: Final = "urn:numaplan:1"
ELEMENT: Final = f"{{{NAMESPACE}}}guest"


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
