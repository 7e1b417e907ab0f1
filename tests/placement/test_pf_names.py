"""PFs by the names of their interfaces and by their addresses, and those that the host does not have."""

from dataclasses import replace

import pytest

from numaplan.model.plan import Status
from numaplan.model.snapshot import Snapshot
from numaplan.placement.facts import host_facts
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.hosts import Nic, host
from tests.placement.solving import solved
from tests.requests import ask, guest, vfs

PF = "0000:20:00.0"


def bare() -> Snapshot:
    """A PF on each node, of which the second has no interface."""
    snapshot = host("2n:4c:1t", nics=[Nic("ens0", 0, 2), Nic("ens1", 1, 2)])
    pci = tuple(replace(one, netdevs=()) if str(one.address) == PF else one for one in snapshot.pci)
    return replace(snapshot, pci=pci, links=tuple(link for link in snapshot.links if str(link.pci) != PF))


@pytest.mark.parametrize("physnet", [False, True])
def test_a_pf_without_an_interface_goes_by_its_address(physnet: bool) -> None:  # noqa: FBT001
    snapshot = bare()
    pf = next(one for one in snapshot.pci if str(one.address) == PF)
    assert pf.sriov is not None
    asked = vfs("data", "wan" if physnet else PF, 2, physnet=physnet)
    request = ask(guest("a", 2, interfaces=[asked]), reserved="0", physnets={"wan": (PF,)})
    plan = solved(request, snapshot)
    (given,) = plan.placements[0].interfaces
    assert sorted(given.vfs) == sorted(pf.sriov.vfs)
    elsewhere = replace(request, policy=replace(request.policy, physnets=(("wan", ("ens0",)),)))
    assert bool(verify(elsewhere, snapshot, plan)) is physnet


def test_it_is_the_same_pf_by_either_name() -> None:
    snapshot = host("2n:4c:1t", nics=[Nic("ens0", 0, 2), Nic("ens1", 1, 2)])
    plans = [
        solved(ask(guest("a", 2, interfaces=[vfs("data", name, 1)]), reserved="0"), snapshot) for name in ("ens1", PF)
    ]
    assert plans[0].placements == plans[1].placements


def test_pfs_that_are_not_there_are_noted_where_they_are_asked_for() -> None:
    wan = vfs("data", "wan", 1, physnet=True)
    request = ask(guest("a", 2, interfaces=[wan]), reserved="0", physnets={"wan": ("ens0", "ens9"), "lan": ("ens8",)})
    snapshot = bare()
    notes = [note for note in host_facts(request, snapshot).notes if "physnet" in note]
    assert notes == ['physnet "wan": the host has no PF ens9']
    gone = replace(request, policy=replace(request.policy, physnets=(("wan", ("ens9", "0000:77:00.0")),)))
    plan = solve(gone, snapshot, budget=Budget())
    assert plan.status is Status.INFEASIBLE
    assert any(note == 'physnet "wan": the host has no PF ens9, 0000:77:00.0' for note in plan.notes)
    assert any("it has no PF ens9, 0000:77:00.0" in unplaced.reason for unplaced in plan.unplaced)
