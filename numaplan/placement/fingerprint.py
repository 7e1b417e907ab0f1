"""Whether a host and its guests still are what a plan was made for."""

import hashlib
from dataclasses import replace

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest, VcpuId
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import PmdThread


def fingerprint(snapshot: Snapshot) -> str:
    """A digest of the host facts and guests that a plan rests on; what changes by itself (free memory) is left out."""
    nodes = tuple(replace(node, free_kib=None, available_kib=None, hugepages=()) for node in snapshot.nodes)
    switch = snapshot.openvswitch
    if switch is not None:
        switch = replace(switch, pmds=tuple(PmdThread(pmd.cpu) for pmd in switch.pmds))
    facts = (snapshot.cpus, snapshot.packages, nodes, snapshot.cores, snapshot.llcs, snapshot.pci, switch)
    guests = tuple((replace(guest, file="", live=None), _affinities(guest)) for guest in snapshot.guests)
    return "sha256:" + hashlib.sha256(repr((facts, guests)).encode()).hexdigest()


def _affinities(guest: Guest) -> tuple[CpuSet | None, ...]:
    vcpus = (guest.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(guest.vcpus))
    iothreads = (guest.effective_iothread_affinity(thread) for thread in guest.iothread_ids)
    return (*vcpus, guest.effective_emulator_affinity(), *iothreads)
