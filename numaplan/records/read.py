"""Inventory documents to snapshots; plans are read in `plan`."""

from numaplan.model.kernel import UNKNOWN_KERNEL
from numaplan.model.snapshot import Gap, Snapshot
from numaplan.records.consistency import mistakes_of
from numaplan.records.devices_form import to_devices, to_groups, to_links
from numaplan.records.document import load, refusal
from numaplan.records.guest_form import to_guests
from numaplan.records.host_form import to_cores, to_cpus, to_host, to_llcs, to_nodes, to_packages
from numaplan.records.inventory import INVENTORY_SCHEMA
from numaplan.records.inventory_form import InventoryForm
from numaplan.records.kernel_form import to_irqs, to_kernel
from numaplan.records.switch_form import to_switch


def read_inventory(text: str, file: str) -> Snapshot:
    """The snapshot in an inventory document, whoever wrote it; lists come in the order that a Snapshot has.

    Nothing is derived that the document does not say. Raises InputError for a document that is malformed,
    of another schema, or contradicts itself.
    """
    form = load(text, file, form=InventoryForm, schema=INVENTORY_SCHEMA)
    if mistakes := mistakes_of(form):
        raise refusal(mistakes, text, file)
    return Snapshot(
        host=to_host(form.host),
        cpus=to_cpus(form.cpus),
        packages=to_packages(form.packages),
        nodes=to_nodes(form.numa_nodes),
        llcs=to_llcs(form.llcs),
        cores=to_cores(form.cores),
        pci=to_devices(form.pci, form.iommu_groups),
        iommu_groups=to_groups(form.iommu_groups),
        links=to_links(form.links),
        guests=to_guests(form.guests, file),
        kernel=UNKNOWN_KERNEL if form.kernel is None else to_kernel(form.kernel),
        irqs=to_irqs(form.irqs),
        openvswitch=None if form.openvswitch is None else to_switch(form.openvswitch),
        gaps=tuple(sorted(Gap(gap.what, gap.why) for gap in form.gaps)),
    )
